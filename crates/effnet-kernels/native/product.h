// The matrix product behind every pointwise convolution and the classifier.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace KERNEL_ISA {

using effnet::Activation;
using effnet::Product;

// The largest tile whose accumulators leave registers for a row of the panel and one broadcast element.
#if defined(__AVX512F__)
constexpr int TILE_ROWS = 14, PANEL_BLOCKS = 2;
#elif defined(__AVX__)
constexpr int TILE_ROWS = 6, PANEL_BLOCKS = 1;
#else
constexpr int TILE_ROWS = 2, PANEL_BLOCKS = 1;
#endif

template <int ROWS, int BLOCKS>
INLINE void accumulate(Vec (&sum)[ROWS][BLOCKS], const float* left, int depth, const float*& panel) {
    for (int k = 0; k < depth; ++k) {
        Vec right[BLOCKS];
#pragma GCC unroll 2
        for (int b = 0; b < BLOCKS; ++b) right[b] = load(panel + 16 * b);
        panel += 16 * BLOCKS;
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; ++r) {
            const Vec element = splat(left[16 * r + k]);
#pragma GCC unroll 2
            for (int b = 0; b < BLOCKS; ++b) multiply_add(sum[r][b], element, right[b]);
        }
    }
}

#if defined(__AVX512BF16__)
template <int ROWS, int BLOCKS>
INLINE void accumulate(Vec (&sum)[ROWS][BLOCKS], const bf16* left, int depth, const bf16*& panel) {
    for (int k = 0; k < depth; k += 2) {
        __m512bh right[BLOCKS];
#pragma GCC unroll 2
        for (int b = 0; b < BLOCKS; ++b) right[b] = (__m512bh)_mm512_loadu_si512(panel + 32 * b);
        panel += 32 * BLOCKS;
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; ++r) {
            int pair;
            std::memcpy(&pair, left + 16 * r + k, sizeof pair);
            const __m512bh element = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int b = 0; b < BLOCKS; ++b)
                sum[r][b].part[0] =
                    (register_f)_mm512_dpbf16_ps((__m512)sum[r][b].part[0], element, right[b]);
        }
    }
}
#else
template <int ROWS, int BLOCKS>
INLINE void accumulate(Vec (&sum)[ROWS][BLOCKS], const bf16* left, int depth, const bf16*& panel) {
    for (int k = 0; k < depth; k += 2) {
#pragma GCC unroll 2
        for (int b = 0; b < BLOCKS; ++b) {
            // Each column has two adjacent elements: the lower and the upper half of 32 bits.
            Vec first, second;
            EACH_PART {
                register_i pairs;
                std::memcpy(&pairs, panel + 32 * b + 2 * LANES * p, sizeof pairs);
                first.part[p] = (register_f)(pairs << 16);
                second.part[p] = (register_f)(pairs & int32_t(0xffff0000));
            }
#pragma GCC unroll 14
            for (int r = 0; r < ROWS; ++r) {
                multiply_add(sum[r][b], splat(widen(left[16 * r + k])), first);
                multiply_add(sum[r][b], splat(widen(left[16 * r + k + 1])), second);
            }
        }
        panel += 32 * BLOCKS;
    }
}
#endif

// Cache lines per sixteen rows of a panel.
template <class In> constexpr int lines_of(int blocks) { return blocks * int(16 * 16 * sizeof(In) / 64); }

// The part of the next panel that a tile loads into the second-level cache: [first, last) of these lines.
struct Ahead {
    int first, last;
};

template <int ROWS, int BLOCKS, class In, class Out>
__attribute__((noinline)) void product_tile(const Product& p, int row, Ahead ahead) noexcept {
    Vec sum[ROWS][BLOCKS];
#pragma GCC unroll 2
    for (int b = 0; b < BLOCKS; ++b) {
        const Vec bias = load(p.bias + 16 * b);
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; ++r) sum[r][b] = bias;
    }
    const In* panel = static_cast<const In*>(p.panel);
    const In* left = static_cast<const In*>(p.left) + size_t(row) * 16;
    const char* next = static_cast<const char*>(p.next ? p.next : p.panel);
    for (int k = 0; k < p.depth; k += 16, left += p.left_plane, next += 64 * lines_of<In>(BLOCKS)) {
        for (int line = ahead.first; line < ahead.last; ++line) __builtin_prefetch(next + line * 64, 0, 2);
        accumulate<ROWS, BLOCKS>(sum, left, p.depth - k < 16 ? p.depth - k : 16, panel);
    }

    // The loop below is not unrolled, and an array that is indexed at run time lives in memory. Copying the sums
    // here lets them stay in registers in the loop above.
    float tile[BLOCKS][ROWS][16];
#pragma GCC unroll 2
    for (int b = 0; b < BLOCKS; ++b)
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; ++r) store(tile[b][r], sum[r][b]);
#pragma GCC unroll 1
    for (int b = 0; b < BLOCKS; ++b) {
        const size_t offset = b * p.out_plane + size_t(row) * 16;
        Out* out = static_cast<Out*>(p.out) + offset;
        const Out* residual = p.residual ? static_cast<const Out*>(p.residual) + offset : nullptr;
#pragma GCC unroll 1
        for (int r = 0; r < ROWS; ++r) {
            Vec v = load(tile[b][r]);
            if (p.activation == Activation::silu) v = silu(v);
            else if (p.activation == Activation::relu6) v = relu6(v);
            if (residual) v = add(v, load(residual + 16 * r));
            store(out + 16 * r, v);
        }
    }
}

template <int ROWS, class In, class Out>
INLINE void product_rows(const Product& p, int row, int rows, Ahead ahead) {
    if constexpr (ROWS > 0) {
        if (rows != ROWS) return product_rows<ROWS - 1, In, Out>(p, row, rows, ahead);
        if constexpr (PANEL_BLOCKS == 2) {
            if (p.blocks == 2) return product_tile<ROWS, 2, In, Out>(p, row, ahead);
        }
        product_tile<ROWS, 1, In, Out>(p, row, ahead);
    }
}

template <class In, class Out>
void product(const Product& p) noexcept {
    // Tiles have nearly equal heights: a small last tile would run at half the speed.
    const int tiles = (p.rows + TILE_ROWS - 1) / TILE_ROWS;
    // The tiles after the first read the panel from the cache, and leave time for loading the next one.
    const int lines = p.next && tiles > 1 ? lines_of<In>(p.blocks) : 0;
    int row = 0;
    for (int t = 0; t < tiles; ++t) {
        const int rows = (p.rows - row) / (tiles - t);
        product_rows<TILE_ROWS, In, Out>(p, row, rows, Ahead{lines * t / tiles, lines * (t + 1) / tiles});
        row += rows;
    }
}

} // namespace KERNEL_ISA
