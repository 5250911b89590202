// The interface of libeffnet_nccl.so, a library of its own as the build script says.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct effnet_backend;
struct effnet_store;

// Messages are as those of boundary.h, to be freed with `free_message`.
struct effnet_nccl_api {
    // Connects this process's device with those of the other ranks, all of which do so with the same store.
    char* (*connect)(const effnet_store* store, int32_t rank, int32_t size, int32_t device, int64_t timeout,
                     effnet_backend** out);
    void (*free_message)(char* message);
};

} // extern "C"

// As src/nccl.rs has it.
static_assert(sizeof(effnet_nccl_api) == 2 * sizeof(void*) &&
              offsetof(effnet_nccl_api, free_message) == sizeof(void*));
