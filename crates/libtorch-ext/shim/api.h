// Everything that this crate's Rust shares with its C++: the structures, enumerations and functions of src/raw.rs.
// The functions of libeffnet_cuda_graphs.so are in cuda_graphs.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "boundary.h"

namespace at {
class Tensor;
}
namespace c10 {
struct Event;
}

extern "C" {

// torch.cpp

// A null `folder` means the folder of libtorch_cpu.so.
effnet_result effnet_load_cuda(const char* folder, int32_t* loaded) noexcept;
// Opens the library at `path`, and returns what its `function` returns: a table of functions built on
// libtorch_cuda, which `effnet_load_cuda` must have loaded. The library is never closed.
effnet_result effnet_open_library(const char* path, const char* function, const void** table) noexcept;

// operator.cpp

enum effnet_value_kind : int32_t {
    value_none = 0,
    value_tensor = 1,
    value_tensors = 2,
    value_float = 3,
    value_int = 4,
    value_bool = 5,
};

struct effnet_value {
    effnet_value_kind kind;
    int64_t integer;
    double number;
    const at::Tensor* const* tensors;
    size_t count;
};

// Takes ownership of the tensor.
typedef void (*effnet_take)(void* context, at::Tensor* tensor) noexcept;

effnet_result effnet_call(const char* name, const char* overload, const effnet_value* values, size_t count,
                          effnet_take take, void* context) noexcept;
// Drops the gradients of the tensors, as `zero_grad(set_to_none=True)` does.
effnet_result effnet_clear_gradients(const at::Tensor* const* tensors, size_t count) noexcept;

// autocast.cpp

// The state of a thread before autocast was turned on.
struct effnet_autocast {
    int32_t cuda, enabled, dtype;
};

effnet_result effnet_autocast_enter(int32_t cuda, int32_t half, effnet_autocast* before) noexcept;
void effnet_autocast_leave(const effnet_autocast* before) noexcept;

// cuda.cpp

void effnet_allow_tf32(int32_t allow) noexcept;
effnet_result effnet_device_memory(int32_t device, uint64_t* free, uint64_t* total, uint64_t* peak) noexcept;
// Returns a stream from libtorch's pool, which lives as long as the process. Unlike the default stream, it does
// not wait for other streams.
effnet_result effnet_copy_stream(int32_t device, int64_t* stream) noexcept;
// Copies `source`, a tensor on the CPU, to the device on `stream`; the device's current stream waits for the copy.
effnet_result effnet_upload(const at::Tensor* source, int32_t device, int64_t stream, at::Tensor** target) noexcept;
// Starts copying `source` to pinned memory, after the work already queued on the current stream of its device.
// `target` holds the values once `done` has completed.
effnet_result effnet_download(const at::Tensor* source, at::Tensor** target, c10::Event** done) noexcept;
effnet_result effnet_event_wait(const c10::Event* event) noexcept;
void effnet_event_free(c10::Event* event) noexcept;

// training.cpp, sync_batch_norm.cpp

// The processes whose batches are normalised together, implemented by the caller. A null context means this process
// alone.
struct effnet_norm_group {
    const void* context;
    // Returns another reference to the same group.
    void* (*retain)(const void* context) noexcept;
    // Drops a reference, on any thread.
    void (*release)(void* context) noexcept;
    // Sums `values`, contiguous doubles, over all processes, in place. The caller frees the message of a failure
    // with `free_message`.
    effnet_result (*sum)(const void* context, at::Tensor* values) noexcept;
};

// A batch normalisation in training.
struct effnet_norm {
    const at::Tensor *weight, *bias, *running_mean, *running_var;
    double momentum, epsilon;
    effnet_norm_group group;
};

// `activation` is an effnet::Activation.
effnet_result effnet_norm_activation(const at::Tensor* x, const effnet_norm* norm, int32_t activation,
                                     at::Tensor** out) noexcept;
effnet_result effnet_sync_batch_norm(const at::Tensor* x, const effnet_norm* norm, at::Tensor** out) noexcept;
// `norm` may be null; `activation` follows it. `padding` is top, bottom, left, right.
effnet_result effnet_depthwise(const at::Tensor* x, const effnet_norm* norm, int32_t activation,
                               const at::Tensor* kernels, int64_t stride, const int64_t* padding,
                               at::Tensor** out) noexcept;
effnet_result effnet_norm_squeeze_excite(const at::Tensor* x, const effnet_norm* norm, const at::Tensor* reduce,
                                         const at::Tensor* reduce_bias, const at::Tensor* expand,
                                         const at::Tensor* expand_bias, at::Tensor** out) noexcept;

} // extern "C"

ASSERT_LAYOUT(effnet_value, 40, 8);
ASSERT_OFFSET(effnet_value, kind, 0);
ASSERT_OFFSET(effnet_value, integer, 8);
ASSERT_OFFSET(effnet_value, number, 16);
ASSERT_OFFSET(effnet_value, tensors, 24);
ASSERT_OFFSET(effnet_value, count, 32);

ASSERT_LAYOUT(effnet_autocast, 12, 4);
ASSERT_OFFSET(effnet_autocast, cuda, 0);
ASSERT_OFFSET(effnet_autocast, enabled, 4);
ASSERT_OFFSET(effnet_autocast, dtype, 8);

ASSERT_LAYOUT(effnet_norm_group, 32, 8);
ASSERT_OFFSET(effnet_norm_group, context, 0);
ASSERT_OFFSET(effnet_norm_group, retain, 8);
ASSERT_OFFSET(effnet_norm_group, release, 16);
ASSERT_OFFSET(effnet_norm_group, sum, 24);

ASSERT_LAYOUT(effnet_norm, 80, 8);
ASSERT_OFFSET(effnet_norm, weight, 0);
ASSERT_OFFSET(effnet_norm, bias, 8);
ASSERT_OFFSET(effnet_norm, running_mean, 16);
ASSERT_OFFSET(effnet_norm, running_var, 24);
ASSERT_OFFSET(effnet_norm, momentum, 32);
ASSERT_OFFSET(effnet_norm, epsilon, 40);
ASSERT_OFFSET(effnet_norm, group, 48);
