// The C interface of the fused network.

#include <cstdlib>
#include <stdexcept>

#include "boundary.h"
#include "network.h"

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

char* effnet_network_feature_shape(const Network* network, int32_t height, int32_t width, int32_t* shape) {
    return guarded([&] {
        const auto out = network->feature_shape({height, width});
        shape[0] = out.height;
        shape[1] = out.width;
    });
}

char* effnet_network_memory(const Network* network, int32_t height, int32_t width, uint64_t* threads,
                            uint64_t* image) {
    return guarded([&] {
        size_t of_threads = 0, of_image = 0;
        network->memory({height, width}, of_threads, of_image);
        *threads = of_threads;
        *image = of_image;
    });
}

char* effnet_network_run(Network* network, const float* images, int32_t count, int32_t height,
                         int32_t width, float* logits, float* pooled, float* features,
                         double* seconds) {
    return guarded([&] { network->run(images, count, {height, width}, logits, pooled, features, seconds); });
}

int32_t effnet_network_laps(const Network* network) { return network->laps(); }

int32_t effnet_has_bf16() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

} // extern "C"
