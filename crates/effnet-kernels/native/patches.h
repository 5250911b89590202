// Copies the patches of a dense convolution.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "simd.h"

namespace KERNEL_ISA {

using effnet::Patches;

// Copies `CHANNELS` channels of `count` pixels, which are `step` pixels apart in the input.
template <int CHANNELS, class T>
INLINE void copy_pixels(const T* from, int step, int count, T* to) {
    for (int i = 0; i < count; ++i) std::memcpy(to + 16 * i, from + ptrdiff_t(16) * step * i, CHANNELS * sizeof(T));
}

template <int CHANNELS, class T>
INLINE void clear_pixels(int count, T* to) {
    for (int i = 0; i < count; ++i) std::memset(to + 16 * i, 0, CHANNELS * sizeof(T));
}

// Copies one tap of `CHANNELS` channels for all pixels.
template <int CHANNELS, class T>
void patches_of_tap(const Patches& p, const T* from, int ky, int kx, T* to) noexcept {
    const int end = p.first + p.count, shift = kx - p.pad_left;
    // Output columns [inner, outer) read a column inside the image.
    const int inner = shift >= 0 ? 0 : std::min(p.out_width, (-shift + p.stride - 1) / p.stride);
    const int outer = p.width <= shift ? 0 : std::min(p.out_width, (p.width - 1 - shift) / p.stride + 1);
    for (int pixel = p.first; pixel < end;) {
        const int row = pixel / p.out_width, column = pixel % p.out_width;
        const int last = std::min(p.out_width, column + end - pixel);
        const int y = row * p.stride + ky - p.pad_top;
        const bool inside = y >= 0 && y < p.height;
        const int begin = inside ? std::clamp(inner, column, last) : last;
        const int stop = inside ? std::clamp(outer, begin, last) : last;
        clear_pixels<CHANNELS>(begin - column, to);
        to += 16 * (begin - column);
        if (stop > begin)
            copy_pixels<CHANNELS>(from + (ptrdiff_t(y) * p.width + begin * p.stride + shift) * 16, p.stride,
                                  stop - begin, to);
        to += 16 * (stop - begin);
        clear_pixels<CHANNELS>(last - stop, to);
        to += 16 * (last - stop);
        pixel += last - column;
    }
}

template <int CHANNELS, class T>
void patches_by(const Patches& p) noexcept {
    const size_t plane = size_t(p.height) * p.width * 16, out_plane = size_t(p.count) * 16;
    for (int channel = 0; channel < p.channels; channel += CHANNELS) {
        const T* from = static_cast<const T*>(p.input) + channel / 16 * plane + channel % 16;
        for (int tap = 0; tap < p.kernel * p.kernel; ++tap) {
            const int at = tap * p.tap_stride + channel;
            T* to = static_cast<T*>(p.out) + at / 16 * out_plane + at % 16;
            patches_of_tap<CHANNELS>(p, from, tap / p.kernel, tap % p.kernel, to);
        }
    }
}

template <class T>
void patches(const Patches& p) noexcept {
    if (p.tap_stride % 16 == 0) patches_by<16, T>(p);
    else patches_by<8, T>(p);
}

} // namespace KERNEL_ISA
