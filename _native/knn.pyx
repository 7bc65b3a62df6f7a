"""Weighted sums of sparse rows, and the best of what they touch: item-KNN and user-KNN, building and serving alike.

`unit_rows` weighs entries and scales every row to length 1. The other kernels add `weight * row` for a few rows of a
CSR matrix into a dense float32 accumulator, always in the order of the given entries, so an answer does not depend on
the batch, on `threads`, or on which kernel asks. The accumulator is all zeros between calls: a second walk over the
same rows reads the sums and clears them.

Why a second walk, and no list of the columns met: keeping the list made every addition wait for the one before it, and
more than doubled the time of the whole sum; the second walk finds rows and sums in the cache, and the second sight of
a column is a zero that is never picked. Why `fused` by name: see fused.h; else `score` and `recommend` might round differently. Why keys of 8 bytes: see
keys.pxd.
"""
from cython.parallel cimport parallel, prange, threadid
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from keys cimport index_of, keep_largest, pack, score_of, sort_largest_first

__all__ = ("neighbors", "sum_at", "sum_top", "unit_rows")

cdef extern from "fused.h":
    float fused(float a, float b, float c) noexcept nogil

cdef extern from *:
    """
    /* Rows lie all over the memory: ask for the first 4 cache lines of the row after the next. */
    static inline void fetch(const void* p) {
        for (int line = 0; line < 4; line++) __builtin_prefetch((const char*)p + 64 * line);
    }
    """
    void fetch(const void* p) noexcept nogil

cdef enum:
    ROOM = 64  # free keys that a walk wants before it goes on
    SPARE = 128  # keys behind the buffer that the sort uses; as SORT_ROOM in kernels/knn.py


cdef struct Rows:
    # A CSR matrix.
    const int64_t* indptr
    const int32_t* cols
    const float* values
    Py_ssize_t n


cdef struct Best:
    # The k largest keys so far stand among `keys[:count]`; none that is <= floor can be one of them.
    int64_t* keys
    Py_ssize_t k, count, capacity
    int64_t floor
    float threshold  # the score of `floor`


cdef struct Lens:
    # What turns a sum into a score, or forbids a column; NULL = nothing does.
    const float* norms
    float norm, shrinkage
    const uint8_t* mask


cdef Rows rows_of(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values):
    cdef Rows rows
    rows.indptr, rows.n = &indptr[0], indptr.shape[0] - 1
    rows.cols, rows.values = NULL, NULL
    if cols.shape[0]:
        rows.cols, rows.values = &cols[0], &values[0]
    return rows


cdef Py_ssize_t broken(const int64_t[::1] indptr, Py_ssize_t size) noexcept:
    """Return the first row whose offsets fall or leave 0..size; -1 = none."""
    cdef Py_ssize_t r
    for r in range(indptr.shape[0] - 1):
        if not 0 <= indptr[r] <= indptr[r + 1] <= size:
            return r
    return -1


cdef inline bint counts(Rows entries, Py_ssize_t e, Rows matrix) noexcept nogil:
    return 0 <= entries.cols[e] < matrix.n and entries.values[e] > 0


cdef void add(Rows entries, Py_ssize_t r, Rows matrix, float* sums) noexcept nogil:
    """Add row r's weighted rows of `matrix` into `sums`."""
    cdef Py_ssize_t e, t, ahead
    cdef int32_t col
    cdef float weight
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if not counts(entries, e, matrix):
            continue
        if e + 2 < entries.indptr[r + 1] and counts(entries, e + 2, matrix):
            ahead = matrix.indptr[entries.cols[e + 2]]
            fetch(matrix.cols + ahead)
            fetch(matrix.values + ahead)
        weight = entries.values[e]
        for t in range(matrix.indptr[entries.cols[e]], matrix.indptr[entries.cols[e] + 1]):
            col = matrix.cols[t]
            sums[col] = fused(weight, matrix.values[t], sums[col])


