"""Make features of two others, all of a request at once; the door is recengine/kernels/derive.py."""
from libc.stdint cimport int32_t, int64_t

cdef extern from *:
    """
    #include <math.h>
    enum { RATIO, PRODUCT, DIFFERENCE, SAME };
    #define KEEP(x) ((x) - (x) == 0.0f ? (x) : NAN)  /* what is no finite number is missing */
    #define EACH(says) for (int64_t i = 0; i < n; i++) { const float x = a[i * p], y = b[i * q], r = says; (void)r; out[i] = KEEP(r); }
    /* p and q are 1, or 0 where one value stands for all; told apart so that the loops are vectors. */
    #define STRIDED(P, Q, says) { enum { p = P, q = Q }; EACH(says) }
    #define ROW(says) if (wide_a && wide_b) STRIDED(1, 1, says) else if (wide_a) STRIDED(1, 0, says) else if (wide_b) STRIDED(0, 1, says) else STRIDED(0, 0, says)
    static void derive_row(int op, const float *a, int wide_a, const float *b, int wide_b, float *restrict out, int64_t n) {
        if (op == RATIO) { ROW(x / y) }
        else if (op == PRODUCT) { ROW(x * y) }
        else if (op == DIFFERENCE) { ROW(x - y) }
        else { ROW(x == y ? 1.0f : ((x < y) | (x > y)) ? 0.0f : NAN) }
    }
    """
    enum: SAME
    void derive_row(int op, const float *a, int wide_a, const float *b, int wide_b, float *out, int64_t n) noexcept nogil


def derive(float[:, ::1] values, const int32_t[:, ::1] plan):
    """Fill rows of `values` (R, n) from others: row k of `plan` is operation, left, wide, right, wide, result.

    Wide is 1, or 0 where the first value of a row stands for all; the result of two such is the first value alone. Returns the first row of
    `plan` that is none, before anything is written, or -1.
    """
    cdef int64_t k, n = values.shape[1], m, rows = values.shape[0]
    for k in range(plan.shape[0]):
        if not (0 <= plan[k, 0] <= SAME and 0 <= plan[k, 1] < rows and 0 <= plan[k, 3] < rows and 0 <= plan[k, 5] < rows):
            return k
        if plan[k, 5] == plan[k, 1] or plan[k, 5] == plan[k, 3]:
            return k
    if n == 0:
        return -1
    with nogil:
        for k in range(plan.shape[0]):
            m = n if plan[k, 2] or plan[k, 4] else 1
            derive_row(plan[k, 0], &values[plan[k, 1], 0], plan[k, 2], &values[plan[k, 3], 0], plan[k, 4], &values[plan[k, 5], 0], m)
    return -1
