// The functions that Rust calls.

#include "network_api.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "network.h"

using effnet::Context;
using effnet::Network;

extern "C" {

effnet_result effnet_failure(const char* text) noexcept { return failure(text); }

void effnet_free_message(char* message) noexcept { free_message(message); }

effnet_result effnet_network_new(const effnet_network_spec* spec, Network** network) noexcept {
    return guarded([&] { *network = new Network(*spec); });
}

void effnet_network_free(Network* network) noexcept { delete network; }

const char* effnet_network_isa(const Network* network) noexcept { return network->isa(); }

uint64_t effnet_network_bytes(const Network* network) noexcept { return network->bytes(); }

effnet_result effnet_network_feature_shape(const Network* network, int32_t step, int32_t height, int32_t width,
                                           int32_t* shape) noexcept {
    return guarded([&] {
        const auto out = network->feature_shape(step, {height, width});
        shape[0] = network->channels(step);
        shape[1] = out.height;
        shape[2] = out.width;
    });
}

effnet_result effnet_network_memory(const Network* network, int32_t height, int32_t width, uint64_t* thread,
                                    uint64_t* image) noexcept {
    return guarded([&] {
        size_t of_thread = 0, of_image = 0;
        network->memory({height, width}, of_thread, of_image);
        *thread = of_thread;
        *image = of_image;
    });
}

int32_t effnet_network_laps(const Network* network) noexcept { return network->laps(); }

effnet_result effnet_network_classifier_row(const Network* network, int32_t output, float* row) noexcept {
    return guarded([&] { network->classifier_row(output, row); });
}

effnet_result effnet_context_new(int32_t threads, Context** context) noexcept {
    return guarded([&] { *context = new Context(threads); });
}

void effnet_context_free(Context* context) noexcept { delete context; }

uint64_t effnet_context_bytes(const Context* context) noexcept { return context->bytes(); }

effnet_result effnet_network_run(const Network* network, Context* context, const float* images, int32_t count,
                                 int32_t height, int32_t width, float* logits, float* pooled, float* features,
                                 int32_t step, double* seconds) noexcept {
    return guarded([&] {
        network->run(*context, images, count, {height, width}, logits, pooled, features, step, seconds);
    });
}

int32_t effnet_has_bf16() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

int32_t effnet_keep_freed_memory() noexcept {
#if defined(__GLIBC__)
    // glibc caps its threshold for mmap at 32 MiB, so larger activations are kept only if mmap is turned off.
    // Threads must share the main heap: their own arenas are too small for such activations, and are returned too.
    return mallopt(M_ARENA_MAX, 1) && mallopt(M_MMAP_MAX, 0) && mallopt(M_TRIM_THRESHOLD, 1 << 30) &&
           mallopt(M_TOP_PAD, 64 << 20);
#else
    return 0;
#endif
}

} // extern "C"
