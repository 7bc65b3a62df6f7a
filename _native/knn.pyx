"""Weighted sums of sparse rows, and the best of what they touch: item-KNN and user-KNN, building and serving alike.

`unit_rows` weighs entries and scales every row to length 1. The other kernels add `weight * row` for a few rows of a
CSR matrix into a dense float32 accumulator, always in the order of the given entries, so an answer does not depend on
the batch, on `threads`, or on which kernel asks. The accumulator is all zeros between calls: a second walk over the
same rows reads the sums and clears them.

Why a second walk, and no list of the columns met: keeping the list made every addition wait for the one before it, and
more than doubled the time of the whole sum; the second walk finds rows and sums in the cache, and the second sight of
a column is a zero that is never picked. The walks stand in sums.pxd. Why `fused` by name: see fused.h; else `score` and
`recommend` might round differently. Why keys of 8 bytes: see keys.pxd.
"""
from cython.parallel cimport parallel, prange, threadid
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t

from rows cimport Layers, Row, Rows, layers_of, one_layer, row_of, rows_of
from sums cimport Best, Lens, add, broken, counts, open_for, sift_all, sift_rows, write

__all__ = ("neighbors", "sum_at", "sum_top", "unit_rows")


cdef void neighbors_of(Rows rows, Py_ssize_t r, int32_t own, Lens lens, Layers postings, Py_ssize_t n_cols,
                       float* sums, int64_t* keys, Py_ssize_t room, int32_t* items, float* scores, Py_ssize_t k) noexcept nogil:
    cdef Best best
    cdef Py_ssize_t e, work = 0
    open_for(&best, keys, room, k)
    for e in range(rows.indptr[r], rows.indptr[r + 1]):
        if counts(rows, e, postings):
            work += row_of(postings, rows.cols[e]).count
    add(rows, r, postings, sums)
    if 0 <= own < n_cols:
        sums[own] = 0
    if work * 8 < n_cols:  # 6 to 16 measured alike
        sift_rows(rows, r, postings, sums, lens, &best)
    else:
        sift_all(n_cols, sums, lens, &best)
    write(&best, items, scores)


def neighbors(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const int32_t[::1] own,
              const float[::1] norms, const int64_t[::1] post_indptr, const int32_t[::1] post_cols,
              const float[::1] post_values, const float[::1] post_norms, float shrinkage, float[:, ::1] sums,
              int64_t[:, ::1] keys, int32_t[:, ::1] out_cols, float[:, ::1] out_values, int threads):
    """See `recengine.kernels.knn.neighbors`. Returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t r, tid, n = own.shape[0], n_cols = post_norms.shape[0], bad = broken(indptr, cols.shape[0])
    cdef Rows rows
    cdef Layers postings
    cdef Lens lens
    if bad >= 0 or n == 0:
        return bad
    if n_cols == 0:
        out_cols[:, :], out_values[:, :] = -1, NAN
        return bad
    rows, postings = rows_of(indptr, cols, values), one_layer(rows_of(post_indptr, post_cols, post_values))
    lens.mask, lens.norms, lens.shrinkage = NULL, &post_norms[0] if shrinkage > 0 else NULL, shrinkage
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=16):
            neighbors_of(rows, r, own[r], with_norm(lens, norms[r]), postings, n_cols, &sums[tid, 0], &keys[tid, 0],
                         keys.shape[1], &out_cols[r, 0], &out_values[r, 0], out_cols.shape[1])
    return bad


cdef inline Lens with_norm(Lens lens, float norm) noexcept nogil:
    lens.norm = norm
    return lens


cdef void top_of(Rows entries, Py_ssize_t r, Layers matrix, const uint8_t* mask, float* sums, int64_t* keys,
                 Py_ssize_t room, int32_t* items, float* scores, Py_ssize_t k) noexcept nogil:
    cdef Best best
    cdef Lens lens
    lens.norms, lens.mask = NULL, mask
    open_for(&best, keys, room, k)
    add(entries, r, matrix, sums)
    sift_rows(entries, r, matrix, sums, lens, &best)
    write(&best, items, scores)


def sum_top(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const int64_t[::1] m_indptr,
            const int32_t[::1] m_cols, const float[::1] m_values, const int32_t[::1] place, const int64_t[::1] o_indptr,
            const int32_t[::1] o_cols, const float[::1] o_values, const uint8_t[:, ::1] mask, float[:, ::1] sums, int64_t[:, ::1] keys, int32_t[:, ::1] out_cols, float[:, ::1] out_values, int threads):
    """See `recengine.kernels.knn.sum_top`. Returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1, bad = broken(indptr, cols.shape[0])
    cdef Rows entries
    cdef Layers matrix
    if bad >= 0 or n == 0:
        return bad
    if m_cols.shape[0] + o_cols.shape[0] == 0:
        out_cols[:, :], out_values[:, :] = -1, NAN
        return bad
    entries = rows_of(indptr, cols, values)
    matrix = layers_of(rows_of(m_indptr, m_cols, m_values), place, rows_of(o_indptr, o_cols, o_values))
    if threads == 1:  # entering a parallel region costs about a microsecond
        with nogil:
            for r in range(n):
                top_of(entries, r, matrix, &mask[r, 0], &sums[0, 0], &keys[0, 0], keys.shape[1], &out_cols[r, 0],
                       &out_values[r, 0], out_cols.shape[1])
        return bad
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=4):
            top_of(entries, r, matrix, &mask[r, 0], &sums[tid, 0], &keys[tid, 0], keys.shape[1], &out_cols[r, 0],
                   &out_values[r, 0], out_cols.shape[1])
    return bad


