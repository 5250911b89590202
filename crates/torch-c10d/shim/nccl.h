// The interface of libeffnet_nccl.so. The library is opened at run time because it needs symbols from
// libtorch_cuda, which the program is not linked against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "boundary.h"

extern "C" {

struct effnet_backend;
struct effnet_store;

// The table that `effnet_nccl_2` returns. The number in that name changes with this table, so that a program
// cannot call a library of a different version.
struct effnet_nccl_api {
    // Connects this rank's device to those of the other ranks, all of which call it with the same store.
    effnet_result (*connect)(const effnet_store* store, int32_t rank, int32_t size, int32_t device, int64_t timeout,
                             effnet_backend** out) noexcept;
    void (*free_message)(char* message) noexcept;
};

} // extern "C"

ASSERT_LAYOUT(effnet_nccl_api, 16, 8);
ASSERT_OFFSET(effnet_nccl_api, connect, 0);
ASSERT_OFFSET(effnet_nccl_api, free_message, 8);
