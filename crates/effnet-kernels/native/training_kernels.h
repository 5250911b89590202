// The training kernels, for the layers between libtorch's pointwise convolutions: one table of functions per
// instruction set. libtorch-ext calls them from its autograd functions.
//
// Activations are "channels last", [rows][channels] where a row is a pixel. Elements are float or bfloat16; sums and
// per-channel values are float.
#pragma once

#include <cstdint>

#include "activation.h"

namespace effnet {

// Batch normalisation and the activation that follows it: act(x * scale + offset).
struct Norm {
    const float* scale;   // [channels]: gamma / sqrt(variance + eps)
    const float* offset;  // [channels]: beta - mean * scale
    Activation activation;
};

// The gradient with respect to the output of a Norm: gradient * gate + shift.
struct Upstream {
    const void* gradient;
    const float* gate;    // [channels], or null for one
    const float* shift;   // [channels], or null for zero
};

// One image of a depthwise convolution.
struct DepthwiseImage {
    int channels, kernel, stride, pad_top, pad_left;
    int height, width;          // of the input
    int out_height, out_width;
    const float* weight;        // [kernel * kernel][channels rounded up to sixteen]
    const Norm* norm;           // if not null, applied to the input first; the padding stays zero
    float* scratch;             // depthwise_scratch() elements
};

inline int rounded(int channels) noexcept { return (channels + 15) / 16 * 16; }

// The number of floats of scratch memory for a DepthwiseImage: one row more than the kernel has, each as wide as
// the padded input or the padded output, whichever is wider.
inline int64_t depthwise_scratch(const DepthwiseImage& d) noexcept {
    const int padded = (d.out_width - 1) * d.stride + d.kernel;
    const int spread = d.out_width + 2 * d.kernel;
    return int64_t(d.kernel + 1) * (padded > spread ? padded : spread) * rounded(d.channels);
}

// The functions for one element type.
struct TrainingFunctions {
    // Sums x - shift and its square.
    void (*moments)(const void* x, int64_t rows, int channels, const float* shift, float* sum,
                    float* square) noexcept;
    // Computes out = act(..), and its sums if `sum` is not null.
    void (*apply)(const void* x, int64_t rows, int channels, const Norm&, float* sum, void* out) noexcept;
    // Computes x *= gate.
    void (*scale)(void* x, int64_t rows, int channels, const float* gate) noexcept;
    // Sums a * b.
    void (*products)(const void* a, const void* b, int64_t rows, int channels, float* sum) noexcept;
    // Sums dz and dz * (x - mean), where dz is the gradient before the activation. Stores dz, which may overwrite
    // the gradient, except without activation and gate, where the two are equal. A gate needs SiLU.
    void (*before_norm)(const void* x, const Upstream&, int64_t rows, int channels, const Norm&, const float* mean,
                        float* sum, float* product, void* dz) noexcept;
    // Computes out = dz * scale + (x - mean) * slope + level; out may be dz.
    void (*norm_gradient)(const void* x, const void* dz, int64_t rows, int channels, const float* scale,
                          const float* mean, const float* slope, const float* level, void* out) noexcept;
    // Computes rows [first, last) of the output.
    void (*depthwise)(const DepthwiseImage&, const void* input, int first, int last, void* out) noexcept;
    // Computes rows [first, last) of the gradient with respect to the (normalised) input.
    void (*depthwise_input)(const DepthwiseImage&, const void* gradient, int first, int last, void* out) noexcept;
    // Adds the contribution of rows [first, last) of the output to the gradient of the weight, which has the
    // weight's layout.
    void (*depthwise_weight)(const DepthwiseImage&, const void* input, const void* gradient, int first, int last,
                             float* weight_gradient) noexcept;
};

struct TrainingKernels {
    TrainingFunctions of_float, of_bf16;
};

const TrainingKernels& training_baseline() noexcept;
const TrainingKernels& training_avx2() noexcept;
const TrainingKernels& training_avx512() noexcept;
const TrainingKernels& training_avx512bf16() noexcept;

} // namespace effnet
