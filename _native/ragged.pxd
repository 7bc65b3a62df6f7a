"""The one check that every ragged kernel makes before it follows an indptr: header-only."""
from libc.stdint cimport int64_t

cdef inline Py_ssize_t broken_row(const int64_t[::1] indptr, int64_t total) noexcept nogil:
    """Return the first row whose bounds are wrong, or -1: indptr must start at 0, never fall, and end at `total`."""
    cdef Py_ssize_t row, rows = indptr.shape[0] - 1
    if rows < 0 or indptr[0] != 0:
        return 0
    for row in range(rows):
        if indptr[row + 1] < indptr[row] or indptr[row + 1] > total:
            return row
    return -1 if indptr[rows] == total else rows
