/* Features -> columns of a model's matrix, sixteen rows at a time; the kernel is transform.pyx.
 *
 * A block of rows is computed column by column into a tile (column-major), then turned into rows four by four. Every value goes through the
 * same operations in the same order wherever it stands: plain additions and multiplications (nothing fused, nothing from libm), so that the
 * bits depend neither on the position in the batch, nor on its size, nor on the machine.
 */
#ifndef RECENGINE_TRANSFORM_H
#define RECENGINE_TRANSFORM_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "fused.h"

enum { AFFINE, LOG, CURVE, TABLE, CYCLIC };
enum { OP, COLUMN, WIDTH, AT, LENGTH, SEEN, STEP };           /* of a row of `steps`; SEEN < 0: all codes of the table are seen */
enum { DEFAULT, CENTER, SCALE, LOW, HIGH, MISSING, NUMBERS }; /* of a row of `numbers` */
#define BLOCK 64 /* rows of a tile */
#define KNOTS 256

typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

ALWAYS vf pick(vi where, vf a, vf b) { return (vf)((where & (vi)a) | (~where & (vi)b)); }

/* Within [low, high]; NaN stays. */
ALWAYS vf clip(vf y, vf low, vf high) {
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)high, _mm512_max_ps((__m512)low, (__m512)y)); /* of two that do not compare, the second */
#elif defined(__AVX__)
    return (vf)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)y));
#else
    y = pick(y < low, low, y);
    return pick(y > high, high, y);
#endif
}

/* log(1 + a) of 0 <= a <= FLT_MAX: exponent and a polynomial of degree 9 on [sqrt 1/2, sqrt 2) (Moshier, Cephes, logf); what 1 + a rounds away is
 * put back. Of NaN it is some number. */
ALWAYS vf log1p_lanes(vf a) {
    const vf u = 1.0f + a;
    const vf lost = (vf)((vi)(a - (u - 1.0f)) & (u < 2.0f));
    const vi exponent = ((vi)u - 0x3f3504f3) >> 23; /* from sqrt 1/2 on */
    const vf e = __builtin_convertvector(exponent, vf);
    const vf f = (vf)((vi)u - (exponent << 23)) - 1.0f, z = f * f, z3 = z * f;
    const vf y2 = (f * 7.0376836292e-2f - 1.1514610310e-1f) * f + 1.1676998740e-1f; /* by threes (Estrin), so that the products */
    const vf y1 = (f * -1.2420140846e-1f + 1.4249322787e-1f) * f - 1.6668057665e-1f; /* do not wait for each other */
    const vf y0 = (f * 2.0000714765e-1f - 2.4999993993e-1f) * f + 3.3333331174e-1f;
    const vf y = ((y2 * z3 + y1) * z3 + y0) * z3 - e * 2.12194440e-4f - z * 0.5f;
    return f + y + e * 0.693359375f + lost;
}

