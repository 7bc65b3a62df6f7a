"""Ridge regressions of items on items: the Gram matrix, weights from its inverse, local solves, and dense sums of rows.

`gram` adds, row by row, the histories of an item's users; `weights` turns the upper triangle of an inverse into
weights; `regress` gathers a small Gram matrix over each target's few candidates and solves it by Cholesky's method;
`sums` and `sums_at` answer from dense rows. Each target, row or answer is the work of one thread, in one order, so
nothing depends on `threads`.

Why `regress` gathers its matrices from the histories and not from a stored Gram matrix: that would hold an entry for
every pair of items that meet, and cutting it would no longer leave the small matrices positive definite.
"""
from cython.parallel cimport parallel, prange, threadid
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from rows cimport Rows, rows_of

__all__ = ("gram", "regress", "sums", "sums_at", "weights")

cdef extern from "fused.h":
    float fused(float a, float b, float c) noexcept nogil

cdef extern from *:
    """
    typedef double vd __attribute__((vector_size(VL * 4), aligned(8), may_alias));
    enum { DL = VL / 2 };

    /* Dot product of n doubles in 2 x DL lanes: always the same order. */
    static inline double dot_of(const double* a, const double* b, long n) {
        vd s = {0}, t = {0};
        long k = 0;
        for (; k + 2 * DL <= n; k += 2 * DL) {
            s += *(const vd*)(a + k) * *(const vd*)(b + k);
            t += *(const vd*)(a + k + DL) * *(const vd*)(b + k + DL);
        }
        double sum = 0;
        s += t;
        for (int lane = 0; lane < DL; lane++) sum += s[lane];
        for (; k < n; k++) sum += a[k] * b[k];
        return sum;
    }

    /* to += weight * from, n floats; each lane rounds as `fused` does. */
    static inline void add_scaled(float weight, const float* from, float* to, long n) {
        long k = 0;
        for (; k + VL <= n; k += VL) *vec(to + k) = fused_lanes(*cvec(from + k), all_lanes(weight), *cvec(to + k));
        for (; k < n; k++) to[k] = fused(weight, from[k], to[k]);
    }
    """
    double dot_of(const double* a, const double* b, long n) noexcept nogil
    void add_scaled(float weight, const float* source, float* to, long n) noexcept nogil

cdef enum:
    BLOCK = 64


cdef void gram_row(Rows users, Rows items, Py_ssize_t item, double* out) noexcept nogil:
    cdef Py_ssize_t e, t, user
    cdef double value
    for e in range(items.indptr[item], items.indptr[item + 1]):
        user, value = items.cols[e], items.values[e]
        for t in range(users.indptr[user], users.indptr[user + 1]):
            out[users.cols[t]] += value * users.values[t]


def gram(const int64_t[::1] u_indptr, const int32_t[::1] u_cols, const float[::1] u_values, const int64_t[::1] i_indptr,
         const int32_t[::1] i_cols, const float[::1] i_values, double[:, ::1] out, int threads):
    """See `recengine.kernels.ridge.gram`; `out` comes in as zeros."""
    cdef Py_ssize_t item
    cdef Rows users = rows_of(u_indptr, u_cols, u_values), items = rows_of(i_indptr, i_cols, i_values)
    if out.shape[0] == 0:
        return
    for item in prange(out.shape[0], num_threads=threads, schedule="dynamic", chunksize=16, nogil=True):
        gram_row(users, items, item, &out[item, 0])


