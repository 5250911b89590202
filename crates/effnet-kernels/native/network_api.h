// Everything that this crate's Rust shares with its C++: the structures, enumerations and functions of src/raw.rs.
#pragma once

#include <cstdint>

#include "activation.h"
#include "boundary.h"

namespace effnet {

class Context;
class Network;

// Instruction sets that kernels are compiled for. `InstructionSet` in Rust has the same numbers, without `best`.
enum class Isa : int32_t {
    best = 0, // the best that this CPU supports
    baseline = 1,
    avx2 = 2,
    avx512 = 3,
    avx512bf16 = 4,
};

// The structure of a block. `BlockKind` in Rust's `raw` has the same numbers.
enum class BlockKind : int32_t {
    mbconv = 0,      // expansion (pointwise, optional), depthwise convolution, gates (optional), projection
    fused = 1,       // a dense convolution as the expansion, projection
    convolution = 2, // a dense convolution as the projection, followed by the activation
};

} // namespace effnet

extern "C" {

struct effnet_convolution {
    const float* weight; // [outputs][inputs / groups][kernel][kernel]
    const double* scale; // [outputs], or null
    const float* bias;   // [outputs]
    int32_t inputs, outputs, kernel, stride;
    int32_t same;        // 1: TensorFlow's SAME; 0: `pad`
    int32_t pad[4];      // top, bottom, left, right
};

struct effnet_block {
    int32_t has_expand, has_gates, skip; // gates: squeeze-and-excitation
    effnet::BlockKind kind;
    effnet_convolution expand, depthwise, reduce, excite, project;
};

struct effnet_network_spec {
    effnet_convolution stem, head;
    const effnet_block* blocks;
    int32_t block_count;
    int32_t has_classifier;
    effnet_convolution classifier;
    int32_t bf16;
    effnet::Isa isa;
    effnet::Activation activation; // after every convolution but projections
};

// Returns a failure with a copy of `text`, for Rust functions that C++ calls.
effnet_result effnet_failure(const char* text) noexcept;
void effnet_free_message(char* message) noexcept;

// Packs the weights. `spec` and the memory that it points to are not needed afterwards.
effnet_result effnet_network_new(const effnet_network_spec* spec, effnet::Network** network) noexcept;
void effnet_network_free(effnet::Network* network) noexcept;
const char* effnet_network_isa(const effnet::Network* network) noexcept;
uint64_t effnet_network_bytes(const effnet::Network* network) noexcept;
// Writes channels, height and width of the output of a step to `shape`.
effnet_result effnet_network_feature_shape(const effnet::Network* network, int32_t step, int32_t height,
                                           int32_t width, int32_t* shape) noexcept;
effnet_result effnet_network_memory(const effnet::Network* network, int32_t height, int32_t width, uint64_t* thread,
                                    uint64_t* image) noexcept;
int32_t effnet_network_laps(const effnet::Network* network) noexcept;
// Writes the classifier's weights for one class, `[features]`, as they are multiplied.
effnet_result effnet_network_classifier_row(const effnet::Network* network, int32_t output, float* row) noexcept;

effnet_result effnet_context_new(int32_t threads, effnet::Context** context) noexcept;
void effnet_context_free(effnet::Context* context) noexcept;
uint64_t effnet_context_bytes(const effnet::Context* context) noexcept;

// Calls `Network::run`.
effnet_result effnet_network_run(const effnet::Network* network, effnet::Context* context, const float* images,
                                 int32_t count, int32_t height, int32_t width, float* logits, float* pooled,
                                 float* features, int32_t step, double* seconds) noexcept;

int32_t effnet_has_bf16() noexcept;
int32_t effnet_keep_freed_memory() noexcept;

} // extern "C"

ASSERT_LAYOUT(effnet_convolution, 64, 8);
ASSERT_OFFSET(effnet_convolution, weight, 0);
ASSERT_OFFSET(effnet_convolution, scale, 8);
ASSERT_OFFSET(effnet_convolution, bias, 16);
ASSERT_OFFSET(effnet_convolution, inputs, 24);
ASSERT_OFFSET(effnet_convolution, outputs, 28);
ASSERT_OFFSET(effnet_convolution, kernel, 32);
ASSERT_OFFSET(effnet_convolution, stride, 36);
ASSERT_OFFSET(effnet_convolution, same, 40);
ASSERT_OFFSET(effnet_convolution, pad, 44);

ASSERT_LAYOUT(effnet_block, 336, 8);
ASSERT_OFFSET(effnet_block, has_expand, 0);
ASSERT_OFFSET(effnet_block, has_gates, 4);
ASSERT_OFFSET(effnet_block, skip, 8);
ASSERT_OFFSET(effnet_block, kind, 12);
ASSERT_OFFSET(effnet_block, expand, 16);
ASSERT_OFFSET(effnet_block, depthwise, 80);
ASSERT_OFFSET(effnet_block, reduce, 144);
ASSERT_OFFSET(effnet_block, excite, 208);
ASSERT_OFFSET(effnet_block, project, 272);

ASSERT_LAYOUT(effnet_network_spec, 224, 8);
ASSERT_OFFSET(effnet_network_spec, stem, 0);
ASSERT_OFFSET(effnet_network_spec, head, 64);
ASSERT_OFFSET(effnet_network_spec, blocks, 128);
ASSERT_OFFSET(effnet_network_spec, block_count, 136);
ASSERT_OFFSET(effnet_network_spec, has_classifier, 140);
ASSERT_OFFSET(effnet_network_spec, classifier, 144);
ASSERT_OFFSET(effnet_network_spec, bf16, 208);
ASSERT_OFFSET(effnet_network_spec, isa, 212);
ASSERT_OFFSET(effnet_network_spec, activation, 216);
