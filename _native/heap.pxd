"""Keep the n best (score, index) pairs as sortable 64-bit keys: header-only, shared by the kernels that rank.

key = order-preserving bits of the score << 32 | ~index: one unsigned compare ranks by score, then by lower index, so the n best of a
set are one set, whatever the order they come in or however they were split over threads. 0 is no key (even -inf is above it).

Why keys and not (float, int) pairs: a compare is one instruction without branches, NaN cannot get in by accident, and ties need no
second look.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef RECENGINE_HEAP
    #define RECENGINE_HEAP
    #include <stdint.h>
    #include <string.h>

    /* score must not be NaN; -0.0 ranks as 0.0 */
    static inline uint64_t rank_key(float score, uint32_t index) {
        uint32_t bits;
        score += 0.0f;
        memcpy(&bits, &score, 4);
        bits ^= (uint32_t)((int32_t)bits >> 31) | 0x80000000u;
        return ((uint64_t)bits << 32) | (uint32_t)~index;
    }
    static inline float key_score(uint64_t key) {
        uint32_t bits = (uint32_t)(key >> 32);
        float score;
        bits ^= (uint32_t)((int32_t)~bits >> 31) | 0x80000000u;
        memcpy(&score, &bits, 4);
        return score;
    }
    static inline uint32_t key_index(uint64_t key) { return (uint32_t)~key; }

    /* a min-heap: heap[0] is the worst key that is kept */
    static inline void sift_down(uint64_t *heap, int64_t size, int64_t hole, uint64_t key) {
        int64_t child = 2 * hole + 1;
        while (child < size) {
            child += (child + 1 < size) & (heap[child + 1 < size ? child + 1 : child] < heap[child]);
            if (key <= heap[child]) break;
            heap[hole] = heap[child];
            hole = child;
            child = 2 * hole + 1;
        }
        heap[hole] = key;
    }
    static inline void sift_up(uint64_t *heap, int64_t hole, uint64_t key) {
        while (hole > 0) {
            int64_t parent = (hole - 1) / 2;
            if (heap[parent] <= key) break;
            heap[hole] = heap[parent];
            hole = parent;
        }
        heap[hole] = key;
    }
    /* offer a key to a heap that keeps at most n; returns the new size */
    static inline int64_t heap_offer(uint64_t *heap, int64_t size, int64_t n, uint64_t key) {
        if (size < n) { sift_up(heap, size, key); return size + 1; }
        if (n > 0 && key > heap[0]) sift_down(heap, n, 0, key);
        return size;
    }
    /* best first, in place */
    static inline void heap_sort(uint64_t *heap, int64_t size) {
        while (size > 1) {
            uint64_t last = heap[--size];
            heap[size] = heap[0];
            sift_down(heap, size, 0, last);
        }
    }
    /* Best first, by bytes of the score from the lowest up (stable, so equal scores stay by index when they came so); `spare` is as long as `keys`. */
    static void sort_by_score(uint64_t *keys, uint64_t *spare, int64_t size) {
        uint32_t starts[4][256] = {{0}};
        int64_t i, in_order = 1;
        for (i = 0; i + 1 < size; i++) in_order &= keys[i] > keys[i + 1];
        if (in_order) return;
        for (i = 0; i < size; i++)
            for (int b = 0; b < 4; b++) starts[b][255 - (uint8_t)(keys[i] >> (32 + 8 * b))]++;
        for (int b = 0; b < 4; b++) {
            uint32_t *at = starts[b], sum = 0;
            if (at[255 - (uint8_t)(keys[0] >> (32 + 8 * b))] == size) continue;  /* one value only: nothing to move */
            for (int v = 0; v < 256; v++) { uint32_t n = at[v]; at[v] = sum; sum += n; }
            for (i = 0; i < size; i++) spare[at[255 - (uint8_t)(keys[i] >> (32 + 8 * b))]++] = keys[i];
            memcpy(keys, spare, size * sizeof *keys);
        }
    }
    #endif
    """
    uint64_t rank_key(float score, uint32_t index) noexcept nogil
    float key_score(uint64_t key) noexcept nogil
    uint32_t key_index(uint64_t key) noexcept nogil
    int64_t heap_offer(uint64_t *heap, int64_t size, int64_t n, uint64_t key) noexcept nogil
    void heap_sort(uint64_t *heap, int64_t size) noexcept nogil
    void sort_by_score(uint64_t *keys, uint64_t *spare, int64_t size) noexcept nogil
