// Collectives of a group of processes and the averaging of their gradients: c10d's Gloo and its Reducer, and
// NCCL where a library of its own (nccl.h) has brought it.

#define USE_C10D_GLOO 1

#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "distributed.h"
#include "torch_boundary.h"

using at::Tensor;
using std::chrono::milliseconds;

struct effnet_group {
    // As the Reducer wants it, with the backends below.
    c10::intrusive_ptr<c10d::ProcessGroup> group;
    c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
    // Of tensors on CUDA devices; may be null.
    c10::intrusive_ptr<c10d::Backend> nccl;
    milliseconds timeout;

    c10d::Backend& backend(const Tensor& tensor) const {
        if (tensor.is_cpu()) return *gloo;
        TORCH_CHECK(nccl, "the group is not connected on ", tensor.device());
        return *nccl;
    }
};

namespace effnet {

namespace {

// Waits until `work` is done. What a device does ends without a word of it to this thread, and not at all
// when a rank is gone: the timeout has to be asked for.
void finish(const c10::intrusive_ptr<c10d::Work>& work, const effnet_group& group) {
    if (group.nccl) {
        work->wait(group.timeout);
    } else {
        work->wait();
    }
}

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

struct Buckets {
    c10::intrusive_ptr<c10d::ProcessGroup> group;
    std::shared_ptr<Works> works;
};

// The Reducer's own hook divides by the number of processes; here each process has weighted its gradients
// by its share of the images.
struct Sum : c10d::CppCommHookInterface<Buckets> {
    using CppCommHookInterface::CppCommHookInterface;

    c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
        std::vector<Tensor> tensors = {bucket.getBufferRef()};
        state_.works->push_back(state_.group->allreduce(tensors));
        return state_.works->back()->getFuture();
    }
};

// The strides of a dimension of one do not matter, and convolutions of one pixel give gradients that differ
// from their parameters there. The Reducer warns of it, and copies them all the same.
struct WithoutStrides : c10::WarningHandler {
    explicit WithoutStrides(c10::WarningHandler* next) : next(next) {}

    void process(const c10::Warning& warning) override {
        if (warning.msg().rfind("Grad strides do not match", 0) != 0) next->process(warning);
    }

    // Of this thread, which makes the backward passes, from now on.
    static void install() {
        c10::WarningHandler* present = c10::WarningUtils::get_warning_handler();
        thread_local WithoutStrides own(present);
        c10::WarningUtils::set_warning_handler(&own);
    }

    c10::WarningHandler* const next;
};

// Values of a tensor that nothing differentiates through.
Tensor values_of(const Tensor& tensor) { return tensor.detach(); }

} // namespace

// Backward passes find their gradients in the order in which the Reducer first saw them; it asks to be
// told of that order once, and would grow with each step otherwise. A first pass that always has the same
// order makes buckets that do not depend on when a process was started, and so sums of the same bits.
static void rehearse(c10d::Reducer& reducer, const std::vector<Tensor>& parameters) {
    const at::AutoGradMode enabled(true);
    std::vector<Tensor> sums;
    for (const Tensor& parameter : parameters) sums.push_back(parameter.sum());
    const Tensor loss = at::stack(sums).sum();
    reducer.prepare_for_backward({});
    torch::autograd::backward({loss}, {});
    reducer.rebuild_buckets();
    for (const Tensor& parameter : parameters) parameter.mutable_grad() = Tensor();
}

} // namespace effnet

struct effnet_reducer {
    const effnet_group group;
    // Sums that are under way.
    const std::shared_ptr<effnet::Works> works;
    std::unique_ptr<c10d::Reducer> reducer;

    void finish() {
        const effnet::Works under_way = std::exchange(*works, {});
        for (const auto& work : under_way) effnet::finish(work, group);
    }
};

extern "C" {

// `address`, which may be null, is that of this process; without it Gloo chooses as in PyTorch.
char* effnet_group_new(const effnet_store* store, int32_t rank, int32_t size, const char* address, int64_t timeout,
                       effnet_group** out) {
    return torch_guarded([&] {
        using c10d::ProcessGroupGloo;
        auto options = ProcessGroupGloo::Options::create(milliseconds(timeout));
        if (address) {
            options->devices.push_back(ProcessGroupGloo::createDeviceForHostname(address));
        } else {
            options = ProcessGroupGloo::Options::create_default(milliseconds(timeout));
        }
        auto gloo = c10::make_intrusive<ProcessGroupGloo>(store->store, rank, size, std::move(options));
        auto group = c10::make_intrusive<c10d::ProcessGroup>(store->store, rank, size);
        group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
        group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
        *out = new effnet_group{std::move(group), std::move(gloo), nullptr, milliseconds(timeout)};
    });
}

// Tensors on CUDA devices go through `backend` from now on, which is the group's.
char* effnet_group_add_nccl(effnet_group* group, effnet_backend* backend) {
    return torch_guarded([&] {
        const std::unique_ptr<effnet_backend> owned(backend);
        group->group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, owned->backend);
        group->nccl = owned->backend;
    });
}

