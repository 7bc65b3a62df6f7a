/* One row of ALS: (diag + Z^T C Z) x = Z^T C p, where the rows of Z are the factors of the row's own entries.
 *
 * `diag` (ld) is alpha_0 * eigenvalues of the Gram matrix + the row's regularisation: the factors stand in the eigenbasis, so nothing here
 * costs more than the row's own entries. An entry of weight w > 0 has p = 1 and c = max(1 + confidence * (w - 1), 0.001); one of w < 0 has p = 0, c = -w.
 */
#ifndef RECENGINE_ALS_ROWS_H
#define RECENGINE_ALS_ROWS_H
#include <math.h>
#include "als_dense.h"

#define SMALLEST_CONFIDENCE 1e-3f
#define AHEAD_BYTES (128 << 10) /* of the next row that are fetched while this one is solved */

typedef struct {
    float confidence;      /* of an entry, above */
    double regularization; /* lambda: a row of n entries is regularised by lambda * (n + unseen) ** exponent */
    double unseen;         /* alpha_0 * rows of the fixed side */
    double exponent;       /* nu of Rendle, Krichene, Zhang, Koren 2021, section 4.2 */
} Objective;

typedef struct {
    const float **z;  /* (cap + 8) rows of Z */
    float *c, *p, *t; /* (cap + 8) confidence, preference, scratch */
    float *vectors;   /* 6 x ld */
    float *matrix;    /* side x side, for exact solves; side >= min(cap, ld) */
    float *panels;    /* 2 x GRAM_BLOCK x ld, for exact solves of long rows */
    int n;            /* entries of this row */
    const float *fixed;   /* where the next row's entries lie */
    const int32_t *ahead; /* what is left of them to fetch */
    const int32_t *ahead_end;
} Work;

static void work_free(Work *w) {
    free(w->z);
    free(w->c);
    free(w->p);
    free(w->t);
    free(w->vectors);
    free(w->matrix);
    free(w->panels);
}

static int work_make(Work *w, int64_t cap, int ld, int64_t side, int long_rows) {
    memset(w, 0, sizeof *w);
    side = (side + 15) / 16 * 16;
    w->z = malloc(sizeof(float *) * (cap + 8));
    w->c = aligned_bytes(sizeof(float) * (cap + 8));
    w->p = aligned_bytes(sizeof(float) * (cap + 8));
    w->t = aligned_bytes(sizeof(float) * (cap + 24));
    w->vectors = aligned_bytes(sizeof(float) * 6 * ld);
    w->matrix = aligned_bytes(sizeof(float) * (side * side + 16));
    if (long_rows) w->panels = aligned_bytes(sizeof(float) * 2 * GRAM_BLOCK * ld);
    if (w->z && w->c && w->p && w->t && w->vectors && w->matrix && (w->panels || !long_rows)) return 0;
    work_free(w);
    return -1;
}

/* Fetch `entries` of the next row into the cache: its factors lie anywhere, and waiting for them was half of the time. */
ALWAYS void fetch_ahead(Work *w, int entries, int nv) {
    for (; entries > 0 && w->ahead < w->ahead_end; entries--, w->ahead++) {
        const char *z = (const char *)(w->fixed + (size_t)*w->ahead * nv * VL);
        for (int b = 0; b < nv * VL * 4; b += 64) __builtin_prefetch(z + b);
    }
}

/* Gather the entries of a row; those of weight 0 and, where `check`, those without a factor (NaN, or beyond the `n_fixed` known
 * ones) say nothing. Returns how many are positive. */
static int gather(Work *w, const float *fixed, int64_t n_fixed, int ld, const int32_t *items, const float *weights,
                  int64_t n, float confidence, int check) {
    int k = 0, positive = 0;
    for (int64_t i = 0; i < n; i++) {
        if (items[i] < 0 || items[i] >= n_fixed) continue;
        const float *z = fixed + (size_t)items[i] * ld, weight = weights[i];
        if (weight == 0 || (check && isnan(z[0]))) continue;
        const float c = weight > 0 ? 1.0f + confidence * (weight - 1.0f) : -weight;
        w->z[k] = z;
        w->c[k] = c > SMALLEST_CONFIDENCE ? c : SMALLEST_CONFIDENCE;
        w->p[k] = weight > 0 ? 1.0f : 0.0f;
        positive += weight > 0;
        k++;
    }
    w->n = k;
    for (int i = k; k && i < k + 8; i++) {  /* blocks of 4 or 8 may run over the end: such an entry has no confidence */
        w->z[i] = w->z[k - 1];
        w->c[i] = w->p[i] = 0;
    }
    return positive;
}

