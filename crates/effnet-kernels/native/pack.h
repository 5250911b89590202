// Weights into the order in which the kernels read them.
#pragma once

#include "network.h"

namespace effnet {

uint16_t round_bf16(float value); // to nearest, ties to even
Window window_of(const effnet_convolution& c);
Dense pack_dense(const effnet_convolution& c, int panel_blocks, bool narrow);
StemLayer pack_stem(const effnet_convolution& c, int panel_blocks);
// Whether its input and its output are bfloat16.
Block pack_block(const effnet_block& from, int panel_blocks, bool narrow_in, bool narrow_out);

} // namespace effnet
