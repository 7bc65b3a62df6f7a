/* BPR by stochastic gradient steps (Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009, figure 4) over disjoint blocks.
 *
 * Users and items are cut into `blocks` parts each, anew every epoch. In round s the user part b meets the item part (b + s) mod blocks,
 * and negatives come from that same item part: what runs at the same time shares no row, so the answer does not depend on how many
 * threads there are (Gemulla, Nijkamp, Haas, Sismanis 2011, "strata"). Over the epochs every item is as likely a negative of an entry as
 * any other, for the parts are random. A part's vectors fit in the second-level cache, which is what makes it fast.
 */
#ifndef RECENGINE_BPR_H
#define RECENGINE_BPR_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "fused.h"

#define CHUNK 64 /* negatives that are drawn, and whose rows are asked for, before the first of their steps is made */
#define BPR_MOST_BLOCKS 256
#define BPR_FOLD_KEY 0x5851f42d4c957f2dull
#define TRIES 16 /* draws of a negative before the step is left out: a user of (nearly) all items has none */

typedef struct { int32_t user, item; float weight; } Entry;

/* Negatives by the alias method (Walker 1977): slot k stands for items[k] with probability keep[k] / 2^32, else for items[other[k]]. */
typedef struct { const int32_t *items; const uint32_t *keep; const int32_t *other; uint32_t n; } Urn;

/* splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection whose every output bit hangs on every input bit */
ALWAYS uint64_t bpr_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* draw number k for (user, item): a function of its arguments alone */
ALWAYS uint64_t bpr_draw(uint64_t key, uint32_t user, uint32_t item, uint32_t k) {
    return bpr_mix(bpr_mix(key ^ ((uint64_t)user << 32 | item)) + 0x9e3779b97f4a7c15ull * (k + 1));
}

/* is `item` among n > 0 ascending ones? Without branches: they would be mispredicted. */
ALWAYS int bpr_among(const int32_t *row, int64_t n, int32_t item) {
    while (n > 1) {
        const int64_t half = n >> 1;
        row += (row[half - 1] < item) * half;
        n -= half;
    }
    return *row == item;
}

/* a negative of (user, item), or -1 */
ALWAYS int32_t bpr_negative(const Urn *urn, uint64_t key, uint32_t user, uint32_t item, uint32_t k, const int32_t *row, int64_t length) {
    for (uint32_t t = 0; t < TRIES; t++) {
        const uint64_t r = bpr_draw(key, user, item, k * TRIES + t);
        uint32_t slot = (uint32_t)(((r >> 32) * urn->n) >> 32);
        if (urn->keep && (uint32_t)r >= urn->keep[slot]) slot = (uint32_t)urn->other[slot];
        const int32_t found = urn->items[slot];
        if (!bpr_among(row, length, found)) return found;
    }
    return -1;
}

ALWAYS float bpr_sum(vf v) {
    float s = 0;
    for (int i = VL / 2; i; i >>= 1)
        for (int k = 0; k < i; k++) v[k] += v[k + i];
    return s + v[0];
}

/* x . (p - n), by four sums */
ALWAYS float bpr_margin(const float *x, const float *p, const float *n, const int ld) {
    vf s[4] = {{0}, {0}, {0}, {0}};
    _Pragma("GCC unroll 8")
    for (int k = 0; k < ld / VL; k++) s[k & 3] = fused_lanes(*cvec(x + k * VL), *cvec(p + k * VL) - *cvec(n + k * VL), s[k & 3]);
    return bpr_sum((s[0] + s[1]) + (s[2] + s[3]));
}

