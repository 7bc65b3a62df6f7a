"""Dot products, sixteen items at a time: header-only C with gcc vector extensions (one zmm, or two ymm, a value).

An item matrix is packed into panels of 16 items, factor-major: panel p holds at [k, lane] factor k of item 16 p + lane. The sum of one
(query, item) pair then runs over k in order, in one lane, whatever else the tile computes: the same bits for any batch, tile and thread.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from heap cimport heap_offer  # the C below uses it

cdef extern from *:
    """
    #ifndef RECENGINE_LANES
    #define RECENGINE_LANES
    #include <math.h>
    #include "fused.h"

    #define LANES 16
    #define PARTS (LANES / VL)  /* registers a value takes */
    typedef float v16 __attribute__((vector_size(64)));
    typedef float v16u __attribute__((vector_size(64), aligned(4)));

    /* Queries x panels that one tile holds in registers: 24 of 32 zmm, or 12 of 16 ymm. */
    #ifdef __AVX512F__
    #define TILE_QUERIES 12
    #define TILE_PANELS 2
    #else
    #define TILE_QUERIES 6
    #define TILE_PANELS 1
    #endif

    #define TILE_MOST 24

    /* Which lanes are >= bar (NaN is not). */
    static inline unsigned lanes_from(const v16 *s, float bar) {
    #if defined(__AVX512F__)
        return _mm512_cmp_ps_mask((__m512)*s, _mm512_set1_ps(bar), _CMP_GE_OQ);
    #elif defined(__AVX__)
        const float *x = (const float *)s;
        __m256 b = _mm256_set1_ps(bar);
        return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_load_ps(x), b, _CMP_GE_OQ))
             | (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_load_ps(x + 8), b, _CMP_GE_OQ)) << 8;
    #else
        unsigned bits = 0;
        for (int i = 0; i < LANES; i++) bits |= (unsigned)((*s)[i] >= bar) << i;
        return bits;
    #endif
    }

    /* Which of the `count` <= 16 bytes are not 0. */
    static inline unsigned bytes_set(const uint8_t *bytes, int count) {
        if (count >= LANES)
            return 0xffffu & ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)bytes), _mm_setzero_si128()));
        unsigned bits = 0;
        for (int i = 0; i < count; i++) bits |= (unsigned)(bytes[i] != 0) << i;
        return bits;
    }

    /* The dots of U queries (factor-major, [k, u]) with 16 P items. */
    static inline __attribute__((always_inline)) void tile(const int U, const int P, const float *panels, int64_t factors, const float *queries, v16 *out) {
        const int wide = P * PARTS;
        vf sum[TILE_MOST * PARTS];
        _Pragma("GCC unroll 32")
        for (int i = 0; i < U * wide; i++) sum[i] = (vf){0};
        for (int64_t k = 0; k < factors; k++) {
            vf item[4 * PARTS];
            _Pragma("GCC unroll 8")
            for (int i = 0; i < wide; i++) item[i] = *cvec(panels + (i / PARTS * factors + k) * LANES + i % PARTS * VL);
            _Pragma("GCC unroll 16")
            for (int u = 0; u < U; u++) {
                const vf query = all_lanes(queries[k * U + u]);
                _Pragma("GCC unroll 8")
                for (int i = 0; i < wide; i++) sum[u * wide + i] = fused_lanes(query, item[i], sum[u * wide + i]);
            }
        }
        _Pragma("GCC unroll 32")
        for (int i = 0; i < U * wide; i++) *vec((float *)out + i * VL) = sum[i] + 0.0f;  /* -0.0 becomes 0.0, as in the key */
    }

    /* Sixteen rows of `factors` values (NULL = zeros) become one panel, four by four. */
    static inline void lay_panel(const float *const *rows, int64_t factors, float *panel) {
        static const float zeros[4];
        for (int lane = 0; lane < LANES; lane += 4) {
            const float *const *r = rows + lane;
            int64_t k = 0;
            for (; k + 4 <= factors; k += 4) {
                __m128 a = _mm_loadu_ps(r[0] ? r[0] + k : zeros), b = _mm_loadu_ps(r[1] ? r[1] + k : zeros);
                __m128 c = _mm_loadu_ps(r[2] ? r[2] + k : zeros), d = _mm_loadu_ps(r[3] ? r[3] + k : zeros);
                _MM_TRANSPOSE4_PS(a, b, c, d);
                _mm_storeu_ps(panel + (k + 0) * LANES + lane, a);
                _mm_storeu_ps(panel + (k + 1) * LANES + lane, b);
                _mm_storeu_ps(panel + (k + 2) * LANES + lane, c);
                _mm_storeu_ps(panel + (k + 3) * LANES + lane, d);
            }
            for (; k < factors; k++)
                for (int i = 0; i < 4; i++) panel[k * LANES + lane + i] = r[i] ? r[i][k] : 0;
        }
    }

    #define ROWS 8

    /* Ask for a row that is wanted soon. */
    static inline void fetch_row(const float *row, int64_t factors) {
        for (int64_t k = 0; k < factors; k += LANES) __builtin_prefetch(row + k);
    }

    /* The dots of one query with ROWS rows: as many independent sums, each over k in order as in a tile, hide the latency of the multiply-add. */
    static inline void dot_rows(const float *query, const float *const *rows, int64_t factors, float *out) {
        float sum[ROWS] = {0};
        for (int64_t k = 0; k < factors; k++) {
            _Pragma("GCC unroll 8")
            for (int r = 0; r < ROWS; r++) sum[r] = fused(query[k], rows[r][k], sum[r]);
        }
        for (int r = 0; r < ROWS; r++) out[r] = sum[r] + 0.0f;
    }

    typedef struct { uint64_t *heap; int64_t size; float bar; } best_of;

    static __attribute__((noinline)) void offer_lanes(best_of *best, int64_t n, const v16 *scores, unsigned lanes, int64_t first) {
        do {
            int lane = __builtin_ctz(lanes);
            lanes &= lanes - 1;
            best->size = heap_offer(best->heap, best->size, n, rank_key((*scores)[lane], (uint32_t)(first + lane)));
        } while (lanes);
        /* Items come in ascending order, so a later one must be strictly better than the worst kept. */
        if (best->size == n) best->bar = nextafterf(key_score(best->heap[0]), INFINITY);
    }

    /* The n best of one row of scores, unsorted in `heap`; mask may be NULL. Returns how many. */
    static int64_t best_of_row(const float *scores, const uint8_t *mask, int64_t length, int64_t n, uint64_t *heap) {
        best_of best = {heap, 0, -INFINITY};
        int64_t i = 0;
        for (; i + LANES <= length; i += LANES) {
            v16 some = *(const v16u *)(scores + i);
            unsigned lanes = lanes_from(&some, best.bar);
            if (__builtin_expect(lanes != 0, 0)) {
                if (mask) lanes &= bytes_set(mask + i, LANES);
                if (lanes) offer_lanes(&best, n, &some, lanes, i);
            }
        }
        for (; i < length; i++)
            if (scores[i] == scores[i] && (!mask || mask[i])) best.size = heap_offer(heap, best.size, n, rank_key(scores[i], (uint32_t)i));
        return best.size;
    }

    /* Offer the items of panels [begin, end) to the heaps of `users` <= U queries; mask rows are `width` apart, or mask is NULL. */
    static inline __attribute__((always_inline)) void scan_tile(
            const int U, const int P, const float *panels, int64_t begin, int64_t end, int64_t items, int64_t factors,
            const float *queries, int users, const uint8_t *mask, int64_t width, int64_t n, best_of *best) {
        v16 out[TILE_MOST];
        for (int64_t panel = begin; panel < end; panel += P) {
            tile(U, P, panels + panel * factors * LANES, factors, queries, out);
            for (int u = 0; u < users; u++)
                for (int p = 0; p < P; p++) {
                    unsigned lanes = lanes_from(&out[u * P + p], best[u].bar);
                    if (__builtin_expect(lanes != 0, 0)) {
                        int64_t first = (panel + p) * LANES, left = items - first;
                        if (left < LANES) lanes &= (1u << left) - 1;
                        if (mask && lanes) lanes &= bytes_set(mask + u * width + first, left < LANES ? (int)left : LANES);
                        if (lanes) offer_lanes(&best[u], n, &out[u * P + p], lanes, first);
                    }
                }
        }
    }
    static void scan(int U, const float *panels, int64_t begin, int64_t end, int64_t items, int64_t factors,
                     const float *queries, int users, const uint8_t *mask, int64_t width, int64_t n, best_of *best) {
        int64_t even = begin + (end - begin) / TILE_PANELS * TILE_PANELS;
        if (U == 1) {
            int64_t four = begin + (end - begin) / 4 * 4;
            scan_tile(1, 4, panels, begin, four, items, factors, queries, users, mask, width, n, best);
            scan_tile(1, 1, panels, four, end, items, factors, queries, users, mask, width, n, best);
        } else {
            scan_tile(TILE_QUERIES, TILE_PANELS, panels, begin, even, items, factors, queries, users, mask, width, n, best);
            scan_tile(TILE_QUERIES, 1, panels, even, end, items, factors, queries, users, mask, width, n, best);
        }
    }
    #endif
    """
    enum: LANES
    int64_t best_of_row(const float *scores, const uint8_t *mask, int64_t length, int64_t n, uint64_t *heap) noexcept nogil
    void lay_panel(const float *const *rows, int64_t factors, float *panel) noexcept nogil
    enum: ROWS
    void fetch_row(const float *row, int64_t factors) noexcept nogil
    void dot_rows(const float *query, const float *const *rows, int64_t factors, float *out) noexcept nogil
    enum: TILE_QUERIES
    ctypedef struct best_of:
        uint64_t *heap
        int64_t size
        float bar
    void scan(int U, const float *panels, int64_t begin, int64_t end, int64_t items, int64_t factors, const float *queries, int users,
              const uint8_t *mask, int64_t width, int64_t n, best_of *best) noexcept nogil