#if VL == 16
typedef int vi __attribute__((vector_size(64)));
#define EVEN1 (vi){0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30}
#define ODD1 (vi){1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31}
#define EVEN2 (vi){0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}
#define ODD2 (vi){2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31}
#else
typedef int vi __attribute__((vector_size(32)));
#define EVEN1 (vi){0, 8, 2, 10, 4, 12, 6, 14}
#define ODD1 (vi){1, 9, 3, 11, 5, 13, 7, 15}
#define EVEN2 (vi){0, 1, 8, 9, 4, 5, 12, 13}
#define ODD2 (vi){2, 3, 10, 11, 6, 7, 14, 15}
#endif

ALWAYS float sum1(vf a) {
    float s = 0;
    for (int step = VL / 2; step; step /= 2)
        for (int i = 0; i < step; i++) a[i] += a[i + step];
    s = a[0];
    return s;
}

/* out[0..3] = the sums of four vectors. */
ALWAYS void sum4(vf a, vf b, vf c, vf d, float *out) {
    const vf ab = __builtin_shuffle(a, b, EVEN1) + __builtin_shuffle(a, b, ODD1);
    const vf cd = __builtin_shuffle(c, d, EVEN1) + __builtin_shuffle(c, d, ODD1);
    const vf s = __builtin_shuffle(ab, cd, EVEN2) + __builtin_shuffle(ab, cd, ODD2);
    for (int i = 0; i < 4; i++) {
#if VL == 16
        out[i] = (s[i] + s[i + 4]) + (s[i + 8] + s[i + 12]);
#else
        out[i] = s[i] + s[i + 4];
#endif
    }
}

ALWAYS float dot(const float *a, const float *b, int nv) {
    vf s = {0};
    for (int j = 0; j < nv; j++) s = fused_lanes(cvec(a)[j], cvec(b)[j], s);
    return sum1(s);
}

/* `m` entries: out += sum c (p - z.v) z where p is set, else sum c (z.v) z. */
ALWAYS void pass_block(const int m, const float *const *z, const float *c, const float *p, const float *v, const int nv, float *out) {
    vf acc[8];
    float t[8];
    for (int e = 0; e < m; e++) acc[e] = (vf){0};
    for (int j = 0; j < nv; j++) {
        const vf x = cvec(v)[j];
#pragma GCC unroll 8
        for (int e = 0; e < m; e++) acc[e] = fused_lanes(cvec(z[e])[j], x, acc[e]);
    }
    sum4(acc[0], acc[1], acc[2], acc[3], t);
    if (m == 8) sum4(acc[4], acc[5], acc[6], acc[7], t + 4);
    for (int e = 0; e < m; e++) t[e] = p ? c[e] * (p[e] - t[e]) : c[e] * t[e];
    for (int j = 0; j < nv; j++) {
        vf s = {0}, u = {0};
#pragma GCC unroll 8
        for (int e = 0; e < m; e += 2) {
            s = fused_lanes(all_lanes(t[e]), cvec(z[e])[j], s);
            u = fused_lanes(all_lanes(t[e + 1]), cvec(z[e + 1])[j], u);
        }
        vec(out)[j] += s + u;
    }
}

ALWAYS void pass_any(Work *w, const float *p, const float *v, const int nv, float *out) {
    int k = 0;
    for (; k + 4 < w->n; k += 8) {
        fetch_ahead(w, 8, nv);
        pass_block(8, w->z + k, w->c + k, p ? p + k : NULL, v, nv, out);
    }
    for (; k < w->n; k += 4) pass_block(4, w->z + k, w->c + k, p ? p + k : NULL, v, nv, out);
}

static void pass(Work *w, const float *p, const float *v, int nv, float *out) {
    switch (nv) {  /* known lengths let the compiler keep v and out in registers */
        case 64 / VL: pass_any(w, p, v, 64 / VL, out); break;
        case 128 / VL: pass_any(w, p, v, 128 / VL, out); break;
        default: pass_any(w, p, v, nv, out);
    }
}

/* Conjugate gradients from the x that is there (Hestenes and Stiefel 1952; Takacs, Pilaszy, Tikk 2011).
 *
 * The preconditioner is the diagonal of A as expected of any row with the same confidence: Z^T C Z is taken for sum(c) times the
 * mean second moment of the fixed side, which is `diag` without the ridge over alpha_0 m. It is free, and three steps with it end
 * as low as exact solves do; the row's own diagonal (Jacobi) cost a pass over the entries and ended higher.
 */
