"""BPR kernels: one pass of gradient steps over disjoint blocks, and the fold-in of rows. The arithmetic stands in `bpr.h`."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from "bpr.h" nogil:
    ctypedef struct Model:
        float *users
        float *items
        float *bias
        float rate
        float decay
        float bias_decay
    int bpr_urns(const float *mass, const int32_t *order, int64_t n, int blocks, uint32_t *keep, int32_t *other, int threads)
    int bpr_epoch(Model m, int ld, int64_t n_items, const int64_t *indptr, const int32_t *items, const float *weights,
                  const int32_t *user_order, int64_t users, const int32_t *item_order, int64_t sold, const uint32_t *keep,
                  const int32_t *other, int blocks, int negatives, int hardest, uint64_t key, int threads)
    int bpr_fold(const float *items, int64_t n_items, int ld, const int64_t *indptr, const int32_t *row_items, const float *weights,
                 int64_t rows, const int32_t *sold, int64_t n_sold, const uint32_t *keep, const int32_t *other, int passes, int hardest, float rate,
                 float regularization, float *out, int threads)


def urns(const float[::1] mass, const int32_t[::1] order, int blocks, uint32_t[::1] keep, int32_t[::1] other, int threads):
    """Make an alias table of every part of `order`."""
    cdef int failed = 0
    if order.shape[0] == 0:
        return
    with nogil:
        failed = bpr_urns(&mass[0], &order[0], order.shape[0], blocks, &keep[0], &other[0], threads)
    if failed:
        raise MemoryError


def epoch(const int64_t[::1] indptr, const int32_t[::1] items, const float[::1] weights, const int32_t[::1] user_order,
          const int32_t[::1] item_order, const uint32_t[::1] keep, const int32_t[::1] other, float[:, ::1] user_vectors,
          float[:, ::1] item_vectors, float[::1] bias, float rate, float decay, float bias_decay, int blocks, int negatives,
          int hardest, uint64_t key, int threads):
    """Make `negatives` steps for every entry; an empty `keep` draws uniformly."""
    cdef int failed = 0, drawn = keep.shape[0] > 0
    cdef Model m
    if user_order.shape[0] == 0 or item_order.shape[0] == 0:
        return
    m = Model(&user_vectors[0, 0], &item_vectors[0, 0], &bias[0], rate, decay, bias_decay)
    with nogil:
        failed = bpr_epoch(m, <int>item_vectors.shape[1], item_vectors.shape[0], &indptr[0], &items[0], &weights[0], &user_order[0],
                           user_order.shape[0], &item_order[0], item_order.shape[0], &keep[0] if drawn else NULL,
                           &other[0] if drawn else NULL, blocks, negatives, hardest, key, threads)
    if failed:
        raise MemoryError


def fold(const float[:, ::1] item_vectors, const int64_t[::1] indptr, const int32_t[::1] items, const float[::1] weights,
         const int32_t[::1] sold, const uint32_t[::1] keep, const int32_t[::1] other, int passes, int hardest, float rate, float regularization,
         float[:, ::1] out, int threads):
    """Step every row of `out` from zero against fixed items; NaN where it has no usable entry."""
    cdef int failed = 0, drawn = keep.shape[0] > 0
    if out.shape[0] == 0:
        return
    with nogil:
        failed = bpr_fold(&item_vectors[0, 0] if item_vectors.shape[0] > 0 else NULL, item_vectors.shape[0], <int>out.shape[1], &indptr[0],
                          &items[0] if items.shape[0] > 0 else NULL, &weights[0] if items.shape[0] > 0 else NULL, out.shape[0],
                          &sold[0] if sold.shape[0] > 0 else NULL, sold.shape[0], &keep[0] if drawn else NULL,
                          &other[0] if drawn else NULL, passes, hardest, rate, regularization, &out[0, 0], threads)
    if failed:
        raise MemoryError
