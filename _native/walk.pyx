"""Walk precomputed orders and take the first items that a mask allows.

Popularity, trending and category lists are orders known before the request comes; the request only strikes items out.
So the walk costs about as many steps as items are wanted plus items struck, never a sort.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from ragged cimport broken_row


def walk(
    const int64_t[::1] indptr,
    const int32_t[::1] items,
    const int32_t[:, ::1] which,
    const uint8_t[:, ::1] mask,
    int64_t n,
    int32_t[:, ::1] out,
):
    """Fill `out` (B, C * n): block (b, c) gets the first n items of order `which[b, c]` that row b allows, then -1.

    Returns the first broken row of `indptr`, or -1.
    """
    cdef Py_ssize_t bad = broken_row(indptr, items.shape[0])
    if bad < 0:
        with nogil:
            _walk(indptr, items, which, mask, n, out)
    return bad


cdef void _walk(
    const int64_t[::1] indptr,
    const int32_t[::1] items,
    const int32_t[:, ::1] which,
    const uint8_t[:, ::1] mask,
    int64_t n,
    int32_t[:, ::1] out,
) noexcept nogil:
    cdef int64_t b, c, j, taken
    cdef int64_t n_items = mask.shape[1], orders = indptr.shape[0] - 1
    cdef int32_t order, item
    for b in range(which.shape[0]):
        for c in range(which.shape[1]):
            order = which[b, c]
            for j in range(n):
                out[b, c * n + j] = -1
            if order < 0 or order >= orders:
                continue
            taken = 0
            for j in range(indptr[order], indptr[order + 1]):
                if taken == n:
                    break
                item = items[j]
                if 0 <= item < n_items and mask[b, item]:
                    out[b, c * n + taken] = item
                    taken = taken + 1
