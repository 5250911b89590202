// What the layers of a network in training are given across the C border.
#pragma once

#include <ATen/core/Tensor.h>

extern "C" {

// A batch normalisation in training.
struct effnet_norm {
    const at::Tensor *weight, *bias, *running_mean, *running_var;
    double momentum, epsilon;
};

} // extern "C"
