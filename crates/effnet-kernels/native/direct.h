// The depthwise convolution and the stem, computed directly rather than as matrix products.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace KERNEL_ISA {

using effnet::Activation;
using effnet::Depthwise;
using effnet::Stem;

// Output pixels per tile.
#if defined(__AVX512F__)
constexpr int TILE_PIXELS = 8;
#elif defined(__AVX__)
constexpr int TILE_PIXELS = 3;
#else
constexpr int TILE_PIXELS = 1;
#endif

// Applies one of the two activations to a tile. The branch stays outside the loops, which are unrolled.
template <int PIXELS>
INLINE void activate(Activation activation, Vec (&tile)[PIXELS]) {
    if (activation == Activation::relu6) {
#pragma GCC unroll 8
        for (int i = 0; i < PIXELS; ++i) tile[i] = relu6(tile[i]);
    } else {
#pragma GCC unroll 8
        for (int i = 0; i < PIXELS; ++i) tile[i] = silu(tile[i]);
    }
}

template <int KERNEL, int STRIDE, int PIXELS, class In, class Out>
__attribute__((noinline)) void depthwise_tile(const Depthwise& d, int row, int column, Vec& total) noexcept {
    constexpr int SPAN = (PIXELS - 1) * STRIDE + KERNEL;
    const int top = row * STRIDE - d.pad_top, left = column * STRIDE - d.pad_left;
    const int first = top < 0 ? -top : 0;
    const int last = top + KERNEL > d.height ? d.height - top : KERNEL;
    const bool inside = left >= 0 && left + SPAN <= d.width;
    Vec sum[PIXELS];
    const Vec bias = load(d.bias);
#pragma GCC unroll 8
    for (int i = 0; i < PIXELS; ++i) sum[i] = bias;
#pragma GCC unroll 1
    for (int ky = first; ky < last; ++ky) {
        const In* line =
            static_cast<const In*>(d.input) + (ptrdiff_t(top + ky - d.input_row) * d.width + left) * 16;
        const float* weight = d.weight + ky * KERNEL * 16;
        Vec pixel[SPAN];
        if (inside) {
#pragma GCC unroll 20
            for (int i = 0; i < SPAN; ++i) pixel[i] = load(line + 16 * i);
        } else {
#pragma GCC unroll 20
            for (int i = 0; i < SPAN; ++i)
                pixel[i] = unsigned(left + i) < unsigned(d.width) ? load(line + 16 * i) : splat(0.0f);
        }
#pragma GCC unroll 5
        for (int kx = 0; kx < KERNEL; ++kx) {
            const Vec w = load(weight + 16 * kx);
#pragma GCC unroll 8
            for (int i = 0; i < PIXELS; ++i) multiply_add(sum[i], pixel[i * STRIDE + kx], w);
        }
    }
    Out* out = static_cast<Out*>(d.out) + (size_t(row - d.out_first) * d.out_width + column) * 16;
    activate(d.activation, sum);
#pragma GCC unroll 8
    for (int i = 0; i < PIXELS; ++i) {
        total = add(total, sum[i]);
        store(out + 16 * i, sum[i]);
    }
}

template <int KERNEL, int STRIDE, int PIXELS, class In, class Out>
INLINE void depthwise_pixels(const Depthwise& d, int row, int column, int pixels, Vec& total) {
    if constexpr (PIXELS > 0) {
        if (pixels != PIXELS)
            return depthwise_pixels<KERNEL, STRIDE, PIXELS - 1, In, Out>(d, row, column, pixels, total);
        depthwise_tile<KERNEL, STRIDE, PIXELS, In, Out>(d, row, column, total);
    }
}

template <int KERNEL, int STRIDE, class In, class Out>
void depthwise_sized(const Depthwise& d) noexcept {
    Vec total = splat(0.0f);
    const int tiles = (d.out_width + TILE_PIXELS - 1) / TILE_PIXELS;
    for (int row = d.out_first; row < d.out_last; ++row) {
        int column = 0;
        for (int t = 0; t < tiles; ++t) {
            const int pixels = (d.out_width - column) / (tiles - t);
            depthwise_pixels<KERNEL, STRIDE, TILE_PIXELS, In, Out>(d, row, column, pixels, total);
            column += pixels;
        }
    }
    store(d.sum, total);
}

// Kernels are 3 or 5 wide and strides are 1 or 2: pack.cpp rejects any others.
template <class In, class Out>
void depthwise(const Depthwise& d) noexcept {
    if (d.kernel == 3 && d.stride == 1) depthwise_sized<3, 1, In, Out>(d);
    else if (d.kernel == 3) depthwise_sized<3, 2, In, Out>(d);
    else if (d.stride == 1) depthwise_sized<5, 1, In, Out>(d);
    else depthwise_sized<5, 2, In, Out>(d);
}

template <int PIXELS, int BLOCKS>
__attribute__((noinline)) void stem_tile(const Stem& s, int row, int column) noexcept {
    Vec sum[PIXELS][BLOCKS];
#pragma GCC unroll 2
    for (int b = 0; b < BLOCKS; ++b) {
        const Vec bias = load(s.bias + 16 * b);
#pragma GCC unroll 8
        for (int i = 0; i < PIXELS; ++i) sum[i][b] = bias;
    }
    const float* weight = s.panel;
    for (int c = 0; c < s.channels; ++c)
        for (int ky = 0; ky < s.kernel; ++ky) {
            const float* line = s.input +
                (size_t(c) * s.rows + row * s.stride + ky) * s.padded_width + column * s.stride;
            for (int kx = 0; kx < s.kernel; ++kx, weight += 16 * BLOCKS) {
                Vec w[BLOCKS];
#pragma GCC unroll 2
                for (int b = 0; b < BLOCKS; ++b) w[b] = load(weight + 16 * b);
#pragma GCC unroll 8
                for (int i = 0; i < PIXELS; ++i) {
                    const Vec element = splat(line[i * s.stride + kx]);
#pragma GCC unroll 2
                    for (int b = 0; b < BLOCKS; ++b) multiply_add(sum[i][b], element, w[b]);
                }
            }
        }
#pragma GCC unroll 2
    for (int b = 0; b < BLOCKS; ++b) {
        float* out = s.out + b * s.out_plane + (size_t(row) * s.out_width + column) * 16;
        Vec tile[PIXELS];
#pragma GCC unroll 8
        for (int i = 0; i < PIXELS; ++i) tile[i] = sum[i][b];
        activate(s.activation, tile);
#pragma GCC unroll 8
        for (int i = 0; i < PIXELS; ++i) store(out + 16 * i, tile[i]);
    }
}

template <int PIXELS>
INLINE void stem_pixels(const Stem& s, int row, int column, int pixels) {
    if constexpr (PIXELS > 0) {
        if (pixels != PIXELS) return stem_pixels<PIXELS - 1>(s, row, column, pixels);
        if (s.blocks == 2) return stem_tile<PIXELS, 2>(s, row, column);
        stem_tile<PIXELS, 1>(s, row, column);
    }
}

inline void stem(const Stem& s) noexcept {
    const int tiles = (s.out_width + TILE_PIXELS - 1) / TILE_PIXELS;
    for (int row = 0; row < s.out_rows; ++row) {
        int column = 0;
        for (int t = 0; t < tiles; ++t) {
            const int pixels = (s.out_width - column) / (tiles - t);
            stem_pixels<TILE_PIXELS>(s, row, column, pixels);
            column += pixels;
        }
    }
}

} // namespace KERNEL_ISA
