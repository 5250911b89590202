// The group behind its handle in api.h.
#pragma once

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO 1
#endif

#include <chrono>

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

struct effnet_group {
    // For the Reducer. Contains the backends below.
    c10::intrusive_ptr<c10d::ProcessGroup> group;
    c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
    // For tensors on CUDA devices; may be null.
    c10::intrusive_ptr<c10d::Backend> nccl;
    std::chrono::milliseconds timeout;

    c10d::Backend& backend(const at::Tensor& tensor) const {
        if (tensor.is_cpu()) return *gloo;
        TORCH_CHECK(nccl, "the group is not connected on ", tensor.device());
        return *nccl;
    }

    // Waits until `work` is done. Without a timeout here, work on a device would never end if a rank were gone.
    void finish(const c10::intrusive_ptr<c10d::Work>& work) const {
        if (nccl) {
            work->wait(timeout);
        } else {
            work->wait();
        }
    }
};
