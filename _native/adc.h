/* Product quantization with 32 codes of 4 bits: sums of table entries by byte shuffles, 32 items a block (Jegou et al. 2011; Andre et al. 2017).
 *
 * A block holds for sub-quantizer s the 16 bytes at [s]: byte i is the code of item i in its low half, of item i + 16 in its high half. The
 * table of a query has a byte for each (s, code); their sum is at most 32 * 255 and fits 16 bits, so it is exact whatever the machine.
 */
#ifndef RECENGINE_ADC_H
#define RECENGINE_ADC_H
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#define SUBS 32
#define CODES 16
#define BLOCK_ITEMS 32
#define BLOCK_BYTES (SUBS * 16)

typedef struct {
    uint8_t table[BLOCK_BYTES] __attribute__((aligned(64)));
    double base, scale, norm; /* a product of query and reconstruction = base + scale * (sum +- SUBS / 2) <= norm * |reconstruction| */
} adc_query;

/* The table of `query`, d values, after `rotation` (d, SUBS * w); 0 where it is not finite or has no length. */
static int adc_table(const float *query, const float *rotation, int64_t d, int64_t w, const float *centroids, float *turned, adc_query *out) {
    float sums[SUBS * CODES], low[SUBS], range = 0;
    double square = 0;
    const int64_t width = SUBS * w;
    for (int64_t k = 0; k < width; k++) turned[k] = 0;
    for (int64_t i = 0; i < d; i++)
        for (int64_t k = 0; k < width; k++) turned[k] += query[i] * rotation[i * width + k];
    for (int64_t k = 0; k < width; k++) square += (double)turned[k] * turned[k];
    out->base = 0;
    for (int s = 0; s < SUBS; s++) {
        float high = -INFINITY;
        low[s] = INFINITY;
        for (int c = 0; c < CODES; c++) {
            float sum = 0;
            for (int64_t k = 0; k < w; k++) sum += turned[s * w + k] * centroids[(s * CODES + c) * w + k];
            sums[s * CODES + c] = sum;
            low[s] = sum < low[s] ? sum : low[s];
            high = sum > high ? sum : high;
        }
        out->base += low[s];
        range = high - low[s] > range ? high - low[s] : range;
    }
    out->norm = sqrt(square);
    out->scale = range / 255.0;
    if (!(out->norm > 0 && isfinite(out->norm) && range > 1e-30f && isfinite(range) && isfinite(out->base))) return 0;
    for (int i = 0; i < SUBS * CODES; i++) out->table[i] = (uint8_t)rint((sums[i] - low[i / CODES]) / out->scale);
    return 1;
}

