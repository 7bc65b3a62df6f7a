"""Weighted sums of sparse rows, and the best of what they touch: the core of item-KNN and user-KNN, building and serving alike.

`unit_rows` weighs entries and scales every row to length 1. The other kernels add `weight * row` for a few rows of a CSR matrix into a dense float32 accumulator, always in the order of the given
entries, so an answer does not depend on the batch, on `threads`, or on which kernel asks. The accumulator is all zeros between calls: what
was touched is cleared on the way out, because clearing 41 k floats would cost more than a whole request.

Why fmaf by name: the compiler may contract `a + b * c` in one copy of the loop and not in another, and then `score` and `recommend` differ.
Why 8-byte keys: see keys.pxd.
"""
from cython.parallel cimport parallel, prange, threadid
from libc.math cimport NAN, fmaf, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from keys cimport index_of, keep_largest, pack, score_of, sort_largest_first

__all__ = ("neighbors", "sum_at", "sum_top", "unit_rows")

cdef extern from *:
    """
    #define FETCH(p) __builtin_prefetch(p)
    """
    void FETCH(const void* p) noexcept nogil


cdef struct Rows:
    # A CSR matrix.
    const int64_t* indptr
    const int32_t* cols
    const float* values
    Py_ssize_t n


cdef struct Best:
    # The k largest keys so far stand among `keys[:count]`; none that is <= floor can become one of them.
    int64_t* keys
    Py_ssize_t k, count, capacity
    int64_t floor
    float threshold


cdef inline void offer(Best* best, float score, int32_t index) noexcept nogil:
    cdef int64_t key = pack(score, index)
    cdef Py_ssize_t t
    if key <= best.floor:
        return
    best.keys[best.count] = key
    best.count += 1
    if best.count == best.capacity:
        keep_largest(best.keys, best.count, best.k)
        best.count = best.k
        best.floor = best.keys[0]
        for t in range(1, best.k):
            if best.keys[t] < best.floor:
                best.floor = best.keys[t]
        best.threshold = score_of(best.floor)


cdef inline void finish(Best* best, int64_t* spare, int32_t* items, float* scores) noexcept nogil:
    """Write the k best, best first, padded with -1 and NaN."""
    cdef Py_ssize_t t
    if best.count > best.k:
        keep_largest(best.keys, best.count, best.k)
        best.count = best.k
    sort_largest_first(best.keys, spare, best.count)
    for t in range(best.count):
        items[t] = index_of(best.keys[t])
        scores[t] = score_of(best.keys[t])
    for t in range(best.count, best.k):
        items[t] = -1
        scores[t] = NAN


cdef inline void start(Best* best) noexcept nogil:
    best.count = 0
    best.floor = 0x7FFFFFFF  # score 0 with any index is <= this: only positive scores count
    best.threshold = 0


cdef Py_ssize_t spread(const int32_t* rows, const float* weights, Py_ssize_t count, Rows matrix, float* sums, int32_t* touched) noexcept nogil:
    """Add the weighted rows into `sums`; list the columns met in `touched` (room for n_cols + 1), each once. Returns how many."""
    cdef Py_ssize_t e, t, begin, end, met = 0
    cdef int32_t row, col
    cdef float weight, old, new
    for e in range(count):
        row, weight = rows[e], weights[e]
        if row < 0 or row >= matrix.n or not weight > 0:
            continue
        begin, end = matrix.indptr[row], matrix.indptr[row + 1]
        if e + 1 < count and rows[e + 1] >= 0 and rows[e + 1] < matrix.n:
            FETCH(matrix.cols + matrix.indptr[rows[e + 1]])
            FETCH(matrix.values + matrix.indptr[rows[e + 1]])
        for t in range(begin, end):
            col = matrix.cols[t]
            old = sums[col]
            new = fmaf(weight, matrix.values[t], old)
            sums[col] = new
            touched[met] = col
            met += (old == 0) & (new != 0)  # no branch; the sums only grow, so a column counts once
    return met


cdef void spread_blind(const int32_t* rows, const float* weights, Py_ssize_t count, Rows matrix, float* sums) noexcept nogil:
    """As `spread`, for sums so full that reading all of them is cheaper than keeping a list."""
    cdef Py_ssize_t e, t, begin, end
    cdef int32_t row, col
    cdef float weight
    for e in range(count):
        row, weight = rows[e], weights[e]
        if row < 0 or row >= matrix.n or not weight > 0:
            continue
        begin, end = matrix.indptr[row], matrix.indptr[row + 1]
        if e + 1 < count and rows[e + 1] >= 0 and rows[e + 1] < matrix.n:
            FETCH(matrix.cols + matrix.indptr[rows[e + 1]])
            FETCH(matrix.values + matrix.indptr[rows[e + 1]])
        for t in range(begin, end):
            col = matrix.cols[t]
            sums[col] = fmaf(weight, matrix.values[t], sums[col])


