"""Sparse rows as kernels read them: header-only, shared by all that walk a CSR matrix."""
from libc.stdint cimport int32_t, int64_t


cdef struct Rows:
    # A CSR matrix.
    const int64_t* indptr
    const int32_t* cols
    const float* values
    Py_ssize_t n


cdef inline Rows rows_of(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values):
    cdef Rows rows
    rows.indptr, rows.n = &indptr[0], indptr.shape[0] - 1
    rows.cols, rows.values = NULL, NULL
    if cols.shape[0]:
        rows.cols, rows.values = &cols[0], &values[0]
    return rows
