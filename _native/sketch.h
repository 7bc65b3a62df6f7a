/* Which items cannot be among the n best, from one byte a factor: bounds of dot products, then the dot products of the few that are left.
 *
 * An item x is kept as codes in -127..127 and a scale, y = scale * codes; so is the query, p for q. By Cauchy and Schwarz
 *     q.x = p.y + (q - p).y + q.(x - y) <= p.y + |q - p| |y| + |q| |x - y|
 * and p.y is an exact integer times two scales. Items stand by falling norm, 16 a panel; a panel keeps its largest norm and its largest
 * loss |x - y|. A panel whose |q| |x| is below the n-th best score so far ends the scan (LEMP, Teflioudi et al. 2015; the integer bound as
 * in FEXIPRO, Li et al. 2017). What the bound lets pass is scored from the rows themselves, in the order of factors as everywhere, so the
 * answer is that of the full scan, bit for bit: the bounds only say what need not be looked at, and are widened by more than any rounding.
 *
 * Codes are stored with 128 added, [panel][4 factors][16 items][4 bytes], for the multiply-adds of bytes that the machine has.
 */
#ifndef RECENGINE_SKETCH_H
#define RECENGINE_SKETCH_H
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#define SKETCH_STEP 4 /* panels at a time: their independent sums hide the latency */

/* The codes of `rows[ids[i]]`, i < count, in panels of 16; what is beyond has id -1. `norms` by item comes in, `norm` and `loss` by panel go out. */
static void sketch_rows(const float *rows, int64_t factors, const int32_t *ids, const double *norms, int64_t panels, uint8_t *codes, float *scales,
                        float *norm, float *loss) {
    const int64_t quads = (factors + 3) / 4;
    for (int64_t i = 0; i < panels * LANES; i++) {
        const int64_t panel = i / LANES, lane = i % LANES;
        uint8_t *at = codes + panel * quads * 64 + lane * 4;
        const float *row = ids[i] < 0 ? 0 : rows + (int64_t)ids[i] * factors;
        float most = 0;
        double lost = 0;
        if (lane == 0) norm[panel] = loss[panel] = 0;
        for (int64_t k = 0; row && k < factors; k++) most = fabsf(row[k]) > most ? fabsf(row[k]) : most;
        scales[i] = most > 1e-30f ? most / 127 : 0; /* what is smaller is all loss */
        for (int64_t k = 0; k < quads * 4; k++) {
            const float x = row && k < factors ? row[k] : 0;
            float code = scales[i] > 0 ? rintf(x / scales[i]) : 0;
            code = code > 127 ? 127 : code < -127 ? -127 : code;
            at[k / 4 * 64 + k % 4] = (uint8_t)(code + 128);
            lost += (x - (double)scales[i] * code) * (x - (double)scales[i] * code);
        }
        if (!row) continue;
        lost = sqrt(lost) * (1 + 1e-6);
        if (lost > loss[panel]) loss[panel] = (float)(lost * (1 + 1e-6));
        if (norms[ids[i]] * (1 + 1e-6) > norm[panel]) norm[panel] = (float)(norms[ids[i]] * (1 + 2e-6));
    }
}

typedef struct {
    const float *query;
    double norm, off, scale; /* |q|, |q - p|, the scale of the codes */
    int32_t total;           /* the sum of the codes */
    int8_t *codes;           /* padded to whole quads */
} sketched;

/* Write a query's codes; 0 where the bounds would not hold: a NaN, or numbers at the ends of float32's range. */
static int sketch_query(const float *query, int64_t factors, double largest, int8_t *codes, sketched *out) {
    const int64_t padded = (factors + 3) / 4 * 4;
    double square = 0, off = 0;
    float most = 0;
    for (int64_t k = 0; k < factors; k++) {
        square += (double)query[k] * query[k];
        most = fabsf(query[k]) > most ? fabsf(query[k]) : most;
    }
    if (!(most > 1e-30f && sqrt(square) * (largest + 1) < 1e30)) return 0;
    const float scale = most / 127;
    out->total = 0;
    for (int64_t k = 0; k < padded; k++) {
        const float x = k < factors ? query[k] : 0;
        float code = rintf(x / scale);
        code = code > 127 ? 127 : code < -127 ? -127 : code;
        codes[k] = (int8_t)code;
        out->total += (int32_t)code;
        off += (x - (double)scale * code) * (x - (double)scale * code);
    }
    *out = (sketched){query, sqrt(square) * (1 + 1e-6), sqrt(off) * (1 + 1e-6), scale, out->total, codes};
    return 1;
}