// A group that `failed` has calls under way that nobody will answer.
char* effnet_group_free(effnet_group* group, int32_t failed) {
    return torch_guarded([&] {
        const std::unique_ptr<effnet_group> owned(group);
        if (!group->nccl) return;
        if (failed) {
            group->nccl->abort();
        } else {
            group->nccl->shutdown();
        }
    });
}

// The order is part of the C interface.
enum effnet_reduction : int32_t { reduction_sum, reduction_max, reduction_min };

char* effnet_group_all_reduce(const effnet_group* group, Tensor* tensor, int32_t reduction) {
    return torch_guarded([&] {
        c10d::AllreduceOptions options;
        options.reduceOp = reduction == reduction_max   ? c10d::ReduceOp::MAX
                           : reduction == reduction_min ? c10d::ReduceOp::MIN
                                                        : c10d::ReduceOp::SUM;
        std::vector<Tensor> tensors = {effnet::values_of(*tensor)};
        effnet::finish(group->backend(*tensor).allreduce(tensors, options), *group);
    });
}

char* effnet_group_broadcast(const effnet_group* group, Tensor* tensor, int32_t root) {
    return torch_guarded([&] {
        c10d::BroadcastOptions options;
        options.rootRank = root;
        std::vector<Tensor> tensors = {effnet::values_of(*tensor)};
        effnet::finish(group->backend(*tensor).broadcast(tensors, options), *group);
    });
}

// `outputs` has a tensor like `input` for each process.
char* effnet_group_all_gather(const effnet_group* group, const Tensor* input, Tensor* const* outputs, size_t count) {
    return torch_guarded([&] {
        std::vector<std::vector<Tensor>> lists(1);
        for (size_t i = 0; i < count; ++i) lists[0].push_back(effnet::values_of(*outputs[i]));
        std::vector<Tensor> inputs = {effnet::values_of(*input)};
        effnet::finish(group->backend(*input).allgather(lists, inputs), *group);
    });
}

char* effnet_group_barrier(const effnet_group* group) {
    return torch_guarded([&] { group->gloo->barrier()->wait(); });
}

// The sum that batch normalisation asks for in the midst of a pass. On a device, what is computed with `values`
// waits for it, and this thread does not: whether it came in time shows in the sum of the gradients, which cannot
// overtake it.
char* effnet_group_sum(const effnet_group* group, Tensor* values) {
    return torch_guarded([&] {
        std::vector<Tensor> tensors = {*values};
        const auto work = group->backend(*values).allreduce(tensors);
        if (values->is_cpu()) {
            work->wait();
        } else {
            work->blockCurrentStream();
        }
    });
}

char* effnet_reducer_new(const effnet_group* group, const Tensor* const* tensors, size_t count, int64_t bucket_bytes,
                         effnet_reducer** out) {
    return torch_guarded([&] {
        std::vector<Tensor> parameters;
        for (size_t i = 0; i < count; ++i) parameters.push_back(*tensors[i]);
        c10d::verify_params_across_processes(group->group, parameters, std::nullopt);
        // The last layers have their gradients first.
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
        effnet::WithoutStrides::install();
        effnet::rehearse(*made->reducer, parameters);
        made->finish();
        *out = made.release();
    });
}

// To be called between the forward and the backward pass whose gradients are to be summed.
char* effnet_reducer_prepare(effnet_reducer* reducer) {
    return torch_guarded([&] { reducer->reducer->prepare_for_backward({}); });
}

// To be called after that backward pass: waits for the sums, which may have failed.
char* effnet_reducer_finish(effnet_reducer* reducer) {
    return torch_guarded([&] { reducer->finish(); });
}

char* effnet_reducer_free(effnet_reducer* reducer) {
    return torch_guarded([&] {
        const std::unique_ptr<effnet_reducer> owned(reducer);
        owned->reducer.reset();
    });
}

} // extern "C"
