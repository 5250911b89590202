// Depthwise convolutions, forward and backward. Rows are first converted to floats and padded in a scratch buffer,
// so that the loops over pixels need not handle borders, and each bfloat16 is converted only once.
#pragma once

#include <cstddef>

#include "simd.h"
#include "training_kernels.h"

namespace KERNEL_ISA {

using effnet::Activation;
using effnet::DepthwiseImage;
using effnet::rounded;

// Loads and stores all sixteen lanes, or only the first few.
struct Full {
    template <class T> INLINE Vec load(const T* from) const { return KERNEL_ISA::load(from); }
    template <class T> INLINE void store(T* to, const Vec& v) const { KERNEL_ISA::store(to, v); }
};

struct Part {
    int count;
    template <class T> INLINE Vec load(const T* from) const { return KERNEL_ISA::load(from, count); }
    template <class T> INLINE void store(T* to, const Vec& v) const { KERNEL_ISA::store(to, v, count); }
};

template <Activation ACTIVATION>
INLINE Vec activate(const Vec& x) {
    return ACTIVATION == Activation::silu ? silu(x) : ACTIVATION == Activation::relu6 ? relu6(x) : x;
}

// Converts pixels to floats, normalises and activates them if NORMALISED, and pads each to whole blocks of channels.
template <class T, bool NORMALISED, Activation ACTIVATION>
void widen_as(const T* from, int pixels, int channels, const effnet::Norm* norm, float* to) noexcept {
    const int wide = rounded(channels);
    for (int c = 0; c < wide; c += 16) {
        const int count = channels - c < 16 ? channels - c : 16;
        const Vec scale = NORMALISED ? load(norm->scale + c, count) : splat(1.0f);
        const Vec offset = NORMALISED ? load(norm->offset + c, count) : splat(0.0f);
        for (int p = 0; p < pixels; ++p) {
            const T* pixel = from + size_t(p) * channels + c;
            Vec v = count == 16 ? load(pixel) : load(pixel, count);
            if (NORMALISED) {
                Vec z = offset;
                multiply_add(z, v, scale);
                v = activate<ACTIVATION>(z);
            }
            store(to + size_t(p) * wide + c, v);
        }
    }
}

// Normalises if `norm` is not null.
template <class T>
void widen(const T* from, int pixels, int channels, const effnet::Norm* norm, float* to) noexcept {
    const auto as = !norm ? widen_as<T, false, Activation::none>
        : norm->activation == Activation::silu ? widen_as<T, true, Activation::silu>
        : norm->activation == Activation::relu6 ? widen_as<T, true, Activation::relu6>
                                                : widen_as<T, true, Activation::none>;
    as(from, pixels, channels, norm, to);
}

inline void clear(float* from, size_t count) noexcept {
    if (count) std::memset(from, 0, count * sizeof(float));
}

// The last `slots` rows of an image as floats. Each row starts with `left` zero pixels, and is padded with zeros
// to `total` pixels.
template <class T>
struct Window {
    const T* image;
    int height, width, channels, left, total, slots;
    const effnet::Norm* norm;
    float* scratch;
    int next;  // the first row that is not available yet

    float* row(int index) const noexcept {
        return scratch + size_t((index + slots * 2) % slots) * total * rounded(channels);
    }

