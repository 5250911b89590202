// The store and the backend behind the handles in api.h, which this program and libeffnet_nccl.so share.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

struct effnet_store {
    c10::intrusive_ptr<c10d::Store> store;
};

// The backend for the tensors of one type of device.
struct effnet_backend {
    c10::intrusive_ptr<c10d::Backend> backend;
};