static void solve_cg(Work *w, const float *diag, float ridge, float unseen, float *x, int ld, int steps) {
    const int nv = ld / VL;
    float *r = w->vectors, *d = r + ld, *inverse = d + ld, *image = inverse + ld;
    vf *vr = vec(r), *vd = vec(d), *vx = vec(x), *vinv = vec(inverse), *vimg = vec(image);
    const vf *vdiag = cvec(diag);
    for (int j = 0; j < nv; j++) {
        vr[j] = -(vdiag[j] * vx[j]);
        vinv[j] = vdiag[j];
    }
    pass(w, w->p, x, nv, r);
    float share = 0;
    for (int k = 0; k < w->n; k++) share += w->c[k];
    share = unseen > 0 ? share / unseen : 0;
    for (int j = 0; j < nv; j++) vinv[j] += share * (vdiag[j] - ridge);
    vf s = {0};
    for (int j = 0; j < nv; j++) {
        vinv[j] = 1.0f / vinv[j];
        vd[j] = vinv[j] * vr[j];
        s += vd[j] * vr[j];
    }
    float rho = sum1(s);
    if (rho != rho) x[0] = rho;  /* a row that is not finite must show */
    const float enough = 1e-12f * rho;  /* float32 has nothing to win beyond */
    for (int step = 0; step < steps && rho > enough; step++) {
        for (int j = 0; j < nv; j++) vimg[j] = vdiag[j] * vd[j];
        pass(w, NULL, d, nv, image);
        const float curvature = dot(d, image, nv);
        if (curvature <= 0) return;
        const float a = rho / curvature;
        for (int j = 0; j < nv; j++) vx[j] += a * vd[j];
        if (step + 1 == steps) return;
        vf q = {0};
        for (int j = 0; j < nv; j++) {
            vr[j] -= a * vimg[j];
            q += vr[j] * vinv[j] * vr[j];
        }
        const float next = sum1(q), b = next / rho;
        for (int j = 0; j < nv; j++) vd[j] = vinv[j] * vr[j] + b * vd[j];
        rho = next;
    }
}

/* Cholesky in place: the upper triangle of a (m, lda) becomes U with U^T U = A; the diagonal holds 1 / U_jj. */
static void cholesky(float *a, int m, int lda) {
    for (int j = 0; j < m; j++) {
        float *restrict u = a + (size_t)j * lda;
        const float pivot = 1.0f / sqrtf(u[j]);
        u[j] = pivot;
        for (int i = j + 1; i < m; i++) u[i] *= pivot;
        for (int i = j + 1; i < m; i++) {
            float *restrict row = a + (size_t)i * lda;
            const float s = u[i];
            for (int k = i; k < m; k++) row[k] = fused(-s, u[k], row[k]);
        }
    }
}

/* b = A^-1 b after `cholesky`. */
static void cholesky_solve(const float *a, int m, int lda, float *restrict b) {
    for (int j = 0; j < m; j++) {
        const float *u = a + (size_t)j * lda;
        const float s = b[j] *= u[j];
        for (int i = j + 1; i < m; i++) b[i] = fused(-s, u[i], b[i]);
    }
    for (int j = m - 1; j >= 0; j--) {
        const float *u = a + (size_t)j * lda;
        vf acc = {0};
        float s = b[j];
        int i = j + 1;
        for (; i + VL <= m; i += VL) acc = fused_lanes(*cvec(u + i), *cvec(b + i), acc);
        for (; i < m; i++) s = fused(-u[i], b[i], s);
        b[j] = (s - sum1(acc)) * u[j];
    }
}