    // Makes the rows before `end` available. Only the last `slots` of them stay available.
    void advance(int end) noexcept {
        const int wide = rounded(channels);
        if (next < end - slots) next = end - slots;
        for (; next < end; ++next) {
            float* to = row(next);
            if (next < 0 || next >= height) {
                clear(to, size_t(total) * wide);
                continue;
            }
            const int copied = width < total - left ? width : total - left;
            clear(to, size_t(left) * wide);
            widen(image + size_t(next) * width * channels, copied, channels, norm, to + size_t(left) * wide);
            clear(to + size_t(left + copied) * wide, size_t(total - left - copied) * wide);
        }
    }
};

template <class T>
Window<T> input_window(const DepthwiseImage& d, const void* input, int first) noexcept {
    return {static_cast<const T*>(input), d.height, d.width, d.channels, d.pad_left,
            (d.out_width - 1) * d.stride + d.kernel, d.kernel, d.norm, d.scratch,
            first * d.stride - d.pad_top};
}

// Stores sixteen channels from `c` on, or as many as there are.
template <class T>
INLINE void put(T* to, const Vec& v, int c, int channels) {
    if (c + 16 <= channels) store(to + c, v);
    else store(to + c, v, channels - c);
}

template <class T, int K, int S, int TILE>
INLINE void forward_tile(const DepthwiseImage& d, const float* const* rows, int c, int column, T* out) {
    const int wide = rounded(d.channels);
    Vec sum[TILE];
#pragma GCC unroll 4
    for (int i = 0; i < TILE; ++i) sum[i] = splat(0.0f);
    for (int ky = 0; ky < K; ++ky) {
        const float* from = rows[ky] + size_t(column) * S * wide + c;
#pragma GCC unroll 5
        for (int kx = 0; kx < K; ++kx) {
            const Vec weight = load(d.weight + size_t(ky * K + kx) * wide + c);
#pragma GCC unroll 4
            for (int i = 0; i < TILE; ++i) multiply_add(sum[i], load(from + size_t(i * S + kx) * wide), weight);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < TILE; ++i) put(out + size_t(column + i) * d.channels, sum[i], c, d.channels);
}

template <class T, int K, int S>
void forward(const DepthwiseImage& d, const void* input, int first, int last, void* out) noexcept {
    Window<T> window = input_window<T>(d, input, first);
    for (int y = first; y < last; ++y) {
        const int top = y * S - d.pad_top;
        window.advance(top + K);
        const float* rows[K];
        for (int ky = 0; ky < K; ++ky) rows[ky] = window.row(top + ky);
        T* to = static_cast<T*>(out) + size_t(y) * d.out_width * d.channels;
        for (int c = 0; c < d.channels; c += 16) {
            int x = 0;
            for (; x + 4 <= d.out_width; x += 4) forward_tile<T, K, S, 4>(d, rows, c, x, to);
            for (; x < d.out_width; ++x) forward_tile<T, K, S, 1>(d, rows, c, x, to);
        }
    }
}

template <class T>
void depthwise(const DepthwiseImage& d, const void* input, int first, int last, void* out) noexcept {
    const auto as = d.kernel == 3 ? (d.stride == 1 ? forward<T, 3, 1> : forward<T, 3, 2>)
                                  : (d.stride == 1 ? forward<T, 5, 1> : forward<T, 5, 2>);
    as(d, input, first, last, out);
}

// Computes `TILE` pixels of the input's gradient, `S` apart, starting with the one at the output's column
// `column`. The kernel taps that contribute to them are every `S`-th row and column, starting from `ky` and `kx`.
template <class T, int S, int TAPS, int TILE>
INLINE void input_tile(const DepthwiseImage& d, const float* const* rows, int row_taps, int ky, int kx, int c,
                       int column, T* out) {
    const int wide = rounded(d.channels);
    Vec sum[TILE];
#pragma GCC unroll 4
    for (int i = 0; i < TILE; ++i) sum[i] = splat(0.0f);
    for (int j = 0; j < row_taps; ++j) {
        const float* weights = d.weight + size_t((ky + j * S) * d.kernel + kx) * wide + c;
        const float* from = rows[j] + size_t(column) * wide + c;
#pragma GCC unroll 5
        for (int k = 0; k < TAPS; ++k) {
            const Vec weight = load(weights + size_t(k * S) * wide);
#pragma GCC unroll 4
            for (int i = 0; i < TILE; ++i) multiply_add(sum[i], load(from + (i - k) * std::ptrdiff_t(wide)), weight);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < TILE; ++i) put(out + size_t(i * S) * d.channels, sum[i], c, d.channels);
}

// Computes those columns of one row of the input's gradient to which the kernel's columns kx, kx + S, ...
// contribute.
template <class T, int S, int TAPS>
void input_columns(const DepthwiseImage& d, const float* const* rows, int row_taps, int ky, int kx, T* out) noexcept {
    const int begin = ((kx - d.pad_left) % S + S) % S;
    for (int c = 0; c < d.channels; c += 16) {
        int x = begin;
        const auto column = [&] { return (x + d.pad_left) / S + d.kernel; };
        for (; x + 3 * S < d.width; x += 4 * S)
            input_tile<T, S, TAPS, 4>(d, rows, row_taps, ky, kx, c, column(), out + size_t(x) * d.channels);
        for (; x < d.width; x += S)
            input_tile<T, S, TAPS, 1>(d, rows, row_taps, ky, kx, c, column(), out + size_t(x) * d.channels);
    }
}

template <class T, int K, int S>
void input_gradient(const DepthwiseImage& d, const void* gradient, int first, int last, void* out) noexcept {
    // Rows are wide enough for every column that any pixel of the input reads.
    const int total = d.out_width + 2 * K;
    Window<T> window = {static_cast<const T*>(gradient), d.out_height, d.out_width, d.channels, K, total, K,
                        nullptr, d.scratch, -K};
    for (int y = first; y < last; ++y) {
        const int below = (y + d.pad_top) / S, ky = (y + d.pad_top) % S;
        const int row_taps = (K - ky + S - 1) / S;
        window.advance(below + 1);
        const float* rows[K];
        for (int j = 0; j < row_taps; ++j) rows[j] = window.row(below - j);
        T* to = static_cast<T*>(out) + size_t(y) * d.width * d.channels;
        input_columns<T, S, (K + S - 1) / S>(d, rows, row_taps, ky, 0, to);
        if (S == 2) input_columns<T, S, K / 2>(d, rows, row_taps, ky, 1, to);
    }
}

template <class T>
void depthwise_input(const DepthwiseImage& d, const void* gradient, int first, int last, void* out) noexcept {
    const auto as = d.kernel == 3 ? (d.stride == 1 ? input_gradient<T, 3, 1> : input_gradient<T, 3, 2>)
                                  : (d.stride == 1 ? input_gradient<T, 5, 1> : input_gradient<T, 5, 2>);
    as(d, gradient, first, last, out);
}

template <class T, int K, int S>
void weight_gradient(const DepthwiseImage& d, const void* input, const void* gradient, int first, int last,
                     float* result) noexcept {
    const int wide = rounded(d.channels);
    Window<T> window = input_window<T>(d, input, first);
    float* upstream = d.scratch + size_t(K) * window.total * wide;
    for (int y = first; y < last; ++y) {
        const int top = y * S - d.pad_top;
        window.advance(top + K);
        widen(static_cast<const T*>(gradient) + size_t(y) * d.out_width * d.channels, d.out_width, d.channels,
              nullptr, upstream);
        for (int c = 0; c < wide; c += 16)
            for (int ky = 0; ky < K; ++ky) {
                const float* from = window.row(top + ky) + c;
                float* to = result + size_t(ky * K) * wide + c;
                Vec sum[K];
#pragma GCC unroll 5
                for (int kx = 0; kx < K; ++kx) sum[kx] = load(to + size_t(kx) * wide);
                for (int x = 0; x < d.out_width; ++x) {
                    const Vec v = load(upstream + size_t(x) * wide + c);
#pragma GCC unroll 5
                    for (int kx = 0; kx < K; ++kx)
                        multiply_add(sum[kx], v, load(from + size_t(x * S + kx) * wide));
                }
#pragma GCC unroll 5
                for (int kx = 0; kx < K; ++kx) store(to + size_t(kx) * wide, sum[kx]);
            }
    }
}

template <class T>
void depthwise_weight(const DepthwiseImage& d, const void* input, const void* gradient, int first, int last,
                      float* result) noexcept {
    const auto as = d.kernel == 3 ? (d.stride == 1 ? weight_gradient<T, 3, 1> : weight_gradient<T, 3, 2>)
                                  : (d.stride == 1 ? weight_gradient<T, 5, 1> : weight_gradient<T, 5, 2>);
    as(d, input, gradient, first, last, result);
}

} // namespace KERNEL_ISA
