// Everything that this crate's Rust shares with its C++: the enumeration and the functions of src/raw.rs. The
// functions of libeffnet_nccl.so are in nccl.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "boundary.h"

namespace at {
class Tensor;
}

extern "C" {

struct effnet_backend;
struct effnet_group;
struct effnet_reducer;
struct effnet_store;

// store.cpp

// Copies `count` bytes.
typedef void (*effnet_take_bytes)(void* context, const uint8_t* bytes, size_t count) noexcept;

// If `clients` is not 0, the store waits for that many clients, as PyTorch's does.
effnet_result effnet_store_connect(const char* host, uint16_t port, int32_t serves, int32_t clients, int64_t timeout,
                                   effnet_store** out) noexcept;
// A view of the keys that start with `prefix`, without the prefix.
effnet_result effnet_store_prefixed(const effnet_store* store, const char* prefix, effnet_store** out) noexcept;
// The same store over a new connection: calls on one do not wait for calls on the other.
effnet_result effnet_store_clone(const effnet_store* store, effnet_store** out) noexcept;
void effnet_store_free(effnet_store* store) noexcept;
effnet_result effnet_store_set(const effnet_store* store, const char* key, const uint8_t* bytes,
                               size_t count) noexcept;
// Waits until the key has a value.
effnet_result effnet_store_get(const effnet_store* store, const char* key, int64_t timeout, effnet_take_bytes take,
                               void* context) noexcept;
effnet_result effnet_store_has(const effnet_store* store, const char* key, int32_t* out) noexcept;

// process_group.cpp

// How a reduction combines the values of all ranks: `Reduction` in Rust.
enum effnet_reduction : int32_t {
    reduction_sum = 0,
    reduction_max = 1,
    reduction_min = 2,
};

// `address` is the address of this process; if it is null, Gloo chooses one, as in PyTorch.
effnet_result effnet_group_new(const effnet_store* store, int32_t rank, int32_t size, const char* address,
                               int64_t timeout, effnet_group** out) noexcept;
// From now on, sends tensors on CUDA devices through `backend`, which the group owns.
effnet_result effnet_group_add_nccl(effnet_group* group, effnet_backend* backend) noexcept;
// If `failed`, calls may be in flight that the other ranks will never answer, so this does not wait for them.
effnet_result effnet_group_free(effnet_group* group, int32_t failed) noexcept;
effnet_result effnet_group_all_reduce(const effnet_group* group, const at::Tensor* tensor,
                                      effnet_reduction reduction) noexcept;
effnet_result effnet_group_broadcast(const effnet_group* group, const at::Tensor* tensor, int32_t root) noexcept;
// `outputs` has one tensor like `input` for each rank.
effnet_result effnet_group_all_gather(const effnet_group* group, const at::Tensor* input,
                                      const at::Tensor* const* outputs, size_t count) noexcept;
effnet_result effnet_group_barrier(const effnet_group* group) noexcept;
// Sums the statistics of a batch normalisation in the middle of a pass. On a CUDA device, later work on `values`
// waits for the sum, but this thread does not: a timeout shows up in the sum of the gradients, which is queued
// behind it.
effnet_result effnet_group_sum(const effnet_group* group, const at::Tensor* values) noexcept;

// reducer.cpp

effnet_result effnet_reducer_new(const effnet_group* group, const at::Tensor* const* tensors, size_t count,
                                 int64_t bucket_bytes, effnet_reducer** out) noexcept;
// Runs the backward pass of `loss`, and waits for the sums that it started, which may fail.
effnet_result effnet_reducer_backward(effnet_reducer* reducer, const at::Tensor* loss) noexcept;
effnet_result effnet_reducer_free(effnet_reducer* reducer) noexcept;

} // extern "C"
