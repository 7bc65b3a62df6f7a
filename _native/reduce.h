/* Sums over the lanes of vectors, in a fixed order. */
#ifndef RECENGINE_REDUCE_H
#define RECENGINE_REDUCE_H
#include "fused.h"

typedef int vi __attribute__((vector_size(VL * 4)));
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

ALWAYS const quad *cquad(const float *p) { return (const quad *)p; }

#if VL == 16
#define OTHER_HALF (vi){8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}
#define OTHER_QUAD (vi){4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11}
#define OTHER_PAIR (vi){2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13}
#define OTHER_LANE (vi){1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14}
#define LOW1 (vi){0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29}
#define HIGH1 (vi){2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31}
#define LOW2 (vi){0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}
#define HIGH2 (vi){2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31}
#else
#define OTHER_QUAD (vi){4, 5, 6, 7, 0, 1, 2, 3}
#define OTHER_PAIR (vi){2, 3, 0, 1, 6, 7, 4, 5}
#define OTHER_LANE (vi){1, 0, 3, 2, 5, 4, 7, 6}
#define LOW1 (vi){0, 8, 1, 9, 4, 12, 5, 13}
#define HIGH1 (vi){2, 10, 3, 11, 6, 14, 7, 15}
#define LOW2 (vi){0, 1, 8, 9, 4, 5, 12, 13}
#define HIGH2 (vi){2, 3, 10, 11, 6, 7, 14, 15}
#endif

/* The first four lanes. */
ALWAYS quad first4(vf a) {
#if defined(__AVX512F__)
    return (quad)_mm512_castps512_ps128((__m512)a);
#elif defined(__AVX__)
    return (quad)_mm256_castps256_ps128((__m256)a);
#else
    return (quad){a[0], a[1], a[2], a[3]};
#endif
}

/* a, with the sums of lanes i, i + 4, i + 8 ... in lane i. */
ALWAYS vf folded(vf a) {
#if VL == 16
    a += __builtin_shuffle(a, OTHER_HALF);
#endif
    return a + __builtin_shuffle(a, OTHER_QUAD);
}

/* The sum of the lanes. */
ALWAYS float sum1(vf a) {
    a = folded(a);
    a += __builtin_shuffle(a, OTHER_PAIR);
    a += __builtin_shuffle(a, OTHER_LANE);
    return a[0];
}

/* The sums of four vectors. Why not one by one: a transposition costs six shuffles that stay within 128 bits, not sixteen that cross. */
ALWAYS quad sum4(vf a, vf b, vf c, vf d) {
    const vf ab = __builtin_shuffle(a, b, LOW1) + __builtin_shuffle(a, b, HIGH1);
    const vf cd = __builtin_shuffle(c, d, LOW1) + __builtin_shuffle(c, d, HIGH1);
    return first4(folded(__builtin_shuffle(ab, cd, LOW2) + __builtin_shuffle(ab, cd, HIGH2)));
}
#endif
