"""Product quantization: learn centroids, encode rows, and scan codes; the door is recengine/kernels/quantized.py, the inner loops are in adc.h."""
from cython.parallel cimport prange
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t

from heap cimport heap_offer, heap_sort, key_index

cdef extern from "adc.h":
    enum:
        SUBS
        CODES
    ctypedef struct adc_query:
        double base
        double scale
    ctypedef struct adc_best:
        uint64_t *heap
        int64_t size
        uint16_t bar
    int adc_table(const float *query, const float *rotation, int64_t d, int64_t w, const float *centroids, float *turned, adc_query *out) noexcept nogil
    int adc_scan(const adc_query *q, const uint8_t *codes, const int32_t *ids, const float *norms, int64_t begin, int64_t end, const uint8_t *mask,
                 int64_t m, adc_best *best) noexcept nogil
    void adc_nearest(const float *row, const float *centroids, int64_t w, int first, int last, uint8_t *codes) noexcept nogil

cdef enum:
    BLOCK = 16  # queries that share a chunk of codes while it is in the first-level cache
    CHUNK = 32  # blocks of 512 bytes

BLOCK_QUERIES = BLOCK


cdef void _lloyd(const float *rows, int64_t n, int64_t w, float *centroids, double *sums, int64_t *counts, int s, int64_t steps) noexcept nogil:
    """Move the centroids of one part to the means of what is nearest to them; one that nothing is nearest to stays."""
    cdef int64_t step, i, k, at
    cdef uint8_t codes[SUBS]
    for step in range(steps):
        for at in range(CODES * w):
            sums[s * CODES * w + at] = 0
        for at in range(CODES):
            counts[s * CODES + at] = 0
        for i in range(n):
            adc_nearest(rows + i * SUBS * w, centroids, w, s, s + 1, codes)
            at = s * CODES + codes[s]
            counts[at] += 1
            for k in range(w):
                sums[at * w + k] += rows[i * SUBS * w + s * w + k]
        for at in range(s * CODES, (s + 1) * CODES):
            if counts[at]:
                for k in range(w):
                    centroids[at * w + k] = <float> (sums[at * w + k] / counts[at])


def lloyd(const float[:, ::1] rows, float[:, :, ::1] centroids, double[:, :, ::1] sums, int64_t[:, ::1] counts, int64_t steps, int threads):
    """Improve `centroids` (SUBS, CODES, w) in place; a part is one thread's, so the sums have one order. Scratch: `sums`, `counts`."""
    cdef int64_t n = rows.shape[0], w = centroids.shape[2]
    cdef Py_ssize_t s
    if n == 0 or w == 0:
        return
    for s in prange(SUBS, nogil=True, num_threads=threads, schedule="dynamic"):
        _lloyd(&rows[0, 0], n, w, &centroids[0, 0, 0], &sums[0, 0, 0], &counts[0, 0], <int> s, steps)


def encode(const float[:, ::1] rows, const float[:, :, ::1] centroids, uint8_t[:, ::1] codes, int threads):
    """Fill `codes` (n, SUBS) with the nearest centroid of every part."""
    cdef Py_ssize_t i
    if centroids.shape[2] == 0:
        codes[:] = 0
        return
    for i in prange(rows.shape[0], nogil=True, num_threads=threads, schedule="static"):
        adc_nearest(&rows[i, 0], &centroids[0, 0, 0], centroids.shape[2], 0, SUBS, &codes[i, 0])


cdef void _chunks(const adc_query *asked, int64_t users, const uint8_t *codes, const int32_t *ids, const float *norms, int64_t blocks, const uint8_t **masks,
                  int64_t m, uint64_t *heaps, int64_t *sizes, int64_t slot, int64_t slots) noexcept nogil:
    """Fill the heaps of one thread: it takes every `slots`-th chunk."""
    cdef adc_best best[BLOCK]
    cdef bint open[BLOCK]
    cdef int64_t u, left = users, begin = slot * CHUNK
    for u in range(users):
        best[u].heap = heaps + u * m
        best[u].size = 0
        best[u].bar = 0
        open[u] = True
    while begin < blocks and left:
        for u in range(users):
            if open[u] and not adc_scan(&asked[u], codes, ids, norms, begin, min(begin + CHUNK, blocks), masks[u], m, &best[u]):
                open[u] = False
                left -= 1
        begin += slots * CHUNK
    for u in range(users):
        sizes[u] = best[u].size


def adc_topm(const float[:, ::1] queries, const float[:, ::1] rotation, const float[:, :, ::1] centroids, const uint8_t[:, :, ::1] codes, const int32_t[::1] ids,
             const float[::1] norms, const uint8_t[:, ::1] mask, int32_t[:, ::1] items, float[:, ::1] scores, uint8_t[::1] answered,
             uint64_t[:, :, ::1] heaps, float[::1] space, int64_t[:, ::1] sizes, int threads):
    """Fill `items` and `scores` (B, m), best first, and `answered` (B,): 0 = the query has no table, its row is left as it is.

    Scratch: `heaps` (threads, BLOCK, m), `space` (SUBS * w), `sizes` (threads, BLOCK).
    """
    cdef adc_query asked[BLOCK]
    cdef const uint8_t *masks[BLOCK]
    cdef int64_t rows_of[BLOCK]
    cdef int64_t users = queries.shape[0], d = queries.shape[1], w = centroids.shape[2], m = items.shape[1], blocks = codes.shape[0]
    cdef int64_t u, j, first = 0, part, size
    cdef Py_ssize_t slot
    cdef uint64_t *heap
    if blocks == 0 or w == 0 or d == 0:
        return
    while first < users:
        part = 0
        while first < users and part < BLOCK:
            answered[first] = adc_table(&queries[first, 0], &rotation[0, 0], d, w, &centroids[0, 0, 0], &space[0], &asked[part])
            if answered[first]:
                masks[part] = &mask[first, 0] if mask is not None and mask.shape[1] else NULL
                rows_of[part] = first
                part += 1
            first += 1
        if threads == 1:
            with nogil:
                _chunks(asked, part, &codes[0, 0, 0], &ids[0], &norms[0], blocks, masks, m, &heaps[0, 0, 0], &sizes[0, 0], 0, 1)
        else:
            for slot in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                _chunks(asked, part, &codes[0, 0, 0], &ids[0], &norms[0], blocks, masks, m, &heaps[slot, 0, 0], &sizes[slot, 0], slot, threads)
        for u in range(part):
            heap = &heaps[0, u, 0]
            size = sizes[0, u]
            for slot in range(1, threads):
                for j in range(sizes[slot, u]):
                    size = heap_offer(heap, size, m, heaps[slot, u, j])
            heap_sort(heap, size)
            for j in range(m):
                items[rows_of[u], j] = <int32_t> key_index(heap[j]) if j < size else -1
                scores[rows_of[u], j] = <float> (asked[u].base + asked[u].scale * (<double> (heap[j] >> 32) - 1)) if j < size else <float> NAN
