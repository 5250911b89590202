// CUDA through c10's device-independent interface, which needs neither CUDA's headers nor its libraries. Without
// libtorch_cuda, every call returns an error.

#include <cstdint>
#include <memory>
#include <tuple>

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "api.h"
#include "torch_boundary.h"

// Initialises CUDA, which libtorch otherwise does for the first tensor.
static c10::Device cuda(int32_t index) {
    at::globalContext().lazyInitDevice(c10::kCUDA);
    return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

extern "C" {

void effnet_allow_tf32(int32_t allow) noexcept {
    at::globalContext().setAllowTF32CuDNN(allow != 0);
    at::globalContext().setAllowTF32CuBLAS(allow != 0);
}

effnet_result effnet_device_memory(int32_t device, uint64_t* free, uint64_t* total, uint64_t* peak) noexcept {
    return torch_guarded([&] {
        using Stat = c10::CachingAllocator::StatType;
        const auto index = cuda(device).index();
        const auto allocator = c10::getDeviceAllocator(c10::kCUDA);
        std::tie(*free, *total) = allocator->getMemoryInfo(index);
        const auto stats = allocator->getDeviceStats(index);
        *peak = stats.reserved_bytes[static_cast<size_t>(Stat::AGGREGATE)].peak;
    });
}

effnet_result effnet_copy_stream(int32_t device, int64_t* stream) noexcept {
    return torch_guarded([&] {
        const auto on = cuda(device);
        *stream = c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamFromGlobalPool(on).id();
    });
}

effnet_result effnet_upload(const at::Tensor* source, int32_t device, int64_t stream, at::Tensor** target) noexcept {
    return torch_guarded([&] {
        const auto to = cuda(device);
        const c10::Stream side(c10::Stream::UNSAFE, to, stream);
        // libtorch copies other tensors synchronously, through pageable memory.
        const auto dense = source->is_non_overlapping_and_dense() ? *source : source->contiguous();
        const auto staged = dense.pin_memory();
        const c10::impl::VirtualGuardImpl devices(c10::kCUDA);
        const auto current = devices.getStream(to);
        at::Tensor copied;
        c10::Event ready(c10::kCUDA);
        {
            const c10::StreamGuard on_side(side);
            copied = staged.to(to, staged.scalar_type(), /*non_blocking=*/true);
            ready.record(side);
        }
        ready.block(current);
        // `copied` belongs to the side stream: its memory must not be reused for the next copy there while the
        // current stream is still reading it. `staged` is safe: libtorch records the copy, and does not reuse the
        // pinned memory before the copy is done.
        copied.record_stream(current);
        *target = new at::Tensor(std::move(copied));
    });
}

effnet_result effnet_download(const at::Tensor* source, at::Tensor** target, c10::Event** done) noexcept {
    return torch_guarded([&] {
        const c10::impl::VirtualGuardImpl devices(c10::kCUDA);
        const auto current = devices.getStream(source->device());
        const auto options = source->options().device(c10::kCPU).pinned_memory(true);
        auto copied = at::empty(source->sizes(), options);
        copied.copy_(*source, /*non_blocking=*/true);
        auto event = std::make_unique<c10::Event>(c10::kCUDA);
        event->record(current);
        *target = new at::Tensor(std::move(copied));
        *done = event.release();
    });
}

effnet_result effnet_event_wait(const c10::Event* event) noexcept {
    return torch_guarded([&] { event->synchronize(); });
}

void effnet_event_free(c10::Event* event) noexcept { delete event; }

} // extern "C"
