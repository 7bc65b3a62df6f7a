/* Multiply-add and the vector it works on, for every kernel: one rounding where the machine can, two where it cannot.
 *
 * Why by name: left to itself gcc contracts `a * b + c` in one copy of a loop and not in another, depending on inlining, on the
 * optimisation level and on sanitizers, and two kernels that promise the same bits would not keep it. setup.py turns contraction
 * off; what is fused is fused here.
 */
#ifndef RECENGINE_FUSED_H
#define RECENGINE_FUSED_H
#include <immintrin.h>

#ifdef __AVX512F__
#define VL 16 /* lanes of a vector register */
#else
#define VL 8 /* without AVX gcc splits it in two */
#endif

#define ALWAYS static inline __attribute__((always_inline))
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));

ALWAYS vf *vec(float *p) { return (vf *)p; }
ALWAYS const vf *cvec(const float *p) { return (const vf *)p; }

#if defined(__FMA__) || defined(__AVX512F__)
#define FUSED 1
#else
#define FUSED 0
#endif

/* a * b + c */
ALWAYS float fused(float a, float b, float c) {
#if FUSED
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* a * b + c, lane by lane. A scalar that meets many vectors goes in as `b`: gcc then reads it inside the instruction, and not the vector
 * again and again. */
ALWAYS vf fused_lanes(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif FUSED
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* a where a > b (NaN is not), else b */
ALWAYS vf larger_lanes(vf a, vf b) {
    typedef int mask __attribute__((vector_size(VL * 4)));
    const mask larger = (mask)(a > b);
    return (vf)(((mask)a & larger) | ((mask)b & ~larger));
}

/* scalar s in all lanes */
ALWAYS vf all_lanes(float s) { return s - (vf){0}; }
#endif
