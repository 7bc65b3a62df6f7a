"""Sparse rows as kernels read them: header-only, shared by all that walk a CSR matrix."""
from libc.stdint cimport int32_t, int64_t


cdef struct Rows:
    # A CSR matrix.
    const int64_t* indptr
    const int32_t* cols
    const float* values
    Py_ssize_t n


cdef struct Row:
    # One row of it.
    const int32_t* cols
    const float* values
    Py_ssize_t count


cdef struct Layers:
    # A CSR matrix of n rows, of which `over` holds those that have a place there (>= 0); place NULL = it holds none.
    Rows base, over
    const int32_t* place
    Py_ssize_t n


cdef inline Rows rows_of(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values):
    cdef Rows rows
    rows.indptr, rows.n = &indptr[0], indptr.shape[0] - 1
    rows.cols, rows.values = NULL, NULL
    if cols.shape[0]:
        rows.cols, rows.values = &cols[0], &values[0]
    return rows


cdef inline Layers one_layer(Rows base) noexcept nogil:
    cdef Layers layers
    layers.base, layers.over, layers.place, layers.n = base, base, NULL, base.n
    return layers


cdef inline Layers layers_of(Rows base, const int32_t[::1] place, Rows over):
    cdef Layers layers = one_layer(base)
    if place.shape[0]:
        layers.over, layers.place, layers.n = over, &place[0], place.shape[0]
    return layers


cdef inline Row row_at(Rows rows, Py_ssize_t r) noexcept nogil:
    cdef Row row
    cdef int64_t begin = rows.indptr[r]
    row.cols, row.values, row.count = rows.cols + begin, rows.values + begin, rows.indptr[r + 1] - begin
    return row


cdef inline Row row_of(Layers matrix, Py_ssize_t r) noexcept nogil:
    """Return row r < matrix.n; one that neither layer holds is empty."""
    cdef Row none
    if matrix.place != NULL:
        if matrix.place[r] >= 0:
            return row_at(matrix.over, matrix.place[r])
        if r >= matrix.base.n:
            none.cols, none.values, none.count = NULL, NULL, 0
            return none
    return row_at(matrix.base, r)
