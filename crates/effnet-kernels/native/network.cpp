// The packed network, and the plan of a forward pass, whose steps are in pass.cpp.
//
// The expanded activations of a block, which are six times as wide as its input, never exist as a whole: memory
// bandwidth would cost more than the arithmetic. A block runs in two phases. First, for each panel of up to 32
// expanded channels and each strip of rows, the expansion goes into a buffer that stays in the second-level cache.
// The depthwise convolution reads it immediately, and the sums for squeeze-and-excitation are computed on the way.
// Then every thread computes the gates, and for each group of pixels the filtered activations are scaled,
// projected and added to the block's input.
//
// In blocks without a depthwise convolution, no sums are needed, so a task computes a group of pixels to the end. The
// dense convolution is a matrix product with patches: the inputs of each output pixel, copied into one row.
//
// If there are at least as many images as threads, each thread takes whole images through one segment after
// another; a segment is a few blocks whose weights fit the cache. All threads share each of the remaining images.

#include "network.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#if !defined(_WIN32)
#include <unistd.h>
#endif

#include "pack.h"

namespace effnet {

bool supports(Isa isa) noexcept {
    if (isa == Isa::baseline) return true;
#if defined(EFFNET_WIDE_KERNELS)
    __builtin_cpu_init();
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (isa == Isa::avx512bf16) return wide && __builtin_cpu_supports("avx512bf16");
    if (isa == Isa::avx512) return wide;
    if (isa == Isa::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return false;
}

static const Kernels& choose(Isa isa, bool bf16) {
    if (isa == Isa::best) {
        isa = Isa::baseline;
        // In ascending order. bfloat16 instructions do not help a network in floats.
        for (const Isa next : {Isa::avx2, Isa::avx512, Isa::avx512bf16})
            if (supports(next) && (bf16 || next != Isa::avx512bf16)) isa = next;
    }
    if (!supports(isa)) throw std::invalid_argument("this CPU does not support the requested instruction set");
    switch (isa) {
#if defined(EFFNET_WIDE_KERNELS)
    case Isa::avx512bf16: return kernels_avx512bf16();
    case Isa::avx512: return kernels_avx512();
    case Isa::avx2: return kernels_avx2();
#endif
    default: return kernels_baseline();
    }
}

static size_t second_level_cache() noexcept {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (size > 0) return std::clamp<size_t>(size, 256 << 10, 4 << 20);
#endif
    return 512 << 10;
}

static size_t weight_bytes(const Block& block) noexcept {
    return block.expand.weight.bytes() + block.project.weight.bytes() +
        4 * (block.depthwise.size() + block.reduce.size() + block.excite.size());
}

// The step of the first block that downsamples.
static int first_narrow(const effnet_network_spec& spec) noexcept {
    if (!spec.bf16) return std::numeric_limits<int>::max();
    int block = 0;
    // It must not have a skip connection, which would add a float input to a bfloat16 output, and it must have a
    // layer after the one that downsamples, because no product has a float input and a bfloat16 output.
    while (block < spec.block_count) {
        const effnet_block& next = spec.blocks[block];
        const effnet_convolution& filter = next.kind == BlockKind::mbconv ? next.depthwise : next.expand;
        if (!next.skip && next.kind != BlockKind::convolution && filter.stride > 1) break;
        ++block;
    }
    return block + 1;
}

Network::Network(const effnet_network_spec& spec)
    : kernels_(choose(spec.isa, spec.bf16)), first_narrow_(first_narrow(spec)), bf16_(spec.bf16),
      activation_(spec.activation), cache_(second_level_cache()), has_classifier_(spec.has_classifier) {
    const int panel = kernels_.panel_blocks;
    stem_ = pack_stem(spec.stem, panel);
    for (int i = 0; i < spec.block_count; ++i)
        blocks_.push_back(pack_block(spec.blocks[i], panel, narrow(i), narrow(i + 1)));
    head_ = pack_dense(spec.head, panel, narrow(spec.block_count));
    if (has_classifier_) classifier_ = pack_dense(spec.classifier, panel, bf16_);
    // Step 0 is the stem, steps 1 to n the blocks, n + 1 the head.
    segments_.push_back(0);
    size_t bytes = 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        bytes += weight_bytes(blocks_[i]);
        if (bytes > cache_ / 2 && i > 0) {
            segments_.push_back(int(i) + 1);
            bytes = weight_bytes(blocks_[i]);
        }
    }
    segments_.push_back(int(blocks_.size()) + 1);
    segments_.push_back(int(blocks_.size()) + 2);
}

size_t Network::bytes() const noexcept {
    size_t total = 4 * stem_.weight.size() + head_.weight.bytes() + classifier_.weight.bytes();
    for (const auto& block : blocks_) total += weight_bytes(block);
    return total;
}

size_t Context::bytes() const noexcept {
    size_t total = between_[0].bytes() + between_[1].bytes() + pooled_.bytes() + pooled_bf16_.bytes();
    for (const auto& s : scratch_)
        total += s.input.bytes() + s.output.bytes() + s.expanded.bytes() + s.filtered.bytes() + s.scaled.bytes();
    return total;
}

Shape Network::feature_shape(int step, Shape size) const {
    // The head does not change the shape.
    return outputs(size).at(std::min<size_t>(step, blocks_.size()));
}

int Network::channels(int step) const {
    if (step == 0) return stem_.outputs;
    return step == int(blocks_.size()) + 1 ? head_.outputs : blocks_.at(step - 1).project.outputs;
}

void Network::classifier_row(int output, float* row) const {
    if (!has_classifier_ || output < 0 || output >= classifier_.outputs)
        throw std::invalid_argument("the classifier does not have this output");
    unpack_row(classifier_, kernels_.panel_blocks, output, row);
}

// Returns the number of strips of rows into which a block's output is divided, such that one panel of each strip's
// input fits half the cache.
int Network::strips(Shape in, Shape out) const noexcept {
    const size_t whole = size_t(in.pixels()) * kernels_.panel_blocks * BLOCK * sizeof(float);
    const size_t wanted = (whole + cache_ / 2 - 1) / (cache_ / 2);
    return int(std::clamp<size_t>(wanted, 1, std::max(1, out.height / 2)));
}

// Returns the number of rows per task of the projection, such that their scaled copy fits a third of the cache. It
// is a multiple of 14, the height of an AVX-512 tile.
int Network::row_block(int rows, const Dense& project) const noexcept {
    const int fit = int(cache_ / 3 / (size_t(blocks_of(project.inputs)) * BLOCK * project.element()));
    const int limit = std::clamp(fit / 14 * 14, 28, 224);
    const int parts = (rows + limit - 1) / limit;
    return std::min(limit, ((rows + parts - 1) / parts + 13) / 14 * 14);
}

std::vector<Shape> Network::outputs(Shape size) const {
    std::vector<Shape> shapes{stem_.window.output(size)};
    for (const auto& block : blocks_) shapes.push_back(block.window.output(shapes.back()));
    return shapes;
}

// Returns the number of pixels per task of a block with a dense convolution, such that their patches and expanded
// activations fit half the cache. It is a multiple of 14, the height of an AVX-512 tile.
int Network::patch_rows(const Block& block) const noexcept {
    const Dense& dense = block.kind == BlockKind::fused ? block.expand : block.project;
    const size_t row = size_t(dense.inputs) * dense.element() + size_t(block.channels) * sizeof(float);
    return int(std::clamp<size_t>(cache_ / 2 / row, 14, 1400) / 14 * 14);
}

ScratchBytes Network::scratch_bytes(const std::vector<Shape>& shapes) const {
    const int panel = kernels_.panel_blocks * BLOCK;
    auto bytes = [&](int channels, int pixels, int element) {
        return size_t(blocks_of(channels)) * BLOCK * pixels * element;
    };
    const auto raise = [](size_t& most, size_t bytes) { most = std::max(most, bytes); };
    ScratchBytes most;
    most.activation = bytes(stem_.outputs, shapes[0].pixels(), element(0));
    const Window& stem = stem_.window;
    const size_t padded_width = size_t(shapes[0].width - 1) * stem.stride + stem.kernel;
    most.expanded = 4 * padded_width * stem_.inputs * (size_t(STEM_STRIP - 1) * stem.stride + stem.kernel);
    for (size_t i = 0; i < blocks_.size(); ++i) {
        const Block& block = blocks_[i];
        const Dense& project = block.project;
        const Shape in = shapes[i], out = shapes[i + 1];
        raise(most.activation, bytes(project.outputs, out.pixels(), element(int(i) + 1)));
        if (block.kind != BlockKind::mbconv) {
            const Dense& dense = block.kind == BlockKind::fused ? block.expand : project;
            const int rows = std::min(out.pixels(), patch_rows(block));
            raise(most.expanded, bytes(dense.inputs, rows, dense.element()));
            raise(most.filtered, bytes(block.channels, rows, sizeof(float)));
            raise(most.scaled, bytes(block.channels, rows, project.element()));
            continue;
        }
        const int count = strips(in, out), rows = (out.height + count - 1) / count;
        const int span = std::min(in.height, (rows - 1) * block.window.stride + block.window.kernel);
        raise(most.expanded, size_t(span) * in.width * panel * 4);
        raise(most.filtered, bytes(block.channels, out.pixels(), sizeof(float)));
        raise(most.scaled, bytes(block.channels, row_block(out.pixels(), project), project.element()));
    }
    raise(most.expanded, size_t(shapes.back().pixels()) * panel * 4); // for the head
    return most;
}

void Network::reserve(Scratch& s, const std::vector<Shape>& shapes) const {
    const ScratchBytes bytes = scratch_bytes(shapes);
    s.input.grow(bytes.activation);
    s.output.grow(bytes.activation);
    s.expanded.grow(bytes.expanded);
    s.filtered.grow(bytes.filtered);
    s.scaled.grow(bytes.scaled);
    size_t sums = 0, channels = 0, squeezed = 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        const size_t width = size_t(blocks_of(blocks_[i].channels)) * BLOCK;
        sums = std::max(sums, width * strips(shapes[i], shapes[i + 1]));
        channels = std::max(channels, width);
        squeezed = std::max<size_t>(squeezed, blocks_[i].squeezed);
    }
    s.sums.resize(std::max(s.sums.size(), sums));
    s.mean.resize(std::max(s.mean.size(), channels));
    s.gate.resize(std::max(s.gate.size(), channels));
    s.hidden.resize(std::max(s.hidden.size(), squeezed));
}

