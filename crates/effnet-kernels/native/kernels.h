// The inference kernels: one table of functions per instruction set.
//
// The activations of an image are stored in blocks of sixteen channels, [C / 16][pixels][16], with zeros after the
// last channel, so that a block fits one AVX-512 register, and kernels need not handle a remainder of channels.
//
// Kernels run on a team's threads, so they are noexcept.
#pragma once

#include <cstddef>

#include "activation.h"

namespace effnet {

constexpr int BLOCK = 16;

// Multiplies rows of a matrix in this layout by one packed panel of at most `panel_blocks * 16` columns.
struct Product {
    const void* left;          // [K / 16][..][16]
    size_t left_plane;         // elements between two blocks of `left`
    int rows;
    int depth;                 // K, a multiple of two
    const void* panel;         // [K][columns], or [K / 2][columns][2] for bfloat16
    const void* next;          // a panel that will be read soon after, or null
    int blocks;                // columns / 16
    const float* bias;         // [columns]
    const void* residual;      // added to the result if not null; has the layout of `out`
    void* out;                 // [columns / 16][..][16]
    size_t out_plane;          // elements between two blocks of `out`
    Activation activation;
};

// One block of sixteen channels of a depthwise convolution, followed by an activation.
struct Depthwise {
    const void* input;         // rows from `input_row` on, each of `width` pixels
    int input_row;
    int height, width;         // of the whole input
    const float* weight;       // [kernel * kernel][16]
    const float* bias;         // [16]
    int kernel, stride;
    int pad_top, pad_left;
    void* out;                 // the first of the rows to write
    int out_first, out_last;   // rows [first, last)
    int out_width;
    float* sum;                // [16]: sums of the rows written
    Activation activation;     // not `none`
};

// The inputs of some pixels of a dense convolution's output, copied into rows: one row per pixel, one element per tap and
// input channel.
struct Patches {
    const void* input;         // [channels / 16][height * width][16]
    int channels, height, width;
    int kernel, stride, pad_top, pad_left;
    int tap_stride;            // elements of a row per tap: `channels` if divisible by eight, else a multiple of sixteen
    int out_width;
    int first, count;          // pixels of the output
    void* out;                 // [row elements / 16][count][16]
};

// Rows of the stem's output for one panel of channels, followed by an activation.
struct Stem {
    const float* input;        // [channels][rows][padded_width], including the padding
    int channels, kernel, stride, rows, padded_width;
    const float* panel;        // [channels * kernel * kernel][columns]
    int blocks;
    const float* bias;
    float* out;
    size_t out_plane;
    int out_rows, out_width;
    Activation activation;     // not `none`
};

struct Kernels {
    const char* name;
    int panel_blocks;          // blocks of sixteen columns in a full panel
    void (*product)(const Product&) noexcept;            // float to float
    void (*product_narrow)(const Product&) noexcept;     // bfloat16 to bfloat16
    void (*product_widen)(const Product&) noexcept;      // bfloat16 to float
    void (*depthwise)(const Depthwise&) noexcept;        // float to float
    void (*depthwise_widen)(const Depthwise&) noexcept;  // bfloat16 to float
    void (*depthwise_round)(const Depthwise&) noexcept;  // float to bfloat16
    void (*depthwise_narrow)(const Depthwise&) noexcept; // bfloat16 to bfloat16
    void (*stem)(const Stem&) noexcept;                  // float to float
    void (*patches)(const Patches&) noexcept;            // of floats
    void (*patches_narrow)(const Patches&) noexcept;     // of bfloat16
    // out[b][row][c] = in[b][row][c] * gate[b * 16 + c]
    void (*scale)(const float* in, size_t in_plane, const float* gate, int blocks, int rows, void* out) noexcept;
    // The same, but rounded to bfloat16.
    void (*scale_narrow)(const float* in, size_t in_plane, const float* gate, int blocks, int rows,
                         void* out) noexcept;
    // Computes gates from the means over pixels: reduce [squeezed][channels], expand [channels /
    // 16][squeezed][16].
    void (*gate)(const float* mean, int channels, int squeezed, const float* reduce,
                 const float* reduce_bias, const float* expand, const float* expand_bias,
                 float* hidden, float* gate) noexcept;
    // Computes sum[b * 16 + c] over `rows` rows; elements are floats.
    void (*sums)(const float* in, size_t in_plane, int blocks, int rows, float* sum) noexcept;
};

// Kernels for other sets than the baseline; build.rs compiles them under the same condition. Not on Windows, where GCC
// does not align the stack for registers wider than sixteen bytes (its bug 54412).
#if defined(__x86_64__) && !defined(_WIN32)
#define EFFNET_WIDE_KERNELS
#endif

const Kernels& kernels_baseline() noexcept;
const Kernels& kernels_avx2() noexcept;
const Kernels& kernels_avx512() noexcept;
const Kernels& kernels_avx512bf16() noexcept;

} // namespace effnet
