/* Dense float32 micro-kernels of ALS: tiles of a matrix product, the Gram matrix, the rotation into a new basis.
 *
 * Layout: factors are row-major (n, ld), ld a multiple of 16, columns beyond the real factor count hold zeros.
 * Panels: a matrix (k, ld) is packed as ld / NR panels of (k, NR), so that a tile streams contiguous memory.
 * Every sum has a fixed order that depends on the sizes alone, so the answer is the same for any thread count.
 */
#ifndef RECENGINE_ALS_DENSE_H
#define RECENGINE_ALS_DENSE_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "fused.h"

#ifdef __AVX512F__
#define ROTATE_ROWS 12 /* 12 x 2 vectors of sums fill 24 of 32 registers */
#define GRAM_ROWS 8    /* divides NR */
#else
#define ROTATE_ROWS 6
#define GRAM_ROWS 4
#endif
#define NR (2 * VL)
#define GRAM_BLOCK 256   /* rows summed in float32 before they join a float64 sum; a panel of them is 32 KiB */
#define ROTATE_BLOCK 96  /* rows that share one pass over the basis; a multiple of 12 and 6 */

static void *aligned_bytes(size_t n) { return aligned_alloc(64, (n + 63) & ~(size_t)63); }

/* acc[rows][cols] = sum over k of a[row, k] * b[k, :]; a steps `ka` along k and `ra` along rows, b is a packed panel. */
ALWAYS void tile(const int rows, const int cols, const float *a, size_t ka, size_t ra, const float *b, int k, vf acc[][2]) {
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < cols; v++) acc[m][v] = (vf){0};
    for (int i = 0; i < k; i++, a += ka, b += cols * VL) {
        vf b0 = cvec(b)[0], b1 = b0;
        if (cols == 2) b1 = cvec(b)[1];
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++) {
            const vf s = all_lanes(a[m * ra]);
            acc[m][0] = fused_lanes(s, b0, acc[m][0]);
            if (cols == 2) acc[m][1] = fused_lanes(s, b1, acc[m][1]);
        }
    }
}

/* Pack k rows of width ld into panels of NR columns; the last one has VL columns where ld / VL is odd. Row by row, as they lie:
 * panel by panel the memory was asked for pieces of 128 bytes, and waiting for them was half of a Gram matrix. */
static void pack_panels(const float *const *rows, const float *scale, int k, int ld, float *out) {
    for (int i = 0; i < k; i++) {
        const vf s = all_lanes(scale ? scale[i] : 1.0f);
        for (int j = 0; j < ld; j += NR) {
            const int wide = ld - j < NR ? 1 : 2;
            for (int v = 0; v < wide; v++) vec(out + (size_t)j * k + (size_t)i * wide * VL)[v] = s * cvec(rows[i] + j)[v];
        }
    }
}

/* Upper triangle of sum over k rows of left^T right, handed tile by tile to `float *sum32` or `double *sum64` (one of them set). */
static void add_products(const float *left, const float *right, int k, int ld, float *sum32, double *sum64) {
    for (int j = 0; j < ld; j += NR) {
        const int width = ld - j < NR ? ld - j : NR;
        const float *b = right + (size_t)j * k;
        for (int i = 0; i < j + width; i += GRAM_ROWS) {
            const int base = i / NR * NR, wide = ld - base < NR ? ld - base : NR;
            const float *a = left + (size_t)base * k + (i - base);
            vf acc[GRAM_ROWS][2];
            if (width == NR) tile(GRAM_ROWS, 2, a, wide, 1, b, k, acc);
            else tile(GRAM_ROWS, 1, a, wide, 1, b, k, acc);
            for (int m = 0; m < GRAM_ROWS; m++) {
                const size_t at = (size_t)(i + m) * ld + j;
                const float *sums = (const float *)acc[m];
                if (sum64)
                    for (int c = 0; c < width; c++) sum64[at + c] += sums[c];
                else
                    for (int c = 0; c < width; c++) sum32[at + c] += sums[c];
            }
        }
    }
}

/* sums[chunk] (chunks, ld, ld), zeroed by the caller: upper triangle of F^T F over the rows of each chunk. Returns 0, or -1 without memory. */
static int als_gram(const float *f, int64_t n, int ld, double *sums, int chunks, int threads) {
    int failed = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int chunk = 0; chunk < chunks; chunk++) {
        float *panel = aligned_bytes(sizeof(float) * GRAM_BLOCK * ld);
        if (!panel) {
#pragma omp atomic write
            failed = 1;
            continue;
        }
        const float *rows[GRAM_BLOCK];
        const int64_t from = n * chunk / chunks, to = n * (chunk + 1) / chunks;
        for (int64_t r = from; r < to; r += GRAM_BLOCK) {
            const int k = (int)(to - r < GRAM_BLOCK ? to - r : GRAM_BLOCK);
            for (int i = 0; i < k; i++) rows[i] = f + (r + i) * ld;
            pack_panels(rows, NULL, k, ld, panel);
            add_products(panel, panel, k, ld, NULL, sums + (size_t)chunk * ld * ld);
        }
        free(panel);
    }
    return failed ? -1 : 0;
}

/* f[row] = f[row] Q in place for the n listed rows. Returns 0, or -1 without memory. */
static int als_rotate(float *f, const int32_t *list, int64_t n, int ld, const float *q, int threads) {
    int failed = 0;
    float *panels = aligned_bytes(sizeof(float) * (size_t)ld * ld);
    const float **rows = malloc(sizeof(float *) * ld);
    if (!panels || !rows) {
        free(panels);
        free(rows);
        return -1;
    }
    for (int i = 0; i < ld; i++) rows[i] = q + (size_t)i * ld;
    pack_panels(rows, NULL, ld, ld, panels);
    free(rows);
#pragma omp parallel num_threads(threads)
    {
        float *block = aligned_bytes(sizeof(float) * ROTATE_BLOCK * ld);
        if (!block) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t r = 0; r < n; r += ROTATE_BLOCK) {
            if (!block) continue;
            const int count = (int)(n - r < ROTATE_BLOCK ? n - r : ROTATE_BLOCK);
            for (int i = 0; i < count; i++) memcpy(block + (size_t)i * ld, f + (size_t)list[r + i] * ld, sizeof(float) * ld);
            memset(block + (size_t)count * ld, 0, sizeof(float) * (ROTATE_BLOCK - count) * ld);
            for (int j = 0; j < ld; j += NR) {
                const float *b = panels + (size_t)j * ld;
                const int vectors = ld - j < NR ? 1 : 2;
                for (int i = 0; i < count; i += ROTATE_ROWS) {
                    vf acc[ROTATE_ROWS][2];
                    if (vectors == 2) tile(ROTATE_ROWS, 2, block + (size_t)i * ld, 1, ld, b, ld, acc);
                    else tile(ROTATE_ROWS, 1, block + (size_t)i * ld, 1, ld, b, ld, acc);
                    for (int m = 0; m < ROTATE_ROWS && i + m < count; m++) {
                        float *out = f + (size_t)list[r + i + m] * ld + j;
                        for (int v = 0; v < vectors; v++) vec(out)[v] = acc[m][v];
                    }
                }
            }
        }
        free(block);
    }
    free(panels);
    return failed ? -1 : 0;
}
#endif
