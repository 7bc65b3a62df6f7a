"""Sparse rows times a dense matrix, and non-negative least squares of many rows; the door is recengine/kernels/sparse.py."""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from ragged cimport broken_row

cdef extern from *:
    """
    #include <math.h>
    #include "fused.h"

    #define AHEAD 8  /* entries whose dense row is asked for before it is wanted: Gowalla, 80 columns, 1.3 times as fast */

    /* `U` registers of columns of one row: they stay in registers over all entries, added in order. */
    ALWAYS void columns(const int U, const float *dense, int64_t rows, int64_t width, const int32_t *items, const float *weights,
                        int64_t n, int64_t first, float *out) {
        vf sum[8];
        _Pragma("GCC unroll 8")
        for (int i = 0; i < U; i++) sum[i] = (vf){0};
        for (int64_t j = 0; j < n; j++) {
            if (j + AHEAD < n && (uint32_t)items[j + AHEAD] < (uint64_t)rows) {
                const float *soon = dense + (int64_t)items[j + AHEAD] * width + first;
                _Pragma("GCC unroll 8")
                for (int i = 0; i < U; i++) __builtin_prefetch(soon + i * VL);
            }
            if ((uint64_t)(uint32_t)items[j] >= (uint64_t)rows) continue;
            const float *row = dense + (int64_t)items[j] * width;
            if (row[0] != row[0]) continue;
            const vf weight = all_lanes(weights[j]);
            _Pragma("GCC unroll 8")
            for (int i = 0; i < U; i++) sum[i] = fused_lanes(*cvec(row + first + i * VL), weight, sum[i]);
        }
        _Pragma("GCC unroll 8")
        for (int i = 0; i < U; i++) *vec(out + first + i * VL) = sum[i];
    }

    static void product_row(const float *dense, int64_t rows, int64_t width, const int32_t *items, const float *weights, int64_t n,
                            int cold_nan, float *out) {
        if (cold_nan) {
            int speaks = 0;
            for (int64_t j = 0; j < n && !speaks; j++)
                speaks = weights[j] > 0 && (uint64_t)(uint32_t)items[j] < (uint64_t)rows && !isnan(dense[(int64_t)items[j] * width]);
            if (!speaks) {
                for (int64_t k = 0; k < width; k++) out[k] = NAN;
                return;
            }
        }
        int64_t k = 0;
        for (; k + 8 * VL <= width; k += 8 * VL) columns(8, dense, rows, width, items, weights, n, k, out);
        for (; k + 5 * VL <= width; k += 5 * VL) columns(5, dense, rows, width, items, weights, n, k, out);
        for (; k + 4 * VL <= width; k += 4 * VL) columns(4, dense, rows, width, items, weights, n, k, out);
        for (; k + 2 * VL <= width; k += 2 * VL) columns(2, dense, rows, width, items, weights, n, k, out);
        for (; k + VL <= width; k += VL) columns(1, dense, rows, width, items, weights, n, k, out);
    }

    /* Coordinate descent on x G x / 2 - c x + l1 sum(x) + l2 x x / 2 over x >= 0. The gradient goes along, so that a
     * coordinate that stays at 0 costs a comparison. `gradient` is scratch. Returns when a sweep moves nothing. */
    static void nonnegative_row(const float *gram, int64_t width, const float *c, float l1, float l2, int sweeps, float tolerance,
                                float *gradient, float *x) {
        for (int64_t k = 0; k < width; k += VL) *vec(gradient + k) = all_lanes(l1) - *cvec(c + k);
        for (int64_t s = 0; s < width; s++) {
            if (x[s] == 0) continue;
            const vf held = all_lanes(x[s]);
            for (int64_t k = 0; k < width; k += VL) *vec(gradient + k) = fused_lanes(*cvec(gram + s * width + k), held, *cvec(gradient + k));
        }
        for (int sweep = 0; sweep < sweeps; sweep++) {
            float moved = 0, largest = 0;
            for (int64_t s = 0; s < width; s++) {
                const float curve = gram[s * width + s] + l2;
                if (!(curve > 0)) {
                    x[s] = 0;
                    continue;
                }
                const float wanted = x[s] - (gradient[s] + l2 * x[s]) / curve;
                const float next = wanted > 0 ? wanted : (wanted == wanted ? 0 : wanted);
                const float step = next - x[s];
                if (step == 0) continue;
                x[s] = next;
                const vf by = all_lanes(step);
                for (int64_t k = 0; k < width; k += VL) *vec(gradient + k) = fused_lanes(*cvec(gram + s * width + k), by, *cvec(gradient + k));
                moved = fmaxf(moved, fabsf(step));
                largest = fmaxf(largest, fabsf(next));
            }
            if (!(moved > tolerance * largest)) return;
        }
    }
    """
    void product_row(const float *dense, int64_t rows, int64_t width, const int32_t *items, const float *weights, int64_t n,
                     int cold_nan, float *out) noexcept nogil
    void nonnegative_row(const float *gram, int64_t width, const float *c, float l1, float l2, int sweeps, float tolerance,
                         float *gradient, float *x) noexcept nogil


def product(const float[:, ::1] dense, const int64_t[::1] indptr, const int32_t[::1] items, const float[::1] weights,
            bint cold_nan, float[:, ::1] out, int threads):
    """Fill `out` (B, width) with sparse rows times `dense`; returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t row, rows = out.shape[0]
    cdef int64_t width = dense.shape[1], n = dense.shape[0]
    cdef const float *at = &dense[0, 0] if n else NULL
    cdef const int32_t *items_at = &items[0] if items.shape[0] else NULL
    cdef const float *weights_at = &weights[0] if items.shape[0] else NULL
    row = broken_row(indptr, items.shape[0])
    if row >= 0:
        return row
    if threads == 1 or rows == 1:
        with nogil:
            for row in range(rows):
                product_row(at, n, width, items_at + indptr[row], weights_at + indptr[row], indptr[row + 1] - indptr[row], cold_nan, &out[row, 0])
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic", chunksize=64):
            product_row(at, n, width, items_at + indptr[row], weights_at + indptr[row], indptr[row + 1] - indptr[row], cold_nan, &out[row, 0])
    return -1


cdef void _nonnegative(const float *gram, int64_t width, const float *c, float l1, float l2, int sweeps, float tolerance,
                       float *x) noexcept nogil:
    cdef float[4096] gradient
    nonnegative_row(gram, width, c, l1, l2, sweeps, tolerance, gradient, x)


def nonnegative(const float[:, ::1] gram, const float[:, ::1] targets, float l1, float l2, int sweeps, float tolerance,
                float[:, ::1] out, int threads):
    """Improve the rows of `out` (B, width), which holds the start."""
    cdef Py_ssize_t row, rows = out.shape[0]
    cdef int64_t width = gram.shape[0]
    if threads == 1 or rows <= 1:
        with nogil:
            for row in range(rows):
                _nonnegative(&gram[0, 0], width, &targets[row, 0], l1, l2, sweeps, tolerance, &out[row, 0])
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic", chunksize=64):
            _nonnegative(&gram[0, 0], width, &targets[row, 0], l1, l2, sweeps, tolerance, &out[row, 0])
