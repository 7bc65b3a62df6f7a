"""Walk the trees of a forest: each row goes from each root to a leaf, whose value is added; the door is recengine/kernels/forest.py."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum:
    ROWS = 128  # rows that go through one tree before the next, so that a tree is read from the cache


def check(const int32_t[::1] roots, const int32_t[::1] feature, const int32_t[::1] left, const int32_t[::1] right, int64_t leaves, int64_t features):
    """Return the first node whose children or feature do not exist, the number of nodes + t where root t does not, or -1.

    A child stands behind its parent, so that every walk ends.
    """
    cdef int64_t i, nodes = feature.shape[0]
    for i in range(nodes):
        if feature[i] < 0 or feature[i] >= features:
            return i
        if left[i] <= i if left[i] >= 0 else ~<int64_t> left[i] >= leaves:
            return i
        if right[i] <= i if right[i] >= 0 else ~<int64_t> right[i] >= leaves:
            return i
        if left[i] >= nodes or right[i] >= nodes:
            return i
    for i in range(roots.shape[0]):
        if roots[i] >= nodes or (roots[i] < 0 and ~<int64_t> roots[i] >= leaves):
            return nodes + i
    return -1


cdef void _rows(const float *x, int64_t rows, int64_t features, const int32_t *roots, int64_t trees, const int32_t *feature, const double *threshold,
                const int32_t *left, const int32_t *right, const uint8_t *default_left, const double *value, double *out) noexcept nogil:
    cdef int64_t t, r
    cdef int32_t node
    cdef float at
    for r in range(rows):
        out[r] = 0
    for t in range(trees):
        for r in range(rows):
            node = roots[t]
            while node >= 0:
                at = x[r * features + feature[node]]
                if at != at:
                    node = left[node] if default_left[node] else right[node]
                else:
                    node = left[node] if at <= threshold[node] else right[node]
            out[r] += value[~node]


def predict(const float[:, ::1] x, const int32_t[::1] roots, const int32_t[::1] feature, const double[::1] threshold, const int32_t[::1] left,
            const int32_t[::1] right, const uint8_t[::1] default_left, const double[::1] value, double[::1] out, int threads):
    """Fill `out` (n,) with the sums over the trees, in their order. The caller has checked the structure."""
    cdef int64_t n = x.shape[0], blocks = (n + ROWS - 1) // ROWS, features = x.shape[1]
    cdef Py_ssize_t b
    cdef const float *rows = &x[0, 0] if n and features else NULL
    cdef const int32_t *roots_at = &roots[0] if roots.shape[0] else NULL
    cdef int64_t trees = roots.shape[0]
    cdef const int32_t *feature_at = NULL
    cdef const int32_t *left_at = NULL
    cdef const int32_t *right_at = NULL
    cdef const double *threshold_at = NULL
    cdef const uint8_t *default_at = NULL
    cdef const double *value_at = &value[0] if value.shape[0] else NULL
    if feature.shape[0]:
        feature_at, left_at, right_at, threshold_at, default_at = &feature[0], &left[0], &right[0], &threshold[0], &default_left[0]
    if n == 0:
        return
    cdef double *out_at = &out[0]
    for b in prange(blocks, nogil=True, num_threads=threads):
        _rows(rows + b * ROWS * features, min(<int64_t> ROWS, n - b * ROWS), features, roots_at, trees, feature_at, threshold_at, left_at, right_at,
              default_at, value_at, out_at + b * ROWS)