cdef void at(Rows entries, Py_ssize_t r, Layers matrix, const uint8_t* known, Py_ssize_t n_cols, const int64_t* asked,
             const int32_t* items, float* sums, float* out) noexcept nogil:
    cdef Py_ssize_t e, t
    cdef Row row
    add(entries, r, matrix, sums)
    for t in range(asked[r], asked[r + 1]):
        out[t] = sums[items[t]] if 0 <= items[t] < n_cols and known[items[t]] else NAN
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, matrix):
            row = row_of(matrix, entries.cols[e])
            for t in range(row.count):
                sums[row.cols[t]] = 0


def sum_at(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const int64_t[::1] m_indptr,
           const int32_t[::1] m_cols, const float[::1] m_values, const int32_t[::1] place, const int64_t[::1] o_indptr,
           const int32_t[::1] o_cols, const float[::1] o_values, const uint8_t[::1] known, const int64_t[::1] asked,
           const int32_t[::1] items, float[:, ::1] sums, float[::1] out, int threads):
    """See `recengine.kernels.knn.sum_at`. Returns the first broken row of `indptr` or `asked`, or -1."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1, n_cols = known.shape[0]
    cdef Py_ssize_t bad = max(broken(indptr, cols.shape[0]), broken(asked, items.shape[0]))
    cdef Rows entries
    cdef Layers matrix
    if bad >= 0 or n == 0 or items.shape[0] == 0:
        return bad
    if n_cols == 0:
        out[:] = NAN
        return bad
    entries = rows_of(indptr, cols, values)
    matrix = layers_of(rows_of(m_indptr, m_cols, m_values), place, rows_of(o_indptr, o_cols, o_values))
    if threads == 1:
        with nogil:
            for r in range(n):
                at(entries, r, matrix, &known[0], n_cols, &asked[0], &items[0], &sums[0, 0], &out[0])
        return bad
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=4):
            at(entries, r, matrix, &known[0], n_cols, &asked[0], &items[0], &sums[tid, 0], &out[0])
    return bad


cdef inline double term(double weight, int scheme, double length) noexcept nogil:
    """Weigh one entry: 0 plain, 1 TF-IDF, 2 BM25 with k1 = 1.2, b = 0.75; `length` is the row's over the average."""
    if scheme == 0:
        return weight
    if scheme == 1:
        return sqrt(weight)
    return weight * 2.2 / (weight + 1.2 * (0.25 + 0.75 * length))


def unit_rows(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] weights, const float[::1] rarity,
              int scheme, double average, float[::1] values, float[::1] norms):
    """See `recengine.kernels.knn.unit_rows`; `values` come in as zeros. Returns the first broken row, or -1."""
    cdef Py_ssize_t r, t, bad = broken(indptr, cols.shape[0])
    cdef double length, square
    if bad >= 0:
        return bad
    with nogil:
        for r in range(norms.shape[0]):
            length, square = 0, 0
            for t in range(indptr[r], indptr[r + 1]):
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0]:
                    length += weights[t] / average
            for t in range(indptr[r], indptr[r + 1]):
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0]:
                    square += (term(weights[t], scheme, length) * rarity[cols[t]]) ** 2
            norms[r] = <float>sqrt(square)
            for t in range(indptr[r], indptr[r + 1]):
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0] and square > 0:
                    values[t] = <float>(term(weights[t], scheme, length) * rarity[cols[t]] / sqrt(square))
    return bad
