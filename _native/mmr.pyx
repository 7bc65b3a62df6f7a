"""Greedy maximal marginal relevance; the door is recengine/kernels/mmr.py."""
from cython.parallel cimport prange
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t

from ragged cimport broken_row


cdef void _arrange(const int32_t *items, const float *relevance, int64_t start, int64_t length, const float *vectors, int64_t n_vectors, int64_t d,
                   int64_t n, float weight, float *scaled, float *closest, int64_t *picks) noexcept nogil:
    cdef int64_t i, k, pick, last = -1
    cdef float low = 0, high = 0, best, score, cosine
    cdef bint any_scored = False
    for i in range(length):
        if relevance[i] - relevance[i] == 0:
            if not any_scored or relevance[i] < low:
                low = relevance[i]
            if not any_scored or relevance[i] > high:
                high = relevance[i]
            any_scored = True
    for i in range(length):
        closest[i] = 0
        scaled[i] = min(max((relevance[i] - low) / (high - low), 0), 1) if high > low and relevance[i] == relevance[i] else relevance[i]
        if weight == 1:
            scaled[i] = relevance[i]
    for pick in range(n):
        best = 0
        picks[pick] = -1
        for i in range(length):
            if scaled[i] != scaled[i]:
                continue
            if last >= 0 and weight < 1 and 0 <= items[i] < n_vectors and 0 <= items[last] < n_vectors:
                cosine = 0
                for k in range(d):
                    cosine += vectors[items[i] * d + k] * vectors[items[last] * d + k]
                if cosine > closest[i]:
                    closest[i] = cosine
            score = scaled[i] if last < 0 or weight == 1 else weight * scaled[i] - (1 - weight) * closest[i]
            if picks[pick] < 0 or score > best:
                best = score
                picks[pick] = start + i
        last = picks[pick] - start if picks[pick] >= 0 else -1
        if last >= 0:
            scaled[last] = NAN


def mmr(const int32_t[::1] items, const float[::1] relevance, const int64_t[::1] indptr, const float[:, ::1] vectors, const float[::1] weight,
        int64_t[:, ::1] picks, float[:, ::1] scratch, int threads):
    """Fill `picks` (B, n); `scratch` (2, N). Returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t row, rows = picks.shape[0]
    cdef int64_t n = picks.shape[1], start, d = vectors.shape[1], n_vectors = vectors.shape[0] if d else 0
    cdef const float *vectors_at = &vectors[0, 0] if n_vectors else NULL
    row = broken_row(indptr, items.shape[0])
    if row >= 0:
        return row
    if items.shape[0] == 0:
        picks[:, :] = -1
        return -1
    for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
        start = indptr[row]
        if indptr[row + 1] > start:
            _arrange(&items[start], &relevance[start], start, indptr[row + 1] - start, vectors_at, n_vectors, d, n, weight[row],
                     &scratch[0, start], &scratch[1, start], &picks[row, 0])
        else:
            picks[row, :] = -1
    return -1