cdef inline void open_for(Best* best, int64_t* keys, Py_ssize_t room, Py_ssize_t k) noexcept nogil:
    best.keys, best.k, best.count, best.capacity = keys, k, 0, room - SPARE
    best.floor = 0x7FFFFFFF  # a score of 0 is below it with any index: only positive scores count
    best.threshold = 0


cdef inline void cut(Best* best) noexcept nogil:
    """Keep the k best keys, and raise the floor to the worst of them."""
    cdef Py_ssize_t t
    cdef int64_t floor
    if best.count <= best.k:
        return
    keep_largest(best.keys, best.count, best.k)
    best.count = best.k
    floor = best.keys[0]
    for t in range(1, best.k):
        floor = best.keys[t] if best.keys[t] < floor else floor
    best.floor, best.threshold = floor, score_of(floor)


cdef void sift(const int32_t* cols, Py_ssize_t count, float* sums, Lens lens, Best* best) noexcept nogil:
    """Offer the sums of the listed columns to `best`, and clear them.

    No branch on the data: whether a key beats the floor is a toss, and a wrong guess costs more than the rest.
    """
    cdef Py_ssize_t start = 0, stop, t, kept
    cdef int32_t col
    cdef float score, product
    cdef int64_t key, floor
    while start < count:
        if best.capacity - best.count < ROOM:
            cut(best)
        stop = min(count, start + best.capacity - best.count)
        kept, floor = best.count, best.floor
        if lens.mask != NULL:
            for t in range(start, stop):
                col = cols[t]
                score = sums[col]
                sums[col] = 0
                key = pack(score, col)
                best.keys[kept] = key
                kept += (key > floor) & (score == score) & (lens.mask[col] != 0)
        elif lens.norms != NULL:
            for t in range(start, stop):
                col = cols[t]
                product = lens.norm * lens.norms[col]
                score = sums[col] * (product / (product + lens.shrinkage))
                sums[col] = 0
                key = pack(score, col)
                best.keys[kept] = key
                kept += (key > floor) & (score == score)
        else:
            for t in range(start, stop):
                col = cols[t]
                score = sums[col]
                sums[col] = 0
                key = pack(score, col)
                best.keys[kept] = key
                kept += (key > floor) & (score == score)
        best.count = kept
        start = stop


cdef void sift_rows(Rows entries, Py_ssize_t r, Rows matrix, float* sums, Lens lens, Best* best) noexcept nogil:
    """Walk over what `add` touched: offer and clear. A column met again is 0 by then, and is not kept."""
    cdef Py_ssize_t e, begin
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, matrix):
            begin = matrix.indptr[entries.cols[e]]
            sift(matrix.cols + begin, matrix.indptr[entries.cols[e] + 1] - begin, sums, lens, best)


cdef void sift_all(Py_ssize_t n_cols, float* sums, Lens lens, Best* best) noexcept nogil:
    """As `sift_rows`, for crowded sums: read them all, 16 at a time, and look closer only where one beats the floor.

    Shrinkage only lowers a cosine, so what is below the threshold before it is so after it.
    """
    cdef Py_ssize_t t, block, stop, met = 0
    cdef int32_t cols[256 + 16]
    cdef int above
    for block in range(0, n_cols, 16):
        stop = min(block + 16, n_cols)
        above = 0
        for t in range(block, stop):
            above |= (sums[t] > 0) & (sums[t] >= best.threshold)
        if above:
            for t in range(block, stop):
                cols[met] = <int32_t>t
                met += (sums[t] > 0) & (sums[t] >= best.threshold)
            if met > 256:
                sift(cols, met, sums, lens, best)
                met = 0
    sift(cols, met, sums, lens, best)
    memset(sums, 0, n_cols * sizeof(float))


cdef void write(Best* best, int32_t* items, float* scores) noexcept nogil:
    """Write the k best, best first, padded with -1 and NaN."""
    cdef Py_ssize_t t
    cut(best)
    sort_largest_first(best.keys, best.keys + best.capacity, best.count)
    for t in range(best.count):
        items[t], scores[t] = index_of(best.keys[t]), score_of(best.keys[t])
    for t in range(best.count, best.k):
        items[t], scores[t] = -1, NAN


