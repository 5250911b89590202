// Batch normalisation over the batches of several processes, built on libtorch's operators, for inputs that the
// kernels of training_norm.cpp do not support, such as batches on a CUDA device.

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "api.h"
#include "norm_group.h"
#include "torch_boundary.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace effnet {

namespace {

constexpr int64_t ACROSS[] = {0, 2, 3};

// Gives one number per channel a shape that broadcasts over the batch, and the batch's type.
Tensor along(const Tensor& channels, const Tensor& batch) {
    return channels.to(batch.scalar_type()).view({1, -1, 1, 1});
}

Tensor computed(const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
    static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight, const Tensor& bias,
                          const Tensor& running_mean, const Tensor& running_var, double momentum, double epsilon,
                          const c10::intrusive_ptr<NormGroup>& group) {
        const Tensor x = computed(input);
        const int64_t channels = x.size(1);
        const double own = double(x.numel() / channels);
        const auto [own_variance, own_mean] = at::var_mean(x, ACROSS, /* unbiased */ false);
        // Take the sums around zero, the one point that all processes share. Doubles have enough digits for this.
        const Tensor center = own_mean.to(at::kDouble);
        Tensor sums = at::cat({center * own, (own_variance.to(at::kDouble) + center * center) * own,
                               at::full({1}, own, center.options())});
        group->sum(sums);
        const Tensor count = sums.slice(0, 2 * channels);
        const Tensor mean = sums.slice(0, 0, channels) / count;
        const Tensor variance = (sums.slice(0, channels, 2 * channels) / count - mean * mean).clamp_min(0);
        const Tensor inverse = (variance + epsilon).rsqrt();
        // PyTorch's running variance is the unbiased estimate.
        follow(running_mean, mean, momentum);
        follow(running_var, variance * count / (count - 1).clamp_min(1), momentum);

        const Tensor scale = weight.to(at::kDouble) * inverse;
        const Tensor out = at::addcmul(along(bias - mean * scale, x), x, along(scale, x)).to(input.scalar_type());
        context->save_for_backward({input, weight, mean, inverse, count});
        context->saved_data["group"] = c10::IValue::make_capsule(group);
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const Tensor &input = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3], &count = saved[4];
        const auto group =
            c10::static_intrusive_pointer_cast<NormGroup>(context->saved_data["group"].toCapsule());
        const Tensor x = computed(input), upstream = gradients[0].to(x.scalar_type());
        const int64_t channels = x.size(1);
        const Tensor normal = (x - along(mean, x)) * along(inverse, x);
        const Tensor sum = upstream.sum(ACROSS), product = (upstream * normal).sum(ACROSS);
        Tensor sums = at::cat({sum, product}).to(at::kDouble);
        group->sum(sums);
        const Tensor level = sums.slice(0, 0, channels) / count, slope = sums.slice(0, channels) / count;
        const Tensor scale = weight.to(at::kDouble) * inverse;
        const Tensor result =
            (upstream - along(level, x) - normal * along(slope, x)) * along(scale, x);
        // The parameters' gradients are for this process's images only: all gradients are summed over processes
        // later.
        const auto type = weight.scalar_type();
        return {result.to(input.scalar_type()), product.to(type), sum.to(type), Tensor(), Tensor(), Tensor(), Tensor(),
                Tensor()};
    }

private:
    static void follow(Tensor running, const Tensor& measured, double momentum) {
        running.mul_(1 - momentum).add_(measured.to(running.scalar_type()), momentum);
    }
};

} // namespace

} // namespace effnet

effnet_result effnet_sync_batch_norm(const Tensor* x, const effnet_norm* norm, Tensor** out) noexcept {
    return torch_guarded([&] {
        TORCH_CHECK(norm->group.context, "synchronised batch normalisation requires a group");
        *out = new Tensor(effnet::SyncBatchNorm::apply(*x, *norm->weight, *norm->bias, *norm->running_mean,
                                                       *norm->running_var, norm->momentum, norm->epsilon,
                                                       effnet::group_of(*norm)));
    });
}