/* matrix (n, lda) upper = C^-1 + Z diag^-1 Z^T, factorised: the dual of a row with few entries. */
static void dual_factor(Work *w, const float *diag, int ld, int lda) {
    const int n = w->n, nv = ld / VL;
    float *inverse = w->vectors + 4 * ld;
    for (int j = 0; j < nv; j++) vec(inverse)[j] = 1.0f / cvec(diag)[j];
    for (int i = 0; i < n; i += 4) {
        fetch_ahead(w, 4, nv);
        for (int j = i; j < n; j += 4) {
            const float *const *a = w->z + i, *const *b = w->z + j;
            vf acc[4][4] = {{{0}}};
            for (int v = 0; v < nv; v++) {
                const vf scale = cvec(inverse)[v];
                const vf b0 = cvec(b[0])[v], b1 = cvec(b[1])[v], b2 = cvec(b[2])[v], b3 = cvec(b[3])[v];
#pragma GCC unroll 4
                for (int e = 0; e < 4; e++) {
                    const vf s = scale * cvec(a[e])[v];
                    acc[e][0] = fused_lanes(s, b0, acc[e][0]);
                    acc[e][1] = fused_lanes(s, b1, acc[e][1]);
                    acc[e][2] = fused_lanes(s, b2, acc[e][2]);
                    acc[e][3] = fused_lanes(s, b3, acc[e][3]);
                }
            }
            for (int e = 0; e < 4 && i + e < n; e++) {
                float *out = w->matrix + (size_t)(i + e) * lda + j;  /* runs at most 3 over n, lda has room */
                sum4(acc[e][0], acc[e][1], acc[e][2], acc[e][3], out);
            }
        }
    }
    for (int i = 0; i < n; i++) w->matrix[(size_t)i * lda + i] += 1.0f / w->c[i];
    cholesky(w->matrix, n, lda);
}

/* x += diag^-1 Z^T s, where s = t after the dual solve. */
static void dual_apply(const Work *w, float *x, int ld) {
    const int nv = ld / VL;
    const float *inverse = w->vectors + 4 * ld;
    float *sum = w->vectors + 5 * ld;
    memset(sum, 0, sizeof(float) * ld);
    for (int k = 0; k < w->n; k++)
        for (int j = 0; j < nv; j++) vec(sum)[j] = fused_lanes(all_lanes(w->t[k]), cvec(w->z[k])[j], vec(sum)[j]);
    for (int j = 0; j < nv; j++) vec(x)[j] += cvec(inverse)[j] * cvec(sum)[j];
}

/* matrix (ld, ld) upper = diag + Z^T C Z, factorised: the primal of a row with many entries. */
static void primal_factor(const Work *w, const float *diag, int ld) {
    float *left = w->panels, *right = left + (size_t)GRAM_BLOCK * ld;
    memset(w->matrix, 0, sizeof(float) * ld * ld);
    for (int j = 0; j < ld; j++) w->matrix[(size_t)j * ld + j] = diag[j];
    for (int k = 0; k < w->n; k += GRAM_BLOCK) {
        const int block = w->n - k < GRAM_BLOCK ? w->n - k : GRAM_BLOCK;
        pack_panels(w->z + k, w->c + k, block, ld, left);
        pack_panels(w->z + k, NULL, block, ld, right);
        add_products(left, right, block, ld, w->matrix, NULL);
    }
    cholesky(w->matrix, ld, ld);
}

/* Solve exactly, in the dual where the row has at most ld entries, then repair float32's rounding `refine` times by the residual. */
static void solve_exact(Work *w, const float *diag, float *x, int ld, int refine) {
    const int n = w->n, nv = ld / VL, lda = (n + 15) / 16 * 16, dual = n <= ld;
    memset(x, 0, sizeof(float) * ld);
    if (dual) dual_factor(w, diag, ld, lda);
    else primal_factor(w, diag, ld);
    for (int round = 0; round <= refine; round++) {
        float *r = w->vectors;
        if (dual && round == 0) {
            memcpy(w->t, w->p, sizeof(float) * n);
            cholesky_solve(w->matrix, n, lda, w->t);
            dual_apply(w, x, ld);
            continue;
        }
        for (int j = 0; j < nv; j++) vec(r)[j] = -(cvec(diag)[j] * cvec(x)[j]);
        pass(w, w->p, x, nv, r);
        if (dual) {  /* A^-1 r = diag^-1 r - diag^-1 Z^T (C^-1 + Z diag^-1 Z^T)^-1 Z diag^-1 r */
            for (int j = 0; j < nv; j++) vec(r)[j] *= cvec(w->vectors + 4 * ld)[j];
            for (int k = 0; k < n; k++) w->t[k] = -dot(w->z[k], r, nv);
            cholesky_solve(w->matrix, n, lda, w->t);
            dual_apply(w, r, ld);
        } else cholesky_solve(w->matrix, ld, ld, r);
        for (int j = 0; j < nv; j++) vec(x)[j] += cvec(r)[j];
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
            const int positive = gather(&work, fixed, n_fixed, ld, items + from, weights + from, n, o.confidence, cold_nan);
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
            const float ridge = (float)(o.regularization * pow(work.n + o.unseen, o.exponent));
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
