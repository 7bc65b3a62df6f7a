"""Pick the n best of dense rows and of ragged rows; the door is recengine/kernels/topk.py."""
from cython.parallel cimport prange, threadid
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from heap cimport heap_sort, key_index, key_score, rank_key, sort_by_score
from lanes cimport best_of_row
from ragged cimport broken_row


cdef void _row(const float *scores, const uint8_t *mask, int64_t length, int64_t n, uint64_t *heap,
               int32_t *items, float *best) noexcept nogil:
    cdef int64_t j, size = best_of_row(scores, mask, length, n, heap)
    heap_sort(heap, size)
    for j in range(n):
        items[j] = <int32_t> key_index(heap[j]) if j < size else -1
        best[j] = key_score(heap[j]) if j < size else <float> NAN


def topk(const float[:, ::1] scores, const uint8_t[:, ::1] mask, int32_t[:, ::1] items, float[:, ::1] best,
         uint64_t[:, ::1] scratch, int threads):
    """Fill `items` and `best` (B, n); `mask` may be None; `scratch` (threads, n)."""
    cdef Py_ssize_t row, rows = scores.shape[0]
    cdef int64_t n = items.shape[1], length = scores.shape[1]
    cdef const float *at = &scores[0, 0] if rows and length else NULL
    cdef const uint8_t *mask_at = &mask[0, 0] if mask is not None and rows and length else NULL
    if threads == 1 or rows == 1:  # entering a parallel region costs about a microsecond
        with nogil:
            for row in range(rows):
                _row(at + row * length, mask_at + row * length if mask_at != NULL else NULL, length, n,
                     &scratch[0, 0], &items[row, 0], &best[row, 0])
        return
    for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
        _row(at + row * length, mask_at + row * length if mask_at != NULL else NULL, length, n,
             &scratch[threadid(), 0], &items[row, 0], &best[row, 0])


cdef int64_t _ragged_row(const float *scores, int64_t start, int64_t length, int64_t n, uint64_t *keys, uint64_t *spare,
                         int64_t *positions) noexcept nogil:
    cdef int64_t j, size = 0
    if length == 0:
        return 0
    if n * 4 >= length:  # most are wanted: four counting passes over all beat a heap
        for j in range(length):
            if scores[start + j] == scores[start + j]:
                keys[start + size] = rank_key(scores[start + j], <unsigned int> j)
                size += 1
        sort_by_score(keys + start, spare + start, size)
        size = min(size, n)
    else:
        size = best_of_row(scores + start, NULL, length, n, keys + start)
        heap_sort(keys + start, size)
    for j in range(size):
        positions[start + j] = start + key_index(keys[start + j])
    return size


def topk_ragged(const float[::1] scores, const int64_t[::1] indptr, int64_t n, int64_t[::1] counts,
                int64_t[::1] positions, uint64_t[::1] keys, int threads):
    """Write each row's best positions at the row's own start, how many into `counts` (B + 1), then close the gaps.

    `positions` has the length of `scores`, `keys` twice that. Returns the first broken row of `indptr`, or -1.
    """
    cdef Py_ssize_t row, rows = indptr.shape[0] - 1
    cdef int64_t j, start, size, done = 0
    cdef const float *at = &scores[0] if scores.shape[0] else NULL
    cdef int64_t *positions_at = &positions[0] if scores.shape[0] else NULL
    cdef uint64_t *keys_at = &keys[0] if scores.shape[0] else NULL
    cdef uint64_t *spare = keys_at + scores.shape[0]
    row = broken_row(indptr, scores.shape[0])
    if row >= 0:
        return row
    counts[0] = 0
    if threads == 1 or rows == 1:
        with nogil:
            for row in range(rows):
                counts[row + 1] = _ragged_row(at, indptr[row], indptr[row + 1] - indptr[row], n, keys_at, spare, positions_at)
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
            counts[row + 1] = _ragged_row(at, indptr[row], indptr[row + 1] - indptr[row], n, keys_at, spare, positions_at)
    for row in range(rows):
        start = indptr[row]
        size = counts[row + 1]
        if done != start:
            for j in range(size):
                positions[done + j] = positions[start + j]
        done += size
        counts[row + 1] = done
    return -1
