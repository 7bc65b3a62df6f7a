"""Rank items by bytes, and score given ones from their rows; the door is recengine/kernels/scan.py.

A query and an item stand for scale * codes each (see sketch.h), so their product is an exact integer times the item's scale; of these the
`m` largest are kept. Panels stand by falling norm, and |query codes| * (norm + loss) of a panel bounds all that follow: below the m-th best
the scan ends. Threads take chunks in turn, so that each meets long vectors first; the m best of a set do not depend on who found them.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

from heap cimport heap_offer, heap_sort, key_index, key_score, rank_key
from lanes cimport ROWS, best_of, dot_rows, fetch_row
from ragged cimport broken_row

cdef extern from "sketch.h":
    ctypedef struct sketched:
        pass
    bint sketch_query(const float *query, int64_t factors, double largest, int8_t *codes, sketched *out) noexcept nogil

cdef extern from *:
    """
    /* Offer the items of panels [begin, end) by falling norm to the m best by bytes; returns 0 where none of the rest can be among them. */
    static int bytes_scan(const sketched *q, double length, int64_t quads, const uint8_t *codes, const float *scales, const int32_t *ids,
                          const float *norm, const float *loss, int64_t begin, int64_t end, const uint8_t *mask, int64_t m, best_of *best) {
        int32_t dots[SKETCH_STEP * LANES];
        for (int64_t p = begin; p < end; p += SKETCH_STEP) {
            if (best->bar > length * ((double)norm[p] + loss[p]) * (1 + 1e-5) + 1e-30) return 0;
            sketch_dots(codes + p * quads * 64, quads, q, dots);
            for (int j = 0; j < SKETCH_STEP; j++) {
                const int64_t first = (p + j) * LANES;
                v16 score;
                for (int i = 0; i < LANES; i++) score[i] = (float)dots[j * LANES + i] * scales[first + i];
                unsigned lanes = lanes_from(&score, best->bar);
                while (__builtin_expect(lanes != 0, 0)) {
                    const int lane = __builtin_ctz(lanes);
                    const int32_t id = ids[first + lane];
                    lanes &= lanes - 1;
                    if (id < 0 || (mask && !mask[id])) continue;
                    best->size = heap_offer(best->heap, best->size, m, rank_key(score[lane], (uint32_t)id));
                    if (best->size == m) best->bar = key_score(best->heap[0]);
                }
            }
        }
        return 1;
    }
    static double bytes_length(const int8_t *codes, int64_t count) {
        int64_t square = 0;
        for (int64_t k = 0; k < count; k++) square += (int64_t)codes[k] * codes[k];
        return sqrt((double)square);
    }
    """
    int bytes_scan(const sketched *q, double length, int64_t quads, const uint8_t *codes, const float *scales, const int32_t *ids, const float *norm,
                   const float *loss, int64_t begin, int64_t end, const uint8_t *mask, int64_t m, best_of *best) noexcept nogil
    double bytes_length(const int8_t *codes, int64_t count) noexcept nogil

cdef enum:
    BLOCK = 16  # queries that share a chunk while it is in the first-level cache
    CHUNK = 32  # panels

BLOCK_QUERIES = BLOCK


cdef void _chunks(const sketched *asked, const double *lengths, int64_t users, int64_t quads, const uint8_t *codes, const float *scales,
                  const int32_t *ids, const float *bounds, int64_t panels, const uint8_t *mask, int64_t width, int64_t m, uint64_t *heaps,
                  int64_t *sizes, int64_t slot, int64_t slots) noexcept nogil:
    """Fill the heaps of one thread: it takes every `slots`-th chunk."""
    cdef best_of best[BLOCK]
    cdef bint open[BLOCK]
    cdef int64_t u, left = users, begin = slot * CHUNK
    for u in range(users):
        best[u].heap = heaps + u * m
        best[u].size = 0
        best[u].bar = -INFINITY
        open[u] = True
    while begin < panels and left:
        for u in range(users):
            if open[u] and not bytes_scan(&asked[u], lengths[u], quads, codes, scales, ids, bounds, bounds + panels, begin, min(begin + CHUNK, panels),
                                          mask + u * width if mask != NULL else NULL, m, &best[u]):
                open[u] = False
                left -= 1
        begin += slots * CHUNK
    for u in range(users):
        sizes[u] = best[u].size


def bytes_topm(const float[:, ::1] queries, const uint8_t[:, :, :, ::1] codes, const float[::1] scales, const int32_t[::1] ids, const float[:, ::1] bounds,
               const uint8_t[:, ::1] mask, int32_t[:, ::1] items, float[:, ::1] scores, uint8_t[::1] answered, uint64_t[:, :, ::1] heaps,
               int8_t[:, ::1] space, int64_t[:, ::1] sizes, int threads):
    """Fill `items` and `scores` (B, m), unsorted rows best first, and `answered` (B,): 0 = the query has no bytes, nothing was written.

    Scratch: `heaps` (threads, BLOCK, m), `space` (BLOCK, f + 4), `sizes` (threads, BLOCK). Scores are products with the query's codes.
    """
    cdef sketched asked[BLOCK]
    cdef double lengths[BLOCK]
    cdef int64_t rows_of[BLOCK]
    cdef int64_t users = queries.shape[0], factors = queries.shape[1], m = items.shape[1], panels = codes.shape[0], quads = codes.shape[1]
    cdef int64_t width = mask.shape[1] if mask is not None else 0
    cdef const uint8_t *mask_at = &mask[0, 0] if mask is not None and mask.shape[0] and width else NULL
    cdef int64_t u, j, first = 0, part, size
    cdef Py_ssize_t slot
    cdef uint64_t *heap
    if panels == 0:
        return
    while first < users:
        part = 0
        while first < users and part < BLOCK:
            if mask_at != NULL and part and rows_of[part - 1] + 1 != first:
                break  # rows of a mask are found by their place in the block
            answered[first] = sketch_query(&queries[first, 0], factors, bounds[0, 0], &space[part, 0], &asked[part])
            if answered[first]:
                lengths[part] = bytes_length(&space[part, 0], (factors + 3) // 4 * 4)
                rows_of[part] = first
                part += 1
            first += 1
        if part == 0:
            continue
        if threads == 1:
            with nogil:
                _chunks(asked, lengths, part, quads, &codes[0, 0, 0, 0], &scales[0], &ids[0], &bounds[0, 0], panels,
                        mask_at + rows_of[0] * width if mask_at != NULL else NULL, width, m, &heaps[0, 0, 0], &sizes[0, 0], 0, 1)
        else:
            for slot in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                _chunks(asked, lengths, part, quads, &codes[0, 0, 0, 0], &scales[0], &ids[0], &bounds[0, 0], panels,
                        mask_at + rows_of[0] * width if mask_at != NULL else NULL, width, m, &heaps[slot, 0, 0], &sizes[slot, 0], slot, threads)
        for u in range(part):
            heap = &heaps[0, u, 0]
            size = sizes[0, u]
            for slot in range(1, threads):
                for j in range(sizes[slot, u]):
                    size = heap_offer(heap, size, m, heaps[slot, u, j])
            heap_sort(heap, size)
            for j in range(m):
                items[rows_of[u], j] = <int32_t> key_index(heap[j]) if j < size else -1
                scores[rows_of[u], j] = key_score(heap[j]) if j < size else <float> NAN


cdef void _rescore(const float *query, const float *vectors, int64_t n_rows, int64_t factors, const int32_t *given, int64_t length, const uint8_t *mask,
                   int64_t n, uint64_t *heap, int32_t *items, float *scores) noexcept nogil:
    cdef const float *rows[ROWS]
    cdef float out[ROWS]
    cdef int64_t i = 0, r, size = 0
    cdef int32_t item
    while i < length:
        for r in range(ROWS):  # a row that is not there is read as row 0 and then discarded
            rows[r] = vectors + given[i + r] * factors if i + r < length and 0 <= given[i + r] < n_rows else vectors
        for r in range(i + ROWS, min(i + 3 * ROWS, length)):  # they lie all over the memory: ask for the next ones
            if 0 <= given[r] < n_rows:
                fetch_row(vectors + given[r] * factors, factors)
        dot_rows(query, rows, factors, out)
        for r in range(min(<int64_t> ROWS, length - i)):
            item = given[i + r]
            if 0 <= item < n_rows and out[r] == out[r] and (mask == NULL or mask[item]):
                size = heap_offer(heap, size, n, rank_key(out[r], item))
        i += ROWS
    heap_sort(heap, size)
    for r in range(n):
        items[r] = <int32_t> key_index(heap[r]) if r < size else -1
        scores[r] = key_score(heap[r]) if r < size else <float> NAN


def rescore(const float[:, ::1] queries, const float[:, ::1] rows, const int64_t[::1] indptr, const int32_t[::1] given, const uint8_t[:, ::1] mask,
            int32_t[:, ::1] items, float[:, ::1] scores, uint64_t[:, ::1] heaps, int threads):
    """Fill `items` and `scores` (B, n) with the best of the given ones. Scratch: `heaps` (threads, n). Returns the first broken row of `indptr`, or -1."""
    cdef int64_t users = queries.shape[0], factors = queries.shape[1], n_rows = rows.shape[0], n = items.shape[1]
    cdef int64_t width = mask.shape[1] if mask is not None else 0
    cdef const uint8_t *mask_at = &mask[0, 0] if mask is not None and mask.shape[0] and width else NULL
    cdef const float *vectors = &rows[0, 0] if n_rows and factors else NULL
    cdef const int32_t *given_at = &given[0] if given.shape[0] else NULL
    cdef Py_ssize_t row
    cdef int slot
    row = broken_row(indptr, given.shape[0])
    if row >= 0:
        return row
    if threads == 1 or users == 1:
        with nogil:
            for row in range(users):
                _rescore(&queries[row, 0] if factors else NULL, vectors, n_rows, factors, given_at + indptr[row], indptr[row + 1] - indptr[row],
                         mask_at + row * width if mask_at != NULL else NULL, n, &heaps[0, 0], &items[row, 0], &scores[row, 0])
        return -1
    for row in prange(users, nogil=True, num_threads=threads, schedule="dynamic"):
        slot = threadid()
        _rescore(&queries[row, 0] if factors else NULL, vectors, n_rows, factors, given_at + indptr[row], indptr[row + 1] - indptr[row],
                 mask_at + row * width if mask_at != NULL else NULL, n, &heaps[slot, 0], &items[row, 0], &scores[row, 0])
    return -1
