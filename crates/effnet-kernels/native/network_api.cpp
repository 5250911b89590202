// The C interface of the fused network.

#include <cstdlib>
#include <stdexcept>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "boundary.h"
#include "network.h"

using effnet::Context;
using effnet::Network;

extern "C" {

void effnet_free_message(char* message) {
    free_message(message);
}

char* effnet_network_new(const effnet_network_spec* spec, Network** network) {
    return guarded([&] { *network = new Network(*spec); });
}

void effnet_network_free(Network* network) { delete network; }

const char* effnet_network_isa(const Network* network) { return network->isa(); }

uint64_t effnet_network_bytes(const Network* network) { return network->bytes(); }

char* effnet_network_feature_shape(const Network* network, int32_t height, int32_t width, int32_t* shape) {
    return guarded([&] {
        const auto out = network->feature_shape({height, width});
        shape[0] = out.height;
        shape[1] = out.width;
    });
}

char* effnet_network_memory(const Network* network, int32_t height, int32_t width, uint64_t* thread,
                            uint64_t* image) {
    return guarded([&] {
        size_t of_thread = 0, of_image = 0;
        network->memory({height, width}, of_thread, of_image);
        *thread = of_thread;
        *image = of_image;
    });
}

int32_t effnet_network_laps(const Network* network) { return network->laps(); }

char* effnet_context_new(int32_t threads, Context** context) {
    return guarded([&] { *context = new Context(threads); });
}

void effnet_context_free(Context* context) { delete context; }

uint64_t effnet_context_bytes(const Context* context) { return context->bytes(); }

char* effnet_network_run(const Network* network, Context* context, const float* images, int32_t count,
                         int32_t height, int32_t width, float* logits, float* pooled, float* features,
                         double* seconds) {
    return guarded([&] {
        network->run(*context, images, count, {height, width}, logits, pooled, features, seconds);
    });
}

int32_t effnet_has_bf16() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

int32_t effnet_keep_freed_memory() {
#if defined(__GLIBC__)
    // glibc takes thresholds up to 32 MiB for mapping, whatever is asked for: larger activations
    // are kept only because mapping is turned off altogether. Threads share the main heap, because
    // those of their own have no room for such activations, and are not kept either.
    return mallopt(M_ARENA_MAX, 1) && mallopt(M_MMAP_MAX, 0) && mallopt(M_TRIM_THRESHOLD, 1 << 30) &&
           mallopt(M_TOP_PAD, 64 << 20);
#else
    return 0;
#endif
}

} // extern "C"
