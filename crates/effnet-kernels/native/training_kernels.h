// What training runs on beside libtorch's convolutions: one table of functions per instruction set.
//
// Activations are [rows][channels], a row being a pixel ("channels last"); elements are float or
// bfloat16, sums and everything that belongs to a channel are float.
#pragma once

#include <cstdint>

namespace effnet {

// Batch normalisation, and the activation behind it: act(x * scale + offset).
struct Norm {
    const float* scale;   // [channels]: gamma / sqrt(variance + eps)
    const float* offset;  // [channels]: beta - mean * scale
    bool silu;
};

// The gradient with respect to what Norm gives: gradient * gate + shift.
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
    const float* weight;        // [kernel * kernel][channels, rounded up to sixteen]
    const Norm* norm;           // applied to the input first if not null; padding stays zero
    float* scratch;             // depthwise_scratch() elements
};

inline int rounded(int channels) { return (channels + 15) / 16 * 16; }

// Floats that a DepthwiseImage needs: as many rows as the kernel has, of the wider of both padded images,
// and one more.
inline int64_t depthwise_scratch(const DepthwiseImage& d) {
    const int padded = (d.out_width - 1) * d.stride + d.kernel;
    const int spread = d.out_width + 2 * d.kernel;
    return int64_t(d.kernel + 1) * (padded > spread ? padded : spread) * rounded(d.channels);
}

// The functions for one type of element.
struct TrainingFunctions {
    // Sums of x - shift and of its square.
    void (*moments)(const void* x, int64_t rows, int channels, const float* shift, float* sum, float* square);
    // out = act(..); adds up its sums where `sum` is not null.
    void (*apply)(const void* x, int64_t rows, int channels, const Norm&, float* sum, void* out);
    // x *= gate.
    void (*scale)(void* x, int64_t rows, int channels, const float* gate);
    // Sums of a * b.
    void (*products)(const void* a, const void* b, int64_t rows, int channels, float* sum);
    // With dz the gradient before the activation: sums of dz and of dz * (x - mean). Stores dz, which may
    // take the gradient's place, unless it is the gradient itself: without SiLU and without a gate.
    void (*before_norm)(const void* x, const Upstream&, int64_t rows, int channels, const Norm&, const float* mean,
                        float* sum, float* product, void* dz);
    // out = dz * scale + (x - mean) * slope + level; out may be dz.
    void (*norm_gradient)(const void* x, const void* dz, int64_t rows, int channels, const float* scale,
                          const float* mean, const float* slope, const float* level, void* out);
    // Rows [first, last) of the output.
    void (*depthwise)(const DepthwiseImage&, const void* input, int first, int last, void* out);
    // Rows [first, last) of the gradient with respect to the (normalised) input.
    void (*depthwise_input)(const DepthwiseImage&, const void* gradient, int first, int last, void* out);
    // Adds what rows [first, last) of the output contribute to the gradient of the weight, laid out like it.
    void (*depthwise_weight)(const DepthwiseImage&, const void* input, const void* gradient, int first, int last,
                             float* weight_gradient);
};

struct TrainingKernels {
    TrainingFunctions of_float, of_bf16;
};

const TrainingKernels& training_baseline();
const TrainingKernels& training_avx2();
const TrainingKernels& training_avx512();
const TrainingKernels& training_avx512bf16();

} // namespace effnet
