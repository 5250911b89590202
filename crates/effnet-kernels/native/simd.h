// Sixteen floats as one value, regardless of the machine's register width.
//
// This header is compiled once per instruction set (see build.rs), each time in a different namespace, so that the
// linker cannot merge an inline function for one set into the code for another.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
// GCC 12's AVX-512 intrinsics start from an undefined register, and GCC warns about it in the code that uses them.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace KERNEL_ISA {

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif
constexpr int PARTS = 64 / REGISTER_BYTES;
constexpr int LANES = 16 / PARTS;

typedef float register_f __attribute__((vector_size(REGISTER_BYTES)));
typedef int32_t register_i __attribute__((vector_size(REGISTER_BYTES)));
typedef uint16_t half_register __attribute__((vector_size(REGISTER_BYTES / 2)));

// A bfloat16 in memory: the upper half of a float.
struct bf16 {
    uint16_t bits;
};

struct Vec {
    register_f part[PARTS];
};

#define EACH_PART _Pragma("GCC unroll 4") for (int p = 0; p < PARTS; ++p)
#define INLINE inline __attribute__((always_inline))

INLINE Vec splat(float value) {
    Vec v;
    EACH_PART v.part[p] = value - register_f{};
    return v;
}

// Loads register by register. GCC copies a larger struct through the stack in pieces of sixteen bytes, and loading
// a whole register then has to wait for them.
INLINE Vec load(const float* from) {
    Vec v;
    EACH_PART std::memcpy(&v.part[p], from + p * LANES, REGISTER_BYTES);
    return v;
}

INLINE void store(float* to, const Vec& v) {
    EACH_PART std::memcpy(to + p * LANES, &v.part[p], REGISTER_BYTES);
}

INLINE Vec add(const Vec& a, const Vec& b) {
    Vec v;
    EACH_PART v.part[p] = a.part[p] + b.part[p];
    return v;
}

INLINE Vec multiply(const Vec& a, const Vec& b) {
    Vec v;
    EACH_PART v.part[p] = a.part[p] * b.part[p];
    return v;
}

// sum += a * b, contracted to one instruction if the instruction set has one.
INLINE void multiply_add(Vec& sum, const Vec& a, const Vec& b) {
    EACH_PART sum.part[p] += a.part[p] * b.part[p];
}

INLINE Vec load(const bf16* from) {
    Vec v;
    EACH_PART {
        half_register half;
        std::memcpy(&half, from + p * LANES, sizeof half);
        // GCC splits __builtin_convertvector even though one instruction would do.
#if defined(__AVX512F__)
        const register_i wide = (register_i)_mm512_cvtepu16_epi32((__m256i)half);
#elif defined(__AVX2__)
        const register_i wide = (register_i)_mm256_cvtepu16_epi32((__m128i)half);
#else
        const register_i wide = __builtin_convertvector(half, register_i);
#endif
        v.part[p] = (register_f)(wide << 16);
    }
    return v;
}

