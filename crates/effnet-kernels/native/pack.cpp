// Copies weights into the order in which the kernels read them.

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

#include "pack.h"

namespace effnet {

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
    // With 4 KiB pages, a wide layer needs more address translations than the processor can cache.
    const size_t huge = size_t(2) << 20;
    const size_t alignment = bytes >= huge ? huge : 64;
    const size_t rounded = (bytes + alignment) / alignment * alignment;
#if defined(_WIN32)
    char* memory = static_cast<char*>(_aligned_malloc(rounded, alignment));
#else
    char* memory = static_cast<char*>(std::aligned_alloc(alignment, rounded));
#endif
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    if (bytes >= huge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    memory_.reset(memory);
}

void Buffer::Free::operator()(char* memory) const noexcept {
#if defined(_WIN32)
    _aligned_free(memory);
#else
    std::free(memory);
#endif
}

uint16_t round_bf16(float value) noexcept {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (value != value) return 0x7fc0; // the bits of other NaNs could round to infinity
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float widen_bf16(uint16_t value) noexcept {
    const uint32_t bits = uint32_t(value) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

int Window::before(int size) const noexcept {
    const int output = (size + stride - 1) / stride;
    const int total = (output - 1) * stride + kernel - size;
    return total > 0 ? total / 2 : 0;
}

Shape Window::output(Shape in) const {
    if (same) return {(in.height + stride - 1) / stride, (in.width + stride - 1) / stride};
    const int rows = in.height + pad[0] + pad[1] - kernel, columns = in.width + pad[2] + pad[3] - kernel;
    if (rows < 0 || columns < 0) throw std::invalid_argument("the image is smaller than a kernel");
    return {rows / stride + 1, columns / stride + 1};
}

static Window window_of(const effnet_convolution& layer) {
    Window window{layer.kernel, layer.stride, layer.same, {}};
    std::memcpy(window.pad, layer.pad, sizeof window.pad);
    return window;
}

// Calls `place(output, index, weight)` for each of a layer's weights `[outputs][count]`. Each weight is multiplied
// by the scale of its output in doubles, and rounded once.
template <class Place>
static void each_weight(const effnet_convolution& layer, int count, Place&& place) {
    const float* from = layer.weight;
    for (int output = 0; output < layer.outputs; ++output)
        if (layer.scale) {
            const double scale = layer.scale[output];
            for (int i = 0; i < count; ++i) place(output, i, float(*from++ * scale));
        } else {
            for (int i = 0; i < count; ++i) place(output, i, *from++);
        }
}

// Returns a copy padded with zeros to a whole number of blocks.
static std::vector<float> padded(const float* from, int count) {
    std::vector<float> to(size_t(blocks_of(count)) * BLOCK, 0.0f);
    std::memcpy(to.data(), from, sizeof(float) * count);
    return to;
}

// Returns the number of columns of a panel. The last panel may be narrower than the others.
static int width_of(int panel, int columns, int outputs) {
    const int remaining = outputs - panel * columns;
    return remaining >= columns ? columns : blocks_of(remaining) * BLOCK;
}

// Returns the rows of a dense layer's matrix per tap. Patches are copied in pieces of eight or sixteen channels.
static int tap_stride_of(const effnet_convolution& layer) {
    return layer.kernel == 1 || layer.inputs % 8 == 0 ? layer.inputs : blocks_of(layer.inputs) * BLOCK;
}

Dense pack_dense(const effnet_convolution& layer, int panel_blocks, bool narrow) {
    Dense dense;
    const int taps = layer.kernel * layer.kernel;
    dense.narrow = narrow;
    dense.tap_stride = tap_stride_of(layer);
    dense.inputs = (taps - 1) * dense.tap_stride + layer.inputs;
    dense.outputs = layer.outputs;
    dense.bias = padded(layer.bias, layer.outputs);
    const int blocks = blocks_of(layer.outputs), columns = panel_blocks * BLOCK;
    const int depth = (dense.inputs + 1) / 2 * 2; // bfloat16 is multiplied in pairs
    dense.panels = (blocks + panel_blocks - 1) / panel_blocks;
    dense.panel_elements = size_t(depth) * columns;
    dense.weight = Buffer(dense.panels * dense.panel_elements * dense.element());
    std::memset(dense.weight.as(), 0, dense.weight.bytes());
    each_weight(layer, layer.inputs * taps, [&](int output, int index, float value) {
        const int row = index % taps * dense.tap_stride + index / taps;
        const int panel = output / columns, column = output % columns;
        const int width = width_of(panel, columns, layer.outputs);
        const size_t base = panel * dense.panel_elements;
        if (narrow)
            dense.weight.as<uint16_t>()[base + size_t(row / 2) * 2 * width + 2 * column + row % 2] =
                round_bf16(value);
        else
            dense.weight.as<float>()[base + size_t(row) * width + column] = value;
    });
    return dense;
}

void unpack_row(const Dense& dense, int panel_blocks, int output, float* row) noexcept {
    const int columns = panel_blocks * BLOCK, panel = output / columns, column = output % columns;
    const int width = width_of(panel, columns, dense.outputs);
    const size_t base = panel * dense.panel_elements;
    for (int i = 0; i < dense.inputs; ++i)
        row[i] = dense.narrow
            ? widen_bf16(dense.weight.as<uint16_t>()[base + size_t(i / 2) * 2 * width + 2 * column + i % 2])
            : dense.weight.as<float>()[base + size_t(i) * width + column];
}

StemLayer pack_stem(const effnet_convolution& layer, int panel_blocks) {
    StemLayer stem;
    stem.window = window_of(layer);
    stem.inputs = layer.inputs;
    stem.outputs = layer.outputs;
    stem.bias = padded(layer.bias, layer.outputs);
    const int taps = layer.inputs * layer.kernel * layer.kernel, columns = panel_blocks * BLOCK;
    const int panels = (blocks_of(layer.outputs) + panel_blocks - 1) / panel_blocks;
    stem.weight.assign(size_t(panels) * taps * columns, 0.0f);
    each_weight(layer, taps, [&](int output, int tap, float value) {
        const int panel = output / columns, width = width_of(panel, columns, layer.outputs);
        stem.weight[size_t(panel) * taps * columns + size_t(tap) * width + output % columns] = value;
    });
    return stem;
}

Block pack_block(const effnet_block& from, int panel_blocks, bool narrow_in, bool narrow_out) {
    Block block{};
    block.kind = from.kind;
    block.has_expand = from.has_expand;
    block.skip = from.skip;
    if (from.has_expand) block.expand = pack_dense(from.expand, panel_blocks, narrow_in);
    block.project = pack_dense(from.project, panel_blocks, narrow_out);
    block.channels = from.project.inputs;
    if (from.kind != BlockKind::mbconv) {
        block.window = window_of(from.kind == BlockKind::fused ? from.expand : from.project);
        block.inputs = from.kind == BlockKind::fused ? from.expand.inputs : from.project.inputs;
        return block;
    }
    const auto& filter = from.depthwise;
    if ((filter.kernel != 3 && filter.kernel != 5) || filter.stride < 1 || filter.stride > 2)
        throw std::invalid_argument("depthwise kernels must have a size of 3 or 5 and a stride of 1 or 2");
    block.window = window_of(filter);
    block.inputs = from.has_expand ? from.expand.inputs : filter.outputs;
    block.has_gates = from.has_gates;
    block.squeezed = from.has_gates ? from.reduce.outputs : 0;
    block.depthwise_bias = padded(filter.bias, filter.outputs);
    const int taps = filter.kernel * filter.kernel;
    const int channels = blocks_of(block.channels) * BLOCK;
    block.depthwise.assign(size_t(channels) * taps, 0.0f);
    each_weight(filter, taps, [&](int channel, int tap, float value) {
        block.depthwise[(size_t(channel / BLOCK) * taps + tap) * BLOCK + channel % BLOCK] = value;
    });
    if (!block.has_gates) return block;
    block.reduce.assign(size_t(block.squeezed) * channels, 0.0f);
    block.reduce_bias.assign(from.reduce.bias, from.reduce.bias + block.squeezed);
    block.excite.assign(size_t(block.squeezed) * channels, 0.0f);
    block.excite_bias = padded(from.excite.bias, block.channels);
    each_weight(from.reduce, block.channels, [&](int squeezed, int channel, float value) {
        block.reduce[size_t(squeezed) * channels + channel] = value;
    });
    each_weight(from.excite, block.squeezed, [&](int channel, int squeezed, float value) {
        block.excite[(size_t(channel / BLOCK) * block.squeezed + squeezed) * BLOCK + channel % BLOCK] = value;
    });
    return block;
}

} // namespace effnet
