// The activation functions, which Rust and the kernels share. This header has nothing else: kernels are compiled
// for instruction sets that other code may not use, so they include nothing with inline functions.
#pragma once

#include <cstdint>

namespace effnet {

// `Activation` in Rust has the same numbers, without `none`.
enum class Activation : int32_t {
    none = 0,
    silu = 1,
    relu6 = 2,
};

} // namespace effnet
