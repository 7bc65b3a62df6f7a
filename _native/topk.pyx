"""Pick the n best of dense rows and of ragged rows; the door is recengine/kernels/topk.py."""
from cython.parallel cimport prange, threadid
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from heap cimport heap_offer, heap_sort, key_index, key_score, rank_key
from ragged cimport broken_row


cdef int64_t _best(const float *scores, const uint8_t *mask, int64_t length, int64_t n, uint64_t *heap) noexcept nogil:
    cdef int64_t i, size = 0
    for i in range(length):
        if scores[i] == scores[i] and (mask == NULL or mask[i]):
            size = heap_offer(heap, size, n, rank_key(scores[i], <unsigned int> i))
    heap_sort(heap, size)
    return size


def topk(const float[:, ::1] scores, const uint8_t[:, ::1] mask, int32_t[:, ::1] items, float[:, ::1] best, uint64_t[:, ::1] scratch, int threads):
    """Fill `items` and `best` (B, n); `mask` may be None; `scratch` (threads, n)."""
    cdef Py_ssize_t row, rows = scores.shape[0]
    cdef int64_t j, size, n = items.shape[1], length = scores.shape[1]
    cdef bint masked = mask is not None
    cdef uint64_t *heap
    if rows == 0:
        return
    for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
        heap = &scratch[threadid(), 0]
        size = 0
        if length > 0:
            size = _best(&scores[row, 0], &mask[row, 0] if masked else NULL, length, n, heap)
        for j in range(size):
            items[row, j] = <int32_t> key_index(heap[j])
            best[row, j] = key_score(heap[j])
        for j in range(size, n):
            items[row, j] = -1
            best[row, j] = NAN


def topk_ragged(const float[::1] scores, const int64_t[::1] indptr, int64_t n, int64_t[::1] counts, int64_t[::1] positions, uint64_t[::1] keys, int threads):
    """Write each row's best positions at the row's own start, and how many into `counts` (B + 1, shifted by one).

    `positions` and `keys` have the length of `scores`. Returns the first broken row of `indptr`, or -1.
    """
    cdef Py_ssize_t row, rows = indptr.shape[0] - 1
    cdef int64_t j, start, length, size, done
    row = broken_row(indptr, scores.shape[0])
    if row >= 0:
        return row
    counts[0] = 0
    if scores.shape[0] == 0:
        counts[:] = 0
        return -1
    for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
        start = indptr[row]
        length = indptr[row + 1] - start
        size = 0
        if length > 0:
            size = _best(&scores[start], NULL, length, min(n, length), &keys[start])
        counts[row + 1] = size
        for j in range(size):
            positions[start + j] = start + key_index(keys[start + j])
    done = 0
    for row in range(rows):
        start = indptr[row]
        size = counts[row + 1]
        for j in range(size):
            positions[done + j] = positions[start + j]
        done += size
        counts[row + 1] = done
    return -1
