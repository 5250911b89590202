// libeffnet_nccl.so: c10d's NCCL, between CUDA devices. See nccl.h.

#define USE_C10D_NCCL 1

#include <chrono>
#include <cstdlib>
#include <utility>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "distributed.h"
#include "nccl.h"
#include "torch_boundary.h"

namespace {

// If a rank is missing, libtorch's watchdog ends the whole process. Here every wait has a timeout, after which the
// communicator is aborted and the wait throws, so the watchdog must not act.
struct Nccl : c10d::ProcessGroupNCCL {
    Nccl(c10::intrusive_ptr<c10d::Store> store, int rank, int size, c10::intrusive_ptr<Options> options)
        : ProcessGroupNCCL(std::move(store), rank, size, std::move(options)) {
        asyncErrorHandling_ = c10d::NoHandling;
    }
};

effnet_result connect(const effnet_store* store, int32_t rank, int32_t size, int32_t device, int64_t timeout,
                      effnet_backend** out) noexcept {
    return torch_guarded([&] {
        auto options = c10d::ProcessGroupNCCL::Options::create();
        options->timeout = std::chrono::milliseconds(timeout);
        const at::Device on(at::kCUDA, static_cast<c10::DeviceIndex>(device));
        auto nccl = c10::make_intrusive<Nccl>(store->store, rank, size, std::move(options));
        nccl->setBoundDeviceId(on);
        // Connecting now rather than with the first tensor makes two ranks on the same device fail here.
        nccl->eagerConnectSingleDevice(on);
        *out = new effnet_backend{std::move(nccl)};
    });
}

const effnet_nccl_api api = {connect, free_message};

} // namespace

extern "C" __attribute__((visibility("default"))) const effnet_nccl_api* effnet_nccl_2() noexcept {
    return &api;
}