/* The integer dots of SKETCH_STEP panels, [panel][item]. */
static inline void sketch_dots(const uint8_t *panels, int64_t quads, const sketched *q, int32_t *out) {
#if defined(__AVX512VNNI__)
    __m512i sum[SKETCH_STEP];
    for (int p = 0; p < SKETCH_STEP; p++) sum[p] = _mm512_set1_epi32(-128 * q->total);
    for (int64_t k = 0; k < quads; k++) {
        int32_t four;
        memcpy(&four, q->codes + 4 * k, 4);
        const __m512i query = _mm512_set1_epi32(four);
        _Pragma("GCC unroll 4")
        for (int p = 0; p < SKETCH_STEP; p++) sum[p] = _mm512_dpbusd_epi32(sum[p], _mm512_loadu_si512(panels + (p * quads + k) * 64), query);
    }
    for (int p = 0; p < SKETCH_STEP; p++) _mm512_storeu_si512(out + p * LANES, sum[p]);
#elif defined(__AVX2__)
    const __m256i middle = _mm256_set1_epi8((char)-128), one = _mm256_set1_epi16(1);
    __m256i sum[2 * SKETCH_STEP];
    for (int h = 0; h < 2 * SKETCH_STEP; h++) sum[h] = _mm256_setzero_si256();
    for (int64_t k = 0; k < quads; k++) {
        int32_t four;
        memcpy(&four, q->codes + 4 * k, 4);
        const __m256i query = _mm256_set1_epi32(four), size = _mm256_abs_epi8(query);
        _Pragma("GCC unroll 8")
        for (int h = 0; h < 2 * SKETCH_STEP; h++) {
            const __m256i item = _mm256_loadu_si256((const __m256i *)(panels + (h / 2 * quads + k) * 64 + h % 2 * 32));
            const __m256i pair = _mm256_maddubs_epi16(size, _mm256_sign_epi8(_mm256_xor_si256(item, middle), query)); /* at most 2 * 127^2: fits */
            sum[h] = _mm256_add_epi32(sum[h], _mm256_madd_epi16(pair, one));
        }
    }
    for (int h = 0; h < 2 * SKETCH_STEP; h++) _mm256_storeu_si256((__m256i *)(out + h * 8), sum[h]);
#else
    for (int p = 0; p < SKETCH_STEP; p++)
        for (int lane = 0; lane < LANES; lane++) {
            int32_t sum = 0;
            for (int64_t k = 0; k < 4 * quads; k++) sum += ((int)panels[(p * quads + k / 4) * 64 + lane * 4 + k % 4] - 128) * q->codes[k];
            out[p * LANES + lane] = sum;
        }
#endif
}

/* Score the last items that wait, as `dot_rows` does, and offer them. */
static inline void sketch_settle(const float *query, const float *rows, int64_t factors, const int32_t *waiting, int count, int64_t n, best_of *best) {
    const float *at[ROWS];
    float score[ROWS];
    for (int i = 0; i < ROWS; i++) at[i] = rows + (int64_t)waiting[i < count ? i : 0] * factors;
    dot_rows(query, at, factors, score);
    for (int i = 0; i < count; i++) best->size = heap_offer(best->heap, best->size, n, rank_key(score[i], (uint32_t)waiting[i]));
    if (best->size == n) best->bar = key_score(best->heap[0]);
}

/* The n best of all items for one query, unsorted in `best->heap`; mask may be NULL. */
static void sketch_scan(const sketched *q, const float *rows, int64_t factors, const uint8_t *codes, const float *scales, const int32_t *ids,
                        const float *norm, const float *loss, int64_t panels, const uint8_t *mask, int64_t n, best_of *best) {
    const int64_t quads = (factors + 3) / 4;
    const double rounding = (factors + 16) * 0x1p-22, tiny = 1e-30, units = 1 / q->scale;
    int32_t waiting[ROWS], dots[SKETCH_STEP * LANES];
    int count = 0;
    best->size = 0;
    best->bar = -INFINITY;
    for (int64_t p = 0; p < panels; p += SKETCH_STEP) {
        if (best->bar > q->norm * norm[p] * (1 + rounding) + tiny) break;
        sketch_dots(codes + p * quads * 64, quads, q, dots);
        for (int j = 0; j < SKETCH_STEP; j++) {
            const int64_t first = (p + j) * LANES;
            const double slack = q->norm * loss[p + j] + q->off * (norm[p + j] + loss[p + j]) + rounding * q->norm * norm[p + j] + tiny;
            const float cut = (float)((best->bar - slack) * units);
            v16 bound;
            for (int i = 0; i < LANES; i++) bound[i] = (float)dots[j * LANES + i] * scales[first + i];
            unsigned lanes = lanes_from(&bound, cut);
            while (__builtin_expect(lanes != 0, 0)) {
                const int32_t id = ids[first + __builtin_ctz(lanes)];
                lanes &= lanes - 1;
                if (id < 0 || (mask && !mask[id])) continue;
                waiting[count++] = id;
                fetch_row(rows + (int64_t)id * factors, factors);
                if (count == ROWS) {
                    sketch_settle(q->query, rows, factors, waiting, count, n, best);
                    count = 0;
                }
            }
        }
    }
    if (count) sketch_settle(q->query, rows, factors, waiting, count, n, best);
}
#endif
