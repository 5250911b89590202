// libeffnet_cuda_graphs.so: recording and replaying CUDA graphs. See cuda_graphs.h.

#include <cstdlib>
#include <memory>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "cuda_graphs.h"
#include "torch_boundary.h"

namespace allocator = c10::cuda::CUDACachingAllocator;

struct effnet_graph {
    c10::DeviceIndex device;
    c10::MempoolId_t pool;
    c10::cuda::CUDAStream previous, recording;
    std::unique_ptr<at::cuda::CUDAGraph> graph;
};

namespace {

// Aborts a recording, whatever state it is in. The allocator asks the graph about every allocation until the pool
// is taken away from it, so that must happen before the graph is freed.
void give_up(effnet_graph* recording) noexcept {
    const std::unique_ptr<effnet_graph> owned(recording);
    const auto stream = recording->recording.stream();
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
        cudaGraph_t unfinished = nullptr;
        if (cudaStreamEndCapture(stream, &unfinished) == cudaSuccess && unfinished)
            cudaGraphDestroy(unfinished);
    }
    cudaGetLastError();
    const auto attempt = [](auto&& step) {
        try {
            step();
            return true;
        } catch (...) { // The recording was already past this step.
            return false;
        }
    };
    const bool ended = attempt([&] { allocator::endAllocateToPool(recording->device, recording->pool); });
    if (ended) attempt([&] { allocator::releasePool(recording->device, recording->pool); });
    attempt([&] { c10::cuda::setCurrentCUDAStream(recording->previous); });
    attempt([&] { recording->graph.reset(); });
}

effnet_result begin(int32_t device, const effnet_graph* beside, effnet_graph** graph) noexcept {
    return torch_guarded([&] {
        const auto index = static_cast<c10::DeviceIndex>(device);
        const c10::cuda::CUDAGuard on_device(index);
        // Afterwards the graph's inputs are complete, and nothing else is running on the device.
        c10::cuda::device_synchronize();
        std::unique_ptr<effnet_graph> recording(new effnet_graph{
            index,
            beside ? beside->pool : at::cuda::graph_pool_handle(),
            c10::cuda::getCurrentCUDAStream(index),
            // The default stream cannot be recorded.
            c10::cuda::getStreamFromPool(/*isHighPriority=*/false, index),
            std::make_unique<at::cuda::CUDAGraph>(),
        });
        c10::cuda::setCurrentCUDAStream(recording->recording);
        try {
            // In this mode, other threads may use the device during the recording.
            recording->graph->capture_begin(recording->pool, cudaStreamCaptureModeThreadLocal);
        } catch (...) {
            give_up(recording.release());
            throw;
        }
        *graph = recording.release();
    });
}

effnet_result end(effnet_graph* recording) noexcept {
    return torch_guarded([&] {
        try {
            const c10::cuda::CUDAGuard on_device(recording->device);
            recording->graph->capture_end();
            c10::cuda::setCurrentCUDAStream(recording->previous);
        } catch (...) {
            give_up(recording);
            throw;
        }
    });
}

effnet_result replay(effnet_graph* graph) noexcept {
    return torch_guarded([&] { graph->graph->replay(); });
}

void release(effnet_graph* graph) noexcept {
    const std::unique_ptr<effnet_graph> owned(graph);
    const effnet_result result = torch_guarded([&] {
        const c10::cuda::CUDAGuard on_device(graph->device);
        c10::cuda::device_synchronize();
        owned->graph.reset();
    });
    free_message(result.message); // there is no way to report it
}

const effnet_graph_api api = {begin, end, give_up, replay, release, free_message};

} // namespace

extern "C" __attribute__((visibility("default"))) const effnet_graph_api* effnet_cuda_graphs_2() noexcept {
    return &api;
}