INLINE float widen(bf16 value) {
    const uint32_t bits = uint32_t(value.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

// Rounds to nearest, ties to even; NaN stays NaN.
INLINE bf16 narrow(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (value != value) return bf16{0x7fc0};
    return bf16{uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

INLINE void store(bf16* to, const Vec& v) {
#if defined(__AVX512BF16__)
    const __m256bh half = _mm512_cvtneps_pbh((__m512)v.part[0]);
    std::memcpy(to, &half, sizeof half);
#else
    EACH_PART {
        const register_i bits = (register_i)v.part[p];
        const register_i up = (bits >> 16) & 1, nan = v.part[p] != v.part[p];
        const register_i rounded = ((bits + 0x7fff + up) >> 16) & 0xffff;
        const half_register half = __builtin_convertvector(nan ? register_i{} + 0x7fc0 : rounded, half_register);
        std::memcpy(to + p * LANES, &half, sizeof half);
    }
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// Returns a mask for the eight elements from `first` on, which selects those below `count`.
INLINE __m256i lanes_below(int count, int first) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count - first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// Loads the first `count` of sixteen elements. The others are zero, and their memory is not read.
INLINE Vec load(const float* from, int count) {
#if defined(__AVX512F__)
    Vec v;
    v.part[0] = (register_f)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from);
    return v;
#elif defined(__AVX2__)
    Vec v;
    EACH_PART v.part[p] = (register_f)_mm256_maskload_ps(from + p * LANES, lanes_below(count, p * LANES));
    return v;
#else
    float wide[16] = {};
    std::memcpy(wide, from, count * sizeof(float));
    return load(wide);
#endif
}

INLINE Vec load(const bf16* from, int count) {
    bf16 wide[16] = {};
    std::memcpy(wide, from, count * sizeof(bf16));
    return load(wide);
}

INLINE void store(float* to, const Vec& v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), (__m512)v.part[0]);
#elif defined(__AVX2__)
    EACH_PART _mm256_maskstore_ps(to + p * LANES, lanes_below(count, p * LANES), (__m256)v.part[p]);
#else
    std::memcpy(to, &v, count * sizeof(float));
#endif
}

INLINE void store(bf16* to, const Vec& v, int count) {
    bf16 wide[16];
    store(wide, v);
    std::memcpy(to, wide, count * sizeof(bf16));
}

// exp of one register, with arguments clamped to +-87 and a relative error of about 1e-7 with fused multiply-add.
// In training, gradients pass through it once per layer, so that one more digit here is visible in them.
INLINE register_f exponential(register_f x) {
    const register_f low = register_f{} - 87.0f, high = register_f{} + 87.0f;
    // Written this way, NaN passes through.
    x = x < low ? low : x;
    x = x > high ? high : x;
    const register_f scaled = x * 1.44269504088896341f;
#if defined(__AVX512F__)
    const register_f whole = (register_f)_mm512_roundscale_ps((__m512)scaled, 8);
#else
    const float shift = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    const register_f whole = (scaled + shift) - shift;
#endif
    // The fraction, including the digits of log2(e) that one float cannot hold. If contracted, it is exact to
    // those digits.
    const register_f f = (x * 1.44269504f - whole) + x * 1.92596303e-8f;
    // The polynomial of degree six that interpolates 2^f at the Chebyshev nodes of [-1/2, 1/2].
    register_f y = f * 1.546144485e-4f + 1.340042800e-3f;
    y = y * f + 9.618056938e-3f;
    y = y * f + 5.550327152e-2f;
    y = y * f + 2.402265072e-1f;
    y = y * f + 6.931471825e-1f;
    y = y * f + 1.0f;
#if defined(__AVX512F__)
    return (register_f)_mm512_scalef_ps((__m512)y, (__m512)whole);
#else
    const register_i exponent = (__builtin_convertvector(whole, register_i) + 127) << 23;
    return y * (register_f)exponent;
#endif
}

INLINE register_f reciprocal(register_f x) {
#if defined(__AVX512F__)
    const register_f guess = (register_f)_mm512_rcp14_ps((__m512)x);
    // One Newton step, from 14 to 28 bits, in the form that rounds only once, at the end.
    return guess + guess * (1.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

INLINE Vec sigmoid(const Vec& x) {
    Vec v;
    EACH_PART v.part[p] = reciprocal(1.0f + exponential(-x.part[p]));
    return v;
}

INLINE Vec silu(const Vec& x) { return multiply(x, sigmoid(x)); }

// Returns the gradient where 0 < z < 6, or where z is NaN, otherwise zero.
INLINE Vec before_relu6(const Vec& gradient, const Vec& z) {
    const register_f low = register_f{}, high = register_f{} + 6.0f;
    Vec v;
    EACH_PART v.part[p] = (z.part[p] <= low) | (z.part[p] >= high) ? low : gradient.part[p];
    return v;
}

INLINE Vec relu6(const Vec& x) {
    const register_f low = register_f{}, high = register_f{} + 6.0f;
    Vec v;
    EACH_PART {
        // Written this way, NaN passes through.
        const register_f above = x.part[p] < low ? low : x.part[p];
        v.part[p] = above > high ? high : above;
    }
    return v;
}

} // namespace KERNEL_ISA
