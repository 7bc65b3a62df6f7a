"""Weighted sums of sparse rows in a dense accumulator, and the best of what they touched: header-only.

`add` adds, a second walk (`sift_rows`, or `sift_all` where the sums are crowded) offers every sum to a buffer of keys and clears it, `write` writes
the best. The accumulator is all zeros between rows.
"""
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from keys cimport index_of, keep_largest, pack, score_of, sort_largest_first
from rows cimport Layers, Row, Rows, row_of

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


cdef inline Py_ssize_t broken(const int64_t[::1] indptr, Py_ssize_t size) noexcept:
    """Return the first row whose offsets fall or leave 0..size; -1 = none."""
    cdef Py_ssize_t r
    for r in range(indptr.shape[0] - 1):
        if not 0 <= indptr[r] <= indptr[r + 1] <= size:
            return r
    return -1


cdef inline bint counts(Rows entries, Py_ssize_t e, Layers matrix) noexcept nogil:
    return 0 <= entries.cols[e] < matrix.n and entries.values[e] > 0


cdef inline void add(Rows entries, Py_ssize_t r, Layers matrix, float* sums) noexcept nogil:
    """Add row r's weighted rows of `matrix` into `sums`."""
    cdef Py_ssize_t e, t
    cdef int32_t col
    cdef float weight
    cdef Row row
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if not counts(entries, e, matrix):
            continue
        if e + 2 < entries.indptr[r + 1] and counts(entries, e + 2, matrix):
            row = row_of(matrix, entries.cols[e + 2])
            fetch(row.cols)
            fetch(row.values)
        weight, row = entries.values[e], row_of(matrix, entries.cols[e])
        for t in range(row.count):
            col = row.cols[t]
            sums[col] = fused(weight, row.values[t], sums[col])


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


cdef inline void sift(const int32_t* cols, Py_ssize_t count, float* sums, Lens lens, Best* best) noexcept nogil:
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


cdef inline void sift_rows(Rows entries, Py_ssize_t r, Layers matrix, float* sums, Lens lens, Best* best) noexcept nogil:
    """Walk over what `add` touched: offer and clear. A column met again is 0 by then, and is not kept."""
    cdef Py_ssize_t e
    cdef Row row
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, matrix):
            row = row_of(matrix, entries.cols[e])
            sift(row.cols, row.count, sums, lens, best)


cdef inline void sift_all(Py_ssize_t n_cols, float* sums, Lens lens, Best* best) noexcept nogil:
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


cdef inline void write(Best* best, int32_t* items, float* scores) noexcept nogil:
    """Write the k best, best first, padded with -1 and NaN."""
    cdef Py_ssize_t t
    cut(best)
    sort_largest_first(best.keys, best.keys + best.capacity, best.count)
    for t in range(best.count):
        items[t], scores[t] = index_of(best.keys[t]), score_of(best.keys[t])
    for t in range(best.count, best.k):
        items[t], scores[t] = -1, NAN