cdef void neighbors_of(Rows rows, Py_ssize_t r, int32_t own, Lens lens, Rows postings, Py_ssize_t n_cols, float* sums,
                       int64_t* keys, Py_ssize_t room, int32_t* items, float* scores, Py_ssize_t k) noexcept nogil:
    cdef Best best
    cdef Py_ssize_t e, work = 0
    open_for(&best, keys, room, k)
    for e in range(rows.indptr[r], rows.indptr[r + 1]):
        if counts(rows, e, postings):
            work += postings.indptr[rows.cols[e] + 1] - postings.indptr[rows.cols[e]]
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
    cdef Rows rows, postings
    cdef Lens lens
    if bad >= 0 or n == 0:
        return bad
    if n_cols == 0:
        out_cols[:, :], out_values[:, :] = -1, NAN
        return bad
    rows, postings = rows_of(indptr, cols, values), rows_of(post_indptr, post_cols, post_values)
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


cdef void top_of(Rows entries, Py_ssize_t r, Rows matrix, const uint8_t* mask, float* sums, int64_t* keys,
                 Py_ssize_t room, int32_t* items, float* scores, Py_ssize_t k) noexcept nogil:
    cdef Best best
    cdef Lens lens
    lens.norms, lens.mask = NULL, mask
    open_for(&best, keys, room, k)
    add(entries, r, matrix, sums)
    sift_rows(entries, r, matrix, sums, lens, &best)
    write(&best, items, scores)


def sum_top(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const int64_t[::1] m_indptr,
            const int32_t[::1] m_cols, const float[::1] m_values, const uint8_t[:, ::1] mask, float[:, ::1] sums,
            int64_t[:, ::1] keys, int32_t[:, ::1] out_cols, float[:, ::1] out_values, int threads):
    """See `recengine.kernels.knn.sum_top`. Returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1, bad = broken(indptr, cols.shape[0])
    cdef Rows entries, matrix
    if bad >= 0 or n == 0:
        return bad
    if m_cols.shape[0] == 0:
        out_cols[:, :], out_values[:, :] = -1, NAN
        return bad
    entries, matrix = rows_of(indptr, cols, values), rows_of(m_indptr, m_cols, m_values)
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


cdef void at(Rows entries, Py_ssize_t r, Rows matrix, const uint8_t* known, Py_ssize_t n_cols, const int64_t* asked,
             const int32_t* items, float* sums, float* out) noexcept nogil:
    cdef Py_ssize_t e, t
    add(entries, r, matrix, sums)
    for t in range(asked[r], asked[r + 1]):
        out[t] = sums[items[t]] if 0 <= items[t] < n_cols and known[items[t]] else NAN
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, matrix):
            for t in range(matrix.indptr[entries.cols[e]], matrix.indptr[entries.cols[e] + 1]):
                sums[matrix.cols[t]] = 0


def sum_at(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const int64_t[::1] m_indptr,
           const int32_t[::1] m_cols, const float[::1] m_values, const uint8_t[::1] known, const int64_t[::1] asked,
           const int32_t[::1] items, float[:, ::1] sums, float[::1] out, int threads):
    """See `recengine.kernels.knn.sum_at`. Returns the first broken row of `indptr` or `asked`, or -1."""
    cdef Py_ssize_t r, tid, n = indptr.shape[0] - 1, n_cols = known.shape[0]
    cdef Py_ssize_t bad = max(broken(indptr, cols.shape[0]), broken(asked, items.shape[0]))
    cdef Rows entries, matrix
    if bad >= 0 or n == 0 or items.shape[0] == 0:
        return bad
    if n_cols == 0:
        out[:] = NAN
        return bad
    entries, matrix = rows_of(indptr, cols, values), rows_of(m_indptr, m_cols, m_values)
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
