// The collective calls of a group of processes: c10d's Gloo, and NCCL through a library that is opened at run time
// (nccl.h).

#include "process_group.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "api.h"
#include "distributed.h"
#include "torch_boundary.h"

using at::Tensor;
using std::chrono::milliseconds;

namespace {

// The values of a tensor, outside of autograd.
Tensor values_of(const Tensor& tensor) { return tensor.detach(); }

} // namespace

extern "C" {

effnet_result effnet_group_new(const effnet_store* store, int32_t rank, int32_t size, const char* address,
                               int64_t timeout, effnet_group** out) noexcept {
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

effnet_result effnet_group_add_nccl(effnet_group* group, effnet_backend* backend) noexcept {
    return torch_guarded([&] {
        const std::unique_ptr<effnet_backend> owned(backend);
        group->group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, owned->backend);
        group->nccl = owned->backend;
    });
}

effnet_result effnet_group_free(effnet_group* group, int32_t failed) noexcept {
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

static c10d::ReduceOp operation(effnet_reduction reduction) {
    switch (reduction) {
    case reduction_sum: return c10d::ReduceOp::SUM;
    case reduction_max: return c10d::ReduceOp::MAX;
    case reduction_min: return c10d::ReduceOp::MIN;
    }
    TORCH_CHECK(false, "unknown reduction ", int32_t(reduction));
}

effnet_result effnet_group_all_reduce(const effnet_group* group, const Tensor* tensor,
                                      effnet_reduction reduction) noexcept {
    return torch_guarded([&] {
        c10d::AllreduceOptions options;
        options.reduceOp = operation(reduction);
        std::vector<Tensor> tensors = {values_of(*tensor)};
        group->finish(group->backend(*tensor).allreduce(tensors, options));
    });
}

effnet_result effnet_group_broadcast(const effnet_group* group, const Tensor* tensor, int32_t root) noexcept {
    return torch_guarded([&] {
        c10d::BroadcastOptions options;
        options.rootRank = root;
        std::vector<Tensor> tensors = {values_of(*tensor)};
        group->finish(group->backend(*tensor).broadcast(tensors, options));
    });
}

effnet_result effnet_group_all_gather(const effnet_group* group, const Tensor* input, const Tensor* const* outputs,
                                      size_t count) noexcept {
    return torch_guarded([&] {
        std::vector<std::vector<Tensor>> lists(1);
        for (size_t i = 0; i < count; ++i) lists[0].push_back(values_of(*outputs[i]));
        std::vector<Tensor> inputs = {values_of(*input)};
        group->finish(group->backend(*input).allgather(lists, inputs));
    });
}

effnet_result effnet_group_barrier(const effnet_group* group) noexcept {
    return torch_guarded([&] { group->gloo->barrier()->wait(); });
}

effnet_result effnet_group_sum(const effnet_group* group, const Tensor* values) noexcept {
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

} // extern "C"
