// What stands behind the handles of the distributed part.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

struct effnet_store {
    c10::intrusive_ptr<c10d::Store> store;
};
