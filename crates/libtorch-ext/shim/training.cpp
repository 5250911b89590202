// The layers of a network in training as autograd functions: batch normalisation with the operation that follows
// it. They save only their input, and recompute the normalised values in the backward pass, which saves memory and
// memory bandwidth.

#include "training.h"

#include <vector>

#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include "api.h"
#include "torch_boundary.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace effnet {

// Keeps the small matrix products inside a function in 32-bit floats under autocast.
struct WithoutAutocast {
    c10::impl::ExcludeDispatchKeyGuard guard{c10::DispatchKeySet(c10::DispatchKey::AutocastCPU)};
};

// act(norm(x))
struct NormActivation : torch::autograd::Function<NormActivation> {
    static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight, const Tensor& bias,
                          const Tensor& running_mean, const Tensor& running_var, double momentum, double epsilon,
                          int64_t activation, const c10::intrusive_ptr<NormGroup>& group) {
        const Tensor x = channels_last(input);
        const NormCoefficients coefficients =
            measure(x, {weight, bias, running_mean, running_var, momentum, epsilon, group});
        Tensor out = at::empty_like(x);
        const Norm norm = coefficients.norm(Activation(activation));
        const Chunks chunks(x);
        chunks.each([&](int64_t, int64_t, int64_t row, int64_t rows) {
            training_functions(x.scalar_type())
                .apply(rows_of(x, row), rows, chunks.channels, norm, nullptr, rows_of_mutable(out, row));
        });
        context->save_for_backward({x, coefficients.values});
        coefficients.save(context);
        context->saved_data["activation"] = activation;
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const Tensor& x = saved[0];
        const Tensor gradient = channels_last(gradients[0].to(x.scalar_type()));
        const auto activation = Activation(context->saved_data["activation"].toInt());
        NormGradients result = norm_backward(x, NormCoefficients::saved(context, saved[1]), activation, gradient,
                                             Tensor(), Tensor(), false);
        return {result.input, result.weight, result.bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
    }
};

// Rows of the output per task.
constexpr int STRIP = 32;

// The shape of a depthwise convolution, and its weights in the kernels' layout.
struct DepthwiseJob {
    DepthwiseImage image;
    std::vector<float> weight;

    DepthwiseJob(const Tensor& x, const Tensor& kernels, int64_t stride, at::IntArrayRef padding) {
        const int channels = int(x.size(1)), side = int(kernels.size(2)), wide = rounded(channels);
        const auto out = [&](int64_t size, int64_t before, int64_t after) {
            return int((size + before + after - side) / stride + 1);
        };
        image = {channels, side, int(stride), int(padding[0]), int(padding[2]), int(x.size(2)), int(x.size(3)),
                 out(x.size(2), padding[0], padding[1]), out(x.size(3), padding[2], padding[3]),
                 nullptr, nullptr, nullptr};
        const Tensor floats = kernels.to(at::kFloat).contiguous();
        const float* from = floats.const_data_ptr<float>();
        weight.resize(size_t(side) * side * wide);
        for (int c = 0; c < channels; ++c)
            for (int k = 0; k < side * side; ++k) weight[size_t(k) * wide + c] = from[c * side * side + k];
        image.weight = weight.data();
    }

    // body(image with scratch memory, strip, index of the image, first row, last row)
    template <class Body> void each_strip(int64_t images, int height, const Body& body) const {
        const int64_t strips = (height + STRIP - 1) / STRIP;
        at::parallel_for(0, images * strips, 1, [&](int64_t begin, int64_t end) {
            std::vector<float> scratch(depthwise_scratch(image));
            DepthwiseImage own = image;
            own.scratch = scratch.data();
            for (int64_t i = begin; i < end; ++i) {
                const int first = int(i % strips) * STRIP;
                body(own, i, i / strips, first, std::min(first + STRIP, height));
            }
        });
    }
};

static Tensor depthwise_weight(const DepthwiseJob& job, const Tensor& x, const Tensor& gradient) {
    const DepthwiseImage& image = job.image;
    const int64_t strips = (image.out_height + STRIP - 1) / STRIP, size = int64_t(job.weight.size());
    Tensor partial = at::zeros({x.size(0) * strips, size}, x.options().dtype(at::kFloat));
    float* partials = partial.mutable_data_ptr<float>();
    const int64_t in = int64_t(image.height) * image.width, out = int64_t(image.out_height) * image.out_width;
    job.each_strip(x.size(0), image.out_height,
        [&](const DepthwiseImage& own, int64_t strip, int64_t index, int first, int last) {
            training_functions(x.scalar_type())
                .depthwise_weight(own, rows_of(x, index * in), rows_of(gradient, index * out), first, last,
                                  partials + strip * size);
        });
    const int64_t side = image.kernel, wide = rounded(image.channels);
    return partial.sum(0).view({side, side, wide}).narrow(2, 0, image.channels).permute({2, 0, 1})
        .unsqueeze(1).contiguous();
}

