// One forward pass.
//
// A block runs in two phases. First, for each panel of up to 32 expanded channels and each strip of
// rows: expand into a buffer that stays in the second-level cache, filter it at once, and add up
// what squeeze-and-excitation averages. Then every thread works out the gates by itself, and for
// each group of pixels the filtered activation is scaled, projected and added to the block's input.
//
// With at least as many images as threads, each thread takes whole images through a few blocks (a
// segment, whose weights fit the cache) before the next; what is left over is shared by all.

#include "network.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <unistd.h>

#include "pack.h"

namespace effnet {

static bool supports(Isa isa) {
    if (isa == Isa::baseline) return true;
#if defined(__x86_64__)
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
        // The order of the enumeration. Products of bfloat16 are no use to floats.
        for (const Isa next : {Isa::avx2, Isa::avx512, Isa::avx512bf16})
            if (supports(next) && (bf16 || next != Isa::avx512bf16)) isa = next;
    }
    if (!supports(isa)) throw std::invalid_argument("this CPU lacks the instruction set that was asked for");
    switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512bf16: return kernels_avx512bf16();
    case Isa::avx512: return kernels_avx512();
    case Isa::avx2: return kernels_avx2();
#endif
    default: return kernels_baseline();
    }
}

static size_t second_level_cache() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (size > 0) return std::clamp<size_t>(size, 256 << 10, 4 << 20);
#endif
    return 512 << 10;
}

static size_t weight_bytes(const Block& b) {
    return b.expand.weight.bytes() + b.project.weight.bytes() +
        4 * (b.depthwise.size() + b.reduce.size() + b.excite.size());
}

Network::Network(const effnet_network_spec& spec)
    : kernels_(choose(Isa(spec.isa), spec.bf16)), bf16_(spec.bf16), element_(spec.bf16 ? 2 : 4),
      cache_(second_level_cache()), has_classifier_(spec.has_classifier),
      team_(std::max(1, spec.threads)) {
    const int panel = kernels_.panel_blocks;
    stem_ = pack_stem(spec.stem, panel);
    for (int i = 0; i < spec.block_count; ++i)
        blocks_.push_back(pack_block(spec.blocks[i], panel, bf16_));
    head_ = pack_dense(spec.head, panel, bf16_);
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
    scratch_.resize(team_.size());
}

Shape Network::feature_shape(Shape size) const {
    size = stem_.window.output(size);
    for (const auto& block : blocks_) size = block.window.output(size);
    return size;
}

// Strips of output rows such that one panel's input to them fits half the cache.
int Network::strips(Shape in, Shape out) const {
    const size_t whole = size_t(in.pixels()) * kernels_.panel_blocks * BLOCK * sizeof(float);
    const size_t wanted = (whole + cache_ / 2 - 1) / (cache_ / 2);
    return int(std::clamp<size_t>(wanted, 1, std::max(1, out.height / 2)));
}

// Rows of the projection done at once, such that their scaled copy fits a third of the cache.
int Network::row_block(int rows, int depth) const {
    const int fit = int(cache_ / 3 / (size_t(blocks_of(depth)) * BLOCK * element_));
    const int limit = std::clamp(fit / 14 * 14, 28, 224);
    const int parts = (rows + limit - 1) / limit;
    return std::min(limit, ((rows + parts - 1) / parts + 13) / 14 * 14);
}

void Network::reserve(Scratch& s, const std::vector<Shape>& shapes) const {
    const int panel = kernels_.panel_blocks * BLOCK;
    auto bytes = [&](int channels, int pixels) {
        return size_t(blocks_of(channels)) * BLOCK * pixels * element_;
    };
    size_t activation = bytes(stem_.outputs, shapes[0].pixels());
    const Window& w = stem_.window;
    const size_t padded_width = size_t(shapes[0].width - 1) * w.stride + w.kernel;
    size_t expanded = 4 * padded_width * stem_.inputs * (size_t(8 - 1) * w.stride + w.kernel);
    size_t filtered = 0, scaled = 0, sums = 0, channels = 0, squeezed = 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        const Block& b = blocks_[i];
        const Shape in = shapes[i], out = shapes[i + 1];
        activation = std::max(activation, bytes(b.project.outputs, out.pixels()));
        const int count = strips(in, out), rows = (out.height + count - 1) / count;
        const int span = std::min(in.height, (rows - 1) * b.window.stride + b.window.kernel);
        expanded = std::max(expanded, size_t(span) * in.width * panel * 4);
        filtered = std::max(filtered, size_t(blocks_of(b.channels)) * BLOCK * out.pixels() * sizeof(float));
        scaled = std::max(scaled, bytes(b.channels, row_block(out.pixels(), b.channels)));
        const size_t width = size_t(blocks_of(b.channels)) * BLOCK;
        sums = std::max(sums, width * count);
        channels = std::max(channels, width);
        squeezed = std::max<size_t>(squeezed, b.squeezed);
    }
    expanded = std::max(expanded, size_t(shapes.back().pixels()) * panel * 4);
    s.input.grow(activation);
    s.output.grow(activation);
    s.expanded.grow(expanded);
    s.filtered.grow(filtered);
    s.scaled.grow(scaled);
    s.sums.resize(std::max(s.sums.size(), sums));
    s.mean.resize(std::max(s.mean.size(), channels));
    s.gate.resize(std::max(s.gate.size(), channels));
    s.hidden.resize(std::max(s.hidden.size(), squeezed));
}

void Network::prepare(int count, Shape size) {
    std::vector<Shape> shapes{stem_.window.output(size)};
    for (const auto& block : blocks_) shapes.push_back(block.window.output(shapes.back()));
    for (auto& s : scratch_) reserve(s, shapes);
    between_bytes_ = 0;
    for (size_t s = 1; s + 1 < segments_.size(); ++s) {
        const int step = segments_[s] - 1; // the last of the segment before
        const int channels = step == 0 ? stem_.outputs : blocks_[step - 1].project.outputs;
        const size_t bytes = size_t(blocks_of(channels)) * BLOCK * shapes[step].pixels() * element_;
        between_bytes_ = std::max(between_bytes_, bytes);
    }
    between_bytes_ = (between_bytes_ + 63) / 64 * 64;
    if (count >= team_.size())
        for (auto& buffer : between_) buffer.grow(between_bytes_ * count);
    const size_t pooled = size_t(blocks_of(head_.outputs)) * BLOCK * count;
    pooled_.grow(pooled * 4);
    if (bf16_) pooled_bf16_.grow(pooled * 2);
    if (has_classifier_)
        for (auto& s : scratch_) s.expanded.grow(size_t(count) * kernels_.panel_blocks * BLOCK * 4);
}

} // namespace effnet