cdef void weights_band(const double[:, ::1] inverse, Py_ssize_t band, float[:, ::1] out) noexcept nogil:
    """Fill a band of rows right of the diagonal, and the columns below it that mirror them, block by block."""
    cdef Py_ssize_t a, b, block, n = out.shape[0], top = band * BLOCK, stop = min(top + BLOCK, n)
    for block in range(band, (n + BLOCK - 1) // BLOCK):
        for a in range(top, stop):
            for b in range(max(block * BLOCK, a + 1), min(block * BLOCK + BLOCK, n)):
                out[a, b] = <float>(-inverse[a, b] / inverse[b, b])
                out[b, a] = <float>(-inverse[a, b] / inverse[a, a])
    for a in range(top, stop):
        out[a, a] = 0


def weights(const double[:, ::1] inverse, float[:, ::1] out, int threads):
    """See `recengine.kernels.ridge.weights`."""
    cdef Py_ssize_t band, bands = (out.shape[0] + BLOCK - 1) // BLOCK
    for band in prange(bands, num_threads=threads, schedule="dynamic", chunksize=1, nogil=True):
        weights_band(inverse, band, out)


cdef bint solve(double* matrix, double* right, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    """Solve for `right` in place, by Cholesky's method on the lower triangle; 0 = not positive definite to float64."""
    cdef Py_ssize_t a, b
    cdef double* row
    cdef double pivot
    for a in range(n):
        row = matrix + a * stride
        for b in range(a):
            row[b] = (row[b] - dot_of(row, matrix + b * stride, b)) / matrix[b * stride + b]
        pivot = row[a] - dot_of(row, row, a)
        if not pivot > 1e-13 * row[a]:  # all digits lost
            return 0
        row[a] = sqrt(pivot)
        right[a] = (right[a] - dot_of(row, right, a)) / row[a]
    for a in range(n - 1, -1, -1):
        row = matrix + a * stride
        right[a] /= row[a]
        for b in range(a):
            right[b] -= row[b] * right[a]
    return 1


cdef bint regress_one(Rows users, Rows items, const int32_t* near, Py_ssize_t k, int32_t target, double ridge,
                      double* matrix, int32_t* place, float* out) noexcept nogil:
    """Regress one target on the first candidates of `near` up to -1; the target is the last row of the small matrix."""
    cdef Py_ssize_t a, e, t, n = 0, user, stride = k + 1
    cdef int32_t item, at
    cdef double value
    cdef bint fine
    while n < k and near[n] >= 0:
        place[near[n]] = <int32_t>n + 1
        n += 1
    memset(matrix, 0, (n + 1) * stride * sizeof(double))
    for a in range(n + 1):
        item = near[a] if a < n else target
        for e in range(items.indptr[item], items.indptr[item + 1]):
            user, value = items.cols[e], items.values[e]
            for t in range(users.indptr[user], users.indptr[user + 1]):
                at = place[users.cols[t]]
                if at:
                    matrix[a * stride + at - 1] += value * users.values[t]
    for a in range(n):
        matrix[a * stride + a] += ridge
        place[near[a]] = 0
    fine = solve(matrix, matrix + n * stride, n, stride)
    for a in range(k):
        out[a] = <float>matrix[n * stride + a] if a < n and fine else NAN
    return fine


def regress(const int64_t[::1] u_indptr, const int32_t[::1] u_cols, const float[::1] u_values,
            const int64_t[::1] i_indptr, const int32_t[::1] i_cols, const float[::1] i_values,
            const int32_t[::1] targets, const int32_t[:, ::1] near, double ridge, double[:, ::1] matrices,
            int32_t[:, ::1] places, float[:, ::1] out, int threads):
    """See `recengine.kernels.ridge.regress`; `places` come in as zeros. Returns how many targets could not be solved."""
    cdef Py_ssize_t q, tid, failed = 0
    cdef Rows users = rows_of(u_indptr, u_cols, u_values), items = rows_of(i_indptr, i_cols, i_values)
    if targets.shape[0] == 0:
        return 0
    with nogil, parallel(num_threads=threads):
        tid = threadid()
        for q in prange(targets.shape[0], schedule="dynamic", chunksize=4):
            failed += not regress_one(users, items, &near[q, 0], near.shape[1], targets[q], ridge, &matrices[tid, 0],
                                      &places[tid, 0], &out[q, 0])
    return failed


cdef inline bint counts(Rows entries, Py_ssize_t e, Py_ssize_t n) noexcept nogil:
    return 0 <= entries.cols[e] < n and entries.values[e] > 0


cdef void sums_of(Rows entries, Py_ssize_t r, const float* matrix, Py_ssize_t n, Py_ssize_t width, float* out) noexcept nogil:
    cdef Py_ssize_t e
    memset(out, 0, width * sizeof(float))
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, n):
            add_scaled(entries.values[e], matrix + entries.cols[e] * width, out, width)


def sums(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const float[:, ::1] matrix,
         float[:, ::1] out, int threads):
    """See `recengine.kernels.ridge.sums`."""
    cdef Py_ssize_t r, width = out.shape[1], n = matrix.shape[0], rows = out.shape[0]
    cdef Rows entries = rows_of(indptr, cols, values)
    cdef const float* base = NULL
    if rows == 0 or width == 0:
        return
    if n:
        base = &matrix[0, 0]
    if threads == 1:  # entering a parallel region costs about a microsecond
        with nogil:
            for r in range(rows):
                sums_of(entries, r, base, n, width, &out[r, 0])
        return
    for r in prange(rows, num_threads=threads, schedule="dynamic", chunksize=4, nogil=True):
        sums_of(entries, r, base, n, width, &out[r, 0])


cdef void sums_at_of(Rows entries, Py_ssize_t r, const float* matrix, Py_ssize_t n, Py_ssize_t width,
                     const int64_t* asked, const int32_t* items, float* out) noexcept nogil:
    cdef Py_ssize_t e, t
    cdef const float* row
    cdef float weight
    for t in range(asked[r], asked[r + 1]):
        out[t] = 0 if 0 <= items[t] < width else NAN
    for e in range(entries.indptr[r], entries.indptr[r + 1]):
        if counts(entries, e, n):
            row, weight = matrix + entries.cols[e] * width, entries.values[e]
            for t in range(asked[r], asked[r + 1]):
                if 0 <= items[t] < width:
                    out[t] = fused(weight, row[items[t]], out[t])


def sums_at(const int64_t[::1] indptr, const int32_t[::1] cols, const float[::1] values, const float[:, ::1] matrix,
            const int64_t[::1] asked, const int32_t[::1] items, float[::1] out, int threads):
    """See `recengine.kernels.ridge.sums_at`."""
    cdef Py_ssize_t r, width = matrix.shape[1], n = matrix.shape[0], rows = indptr.shape[0] - 1
    cdef Rows entries = rows_of(indptr, cols, values)
    cdef const float* base = NULL
    if rows == 0 or items.shape[0] == 0:
        return
    if width == 0:
        out[:] = NAN
        return
    if n:
        base = &matrix[0, 0]
    if threads == 1:
        with nogil:
            for r in range(rows):
                sums_at_of(entries, r, base, n, width, &asked[0], &items[0], &out[0])
        return
    for r in prange(rows, num_threads=threads, schedule="dynamic", chunksize=4, nogil=True):
        sums_at_of(entries, r, base, n, width, &asked[0], &items[0], &out[0])