/* The sine and cosine of a turn t, by quarters (Moshier, Cephes, sinf and cosf). */
ALWAYS void turn_lanes(vf t, vf *sine, vf *cosine) {
    const vf rounder = all_lanes(12582912.0f); /* 1.5 * 2^23: adding it rounds to whole numbers */
    const vf quarter = (t * 4.0f + rounder) - rounder;
    const vf a = (t - quarter * 0.25f) * 6.28318531f, z = a * a;
    const vf s = ((z * -1.9515295891e-4f + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * a + a;
    const vf c = ((z * 2.443315711809948e-5f - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - z * 0.5f + 1.0f;
    const vi k = __builtin_convertvector(quarter, vi);
    const vi odd = (k & 1) != 0, sine_down = (k & 2) != 0, cosine_down = ((k + 1) & 2) != 0;
    const vf p = pick(odd, c, s), q = pick(odd, s, c);
    *sine = pick(sine_down, -p, p);
    *cosine = pick(cosine_down, -q, q);
}

/* How many lanes are set. */
ALWAYS int lanes_set(vi where) {
#if defined(__AVX512DQ__)
    return __builtin_popcount(_mm512_movepi32_mask((__m512i)where));
#elif defined(__AVX__) && !defined(__AVX512F__)
    return __builtin_popcount((unsigned)_mm256_movemask_ps((__m256)where));
#else
    int count = 0;
    for (int l = 0; l < VL; l++) count -= where[l];
    return count;
#endif
}

/* The last of the knots that is <= x, for first knot <= x <= last knot; `block` = how many of every 16th knot are <= x. */
ALWAYS int32_t knot_of(const float *knots, int32_t block, int32_t length, float x) {
    int32_t count = block * 16 - 1;
    if (block < KNOTS / 16)
        for (int j = 0; j < 16; j += VL) count += lanes_set(all_lanes(x) >= *cvec(knots + block * 16 + j));
    return count < length ? count : length - 1;
}

ALWAYS void affine_block(const float *x, int rows, const float *number, float *out) {
    const vf center = all_lanes(number[CENTER]), scale = all_lanes(number[SCALE]);
    const vf low = all_lanes(number[LOW]), high = all_lanes(number[HIGH]), absent = all_lanes(number[MISSING]);
    for (int i = 0; i < rows; i += VL) {
        const vf y = clip((*cvec(x + i) - center) * scale, low, high);
        *vec(out + i) = pick(y != y, absent, y); /* missing, or infinity times a scale of 0 */
    }
}

/* The same of logarithms. What a user did with the items is nothing for nearly all of them: values equal to the last ones are not computed again. */
ALWAYS void log_block(const float *x, int rows, const float *number, float *out) {
    const vf center = all_lanes(number[CENTER]), scale = all_lanes(number[SCALE]);
    const vf low = all_lanes(number[LOW]), high = all_lanes(number[HIGH]), absent = all_lanes(number[MISSING]);
    const vf least = {0}, most = all_lanes(3.4028235e38f);
    for (int i = 0; i < rows; i += VL) {
        const vf a = *cvec(x + i);
        if (i && lanes_set((vi)a != *(const vi *)(x + i - VL)) == 0) {
            *vec(out + i) = *vec(out + i - VL);
            continue;
        }
        const vf y = clip((log1p_lanes(clip(a, least, most)) - center) * scale, low, high);
        *vec(out + i) = pick(a != a, absent, y);
    }
}

ALWAYS void curve_block(const float *x, int rows, const float *number, const float *table, int32_t length, float *out) {
    const float *knots = table, *ranks = table + KNOTS, *slopes = table + 2 * KNOTS, *ends = table + 3 * KNOTS;
    const vf low = all_lanes(number[LOW]), high = all_lanes(number[HIGH]);
    float inside[BLOCK];
    int32_t block[BLOCK];
    for (int i = 0; i < rows; i += VL) {
        const vf a = *cvec(x + i), c = clip(pick(a != a, low, a), low, high);
        vi count = {0};
        for (int j = 0; j < KNOTS / 16; j++) count -= c >= all_lanes(ends[j]);
        *vec(inside + i) = c;
        *(vi *)(block + i) = count;
    }
    for (int i = 0; i < rows; i++) {
        const int32_t k = knot_of(knots, block[i], length, inside[i]);
        out[i] = ranks[k] + (inside[i] - knots[k]) * slopes[k];
        __asm__ volatile(""); /* as a vector it would gather, which takes three times as long here */
    }
    for (int i = 0; i < rows; i += VL) *vec(out + i) = pick(*cvec(x + i) != *cvec(x + i), all_lanes(number[MISSING]), *cvec(out + i));
}

ALWAYS void cyclic_block(const float *x, int rows, const float *number, float *out) {
    const vf scale = all_lanes(number[SCALE]), absent = all_lanes(number[MISSING]);
    for (int i = 0; i < rows; i += VL) {
        vf sine, cosine;
        const vf t = *cvec(x + i) * scale;
        const vi near = (t < 1e6f) & (t > -1e6f); /* beyond, nothing is left of the fraction */
        turn_lanes(pick(near, t, (vf){0}), &sine, &cosine);
        *vec(out + i) = pick(near, sine, absent);
        *vec(out + BLOCK + i) = pick(near, cosine, absent);
    }
}

/* One step over `rows` <= BLOCK values `x`, readable up to whole registers; narrow columns go to the tile, those of a wide table to `which`
 * (a row of the table for each value). */
static void transform_block(const float *x, int rows, const int32_t *step, const float *number, const float *tables, const uint8_t *seen,
                            float *tile, int32_t *which, int64_t *missing, int64_t *unseen) {
    float filled[BLOCK];
    int misses = 0;
    for (int i = 0; i < rows; i += VL) misses += lanes_set(*cvec(x + i) != *cvec(x + i));
    *missing += misses;
    if (misses && number[DEFAULT] == number[DEFAULT]) {
        for (int i = 0; i < rows; i += VL) {
            const vf a = *cvec(x + i);
            *vec(filled + i) = pick(a != a, all_lanes(number[DEFAULT]), a);
        }
        x = filled;
    }
    const float *table = tables + step[AT];
    const int32_t length = step[LENGTH];
    float *out = tile + (int64_t)step[COLUMN] * BLOCK;
    switch (step[OP]) {
    case AFFINE: affine_block(x, rows, number, out); return;
    case LOG: log_block(x, rows, number, out); return;
    case CURVE: curve_block(x, rows, number, table, length, out); return;
    case CYCLIC: cyclic_block(x, rows, number, out); return;
    }
    int beyond = 0;
    for (int i = 0; i < rows; i += VL) {
        const vf code = *cvec(x + i);
        const vi known = (code >= 0.0f) & (code < (float)length), over = code >= (float)length;
        const vi row = __builtin_convertvector(pick(known, code, (vf){0}), vi);
        *(vi *)(which + i) = row | (over & length) | (~(known | over) & (length + 1));
    }
    if (step[SEEN] >= 0)
        for (int i = 0; i < rows; i++) beyond += !seen[step[SEEN] + which[i]];
    else
        for (int i = 0; i < rows; i++) beyond += which[i] == length;
    *unseen += beyond;
    if (step[WIDTH] == 1)
        for (int i = 0; i < rows; i++) out[i] = table[which[i]];
}

/* Columns [begin, end) of the tile become parts of `rows` rows of `out`, `width` apart. */
static void lay_rows(const float *tile, int rows, int64_t begin, int64_t end, int64_t width, float *out) {
    int r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float *from = tile + r;
        float *to = out + r * width;
        int64_t c = begin;
        for (; c + 4 <= end; c += 4) {
            const float *at = from + c * BLOCK;
            __m128 p = _mm_loadu_ps(at), q = _mm_loadu_ps(at + BLOCK), s = _mm_loadu_ps(at + 2 * BLOCK), t = _mm_loadu_ps(at + 3 * BLOCK);
            _MM_TRANSPOSE4_PS(p, q, s, t);
            _mm_storeu_ps(to + c, p);
            _mm_storeu_ps(to + width + c, q);
            _mm_storeu_ps(to + 2 * width + c, s);
            _mm_storeu_ps(to + 3 * width + c, t);
        }
        for (; c < end; c++)
            for (int i = 0; i < 4; i++) to[i * width + c] = from[c * BLOCK + i];
    }
    for (; r < rows; r++)
        for (int64_t c = begin; c < end; c++) out[r * width + c] = tile[c * BLOCK + r];
}

/* A row of a table: the last register overlaps the one before, since a tail of single columns took longer than all the rest. */
ALWAYS void lay_row(const float *from, int64_t columns, float *to) {
    int64_t c = 0;
    if (columns >= VL) {
        for (; c + VL <= columns; c += VL) *vec(to + c) = *cvec(from + c);
        *vec(to + columns - VL) = *cvec(from + columns - VL);
    } else if (columns >= 8) {
        *(v8 *)to = *(const v8 *)from;
        *(v8 *)(to + columns - 8) = *(const v8 *)(from + columns - 8);
    } else if (columns >= 4) {
        _mm_storeu_ps(to, _mm_loadu_ps(from));
        _mm_storeu_ps(to + columns - 4, _mm_loadu_ps(from + columns - 4));
    } else
        for (; c < columns; c++) to[c] = from[c];
}

/* `values`: rows `stride` apart; step s reads row `places[s]`. `constant[s]`: only its first value is read, and stands for all. `tile`: width x BLOCK floats.
 * `which`: S x BLOCK. `counts`: missing by step, then unseen by step; they are added to. */
static void transform_rows(const float *values, int64_t stride, const int32_t *places, int64_t n, const uint8_t *constant, const int32_t *steps,
                           const float *numbers, int64_t S, const float *tables, const uint8_t *seen, float *tile, int32_t *which, int64_t width,
                           float *out, int64_t *counts) {
    float padded[BLOCK];
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        const int rows = n - begin < BLOCK ? (int)(n - begin) : BLOCK;
        for (int64_t s = 0; s < S; s++) {
            const int32_t *step = steps + s * STEP;
            const float *x = values + places[s] * stride + begin;
            int64_t missing = 0, unseen = 0;
            if (constant[s]) {
                if (begin) continue; /* it stands in the tile already */
                for (int i = 0; i < BLOCK; i++) padded[i] = *x;
                transform_block(padded, BLOCK, step, numbers + s * NUMBERS, tables, seen, tile, which + s * BLOCK, &missing, &unseen);
                counts[s] += missing ? n : 0;
                counts[S + s] += unseen ? n : 0;
                continue;
            }
            if (rows < BLOCK) {
                memcpy(padded, x, rows * sizeof(float));
                for (int i = rows; i < BLOCK; i++) padded[i] = 0;
                x = padded;
            }
            transform_block(x, rows, step, numbers + s * NUMBERS, tables, seen, tile, which + s * BLOCK, &missing, &unseen);
            counts[s] += missing;
            counts[S + s] += unseen;
        }
        float *here = out + begin * width;
        for (int64_t s = 0, run = 0; s <= S; s++) { /* a run of narrow columns ends at a wide table */
            const int32_t *step = steps + s * STEP;
            const int64_t column = s < S ? step[COLUMN] : width;
            const int wide = s < S && step[OP] == TABLE && step[WIDTH] != 1;
            if (!wide && s < S) continue;
            lay_rows(tile, rows, run, column, width, here);
            if (!wide) break;
            const int64_t columns = step[WIDTH];
            for (int r = 0; r < rows; r++) lay_row(tables + step[AT] + which[s * BLOCK + r] * columns, columns, here + r * width + column);
            run = column + columns;
        }
    }
}
#endif
