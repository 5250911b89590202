// Copies weights into the order in which the kernels read them. This happens once, when a network is created.
#pragma once

#include "network.h"

namespace effnet {

uint16_t round_bf16(float value) noexcept; // to nearest, ties to even
float widen_bf16(uint16_t value) noexcept;
Dense pack_dense(const effnet_convolution& layer, int panel_blocks, bool narrow);
// Writes the weights of one output of a pointwise layer, `[inputs]`.
void unpack_row(const Dense& dense, int panel_blocks, int output, float* row) noexcept;
StemLayer pack_stem(const effnet_convolution& layer, int panel_blocks);
// `narrow_in` and `narrow_out` say whether the block's input and output are in bfloat16.
Block pack_block(const effnet_block& from, int panel_blocks, bool narrow_in, bool narrow_out);

} // namespace effnet
