// What stands behind the handles of the distributed part.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

struct effnet_store {
    c10::intrusive_ptr<c10d::Store> store;
};

// What serves the tensors of one kind of device.
struct effnet_backend {
    c10::intrusive_ptr<c10d::Backend> backend;
};
