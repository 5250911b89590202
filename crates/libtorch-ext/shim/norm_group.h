// Batch normalisation over the batches of several processes.
#pragma once

#include <memory>
#include <new>
#include <stdexcept>

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include "api.h"

namespace effnet {

// A group of processes that normalise their batches by their joint statistics. Autograd functions keep it for the
// backward pass, which may run on another thread and after the caller has dropped its own reference.
class NormGroup : public torch::CustomClassHolder {
public:
    explicit NormGroup(const effnet_norm_group& group)
        : context_(group.retain(group.context)), release_(group.release), sum_(group.sum) {}
    ~NormGroup() override { release_(context_); }
    NormGroup(const NormGroup&) = delete;
    NormGroup& operator=(const NormGroup&) = delete;

    // Sums `values`, contiguous doubles, over all processes, in place.
    void sum(at::Tensor& values) const {
        const effnet_result result = sum_(context_, &values);
        const std::unique_ptr<char, void (*)(char*)> message(result.message, free_message);
        if (result.status == effnet_out_of_memory) throw std::bad_alloc();
        if (result.status != effnet_ok) throw std::runtime_error(message ? message.get() : "the group failed");
    }

private:
    void* const context_;
    void (*const release_)(void*) noexcept;
    effnet_result (*const sum_)(const void*, at::Tensor*) noexcept;
};

// Returns null for a single process.
inline c10::intrusive_ptr<NormGroup> group_of(const effnet_norm& norm) {
    if (!norm.group.context) return nullptr;
    return c10::make_intrusive<NormGroup>(norm.group);
}

} // namespace effnet
