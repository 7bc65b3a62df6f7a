"""Pool the calibrated opinions of several models; the door is recengine/kernels/blend.py."""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from lanes cimport LANES

cdef extern from *:
    """
    typedef int32_t v16i __attribute__((vector_size(64)));

    static inline v16 choose(v16i mask, v16 yes, v16 no) { return (v16)(((v16i)yes & mask) | ((v16i)no & ~mask)); }

    /* 1 / (1 + exp(-x)), NaN stays NaN. exp: Cephes expf (Moshier 1989), 2 ulp; its argument is held where 2^n is a normal float, so
       probabilities below 4e-39 are reported as that. */
    static inline v16 sigmoid(v16 x) {
        const v16 low = (v16){0} - 87.3f, high = (v16){0} + 88.37f;
        v16 t = -x, z, n, r, p;
        t = choose(t > high, high, t);
        t = choose(t < low, low, t);
        z = t * 1.44269504088896341f + 12582912.0f;  /* 1.5 2^23: the low bits of z are the nearest integer */
        n = z - 12582912.0f;
        r = t - n * 0.693359375f;
        r = r - n * -2.12194440e-4f;
        p = r * 1.9875691500e-4f + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        p = p * r * r + r + 1.0f;
        return 1.0f / (1.0f + p * (v16)(((v16i)z << 23) + 0x3f800000));
    }

    /* Sixteen rows of `models` scores; the parameters are repeated for each row, `term` and `share` are scratch of that length. */
    static void blend_rows(const float *scores, int64_t models, const float *slope, const float *intercept, const float *weight,
                           float *term, float *share, float *logit, float *probabilities, float *contributions) {
        for (int64_t j = 0; j < LANES * models; j += LANES) {
            v16 w = *(const v16u *)(weight + j);
            v16 l = *(const v16u *)(slope + j) * *(const v16u *)(scores + j) + *(const v16u *)(intercept + j);
            v16i scored = (l == l) & (w > 0.0f);
            *(v16u *)(probabilities + j) = sigmoid(l);
            *(v16u *)(term + j) = (v16)((v16i)(w * l) & scored);
            *(v16u *)(share + j) = (v16)((v16i)w & scored);
        }
        for (int i = 0; i < LANES; i++) {
            float total = 0, weights = 0, inverse;
            for (int64_t m = 0; m < models; m++) { total += term[i * models + m]; weights += share[i * models + m]; }
            inverse = 1 / weights;
            logit[i] = weights > 0 ? total * inverse : NAN;
            if (!(weights > 0)) inverse = 0;
            for (int64_t m = 0; m < models; m++) contributions[i * models + m] = term[i * models + m] * inverse;
        }
    }
    """
    void blend_rows(const float *scores, int64_t models, const float *slope, const float *intercept, const float *weight,
                    float *term, float *share, float *logit, float *probabilities, float *contributions) noexcept nogil


def blend(const float[:, ::1] scores, const float[::1] slope, const float[::1] intercept, const float[::1] weight,
          float[::1] logit, float[:, ::1] probabilities, float[:, ::1] contributions, float[:, ::1] scratch):
    """Fill the three outputs for `scores` (N, M); `scratch` (9, 16 M). Returns the first weight that is not >= 0, or -1."""
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
                       &logit[i], &probabilities[i, 0], &contributions[i, 0])
        i = n // LANES * LANES
        left = n - i
        if left:  # the last rows go through the same code, so that a row has the same bits wherever it stands
            memcpy(at + 2 * width, &scores[i, 0], left * models * 4)
            for m in range(left * models, width):
                at[2 * width + m] = 0
            blend_rows(at + 2 * width, models, slopes, slopes + width, slopes + 2 * width, at, at + width,
                       at + 3 * width, at + 4 * width, at + 5 * width)
            memcpy(&logit[i], at + 3 * width, left * 4)
            memcpy(&probabilities[i, 0], at + 4 * width, left * models * 4)
            memcpy(&contributions[i, 0], at + 5 * width, left * models * 4)
    return -1
