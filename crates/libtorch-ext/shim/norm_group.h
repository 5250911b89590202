// Batch normalisation over the batches of several processes.
#pragma once

#include <memory>
#include <new>
#include <stdexcept>

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include "boundary.h"
#include "training_api.h"

namespace effnet {

// Processes that normalise their batches by the statistics of all of them together. The functions of autograd keep
// it for the backward pass, which may run on another thread and after the caller has given up its own reference.
class NormGroup : public torch::CustomClassHolder {
public:
    explicit NormGroup(const effnet_norm_group& group)
        : context_(group.retain(group.context)), release_(group.release), sum_(group.sum) {}
    ~NormGroup() override { release_(context_); }
    NormGroup(const NormGroup&) = delete;
    NormGroup& operator=(const NormGroup&) = delete;

    // Adds up `values`, contiguous doubles, over all processes, in place.
    void sum(at::Tensor& values) const {
        const std::unique_ptr<char, void (*)(char*)> message(sum_(context_, &values), free_message);
        if (message.get() == out_of_memory) throw std::bad_alloc();
        if (message) throw std::runtime_error(message.get());
    }

private:
    void* const context_;
    void (*const release_)(void*);
    char* (*const sum_)(const void*, at::Tensor*);
};

// Null for a process by itself.
inline c10::intrusive_ptr<NormGroup> group_of(const effnet_norm& norm) {
    if (!norm.group.context) return nullptr;
    return c10::make_intrusive<NormGroup>(norm.group);
}

} // namespace effnet
