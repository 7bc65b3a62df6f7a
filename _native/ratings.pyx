"""Gradient steps over ratings, in disjoint blocks of users x items; the door is recengine/kernels/ratings.py."""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from *:
    """
    #include "fused.h"

    /* One pass over ratings in order. Columns of a user: `factors` real ones, its bias, 1; of an item: factors, 1, its bias; then zeros. */
    static void steps(const int32_t *users, const int32_t *items, const float *values, int64_t begin, int64_t end, int64_t factors,
                      int64_t width, float mean, float rate, float ridge, float *x, float *y) {
        for (int64_t j = begin; j < end; j++) {
            float *u = x + (int64_t)users[j] * width, *i = y + (int64_t)items[j] * width;
            vf sums = {0};
            for (int64_t k = 0; k < width; k += VL) sums = fused_lanes(*cvec(u + k), *cvec(i + k), sums);
            float predicted = mean;
            for (int k = 0; k < VL; k++) predicted += sums[k];
            const float error = values[j] - predicted, user_bias = u[factors], item_bias = i[factors + 1];
            const vf up = all_lanes(rate * error), keep = all_lanes(1 - rate * ridge);
            for (int64_t k = 0; k < width; k += VL) {
                const vf a = *cvec(u + k), b = *cvec(i + k);
                *vec(u + k) = fused_lanes(b, up, a * keep);
                *vec(i + k) = fused_lanes(a, up, b * keep);
            }
            u[factors] = user_bias + rate * (error - ridge * user_bias);
            u[factors + 1] = 1;
            i[factors] = 1;
            i[factors + 1] = item_bias + rate * (error - ridge * item_bias);
        }
    }
    """
    void steps(const int32_t *users, const int32_t *items, const float *values, int64_t begin, int64_t end, int64_t factors,
               int64_t width, float mean, float rate, float ridge, float *x, float *y) noexcept nogil


def descend(const int32_t[::1] users, const int32_t[::1] items, const float[::1] values, const int64_t[::1] cells, int blocks,
            int64_t factors, float mean, float rate, float ridge, float[:, ::1] x, float[:, ::1] y, int threads):
    """Pass over all ratings once: `cells` (blocks^2 + 1) says where the ratings of user block a, item block b begin, at a * blocks + b."""
    cdef int shift, block
    cdef int64_t cell, width = x.shape[1]
    if values.shape[0] == 0:
        return
    for shift in range(blocks):
        if threads == 1:
            with nogil:
                for block in range(blocks):
                    cell = block * blocks + (block + shift) % blocks
                    steps(&users[0], &items[0], &values[0], cells[cell], cells[cell + 1], factors, width, mean, rate, ridge, &x[0, 0], &y[0, 0])
        else:
            for block in prange(blocks, nogil=True, num_threads=threads, schedule="dynamic", chunksize=1):
                cell = block * blocks + (block + shift) % blocks
                steps(&users[0], &items[0], &values[0], cells[cell], cells[cell + 1], factors, width, mean, rate, ridge, &x[0, 0], &y[0, 0])