static Tensor depthwise_input(const DepthwiseJob& job, const Tensor& x, const Tensor& gradient) {
    const DepthwiseImage& image = job.image;
    Tensor result = at::empty_like(x);
    const int64_t in = int64_t(image.height) * image.width, out = int64_t(image.out_height) * image.out_width;
    job.each_strip(x.size(0), image.height,
        [&](const DepthwiseImage& own, int64_t, int64_t index, int first, int last) {
            training_functions(x.scalar_type())
                .depthwise_input(own, rows_of(gradient, index * out), first, last, rows_of_mutable(result, index * in));
        });
    return result;
}

// depthwise(act(norm(x))), or depthwise(x) if the norm's tensors are empty. The normalised values are never stored.
struct Depthwise : torch::autograd::Function<Depthwise> {
    static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& kernels, int64_t stride,
                          std::vector<int64_t> padding, const Tensor& weight, const Tensor& bias,
                          const Tensor& running_mean, const Tensor& running_var, double momentum, double epsilon,
                          int64_t activation, const c10::intrusive_ptr<NormGroup>& group) {
        const Tensor x = channels_last(input);
        NormCoefficients coefficients;
        Norm norm;
        DepthwiseJob job(x, kernels, stride, padding);
        if (weight.numel()) {
            coefficients = measure(x, {weight, bias, running_mean, running_var, momentum, epsilon, group});
            norm = coefficients.norm(Activation(activation));
            job.image.norm = &norm;
        }
        const DepthwiseImage& image = job.image;
        Tensor out = at::empty({x.size(0), x.size(1), image.out_height, image.out_width},
                               x.options().memory_format(at::MemoryFormat::ChannelsLast));
        const int64_t in = int64_t(image.height) * image.width, rows = int64_t(image.out_height) * image.out_width;
        job.each_strip(x.size(0), image.out_height,
            [&](const DepthwiseImage& own, int64_t, int64_t index, int first, int last) {
                training_functions(x.scalar_type())
                    .depthwise(own, rows_of(x, index * in), first, last, rows_of_mutable(out, index * rows));
            });
        context->save_for_backward({x, kernels, coefficients.values});
        coefficients.save(context);
        context->saved_data["stride"] = stride;
        context->saved_data["padding"] = padding;
        context->saved_data["activation"] = activation;
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const Tensor &x = saved[0], &kernels = saved[1];
        const NormCoefficients coefficients = NormCoefficients::saved(context, saved[2]);
        const bool normalised = coefficients.values.defined();
        const Tensor gradient = channels_last(gradients[0].to(x.scalar_type()));
        DepthwiseJob job(x, kernels, context->saved_data["stride"].toInt(),
                         context->saved_data["padding"].toIntVector());
        const auto activation = Activation(context->saved_data["activation"].toInt());
        Norm norm;
        if (normalised) {
            norm = coefficients.norm(activation);
            job.image.norm = &norm;
        }
        variable_list result(12);
        if (context->needs_input_grad(1)) result[1] = depthwise_weight(job, x, gradient).to(kernels.scalar_type());
        if (!normalised) {
            if (context->needs_input_grad(0)) result[0] = depthwise_input(job, x, gradient);
            return result;
        }
        const NormGradients below = norm_backward(x, coefficients, activation, depthwise_input(job, x, gradient),
                                                  Tensor(), Tensor(), true);
        result[0] = below.input;
        result[4] = below.weight;
        result[5] = below.bias;
        return result;
    }
};

// y * sigmoid(expand(silu(reduce(mean of y)))) with y = silu(norm(x)): squeeze-and-excitation.
struct NormSqueezeExcite : torch::autograd::Function<NormSqueezeExcite> {
    static Tensor matrix(const Tensor& kernels) { return kernels.flatten(1); }

