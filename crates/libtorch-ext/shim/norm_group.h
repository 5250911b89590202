// Batch normalisation over the batches of several processes.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

namespace effnet {

// Processes that normalise their batches by the statistics of all of them together.
struct NormGroup : torch::CustomClassHolder {
    // Adds up `values`, contiguous doubles, over all processes, in place.
    virtual void sum(at::Tensor& values) = 0;
};

// The group of the forward pass on this thread; null for a process by itself.
c10::intrusive_ptr<NormGroup>& current_norm_group();

} // namespace effnet