ALWAYS float bpr_dot(const float *x, const float *y, const int ld) {
    vf s[4] = {{0}, {0}, {0}, {0}};
    _Pragma("GCC unroll 8")
    for (int k = 0; k < ld / VL; k++) s[k & 3] = fused_lanes(*cvec(x + k * VL), *cvec(y + k * VL), s[k & 3]);
    return bpr_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* 1 / (1 + e^m): the slope of ln sigmoid(m) */
ALWAYS float bpr_slope(float m) { return 1.0f / (1.0f + expf(m)); }

typedef struct { float *users, *items, *bias; float rate, decay, bias_decay; } Model;

/* the best scored of `hardest` drawn negatives (the first of equals), or -1 */
ALWAYS int32_t bpr_hardest(const Model *m, const Entry *e, const int32_t *drawn, int hardest, const int ld) {
    const float *x = m->users + (int64_t)e->user * ld;
    int32_t best = drawn[0];
    float most = 0;
    if (hardest > 1 && best >= 0) most = bpr_dot(x, m->items + (int64_t)best * ld, ld) + m->bias[best];
    for (int h = 1; h < hardest; h++) {
        if (drawn[h] < 0) continue;
        const float s = bpr_dot(x, m->items + (int64_t)drawn[h] * ld, ld) + m->bias[drawn[h]];
        if (best < 0 || s > most) { best = drawn[h]; most = s; }
    }
    return best;
}

ALWAYS void bpr_step(const Model *m, const Entry *e, int32_t negative, const int ld) {
    float *x = m->users + (int64_t)e->user * ld, *p = m->items + (int64_t)e->item * ld, *n = m->items + (int64_t)negative * ld;
    float *bp = m->bias + e->item, *bn = m->bias + negative;
    const float a = m->rate * e->weight * bpr_slope(bpr_margin(x, p, n, ld) + *bp - *bn);
    const vf s = all_lanes(m->decay), up = all_lanes(a);
    _Pragma("GCC unroll 8")
    for (int k = 0; k < ld; k += VL) {
        const vf xv = *cvec(x + k), pv = *cvec(p + k), nv = *cvec(n + k);
        *vec(x + k) = fused_lanes(pv - nv, up, s * xv);
        *vec(p + k) = fused_lanes(xv, up, s * pv);
        *vec(n + k) = fused_lanes(-xv, up, s * nv);
    }
    *bp = fused(m->bias_decay, *bp, a);
    *bn = fused(m->bias_decay, *bn, -a);
}

ALWAYS void bpr_rows(const float *row, const int ld) {
    for (int k = 0; k < ld; k += 16) __builtin_prefetch(row + k, 1);
}

/* all steps of one bucket */
ALWAYS void bpr_bucket(const Model *m, const Entry *entries, int64_t count, const Urn *urn, uint64_t key, int negatives, int hardest,
                       const int64_t *indptr, const int32_t *row_items, const int ld) {
    int32_t drawn[CHUNK];
    const int64_t steps = count * negatives;
    const int most = CHUNK / hardest;
    for (int64_t start = 0; start < steps; start += most) {
        const int size = (int)(steps - start < most ? steps - start : most);
        for (int q = 0; q < size; q++) {
            const Entry *e = entries + (start + q) / negatives;
            const int64_t first = indptr[e->user];
            bpr_rows(m->users + (int64_t)e->user * ld, ld);
            bpr_rows(m->items + (int64_t)e->item * ld, ld);
            for (int h = 0; h < hardest; h++) {
                const uint32_t k = (uint32_t)((start + q) % negatives * hardest + h);
                const int32_t found = drawn[q * hardest + h] =
                    bpr_negative(urn, key, (uint32_t)e->user, (uint32_t)e->item, k, row_items + first, indptr[e->user + 1] - first);
                if (found >= 0) bpr_rows(m->items + (int64_t)found * ld, ld);
            }
        }
        for (int q = 0; q < size; q++) {
            const Entry *e = entries + (start + q) / negatives;
            const int32_t found = bpr_hardest(m, e, drawn + q * hardest, hardest, ld);
            if (found >= 0) bpr_step(m, e, found, ld);
        }
    }
}

static void bpr_any(const Model *m, const Entry *entries, int64_t count, const Urn *urn, uint64_t key, int negatives, int hardest,
                    const int64_t *indptr, const int32_t *row_items, int ld) {
    switch (ld) { /* lengths known to the compiler unroll whole */
        case 32: bpr_bucket(m, entries, count, urn, key, negatives, hardest, indptr, row_items, 32); break;
        case 64: bpr_bucket(m, entries, count, urn, key, negatives, hardest, indptr, row_items, 64); break;
        case 128: bpr_bucket(m, entries, count, urn, key, negatives, hardest, indptr, row_items, 128); break;
        default: bpr_bucket(m, entries, count, urn, key, negatives, hardest, indptr, row_items, ld);
    }
}

/* where part b of `blocks` begins among n */
ALWAYS int64_t bpr_from(int64_t n, int64_t b, int64_t blocks) { return n * b / blocks; }

/* Alias tables of the parts of `order`: item i is drawn within its part in proportion to mass[i] > 0 (Vose 1991). 0, or -1 without memory. */
static int bpr_urns(const float *mass, const int32_t *order, int64_t n, int blocks, uint32_t *keep, int32_t *other, int threads) {
    double *share = malloc((n ? n : 1) * sizeof *share);
    int32_t *stack = malloc((n ? n : 1) * sizeof *stack);
    if (share && stack) {
        #pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t from = bpr_from(n, b, blocks), size = bpr_from(n, b + 1, blocks) - from;
            double sum = 0, *p = share + from;
            int64_t poor = 0, rich = size; /* indices below 1 from the front, others from the back */
            for (int64_t k = 0; k < size; k++) sum += mass[order[from + k]];
            for (int64_t k = 0; k < size; k++) {
                p[k] = mass[order[from + k]] * (double)size / sum;
                if (p[k] < 1) stack[from + poor++] = (int32_t)k; else stack[from + --rich] = (int32_t)k;
                keep[from + k] = UINT32_MAX;
                other[from + k] = (int32_t)k;
            }
            while (poor > 0 && rich < size) {
                const int32_t k = stack[from + --poor], r = stack[from + rich];
                keep[from + k] = (uint32_t)(p[k] * 4294967295.0);
                other[from + k] = r;
                p[r] -= 1 - p[k];
                if (p[r] < 1) { rich++; stack[from + poor++] = r; }
            }
        }
    }
    const int failed = !share || !stack;
    free(share); free(stack);
    return failed ? -1 : 0;
}

