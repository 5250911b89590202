// Steps shared by the autograd functions of training.cpp: chunks of a batch, and batch normalisation.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <torch/csrc/autograd/custom_function.h>

#include "norm_group.h"
#include "training_kernels.h"

namespace effnet {

// Returns the kernels for this CPU and this element type.
const TrainingFunctions& training_functions(at::ScalarType type);

// Returns the tensor itself if it is channels last, otherwise a copy.
inline at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

// The pixels of a batch, divided into chunks that fit a cache. The chunks depend only on the shape, and their
// results are combined in order, so the result is bit-identical for any number of threads.
class Chunks {
public:
    explicit Chunks(const at::Tensor& x);
    int64_t count() const { return images * per_image_; }
    // body(chunk, image, first row of the batch, rows)
    template <class Body> void each(const Body& body) const {
        at::parallel_for(0, count(), 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const int64_t image = i / per_image_, first = i % per_image_ * size_;
                body(i, image, image * pixels + first, std::min(size_, pixels - first));
            }
        });
    }
    // Sums `partial`, [count()][channels], over the chunks of each image, to [images][channels].
    at::Tensor per_image(const at::Tensor& partial) const;

    const int64_t images, pixels;
    const int channels;

private:
    int64_t size_, per_image_;
};

// Returns the rows of a tensor from `row` on.
inline const void* rows_of(const at::Tensor& x, int64_t row) {
    return static_cast<const char*>(x.const_data_ptr()) + row * x.size(1) * x.element_size();
}
inline void* rows_of_mutable(at::Tensor& x, int64_t row) {
    return static_cast<char*>(x.mutable_data_ptr()) + row * x.size(1) * x.element_size();
}

// A batch normalisation in training; the running statistics may be undefined.
struct NormParameters {
    at::Tensor weight, bias, running_mean, running_var;
    double momentum, epsilon;
    // The processes whose batches are normalised together; null for this one alone.
    c10::intrusive_ptr<NormGroup> group;
};

// The coefficients of a batch normalisation for one batch: [4][channels], namely scale, offset, mean and 1 /
// sqrt(variance + eps).
struct NormCoefficients {
    at::Tensor values;
    // The same as in the parameters.
    c10::intrusive_ptr<NormGroup> group;

    // Saves the group for the backward pass; the values are saved as a tensor.
    void save(torch::autograd::AutogradContext* context) const;
    static NormCoefficients saved(const torch::autograd::AutogradContext* context, at::Tensor values);

    Norm norm(Activation activation) const { return {row(0), row(1), activation}; }
    const float* mean() const { return row(2); }
    const float* inverse_deviation() const { return row(3); }

private:
    const float* row(int index) const { return values.const_data_ptr<float>() + index * values.size(1); }
};

// Computes the statistics of the batch `x`, channels last, over all processes of the group, and updates the
// running statistics.
NormCoefficients measure(const at::Tensor& x, const NormParameters& parameters);

struct NormGradients {
    at::Tensor input, weight, bias;
};

// Computes the backward pass of the normalisation and activation of `x`. The upstream gradient is `gradient`,
// channels last, times `gate` plus `shift`, which are both undefined or both [images][channels], after SiLU. With
// `in_place`, `gradient` is overwritten with the input's gradient.
NormGradients norm_backward(const at::Tensor& x, const NormCoefficients& coefficients, Activation activation,
                            at::Tensor gradient, const at::Tensor& gate, const at::Tensor& shift, bool in_place);

} // namespace effnet
