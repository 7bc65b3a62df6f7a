/* A row of ALS solved directly: the dual (n x n) where it has few entries, the primal (ld x ld) where it has many. */
#ifndef RECENGINE_ALS_EXACT_H
#define RECENGINE_ALS_EXACT_H
#include "als_rows.h"

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
                quad *out = (quad *)(w->matrix + (size_t)(i + e) * lda + j);  /* runs at most 3 over n, lda has room */
                *out = sum4(acc[e][0], acc[e][1], acc[e][2], acc[e][3]);
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
#endif
