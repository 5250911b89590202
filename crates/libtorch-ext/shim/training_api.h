// What the layers of a network in training are given across the C border.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ATen/core/Tensor.h>

extern "C" {

// The processes whose batches are normalised together, as the caller's language has them. A null context means
// this process alone.
struct effnet_norm_group {
    const void* context;
    // Another reference to the same group.
    void* (*retain)(const void* context);
    // Gives up a reference, on any thread.
    void (*release)(void* context);
    // Adds up `values`, contiguous doubles, over all processes, in place. Returns null, or a message of
    // `effnet_new_message`; does not unwind.
    char* (*sum)(const void* context, at::Tensor* values);
};

// A batch normalisation in training.
struct effnet_norm {
    const at::Tensor *weight, *bias, *running_mean, *running_var;
    double momentum, epsilon;
    effnet_norm_group group;
};

} // extern "C"

// As src/training.rs and src/training/group.rs have them.
static_assert(sizeof(effnet_norm_group) == 4 * sizeof(void*) && offsetof(effnet_norm_group, sum) == 3 * sizeof(void*));
static_assert(sizeof(effnet_norm) == 8 * sizeof(void*) + 2 * sizeof(double) &&
              offsetof(effnet_norm, momentum) == 4 * sizeof(void*) &&
              offsetof(effnet_norm, group) == 4 * sizeof(void*) + 2 * sizeof(double));
