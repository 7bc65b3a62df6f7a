/* A half-step of ALS: conjugate gradients, and the rows that go to them or to the direct solves. */
#ifndef RECENGINE_ALS_SOLVE_H
#define RECENGINE_ALS_SOLVE_H
#include "als_exact.h"

/* Conjugate gradients from the x that is there (Hestenes and Stiefel 1952; Takacs, Pilaszy, Tikk 2011).
 *
 * The preconditioner is the diagonal of A as expected of any row with the same confidence: Z^T C Z is taken for sum(c) times the
 * mean second moment of the fixed side, which is `diag` without the ridge over alpha_0 m. It is free, and three steps with it end
 * as low as exact solves do; the row's own diagonal (Jacobi) cost a pass over the entries and ended higher.
 */
ALWAYS void cg(Work *w, const float *diag, float ridge, float unseen, float *x, const int nv, int steps, vf *image) {
    const int ld = nv * VL;
    float *r = w->vectors, *d = r + ld, *inverse = d + ld;
    vf *vr = vec(r), *vd = vec(d), *vx = vec(x), *vinv = vec(inverse);
    const vf *vdiag = cvec(diag);
    const float share = unseen > 0 ? w->share / unseen : 0;
    for (int j = 0; j < nv; j++) image[j] = -(vdiag[j] * vx[j]);
    pass_any(w, w->p, x, nv, image);
    vf s = {0};
    for (int j = 0; j < nv; j++) {
        vr[j] = image[j];
        vinv[j] = 1.0f / (vdiag[j] + share * (vdiag[j] - ridge));
        vd[j] = vinv[j] * vr[j];
        s += vd[j] * vr[j];
    }
    float rho = sum1(s);
    if (rho != rho) x[0] = rho;  /* a row that is not finite must show */
    const float enough = 1e-12f * rho;  /* float32 has nothing to win beyond */
    for (int step = 0; step < steps && rho > enough; step++) {
        const int last = step + 1 == steps;
        s = (vf){0};
        for (int j = 0; j < nv; j++) s += vd[j] * (image[j] = vdiag[j] * vd[j]);
        float curvature = sum1(s);
        if (last) curvature += curved(w, d, nv);
        else {
            pass_any(w, NULL, d, nv, image);
            s = (vf){0};
            for (int j = 0; j < nv; j++) s += vd[j] * image[j];
            curvature = sum1(s);
        }
        if (curvature <= 0) return;
        const float a = rho / curvature;
        for (int j = 0; j < nv; j++) vx[j] += a * vd[j];
        if (last) return;
        s = (vf){0};
        for (int j = 0; j < nv; j++) {
            vr[j] -= a * image[j];
            s += vr[j] * vinv[j] * vr[j];
        }
        const float next = sum1(s), b = next / rho;
        for (int j = 0; j < nv; j++) vd[j] = vinv[j] * vr[j] + b * vd[j];
        rho = next;
    }
}

/* `cg`, whose sums stay in registers where their number is known. */
static void solve_cg(Work *w, const float *diag, float ridge, float unseen, float *x, int ld, int steps) {
    vf image[256 / VL];
    switch (ld) {
        case 64: cg(w, diag, ridge, unseen, x, 64 / VL, steps, image); break;
        case 128: cg(w, diag, ridge, unseen, x, 128 / VL, steps, image); break;
        case 256: cg(w, diag, ridge, unseen, x, 256 / VL, steps, image); break;
        default: cg(w, diag, ridge, unseen, x, ld / VL, steps, vec(w->vectors + 3 * ld));
    }
}

/* Solve the rows in `order` into x (n_rows, ld): rows with exact[row] directly, the others by CG from what x holds.
 *
 * diag (ld) is alpha_0 * eigenvalues; the row's regularisation joins it. A row without entries becomes 0, or NaN where `cold_nan`; so does one
 * without a positive entry. Returns 0, -1 without memory, -2 where order or indptr point outside. Rows are independent, so the schedule does not touch the answer.
 */
static int als_solve(const float *fixed, int64_t n_fixed, int ld, const int64_t *indptr, const int32_t *items, const float *weights,
                     int64_t entries, const int32_t *order, int64_t count, int64_t rows, const uint8_t *exact, const float *diag, Objective o, float *x, int steps, int refine, int cold_nan,
                     int threads) {
    int64_t cap = 0, side = 0;
    int long_rows = 0, failed = 0;
    for (int64_t i = 0; i < count; i++) {
        if (order[i] < 0 || order[i] >= rows) return -2;
        const int64_t from = indptr[order[i]], n = indptr[order[i] + 1] - from;
        if (from < 0 || n < 0 || from + n > entries) return -2;
        if (n > cap) cap = n;
        if (exact[order[i]]) {
            if (n > ld) long_rows = 1;
            if (n > side) side = n;
        }
    }
    if (side > ld) side = ld;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Work work;
        float *own = aligned_bytes(sizeof(float) * ld);
        const int bad = !own || work_make(&work, cap, ld, side, long_rows);
        work.fixed = fixed;
        if (bad) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, 16)
        for (int64_t i = 0; i < count; i++) {
            if (bad) continue;
            const int64_t row = order[i], from = indptr[row], n = indptr[row + 1] - from;
            float *out = x + (size_t)row * ld;
            const int positive = gather(&work, n_fixed, ld, items + from, weights + from, n, o.confidence, cold_nan);
            fetch_ahead(&work, INT32_MAX, ld / VL);  /* what the row before left over */
            if (i + 1 < count && !cold_nan) {
                const int64_t next = indptr[order[i + 1]], length = indptr[order[i + 1] + 1] - next;
                const int64_t most = AHEAD_BYTES / (ld * 4);
                work.ahead = items + next;
                work.ahead_end = work.ahead + (length < most ? length : most);
            }
            if (positive == 0) {
                for (int j = 0; j < ld; j++) out[j] = cold_nan ? NAN : 0.0f;
                continue;
            }
            const double size = work.n + o.unseen;
            const float ridge = (float)(o.regularization * (o.exponent == 1 ? size : pow(size, o.exponent)));
            for (int j = 0; j < ld / VL; j++) vec(own)[j] = cvec(diag)[j] + ridge;
            if (exact[row]) solve_exact(&work, own, out, ld, refine);
            else solve_cg(&work, own, ridge, (float)o.unseen, out, ld, steps);
        }
        if (!bad) work_free(&work);
        free(own);
    }
    return failed ? -1 : 0;
}
#endif
