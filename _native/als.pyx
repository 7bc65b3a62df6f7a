"""ALS kernels: Gram matrix, rotation, and the solves of a half-step. The arithmetic stands in `als_*.h`."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "als_dense.h" nogil:
    int als_gram(const float *f, int64_t n, int ld, double *sums, int chunks, int threads)
    int als_rotate(float *f, const int32_t *list, int64_t n, int ld, const float *q, int threads)

cdef extern from "als_solve.h" nogil:
    ctypedef struct Objective:
        float confidence
        double regularization
        double unseen
        double exponent
    int als_solve(const float *fixed, int64_t n_fixed, int ld, const int64_t *indptr, const int32_t *items, const float *weights,
                  int64_t entries, const int32_t *order, int64_t count, int64_t rows, const uint8_t *exact, const float *diag, Objective o,
                  float *x, int steps, int refine, int cold_nan, int threads)


def gram(const float[:, ::1] factors, double[:, :, ::1] sums, int threads):
    """Add the upper triangle of F^T F over the c-th chunk of rows to `sums[c]`."""
    cdef int failed = 0
    if factors.shape[0] == 0 or sums.shape[0] == 0:
        return
    with nogil:
        failed = als_gram(&factors[0, 0], factors.shape[0], <int>factors.shape[1], &sums[0, 0, 0], <int>sums.shape[0], threads)
    if failed:
        raise MemoryError


def rotate(float[:, ::1] factors, const int32_t[::1] rows, const float[:, ::1] basis, int threads):
    """Set `factors[r] = factors[r] @ basis` for r in `rows`, in place."""
    cdef int failed = 0
    if rows.shape[0] == 0:
        return
    with nogil:
        failed = als_rotate(&factors[0, 0], &rows[0], rows.shape[0], <int>factors.shape[1], &basis[0, 0], threads)
    if failed:
        raise MemoryError


def solve(const float[:, ::1] fixed, const int64_t[::1] indptr, const int32_t[::1] items, const float[::1] weights,
          const int32_t[::1] order, const uint8_t[::1] exact, const float[::1] diag,
          float confidence, double regularization, double unseen, double exponent,
          float[:, ::1] out, int steps, int refine, bint cold_nan, int threads):
    """Solve the rows in `order` of one side into `out`, given the `fixed` side in its Gram matrix' eigenbasis.

    False where `order` or `indptr` point outside; nothing is solved then.
    """
    cdef int failed = 0
    cdef Objective o = Objective(confidence, regularization, unseen, exponent)
    cdef const int32_t *first_item = NULL
    cdef const float *first_weight = NULL
    cdef const float *first_fixed = NULL
    if order.shape[0] == 0:
        return True
    if items.shape[0] > 0:
        first_item = &items[0]
        first_weight = &weights[0]
    if fixed.shape[0] > 0:
        first_fixed = &fixed[0, 0]
    with nogil:
        failed = als_solve(first_fixed, fixed.shape[0], <int>out.shape[1], &indptr[0], first_item, first_weight,
                           items.shape[0], &order[0], order.shape[0], out.shape[0], &exact[0], &diag[0], o,
                           &out[0, 0], steps, refine, cold_nan, threads)
    if failed == -1:
        raise MemoryError
    return failed == 0