/* One pass over the entries. `indptr`, `items` (ascending in a row) and `weights` are the positive entries; `user_order` and `item_order`
 * this epoch's order of the rows that have any; `keep` and `other` (NULL = uniform) the alias tables, one a part, indexed within it. 0, or
 * -1 without memory. */
static int bpr_epoch(Model m, int ld, int64_t n_items, const int64_t *indptr, const int32_t *items, const float *weights,
                     const int32_t *user_order, int64_t users, const int32_t *item_order, int64_t sold, const uint32_t *keep,
                     const int32_t *other, int blocks, int negatives, int hardest, uint64_t key, int threads) {
    int64_t *starts = malloc(((int64_t)blocks * blocks + 1) * sizeof *starts), total = 0;
    uint16_t *part = malloc((n_items ? n_items : 1) * sizeof *part);
    Entry *bucket = NULL;
    if (starts && part) {
        for (int64_t b = 0; b < blocks; b++) {
            starts[b * blocks] = total;
            for (int64_t r = bpr_from(users, b, blocks); r < bpr_from(users, b + 1, blocks); r++)
                total += indptr[user_order[r] + 1] - indptr[user_order[r]];
            for (int64_t r = bpr_from(sold, b, blocks); r < bpr_from(sold, b + 1, blocks); r++) part[item_order[r]] = (uint16_t)b;
        }
        bucket = malloc((total ? total : 1) * sizeof *bucket);
    }
    int failed = bucket == NULL;
    if (!failed) {
        starts[(int64_t)blocks * blocks] = total;
        #pragma omp parallel num_threads(threads)
        {
            #pragma omp for schedule(dynamic)
            for (int64_t b = 0; b < blocks; b++) { /* sort the entries of a user part by item part */
                int64_t *at = starts + b * blocks, next[BPR_MOST_BLOCKS] = {0}, sum = at[0];
                const int64_t from = bpr_from(users, b, blocks), to = bpr_from(users, b + 1, blocks);
                for (int64_t r = from; r < to; r++)
                    for (int64_t e = indptr[user_order[r]]; e < indptr[user_order[r] + 1]; e++) next[part[items[e]]]++;
                for (int64_t c = 0; c < blocks; c++) {
                    const int64_t size = next[c];
                    if (c) at[c] = sum; /* at[0] stands already, and others read it */
                    next[c] = sum;
                    sum += size;
                }
                for (int64_t r = from; r < to; r++) {
                    const int32_t u = user_order[r];
                    for (int64_t e = indptr[u]; e < indptr[u + 1]; e++) bucket[next[part[items[e]]]++] = (Entry){u, items[e], weights[e]};
                }
            }
            for (int64_t s = 0; s < blocks; s++) {
                #pragma omp for schedule(dynamic)
                for (int64_t b = 0; b < blocks; b++) {
                    const int64_t c = (b + s) % blocks, slot = bpr_from(sold, c, blocks), *at = starts + b * blocks + c;
                    const Urn urn = {item_order + slot, keep ? keep + slot : NULL, keep ? other + slot : NULL, (uint32_t)(bpr_from(sold, c + 1, blocks) - slot)};
                    bpr_any(&m, bucket + at[0], at[1] - at[0], &urn, key, negatives, hardest, indptr, items, ld);
                }
            }
        }
    }
    free(bucket); free(part); free(starts);
    return failed ? -1 : 0;
}