    static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight, const Tensor& bias,
                          const Tensor& running_mean, const Tensor& running_var, double momentum, double epsilon,
                          const Tensor& reduce, const Tensor& reduce_bias, const Tensor& expand,
                          const Tensor& expand_bias, const c10::intrusive_ptr<NormGroup>& group) {
        const WithoutAutocast guard;
        const Tensor x = channels_last(input);
        const NormCoefficients coefficients =
            measure(x, {weight, bias, running_mean, running_var, momentum, epsilon, group});
        const Norm norm = coefficients.norm(Activation::silu);
        const auto& functions = training_functions(x.scalar_type());
        const Chunks chunks(x);
        const int channels = chunks.channels;
        Tensor partial = at::empty({chunks.count(), channels}, x.options().dtype(at::kFloat));
        float* sums = partial.mutable_data_ptr<float>();
        Tensor out = at::empty_like(x);
        chunks.each([&](int64_t chunk, int64_t, int64_t row, int64_t rows) {
            functions.apply(rows_of(x, row), rows, channels, norm, sums + chunk * channels, rows_of_mutable(out, row));
        });
        const Tensor pooled = chunks.per_image(partial).div_(double(chunks.pixels));
        const Tensor squeezed = at::addmm(reduce_bias, pooled, matrix(reduce).t());
        const Tensor gate = at::addmm(expand_bias, at::silu(squeezed), matrix(expand).t()).sigmoid_().contiguous();
        const float* gates = gate.const_data_ptr<float>();
        chunks.each([&](int64_t, int64_t image, int64_t row, int64_t rows) {
            functions.scale(rows_of_mutable(out, row), rows, channels, gates + image * channels);
        });
        // Saving the output costs nothing: the convolution after it saves it too.
        context->save_for_backward({x, coefficients.values, pooled, squeezed, gate, reduce, expand, out});
        coefficients.save(context);
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const WithoutAutocast guard;
        const auto saved = context->get_saved_variables();
        const Tensor &x = saved[0], &pooled = saved[2], &squeezed = saved[3], &gate = saved[4], &reduce = saved[5],
                     &expand = saved[6], &out = saved[7];
        const NormCoefficients coefficients = NormCoefficients::saved(context, saved[1]);
        const Tensor gradient = channels_last(gradients[0].to(x.scalar_type()));
        const Chunks chunks(x);
        const int channels = chunks.channels;
        Tensor partial = at::empty({chunks.count(), channels}, x.options().dtype(at::kFloat));
        float* sums = partial.mutable_data_ptr<float>();
        chunks.each([&](int64_t chunk, int64_t, int64_t row, int64_t rows) {
            training_functions(x.scalar_type())
                .products(rows_of(out, row), rows_of(gradient, row), rows, channels, sums + chunk * channels);
        });
        // The gradient with respect to the gate is sum(gradient * out) / gate. Before the sigmoid, it is that
        // times gate * (1 - gate).
        const Tensor excited = chunks.per_image(partial).mul_(1 - gate);
        const Tensor hidden = at::silu_backward(excited.mm(matrix(expand)), squeezed);
        const Tensor shift = hidden.mm(matrix(reduce)).div_(double(chunks.pixels)).contiguous();
        const NormGradients below = norm_backward(x, coefficients, Activation::silu, gradient, gate, shift, false);
        return {below.input, below.weight, below.bias, Tensor(), Tensor(), Tensor(), Tensor(),
                hidden.t().mm(pooled).view_as(reduce), hidden.sum(0),
                excited.t().mm(at::silu(squeezed)).view_as(expand), excited.sum(0), Tensor()};
    }
};

} // namespace effnet

extern "C" {

effnet_result effnet_norm_activation(const Tensor* x, const effnet_norm* norm, int32_t activation,
                                     Tensor** out) noexcept {
    return torch_guarded([&] {
        *out = new Tensor(effnet::NormActivation::apply(*x, *norm->weight, *norm->bias, *norm->running_mean,
                                                        *norm->running_var, norm->momentum, norm->epsilon, activation,
                                                        effnet::group_of(*norm)));
    });
}

effnet_result effnet_depthwise(const Tensor* x, const effnet_norm* norm, int32_t activation, const Tensor* kernels,
                               int64_t stride, const int64_t* padding, Tensor** out) noexcept {
    return torch_guarded([&] {
        // Autograd functions do not accept undefined tensors.
        const Tensor none = at::empty({0});
        const effnet_norm nothing = {&none, &none, &none, &none, 0, 0, {}};
        const effnet_norm& own = norm ? *norm : nothing;
        *out = new Tensor(effnet::Depthwise::apply(*x, *kernels, stride, std::vector<int64_t>(padding, padding + 4),
                                                   *own.weight, *own.bias, *own.running_mean, *own.running_var,
                                                   own.momentum, own.epsilon, activation, effnet::group_of(own)));
    });
}

effnet_result effnet_norm_squeeze_excite(const Tensor* x, const effnet_norm* norm, const Tensor* reduce,
                                         const Tensor* reduce_bias, const Tensor* expand, const Tensor* expand_bias,
                                         Tensor** out) noexcept {
    return torch_guarded([&] {
        *out = new Tensor(effnet::NormSqueezeExcite::apply(
            *x, *norm->weight, *norm->bias, *norm->running_mean, *norm->running_var, norm->momentum, norm->epsilon,
            *reduce, *reduce_bias, *expand, *expand_bias, effnet::group_of(*norm)));
    });
}

} // extern "C"