cdef inline float shrunk(float cosine, float norm, const float* norms, int32_t col, float shrinkage) noexcept nogil:
    cdef float product
    if shrinkage == 0:
        return cosine
    product = norm * norms[col]
    return cosine * (product / (product + shrinkage))


cdef void neighbors_of(const int32_t* rows, const float* weights, Py_ssize_t count, int32_t self_col, float norm, Rows postings,
                       const float* norms, Py_ssize_t n_cols, float shrinkage, float* sums, int32_t* touched, Best* best) noexcept nogil:
    cdef Py_ssize_t e, t, met, block, stop, work = 0
    cdef int32_t col
    cdef float cosine
    cdef int full
    start(best)
    for e in range(count):
        if 0 <= rows[e] < postings.n:
            work += postings.indptr[rows[e] + 1] - postings.indptr[rows[e]]
    if work * 8 < n_cols:
        met = spread(rows, weights, count, postings, sums, touched)
        if self_col >= 0:
            sums[self_col] = 0
        for t in range(met):
            col = touched[t]
            cosine = sums[col]
            sums[col] = 0
            if cosine >= best.threshold and cosine > 0:
                offer(best, shrunk(cosine, norm, norms, col, shrinkage), col)
        return
    spread_blind(rows, weights, count, postings, sums)
    if self_col >= 0:
        sums[self_col] = 0
    for block in range(0, n_cols, 32):
        stop = block + 32 if block + 32 < n_cols else n_cols
        full = 0
        for t in range(block, stop):
            full |= (sums[t] > 0) & (sums[t] >= best.threshold)
        if full:
            for t in range(block, stop):
                cosine = sums[t]
                if cosine >= best.threshold and cosine > 0:
                    offer(best, shrunk(cosine, norm, norms, <int32_t>t, shrinkage), <int32_t>t)
    memset(sums, 0, n_cols * sizeof(float))


def neighbors(const int64_t[::1] indptr, const int32_t[::1] rows, const float[::1] weights, const int32_t[::1] own, const float[::1] norms,
              const int64_t[::1] post_indptr, const int32_t[::1] post_cols, const float[::1] post_values, const float[::1] post_norms,
              float shrinkage, float[:, ::1] sums, int32_t[:, ::1] touched, int64_t[:, ::1] keys, int32_t[:, ::1] out_cols, float[:, ::1] out_values,
              int threads):
    """See `recengine.kernels.knn.neighbors`."""
    cdef Py_ssize_t r, tid, n = own.shape[0], n_cols = post_norms.shape[0]
    cdef Rows postings
    if n == 0 or rows.shape[0] == 0 or post_cols.shape[0] == 0:
        out_cols[:, :] = -1
        out_values[:, :] = NAN
        return
    postings.indptr, postings.n = &post_indptr[0], post_indptr.shape[0] - 1
    postings.cols, postings.values = &post_cols[0], &post_values[0]
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=16):
            neighbors_row(&indptr[0], &rows[0], &weights[0], own[r], norms[r], postings, &post_norms[0], n_cols, shrinkage, &sums[tid, 0],
                          &touched[tid, 0], &keys[tid, 0], keys.shape[1], &out_cols[r, 0], &out_values[r, 0], out_cols.shape[1], r)


cdef void neighbors_row(const int64_t* indptr, const int32_t* rows, const float* weights, int32_t own, float norm, Rows postings,
                        const float* post_norms, Py_ssize_t n_cols, float shrinkage, float* sums, int32_t* touched, int64_t* keys,
                        Py_ssize_t room, int32_t* out_cols, float* out_values, Py_ssize_t k, Py_ssize_t r) noexcept nogil:
    cdef Best best
    best.keys, best.k, best.capacity = keys, k, room - 128
    neighbors_of(rows + indptr[r], weights + indptr[r], indptr[r + 1] - indptr[r], own, norm, postings, post_norms, n_cols, shrinkage, sums,
                 touched, &best)
    finish(&best, keys + room - 128, out_cols, out_values)