static int bpr_by_item(const void *a, const void *b) { return ((const Entry *)a)->item - ((const Entry *)b)->item; }

/* x of one row against fixed items: `passes` over its entries, with steps that shrink to nothing, so that the noise of the draws does too */
static void bpr_fold_row(const float *items, int64_t n_items, int64_t stride, int ld, const int32_t *row, const float *weights, int64_t length,
                         const Urn *urn, int passes, int hardest, float rate, float regularization, float *x, Entry *kept, int32_t *known) {
    int64_t n = 0;
    for (int64_t e = 0; e < length; e++)
        if (weights[e] > 0 && row[e] >= 0 && row[e] < n_items && !isnan(items[row[e] * stride])) kept[n++] = (Entry){0, row[e], weights[e]};
    qsort(kept, n, sizeof *kept, bpr_by_item);
    for (int64_t e = 0; e < n; e++) known[e] = kept[e].item;
    for (int k = 0; k < ld; k++) x[k] = n ? 0.0f : NAN;
    for (int64_t q = 0; q < n * passes; q++) {
        const Entry *e = kept + q % n;
        int32_t drawn = -1;
        float most = 0;
        for (int h = 0; h < hardest; h++) {
            const int32_t found = bpr_negative(urn, BPR_FOLD_KEY, 0, (uint32_t)e->item, (uint32_t)(q / n * hardest + h), known, n);
            if (found < 0) continue;
            const float *y = items + found * stride, score = hardest > 1 ? bpr_dot(x, y, ld) + y[ld] : 0;
            if (drawn < 0 || score > most) { drawn = found; most = score; }
        }
        if (drawn < 0) continue;
        const float *p = items + e->item * stride, *m = items + drawn * stride;
        const float now = rate * (float)(n * passes - q) / (float)(n * passes);
        const float a = now * e->weight * bpr_slope(bpr_margin(x, p, m, ld) + p[ld] - m[ld]);
        const vf s = all_lanes(1.0f - now * regularization), up = all_lanes(a);
        for (int k = 0; k < ld; k += VL) *vec(x + k) = fused_lanes(*cvec(p + k) - *cvec(m + k), up, s * *cvec(x + k));
    }
}

/* `items` (n_items, ld + 1): vector, then bias; NaN rows have none. `sold` are the items that have one. 0, or -1 without memory. */
static int bpr_fold(const float *items, int64_t n_items, int ld, const int64_t *indptr, const int32_t *row_items, const float *weights,
                    int64_t rows, const int32_t *sold, int64_t n_sold, const uint32_t *keep, const int32_t *other, int passes, int hardest, float rate,
                    float regularization, float *out, int threads) {
    const Urn urn = {sold, keep, other, (uint32_t)n_sold};
    int64_t longest = 1;
    int failed = 0;
    for (int64_t r = 0; r < rows; r++) if (indptr[r + 1] - indptr[r] > longest) longest = indptr[r + 1] - indptr[r];
    #pragma omp parallel num_threads(threads)
    {
        Entry *kept = malloc(longest * sizeof *kept);
        int32_t *known = malloc(longest * sizeof *known);
        if (!kept || !known) {
            #pragma omp atomic write
            failed = 1;
        }
        #pragma omp for schedule(dynamic, 8)
        for (int64_t r = 0; r < rows; r++)
            if (kept && known)
                bpr_fold_row(items, n_items, ld + 1, ld, row_items + indptr[r], weights + indptr[r], indptr[r + 1] - indptr[r], &urn,
                             passes, hardest, rate, regularization, out + r * ld, kept, known);
        free(kept); free(known);
    }
    return failed ? -1 : 0;
}
#endif
