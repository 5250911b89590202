// The autocast state of a thread.

#include <cstdint>

#include <ATen/autocast_mode.h>

#include "api.h"
#include "torch_boundary.h"

extern "C" {

effnet_result effnet_autocast_enter(int32_t cuda, int32_t half, effnet_autocast* before) noexcept {
    return torch_guarded([&] {
        const auto device = cuda ? at::kCUDA : at::kCPU;
        *before = {cuda, at::autocast::is_autocast_enabled(device),
                   int32_t(at::autocast::get_autocast_dtype(device))};
        at::autocast::set_autocast_dtype(device, half ? at::kHalf : at::kBFloat16);
        at::autocast::set_autocast_enabled(device, true);
        at::autocast::increment_nesting();
    });
}

void effnet_autocast_leave(const effnet_autocast* before) noexcept {
    const auto device = before->cuda ? at::kCUDA : at::kCPU;
    // The cache holds casts of the weights, and must not outlive the step, because the optimizer changes the
    // weights.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, before->enabled != 0);
    at::autocast::set_autocast_dtype(device, at::ScalarType(before->dtype));
}

} // extern "C"