/* The 32 sums of a block. */
static inline void adc_block(const uint8_t *codes, const uint8_t *table, uint16_t *out) {
#if defined(__AVX512BW__) || defined(__AVX2__)
    __m128i even[2], odd[2];
#if defined(__AVX512BW__)
    const __m512i half = _mm512_set1_epi8(15);
    __m512i all[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}, odds[2] = {all[0], all[0]};
    _Pragma("GCC unroll 8")
    for (int s = 0; s < SUBS; s += 4) {
        const __m512i code = _mm512_loadu_si512(codes + s * 16), values = _mm512_load_si512(table + s * 16);
        const __m512i low = _mm512_shuffle_epi8(values, _mm512_and_si512(code, half));
        const __m512i high = _mm512_shuffle_epi8(values, _mm512_and_si512(_mm512_srli_epi16(code, 4), half));
        all[0] = _mm512_add_epi16(all[0], low);
        odds[0] = _mm512_add_epi16(odds[0], _mm512_srli_epi16(low, 8));
        all[1] = _mm512_add_epi16(all[1], high);
        odds[1] = _mm512_add_epi16(odds[1], _mm512_srli_epi16(high, 8));
    }
    for (int h = 0; h < 2; h++) {
        const __m512i evens = _mm512_sub_epi16(all[h], _mm512_slli_epi16(odds[h], 8));
        const __m256i e = _mm256_add_epi16(_mm512_castsi512_si256(evens), _mm512_extracti64x4_epi64(evens, 1));
        const __m256i o = _mm256_add_epi16(_mm512_castsi512_si256(odds[h]), _mm512_extracti64x4_epi64(odds[h], 1));
        even[h] = _mm_add_epi16(_mm256_castsi256_si128(e), _mm256_extracti128_si256(e, 1));
        odd[h] = _mm_add_epi16(_mm256_castsi256_si128(o), _mm256_extracti128_si256(o, 1));
    }
#else
    const __m256i half = _mm256_set1_epi8(15);
    __m256i all[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, odds[2] = {all[0], all[0]};
    _Pragma("GCC unroll 16")
    for (int s = 0; s < SUBS; s += 2) {
        const __m256i code = _mm256_loadu_si256((const __m256i *)(codes + s * 16)), values = _mm256_load_si256((const __m256i *)(table + s * 16));
        const __m256i low = _mm256_shuffle_epi8(values, _mm256_and_si256(code, half));
        const __m256i high = _mm256_shuffle_epi8(values, _mm256_and_si256(_mm256_srli_epi16(code, 4), half));
        all[0] = _mm256_add_epi16(all[0], low);
        odds[0] = _mm256_add_epi16(odds[0], _mm256_srli_epi16(low, 8));
        all[1] = _mm256_add_epi16(all[1], high);
        odds[1] = _mm256_add_epi16(odds[1], _mm256_srli_epi16(high, 8));
    }
    for (int h = 0; h < 2; h++) {
        const __m256i e = _mm256_sub_epi16(all[h], _mm256_slli_epi16(odds[h], 8));
        even[h] = _mm_add_epi16(_mm256_castsi256_si128(e), _mm256_extracti128_si256(e, 1));
        odd[h] = _mm_add_epi16(_mm256_castsi256_si128(odds[h]), _mm256_extracti128_si256(odds[h], 1));
    }
#endif
    for (int h = 0; h < 2; h++) {
        _mm_storeu_si128((__m128i *)(out + 16 * h), _mm_unpacklo_epi16(even[h], odd[h]));
        _mm_storeu_si128((__m128i *)(out + 16 * h + 8), _mm_unpackhi_epi16(even[h], odd[h]));
    }
#else
    for (int i = 0; i < BLOCK_ITEMS; i++) {
        out[i] = 0;
        for (int s = 0; s < SUBS; s++) out[i] += table[s * CODES + (codes[s * 16 + i % 16] >> (i / 16 * 4) & 15)];
    }
#endif
}

/* Which of the 32 sums are at least `bar`. */
static inline uint32_t adc_from(const uint16_t *sums, uint16_t bar) {
#if defined(__AVX2__)
    const __m256i least = _mm256_set1_epi16((short)bar);
    const __m256i a = _mm256_loadu_si256((const __m256i *)sums), b = _mm256_loadu_si256((const __m256i *)(sums + 16));
    const __m256i x = _mm256_cmpeq_epi16(_mm256_max_epu16(a, least), a), y = _mm256_cmpeq_epi16(_mm256_max_epu16(b, least), b);
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(x, y), 0xd8));
#else
    uint32_t bits = 0;
    for (int i = 0; i < BLOCK_ITEMS; i++) bits |= (uint32_t)(sums[i] >= bar) << i;
    return bits;
#endif
}

typedef struct { uint64_t *heap; int64_t size; uint16_t bar; } adc_best;

/* Offer blocks [begin, end), by falling norm of what their codes stand for; returns 0 where none of the rest can be among the m best. */
static int adc_scan(const adc_query *q, const uint8_t *codes, const int32_t *ids, const float *norms, int64_t begin, int64_t end, const uint8_t *mask,
                    int64_t m, adc_best *best) {
    uint16_t sums[BLOCK_ITEMS];
    for (int64_t b = begin; b < end; b++) {
        if (best->bar > (q->norm * norms[b] * (1 + 1e-4) - q->base) / q->scale + SUBS / 2 + 1) return 0;
        adc_block(codes + b * BLOCK_BYTES, q->table, sums);
        uint32_t lanes = adc_from(sums, best->bar);
        while (__builtin_expect(lanes != 0, 0)) {
            const int lane = __builtin_ctz(lanes);
            const int32_t id = ids[b * BLOCK_ITEMS + lane];
            lanes &= lanes - 1;
            if (id < 0 || (mask && !mask[id])) continue;
            best->size = heap_offer(best->heap, best->size, m, (uint64_t)(sums[lane] + 1) << 32 | (uint32_t)~id);
            if (best->size == m) best->bar = (uint16_t)((best->heap[0] >> 32) - 1);
        }
    }
    return 1;
}

/* The nearest centroid of each part of a row; ties go to the lower code. */
static inline void adc_nearest(const float *row, const float *centroids, int64_t w, int first, int last, uint8_t *codes) {
    for (int s = first; s < last; s++) {
        float least = INFINITY;
        codes[s] = 0;
        for (int c = 0; c < CODES; c++) {
            float away = 0;
            for (int64_t k = 0; k < w; k++) {
                const float x = row[s * w + k] - centroids[(s * CODES + c) * w + k];
                away += x * x;
            }
            if (away < least) { least = away; codes[s] = (uint8_t)c; }
        }
    }
}
#endif