cdef void top_row(const int64_t* indptr, const int32_t* rows, const float* weights, Rows matrix, const uint8_t* mask, float* sums,
                  int32_t* touched, int64_t* keys, Py_ssize_t room, int32_t* out_cols, float* out_values, Py_ssize_t k, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t t, met
    cdef int32_t col
    cdef float score
    cdef Best best
    best.keys, best.k, best.capacity = keys, k, room - 128
    start(&best)
    met = spread(rows + indptr[r], weights + indptr[r], indptr[r + 1] - indptr[r], matrix, sums, touched)
    for t in range(met):
        col = touched[t]
        score = sums[col]
        sums[col] = 0
        if score >= best.threshold and mask[col]:
            offer(&best, score, col)
    finish(&best, keys + room - 128, out_cols, out_values)


def sum_top(const int64_t[::1] indptr, const int32_t[::1] rows, const float[::1] weights, const int64_t[::1] m_indptr, const int32_t[::1] m_cols,
            const float[::1] m_values, const uint8_t[:, ::1] mask, float[:, ::1] sums, int32_t[:, ::1] touched, int64_t[:, ::1] keys,
            int32_t[:, ::1] out_cols, float[:, ::1] out_values, int threads):
    """See `recengine.kernels.knn.sum_top`."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1
    cdef Rows matrix
    if n == 0 or rows.shape[0] == 0 or m_cols.shape[0] == 0:
        out_cols[:, :] = -1
        out_values[:, :] = NAN
        return
    matrix.indptr, matrix.n = &m_indptr[0], m_indptr.shape[0] - 1
    matrix.cols, matrix.values = &m_cols[0], &m_values[0]
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=4):
            top_row(&indptr[0], &rows[0], &weights[0], matrix, &mask[r, 0], &sums[tid, 0], &touched[tid, 0], &keys[tid, 0], keys.shape[1],
                    &out_cols[r, 0], &out_values[r, 0], out_cols.shape[1], r)


cdef void at_row(const int64_t* indptr, const int32_t* rows, const float* weights, Rows matrix, const uint8_t* known, Py_ssize_t n_cols,
                 const int64_t* c_indptr, const int32_t* cols, float* sums, int32_t* touched, float* out, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t t, met
    met = spread(rows + indptr[r], weights + indptr[r], indptr[r + 1] - indptr[r], matrix, sums, touched)
    for t in range(c_indptr[r], c_indptr[r + 1]):
        out[t] = sums[cols[t]] if 0 <= cols[t] < n_cols and known[cols[t]] else NAN
    for t in range(met):
        sums[touched[t]] = 0


def sum_at(const int64_t[::1] indptr, const int32_t[::1] rows, const float[::1] weights, const int64_t[::1] m_indptr, const int32_t[::1] m_cols,
           const float[::1] m_values, const uint8_t[::1] known, const int64_t[::1] c_indptr, const int32_t[::1] cols, float[:, ::1] sums,
           int32_t[:, ::1] touched, float[::1] out, int threads):
    """See `recengine.kernels.knn.sum_at`."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1, n_cols = known.shape[0]
    cdef Rows matrix
    if n == 0 or cols.shape[0] == 0:
        return
    if n_cols == 0:
        out[:] = NAN
        return
    matrix.indptr, matrix.n = &m_indptr[0], m_indptr.shape[0] - 1
    matrix.cols = &m_cols[0] if m_cols.shape[0] else NULL
    matrix.values = &m_values[0] if m_values.shape[0] else NULL
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for r in prange(n, schedule="dynamic", chunksize=4):
            at_row(&indptr[0], &rows[0] if rows.shape[0] else NULL, &weights[0] if rows.shape[0] else NULL, matrix, &known[0], n_cols,
                   &c_indptr[0], &cols[0], &sums[tid, 0], &touched[tid, 0], &out[0], r)


cdef double term(double weight, int scheme, double length) noexcept nogil:
    """Weigh one entry: 0 plain, 1 TF-IDF, 2 BM25 with k1 = 1.2 and b = 0.75; `length` is that of the row over the average."""
    if scheme == 0:
        return weight
    if scheme == 1:
        return sqrt(weight)
    return weight * 2.2 / (weight + 1.2 * (0.25 + 0.75 * length))


def unit_rows(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] weights, const float[::1] rarity, int scheme,
              double average, float[::1] values, float[::1] norms):
    """See `recengine.kernels.knn.unit_rows`."""
    cdef Py_ssize_t r, t
    cdef double length, square, value
    with nogil:
        for r in range(norms.shape[0]):
            length = 0
            square = 0
            for t in range(indptr[r], indptr[r + 1]):
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0]:
                    length += weights[t]
            length = length / average
            for t in range(indptr[r], indptr[r + 1]):
                values[t] = 0
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0]:
                    value = term(weights[t], scheme, length) * rarity[cols[t]]
                    square += value * value
            norms[r] = <float>sqrt(square)
            if not square > 0:
                continue
            for t in range(indptr[r], indptr[r + 1]):
                if weights[t] > 0 and 0 <= cols[t] < rarity.shape[0]:
                    values[t] = <float>(term(weights[t], scheme, length) * rarity[cols[t]] / sqrt(square))