// Returns the bytes of one image's activations at the end of any segment.
size_t Network::between_bytes(const std::vector<Shape>& shapes) const {
    size_t most = 0;
    for (size_t s = 1; s + 1 < segments_.size(); ++s) {
        const int step = segments_[s] - 1; // the last step of the previous segment
        const int channels = step == 0 ? stem_.outputs : blocks_[step - 1].project.outputs;
        most = std::max(most, size_t(blocks_of(channels)) * BLOCK * shapes[step].pixels() * element(step));
    }
    return (most + 63) / 64 * 64;
}

void Network::memory(Shape size, size_t& thread, size_t& image) const {
    const auto shapes = outputs(size);
    thread = scratch_bytes(shapes).total();
    image = 2 * between_bytes(shapes) + pooled_elements() * (bf16_ ? 6 : 4);
}

std::vector<Shape> Network::prepare(Context& context, int count, Shape size) const {
    auto shapes = outputs(size);
    for (auto& s : context.scratch_) reserve(s, shapes);
    context.between_bytes_ = between_bytes(shapes);
    if (count >= context.threads())
        for (auto& buffer : context.between_) buffer.grow(context.between_bytes_ * count);
    context.pooled_.grow(pooled_elements() * count * 4);
    if (bf16_) context.pooled_bf16_.grow(pooled_elements() * count * 2);
    if (has_classifier_)
        for (auto& s : context.scratch_) s.expanded.grow(size_t(count) * kernels_.panel_blocks * BLOCK * 4);
    return shapes;
}

} // namespace effnet
