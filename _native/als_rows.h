/* One row of ALS: (diag + Z^T C Z) x = Z^T C p, where the rows of Z are the factors of the row's own entries.
 *
 * `diag` (ld) is alpha_0 * eigenvalues of the Gram matrix + the row's regularisation: the factors stand in the eigenbasis, so nothing here
 * costs more than the row's own entries. An entry of weight w > 0 has p = 1 and c = max(1 + confidence * (w - 1), 0.001); one of w < 0 has p = 0, c = -w.
 */
#ifndef RECENGINE_ALS_ROWS_H
#define RECENGINE_ALS_ROWS_H
#include <math.h>
#include "als_dense.h"
#include "reduce.h"

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
    float share;      /* sum of c */
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
        const char *z = (const char *)(w->fixed + (size_t)(uint32_t)*w->ahead * nv * VL);
        for (int b = 0; b < nv * VL * 4; b += 64) __builtin_prefetch(z + b);
    }
}

/* Gather the entries of a row; those of weight 0 and, where `check`, those without a factor (NaN, or beyond the `n_fixed` known
 * ones) say nothing. Returns how many are positive. Why without branches: the loop is as long as the row, and guesses cost more. */
static int gather(Work *w, int64_t n_fixed, int ld, const int32_t *items, const float *weights, int64_t n, float confidence, int check) {
    const float *fixed = w->fixed;
    int k = 0, positive = 0;
    float share = 0;
    for (int64_t i = 0; i < n; i++) {
        const int known = (uint64_t)(uint32_t)items[i] < (uint64_t)n_fixed;
        const float *z = fixed + (size_t)(known ? items[i] : 0) * ld, weight = weights[i];
        const int likes = weight > 0;
        const float c = likes ? 1.0f + confidence * (weight - 1.0f) : -weight, held = c > SMALLEST_CONFIDENCE ? c : SMALLEST_CONFIDENCE;
        const int speaks = known & (weight != 0) & !(check && known && isnan(z[0]));
        w->z[k] = z;
        w->c[k] = held;
        w->p[k] = likes ? 1.0f : 0.0f;
        share += speaks ? held : 0.0f;
        positive += likes & speaks;
        k += speaks;
    }
    w->n = k;
    w->share = share;
    for (int i = k; k && i < k + 8; i++) {  /* blocks of 4 or 8 may run over the end: such an entry has no confidence */
        w->z[i] = w->z[k - 1];
        w->c[i] = w->p[i] = 0;
    }
    return positive;
}

ALWAYS float dot(const float *a, const float *b, int nv) {
    vf s = {0};
    for (int j = 0; j < nv; j++) s = fused_lanes(cvec(a)[j], cvec(b)[j], s);
    return sum1(s);
}

/* What m entries say of v: t = z.v. */
ALWAYS void dots(const int m, const float *const *z, const float *v, const int nv, quad *t) {
    vf acc[8];
    for (int e = 0; e < m; e++) acc[e] = (vf){0};
    for (int j = 0; j < nv; j++) {
        const vf x = cvec(v)[j];
#pragma GCC unroll 8
        for (int e = 0; e < m; e++) acc[e] = fused_lanes(cvec(z[e])[j], x, acc[e]);
    }
    for (int h = 0; h < m / 4; h++) t[h] = sum4(acc[4 * h], acc[4 * h + 1], acc[4 * h + 2], acc[4 * h + 3]);
}

/* out += sum over m entries of c (p - z.v) z where p is set, else of c (z.v) z. */
ALWAYS void pass_block(const int m, const float *const *z, const float *c, const float *p, const float *v, const int nv, vf *out) {
    quad t[2];
    dots(m, z, v, nv, t);
    for (int h = 0; h < m / 4; h++) {
        if (p) t[h] = cquad(p)[h] - t[h];
        t[h] *= cquad(c)[h];
    }
    if (nv > 4) __asm__ volatile("" ::: "memory");  /* else gcc keeps all of z since the dot products, on the stack */
    for (int j = 0; j < nv; j++) {
        vf s = out[j], u = {0};
#pragma GCC unroll 8
        for (int e = 0; e < m; e += 2) {
            s = fused_lanes(cvec(z[e])[j], all_lanes(t[e / 4][e % 4]), s);
            u = fused_lanes(cvec(z[e + 1])[j], all_lanes(t[e / 4][e % 4 + 1]), u);
        }
        out[j] = s + u;
    }
}

ALWAYS void pass_any(Work *w, const float *p, const float *v, const int nv, vf *out) {
    int k = 0;
    for (; k + 4 < w->n; k += 8) {
        fetch_ahead(w, 8, nv);
        pass_block(8, w->z + k, w->c + k, p ? p + k : NULL, v, nv, out);
    }
    for (; k < w->n; k += 4) pass_block(4, w->z + k, w->c + k, p ? p + k : NULL, v, nv, out);
}

/* v^T Z^T C Z v = sum of c (z.v)^2: all that a last step wants, at half the price of a pass. */
ALWAYS float curved(Work *w, const float *v, const int nv) {
    quad sum = {0}, t[2];
    int k = 0;
    for (; k + 4 < w->n; k += 8) {
        fetch_ahead(w, 8, nv);
        dots(8, w->z + k, v, nv, t);
        sum += cquad(w->c + k)[0] * t[0] * t[0];
        sum += cquad(w->c + k)[1] * t[1] * t[1];
    }
    for (; k < w->n; k += 4) {
        dots(4, w->z + k, v, nv, t);
        sum += cquad(w->c + k)[0] * t[0] * t[0];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void pass(Work *w, const float *p, const float *v, int nv, float *out) {
    switch (nv) {  /* known lengths unroll */
        case 64 / VL: pass_any(w, p, v, 64 / VL, vec(out)); break;
        case 128 / VL: pass_any(w, p, v, 128 / VL, vec(out)); break;
        default: pass_any(w, p, v, nv, vec(out));
    }
}
#endif
