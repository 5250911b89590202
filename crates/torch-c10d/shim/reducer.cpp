// Sums gradients over all ranks while the backward pass runs: c10d's Reducer.

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "api.h"
#include "process_group.h"
#include "torch_boundary.h"

using at::Tensor;

namespace effnet {

namespace {

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

struct Buckets {
    c10::intrusive_ptr<c10d::ProcessGroup> group;
    std::shared_ptr<Works> works;
};

// A hook that sums. The Reducer's default divides by the number of processes, but here each process has weighted its
// gradients by its share of the images.
struct Sum : c10d::CppCommHookInterface<Buckets> {
    using CppCommHookInterface::CppCommHookInterface;

    c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
        std::vector<Tensor> tensors = {bucket.getBufferRef()};
        state_.works->push_back(state_.group->allreduce(tensors));
        return state_.works->back()->getFuture();
    }
};

// Drops the Reducer's warning about strides: 1x1 convolutions give gradients whose strides differ from those of their
// parameters in the dimensions of size one, where strides do not matter.
struct WithoutStrides : c10::WarningHandler {
    explicit WithoutStrides(c10::WarningHandler* next) : next(next) {}

    void process(const c10::Warning& warning) override {
        if (warning.msg().rfind("Grad strides do not match", 0) != 0) next->process(warning);
    }

    c10::WarningHandler* const next;
};

// Drops that warning for as long as the object lives. Autograd's engine forwards the warnings of its threads to
// the thread that waits for it.
struct Quiet {
    WithoutStrides handler{c10::WarningUtils::get_warning_handler()};
    c10::WarningUtils::WarningHandlerGuard guard{&handler};
};

// Runs a backward pass whose gradients arrive in a fixed order, and lets the Reducer rebuild its buckets in that
// order. The Reducer rebuilds them only once, and until then records the order again in every step. After this
// pass, neither the buckets nor the bits of the sums depend on where a run was started or resumed.
void rehearse(c10d::Reducer& reducer, const std::vector<Tensor>& parameters) {
    const at::AutoGradMode enabled(true);
    std::vector<Tensor> sums;
    for (const Tensor& parameter : parameters) sums.push_back(parameter.sum());
    const Tensor loss = at::stack(sums).sum();
    reducer.prepare_for_backward({});
    torch::autograd::backward({loss}, {});
    reducer.rebuild_buckets();
    for (const Tensor& parameter : parameters) parameter.mutable_grad() = Tensor();
}

} // namespace

} // namespace effnet

struct effnet_reducer {
    const effnet_group group;
    // Sums in flight.
    const std::shared_ptr<effnet::Works> works;
    std::unique_ptr<c10d::Reducer> reducer;

    void finish() {
        const effnet::Works under_way = std::exchange(*works, {});
        for (const auto& work : under_way) group.finish(work);
    }
};

extern "C" {

effnet_result effnet_reducer_new(const effnet_group* group, const Tensor* const* tensors, size_t count,
                                 int64_t bucket_bytes, effnet_reducer** out) noexcept {
    return torch_guarded([&] {
        std::vector<Tensor> parameters;
        for (size_t i = 0; i < count; ++i) parameters.push_back(*tensors[i]);
        c10d::verify_params_across_processes(group->group, parameters, std::nullopt);
        // The gradients of the last layers are ready first.
        const std::vector<Tensor> reversed(parameters.rbegin(), parameters.rend());
        auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, {size_t(bucket_bytes)}));
        for (auto& bucket : buckets)
            for (size_t& index : bucket) index = count - 1 - index;
        auto reducer = std::make_unique<c10d::Reducer>(
            parameters, std::move(buckets), group->group, std::vector<bool>(count, false), bucket_bytes,
            /* find_unused_parameters */ false, /* gradient_as_bucket_view */ false,
            std::unordered_map<size_t, std::string>(), bucket_bytes, /* skip_all_reduce_unused_params */ false,
            /* use_python_reducer */ false, std::vector<int64_t>());
        auto works = std::make_shared<effnet::Works>();
        reducer->register_comm_hook(std::make_unique<effnet::Sum>(effnet::Buckets{group->group, works}));
        std::unique_ptr<effnet_reducer> made(new effnet_reducer{*group, std::move(works), std::move(reducer)});
        const effnet::Quiet quiet;
        effnet::rehearse(*made->reducer, parameters);
        made->finish();
        *out = made.release();
    });
}

effnet_result effnet_reducer_backward(effnet_reducer* reducer, const Tensor* loss) noexcept {
    return torch_guarded([&] {
        const effnet::Quiet quiet;
        reducer->reducer->prepare_for_backward({});
        loss->backward();
        reducer->finish();
    });
}

effnet_result effnet_reducer_free(effnet_reducer* reducer) noexcept {
    return torch_guarded([&] {
        const std::unique_ptr<effnet_reducer> owned(reducer);
        owned->reducer.reset();
    });
}

} // extern "C"
