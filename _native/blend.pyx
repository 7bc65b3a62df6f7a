"""Pool the calibrated opinions of several models; the door is recengine/kernels/blend.py."""
from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from lanes cimport LANES

cdef extern from *:
    """
    typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));

    /* Sixteen rows of `models` scores; the parameters are repeated for each row; `term`, `heard` and `share` are scratch of that length. */
    static void blend_rows(const float *scores, int64_t models, const float *slope, const float *intercept, const float *weight,
                           float *term, float *heard, float *share, float *logit, float *contributions) {
        for (int64_t j = 0; j < LANES * models; j += VL) {
            vf w = *cvec(weight + j);
            vf l = fused_lanes(*cvec(slope + j), *cvec(scores + j), *cvec(intercept + j));
            vi scored = (l == l) & (w > 0.0f);
            *vec(term + j) = (vf)((vi)(w * l) & scored);
            *vec(heard + j) = (vf)((vi)(w * larger_lanes(l, (vf){0})) & scored);
            *vec(share + j) = (vf)((vi)w & scored);
        }
        for (int i = 0; i < LANES; i++) {
            float total = 0, wanted = 0, weights = 0, inverse;
            const float *says = term + i * models, *hears = heard + i * models, *shares = share + i * models;
            for (int64_t m = 0; m < models; m++) { total += says[m]; wanted += hears[m]; weights += shares[m]; }
            inverse = 1 / weights;
            if (wanted > 0) { says = hears; total = wanted; }
            logit[i] = weights > 0 ? total * inverse : NAN;
            if (!(weights > 0)) inverse = 0;
            for (int64_t m = 0; m < models; m++) contributions[i * models + m] = says[m] * inverse;
        }
    }
    """
    void blend_rows(const float *scores, int64_t models, const float *slope, const float *intercept, const float *weight,
                    float *term, float *heard, float *share, float *logit, float *contributions) noexcept nogil


def stack(tuple columns, float[:, ::1] out):
    """Fill `out` (N, M) from M columns (N,) float32; None becomes NaN."""
    cdef const float[::1] column
    cdef Py_ssize_t i, m
    for m in range(out.shape[1]):
        if columns[m] is None:
            for i in range(out.shape[0]):
                out[i, m] = NAN
        else:
            column = columns[m]
            for i in range(out.shape[0]):
                out[i, m] = column[i]


def blend(const float[:, ::1] scores, const float[::1] slope, const float[::1] intercept, const float[::1] weight,
          float[::1] logit, float[:, ::1] contributions, float[:, ::1] scratch):
    """Fill the two outputs for `scores` (N, M); `scratch` (9, 16 M). Returns the first weight that is not >= 0, or -1."""
    cdef int64_t i, m, block, left, n = scores.shape[0], models = scores.shape[1], width = LANES * models
    cdef float *slopes
    cdef float *at
    for m in range(models):
        if not weight[m] >= 0:
            return m
    if n == 0 or models == 0:
        for i in range(n):
            logit[i] = float("nan")
        return -1
    with nogil:
        slopes = &scratch[0, 0]
        at = slopes + 3 * width
        for i in range(LANES):
            memcpy(slopes + i * models, &slope[0], models * 4)
            memcpy(slopes + width + i * models, &intercept[0], models * 4)
            memcpy(slopes + 2 * width + i * models, &weight[0], models * 4)
        for block in range(n // LANES):
            i = block * LANES
            blend_rows(&scores[i, 0], models, slopes, slopes + width, slopes + 2 * width, at, at + width,
                       at + 2 * width, &logit[i], &contributions[i, 0])
        i = n // LANES * LANES
        left = n - i
        if left:  # the last rows go through the same code, so that a row has the same bits wherever it stands
            memcpy(at + 3 * width, &scores[i, 0], left * models * 4)
            for m in range(left * models, width):
                at[3 * width + m] = 0
            blend_rows(at + 3 * width, models, slopes, slopes + width, slopes + 2 * width, at, at + width,
                       at + 2 * width, at + 4 * width, at + 5 * width)
            memcpy(&logit[i], at + 4 * width, left * 4)
            memcpy(&contributions[i, 0], at + 5 * width, left * models * 4)
    return -1
