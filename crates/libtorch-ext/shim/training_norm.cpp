// Batch normalisation in training, with the activation that follows it.

#include "training.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "network.h"

namespace effnet {

static const TrainingKernels& choose() noexcept {
#if defined(__x86_64__)
    if (supports(Isa::avx512bf16)) return training_avx512bf16();
    if (supports(Isa::avx512)) return training_avx512();
    if (supports(Isa::avx2)) return training_avx2();
#endif
    return training_baseline();
}

const TrainingFunctions& training_functions(at::ScalarType type) {
    static const TrainingKernels& kernels = choose();
    return type == at::kBFloat16 ? kernels.of_bf16 : kernels.of_float;
}

Chunks::Chunks(const at::Tensor& x)
    : images(x.size(0)), pixels(x.size(2) * x.size(3)), channels(int(x.size(1))) {
    constexpr int64_t elements = 16384;
    size_ = std::max<int64_t>(1, elements / channels);
    per_image_ = (pixels + size_ - 1) / size_;
}

at::Tensor Chunks::per_image(const at::Tensor& partial) const {
    return partial.view({images, per_image_, channels}).sum(1);
}

// Sums over all chunks, in the order of the chunks: partial[chunk][offset + channel].
static std::vector<double> total(const at::Tensor& partial, int offset, int channels) {
    std::vector<double> sum(channels);
    const float* from = partial.const_data_ptr<float>() + offset;
    const int64_t stride = partial.size(1);
    for (int64_t chunk = 0; chunk < partial.size(0); ++chunk, from += stride)
        for (int c = 0; c < channels; ++c) sum[c] += from[c];
    return sum;
}

static void update(const at::Tensor& running, double momentum, const std::vector<double>& measured) {
    if (!running.defined()) return;
    float* value = running.mutable_data_ptr<float>();
    for (size_t c = 0; c < measured.size(); ++c)
        value[c] = float((1 - momentum) * value[c] + momentum * measured[c]);
}

// Returns the mean of some pixels from the whole batch, `[channels]`. Sums are taken around it, so that squares
// cancel less; a single pixel may lie many standard deviations from the mean.
static at::Tensor near_mean(const at::Tensor& x) {
    constexpr int64_t wanted = 64;
    const int64_t pixels = x.size(0) * x.size(2) * x.size(3), stride = std::max<int64_t>(1, pixels / wanted);
    const at::Tensor rows = x.permute({0, 2, 3, 1}).view({pixels, x.size(1)});
    return rows.slice(0, stride / 2, std::nullopt, stride).to(at::kFloat).mean(0);
}

void NormCoefficients::save(torch::autograd::AutogradContext* context) const {
    if (group) context->saved_data["group"] = c10::IValue::make_capsule(group);
}

NormCoefficients NormCoefficients::saved(const torch::autograd::AutogradContext* context, at::Tensor values) {
    const auto& data = context->saved_data;
    const auto group = data.find("group");
    if (group == data.end()) return {std::move(values), nullptr};
    return {std::move(values), c10::static_intrusive_pointer_cast<NormGroup>(group->second.toCapsule())};
}

// Sums over all processes: two sums per channel and a count, in one exchange.
static void sum_over(NormGroup* group, std::vector<double>& first, std::vector<double>& second, double& count) {
    if (!group) return;
    const int64_t channels = int64_t(first.size());
    at::Tensor values = at::empty({2 * channels + 1}, at::kDouble);
    double* value = values.mutable_data_ptr<double>();
    std::copy(first.begin(), first.end(), value);
    std::copy(second.begin(), second.end(), value + channels);
    value[2 * channels] = count;
    group->sum(values);
    std::copy(value, value + channels, first.begin());
    std::copy(value + channels, value + 2 * channels, second.begin());
    count = value[2 * channels];
}

NormCoefficients measure(const at::Tensor& x, const NormParameters& parameters) {
    const Chunks chunks(x);
    const int channels = chunks.channels;
    const auto& functions = training_functions(x.scalar_type());
    const auto floats = x.options().dtype(at::kFloat);
    const at::Tensor shift = near_mean(x);
    at::Tensor partial = at::empty({chunks.count(), 2 * channels}, floats);
    float* sums = partial.mutable_data_ptr<float>();
    const float* shifts = shift.const_data_ptr<float>();
    chunks.each([&](int64_t chunk, int64_t, int64_t row, int64_t rows) {
        float* sum = sums + chunk * 2 * channels;
        functions.moments(rows_of(x, row), rows, channels, shifts, sum, sum + channels);
    });

    std::vector<double> mean = total(partial, 0, channels), variance = total(partial, channels, channels);
    double count = double(chunks.images * chunks.pixels);
    NormCoefficients result{at::empty({4, channels}, floats), parameters.group};
    if (result.group) {
        // Turn the sums around a point of this batch into sums around zero, the one point that all processes
        // share. Doubles have enough digits for this.
        for (int c = 0; c < channels; ++c) {
            const double from = shifts[c];
            variance[c] += 2 * from * mean[c] + from * from * count;
            mean[c] += from * count;
        }
        sum_over(result.group.get(), mean, variance, count);
    }
    TORCH_CHECK(count > 1, "batch normalisation in training requires more than one value per channel");
    float* value = result.values.mutable_data_ptr<float>();
    const float* weight = parameters.weight.const_data_ptr<float>();
    const float* bias = parameters.bias.const_data_ptr<float>();
    for (int c = 0; c < channels; ++c) {
        const double shifted = mean[c] / count;
        // Rounding may make a variance of zero negative; NaN stays NaN.
        const double measured = variance[c] / count - shifted * shifted;
        variance[c] = measured < 0 ? 0 : measured;
        mean[c] = result.group ? shifted : shifted + shifts[c];
        const double inverse = 1 / std::sqrt(variance[c] + parameters.epsilon);
        const double scale = weight[c] * inverse;
        value[c] = float(scale);
        value[channels + c] = float(bias[c] - mean[c] * scale);
        value[2 * channels + c] = float(mean[c]);
        value[3 * channels + c] = float(inverse);
        // PyTorch's running variance is the unbiased estimate.
        variance[c] *= count / (count - 1);
    }
    update(parameters.running_mean, parameters.momentum, mean);
    update(parameters.running_var, parameters.momentum, variance);
    return result;
}

NormGradients norm_backward(const at::Tensor& x, const NormCoefficients& coefficients, Activation activation,
                            at::Tensor gradient, const at::Tensor& gate, const at::Tensor& shift, bool in_place) {
    const Chunks chunks(x);
    const int channels = chunks.channels;
    const auto& functions = training_functions(x.scalar_type());
    const Norm norm = coefficients.norm(activation);
    const auto floats = x.options().dtype(at::kFloat);
    TORCH_CHECK(!gate.defined() || activation == Activation::silu, "a gate follows SiLU");
    const float* gates = gate.defined() ? gate.const_data_ptr<float>() : nullptr;
    const float* shifts = shift.defined() ? shift.const_data_ptr<float>() : nullptr;
    const auto upstream = [&](int64_t image, int64_t row) {
        const int64_t at = image * channels;
        return Upstream{rows_of(gradient, row), gates ? gates + at : nullptr, shifts ? shifts + at : nullptr};
    };

    at::Tensor partial = at::empty({chunks.count(), 2 * channels}, floats);
    float* sums = partial.mutable_data_ptr<float>();
    at::Tensor result_input = in_place ? gradient : at::empty_like(x);
    chunks.each([&](int64_t chunk, int64_t image, int64_t row, int64_t rows) {
        float* sum = sums + chunk * 2 * channels;
        functions.before_norm(rows_of(x, row), upstream(image, row), rows, channels, norm, coefficients.mean(),
                              sum, sum + channels, rows_of_mutable(result_input, row));
    });

    std::vector<double> sum = total(partial, 0, channels), product = total(partial, channels, channels);
    NormGradients result{result_input, at::empty({channels}, floats), at::empty({channels}, floats)};
    std::vector<float> slope(channels), level(channels);
    for (int c = 0; c < channels; ++c) {
        // This is for this process's images only: the gradients of all parameters are summed over processes later.
        result.weight.mutable_data_ptr<float>()[c] = float(product[c] * coefficients.inverse_deviation()[c]);
        result.bias.mutable_data_ptr<float>()[c] = float(sum[c]);
    }
    double count = double(chunks.images * chunks.pixels);
    sum_over(coefficients.group.get(), sum, product, count);
    for (int c = 0; c < channels; ++c) {
        const double inverse = coefficients.inverse_deviation()[c], scale = norm.scale[c];
        slope[c] = float(-scale * inverse * inverse * product[c] / count);
        level[c] = float(-scale * sum[c] / count);
    }
    const at::Tensor& dz = activation != Activation::none || gates ? result.input : gradient;
    chunks.each([&](int64_t, int64_t, int64_t row, int64_t rows) {
        functions.norm_gradient(rows_of(x, row), rows_of(dz, row), rows, channels, norm.scale, coefficients.mean(),
                                slope.data(), level.data(), rows_of_mutable(result.input, row));
    });
    return result;
}

} // namespace effnet
