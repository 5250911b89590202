// The steps of one forward pass, as one thread takes them.

#include <algorithm>
#include <chrono>
#include <cstring>

#include "network.h"
#include "pack.h"

namespace effnet {

// Adds up where the time of one thread goes, if it is given somewhere to put that.
struct Stopwatch {
    using Clock = std::chrono::steady_clock;
    double* seconds;
    Clock::time_point last = seconds ? Clock::now() : Clock::time_point();

    void lap(int part) {
        if (!seconds) return;
        const auto now = Clock::now();
        seconds[part] += std::chrono::duration<double>(now - last).count();
        last = now;
    }
};

struct Network::Pass {
    const Network& net;
    Context& context;
    const float* images;
    int count;
    Shape size;
    float *logits, *pooled, *features;
    const Member& self;
    Stopwatch watch;

    const Kernels& k = net.kernels_;
    const int last = int(net.blocks_.size()) + 1; // the head's step
    Scratch& own = context.scratch_[self.index];

    size_t plane(Shape s) const { return size_t(s.pixels()) * BLOCK; }

    void stem(const Member& team, int image, Shape in, Shape out, char* to) {
        const StemLayer& layer = net.stem_;
        const Window& w = layer.window;
        const int top = w.top(in), left = w.left(in), strip = 8;
        const int width = (out.width - 1) * w.stride + w.kernel;
        const float* from = images + size_t(image) * layer.inputs * in.pixels();
        float* padded = own.expanded.as<float>();
        team.each((out.height + strip - 1) / strip, [&](int task) {
            const int first = task * strip, rows = std::min(strip, out.height - first);
            const int span = (rows - 1) * w.stride + w.kernel;
            for (int c = 0; c < layer.inputs; ++c)
                for (int r = 0; r < span; ++r) {
                    float* line = padded + (size_t(c) * span + r) * width;
                    std::memset(line, 0, sizeof(float) * width);
                    const int y = first * w.stride + r - top;
                    const int columns = std::min(in.width, width - left);
                    if (y >= 0 && y < in.height && columns > 0)
                        std::memcpy(line + left, from + (size_t(c) * in.height + y) * in.width,
                                    sizeof(float) * columns);
                }
            stem_panels({padded, layer.inputs, w.kernel, w.stride, span, width, nullptr, 0, nullptr,
                         reinterpret_cast<float*>(to), plane(out), rows, out.width}, first);
        });
    }

    void stem_panels(Stem s, int first_row) {
        const int taps = s.channels * s.kernel * s.kernel, blocks = blocks_of(net.stem_.outputs);
        float* to = s.out + size_t(first_row) * s.out_width * BLOCK;
        for (int b = 0; b < blocks; b += k.panel_blocks) {
            s.panel = net.stem_.weight.data() + size_t(b) * BLOCK * taps;
            s.blocks = std::min(k.panel_blocks, blocks - b);
            s.bias = net.stem_.bias.data() + b * BLOCK;
            s.out = to + b * s.out_plane;
            k.stem(s);
        }
    }

    // One panel of a dense layer; `out` is where its first column goes.
    Product panel_of(const Dense& d, int panel, const void* left, size_t left_plane, int rows) const {
        const int first = panel * k.panel_blocks;
        Product p{};
        p.left = left;
        p.left_plane = left_plane;
        p.rows = rows;
        p.depth = (d.inputs + 1) / 2 * 2;
        p.panel = d.weight.as() + size_t(panel) * d.panel_elements * d.element();
        p.blocks = std::min(k.panel_blocks, blocks_of(d.outputs) - first);
        p.bias = d.bias.data() + first * BLOCK;
        return p;
    }

    // To floats, whatever the layer is in.
    void widen(const Dense& d, const Product& p) const { d.narrow ? k.product_widen(p) : k.product(p); }

    // Expansion and depthwise convolution into `filtered`, sums into `sums` [strips][channels].
    void filter(const Member& team, int step, Shape in, Shape out, const char* x, Scratch& shared) {
        const Block& b = net.blocks_[step - 1];
        const int blocks = blocks_of(b.channels), strips = net.strips(in, out);
        const int group = k.panel_blocks, panels = (blocks + group - 1) / group;
        const int taps = b.window.kernel * b.window.kernel;
        team.each(panels * strips, [&](int task) {
            const int panel = task / strips, strip = task % strips;
            const int first = out.height * strip / strips, end = out.height * (strip + 1) / strips;
            Depthwise d{};
            d.height = in.height;
            d.width = in.width;
            d.kernel = b.window.kernel;
            d.stride = b.window.stride;
            d.pad_top = b.window.top(in);
            d.pad_left = b.window.left(in);
            d.out_first = first;
            d.out_last = end;
            d.out_width = out.width;
            const int from = std::clamp(first * d.stride - d.pad_top, 0, in.height);
            const int to = std::clamp((end - 1) * d.stride - d.pad_top + d.kernel, from, in.height);
            const size_t span = size_t(to - from) * in.width * BLOCK;
            if (b.has_expand) {
                const size_t start = size_t(from) * in.width * BLOCK * net.element(step - 1);
                Product p = panel_of(b.expand, panel, x + start, plane(in), (to - from) * in.width);
                p.out = own.expanded.as();
                p.out_plane = span;
                p.silu = true;
                widen(b.expand, p);
            }
            for (int block = panel * group; block < std::min(blocks, (panel + 1) * group); ++block) {
                if (b.has_expand) {
                    d.input = own.expanded.as<float>() + (block - panel * group) * span;
                    d.input_row = from;
                } else {
                    d.input = x + block * plane(in) * net.element(step - 1);
                }
                d.weight = b.depthwise.data() + size_t(block) * taps * BLOCK;
                d.bias = b.depthwise_bias.data() + block * BLOCK;
                d.out = shared.filtered.as<float>() + block * plane(out) + size_t(first) * out.width * BLOCK;
                d.sum = shared.sums.data() + (size_t(strip) * blocks + block) * BLOCK;
                b.has_expand || !net.narrow(step - 1) ? k.depthwise(d) : k.depthwise_widen(d);
            }
        });
    }

    // The gates of squeeze-and-excitation into this thread's own `gate`. Strips are added up in
    // order, so that the result does not depend on who computed which.
    void gates(const Block& b, Shape in, Shape out, const Scratch& shared) {
        const int channels = blocks_of(b.channels) * BLOCK, strips = net.strips(in, out);
        const float scale = 1.0f / out.pixels();
        for (int c = 0; c < channels; ++c) {
            float sum = 0;
            for (int s = 0; s < strips; ++s) sum += shared.sums[size_t(s) * channels + c];
            own.mean[c] = sum * scale;
        }
        k.gate(own.mean.data(), channels, b.squeezed, b.reduce.data(), b.reduce_bias.data(),
               b.excite.data(), b.excite_bias.data(), own.hidden.data(), own.gate.data());
    }

    void project(const Member& team, int step, Shape out, const char* x, char* y, Scratch& shared) {
        const Block& b = net.blocks_[step - 1];
        const int rows = net.row_block(out.pixels(), b.project), blocks = blocks_of(b.channels);
        const int parts = (out.pixels() + rows - 1) / rows;
        // A team too large for the parts splits the panels too; each then scales rows of its own.
        const int groups = std::clamp(2 * team.size / parts, 1, b.project.panels);
        int scaled = -1;
        team.each(parts * (team.size > 1 ? groups : 1), [&](int task) {
            const int split = team.size > 1 ? groups : 1, part = task / split, slice = task % split;
            const int first = part * rows, height = std::min(rows, out.pixels() - first);
            const size_t start = size_t(first) * BLOCK;
            const float* from = shared.filtered.as<float>() + start;
            if (scaled != part) {
                const auto scale = b.project.narrow ? k.scale_narrow : k.scale;
                scale(from, plane(out), own.gate.data(), blocks, height, own.scaled.as());
                scaled = part;
            }
            const int end = b.project.panels * (slice + 1) / split;
            for (int panel = b.project.panels * slice / split; panel < end; ++panel) {
                Product p = panel_of(b.project, panel, own.scaled.as(), size_t(height) * BLOCK, height);
                const size_t offset =
                    (size_t(panel) * k.panel_blocks * plane(out) + start) * net.element(step);
                p.residual = b.skip ? x + offset : nullptr;
                p.out = y + offset;
                p.out_plane = plane(out);
                b.project.narrow ? k.product_narrow(p) : k.product(p);
            }
        });
    }

    // The head convolution; its average over pixels into `pooled_` [C / 16][count][16].
    void head(const Member& team, int image, Shape shape, const char* x) {
        const int channels = net.head_.outputs, pixels = shape.pixels();
        team.each(net.head_.panels, [&](int panel) {
            Product p = panel_of(net.head_, panel, x, plane(shape), pixels);
            float* to = own.expanded.as<float>();
            p.out = to;
            p.out_plane = plane(shape);
            p.silu = true;
            widen(net.head_, p);
            const int first = panel * k.panel_blocks * BLOCK;
            if (features) {
                const int end = std::min(channels, first + p.blocks * BLOCK);
                for (int c = first; c < end; ++c)
                    for (int i = 0; i < pixels; ++i)
                        features[(size_t(image) * channels + c) * pixels + i] =
                            to[(c - first) / BLOCK * plane(shape) + size_t(i) * BLOCK + c % BLOCK];
                return;
            }
            float sum[4 * BLOCK];
            k.sums(to, plane(shape), p.blocks, pixels, sum);
            for (int c = 0; c < p.blocks * BLOCK; ++c) {
                const float mean = sum[c] / pixels;
                const size_t at = (size_t(first + c) / BLOCK * count + image) * BLOCK + c % BLOCK;
                context.pooled_.as<float>()[at] = mean;
                if (net.bf16_) context.pooled_bf16_.as<uint16_t>()[at] = round_bf16(mean);
                if (pooled && first + c < channels) pooled[size_t(image) * channels + first + c] = mean;
            }
        });
    }

    void classify(const Member& team) {
        const Dense& d = net.classifier_;
        team.each(d.panels, [&](int panel) {
            const char* left = net.bf16_ ? context.pooled_bf16_.as() : context.pooled_.as();
            Product p = panel_of(d, panel, left, size_t(count) * BLOCK, count);
            float* to = own.expanded.as<float>();
            p.out = to;
            p.out_plane = size_t(count) * BLOCK;
            widen(d, p);
            const int first = panel * k.panel_blocks * BLOCK;
            const int end = std::min(d.outputs, first + p.blocks * BLOCK);
            for (int n = 0; n < count; ++n)
                for (int c = first; c < end; ++c)
                    logits[size_t(n) * d.outputs + c] =
                        to[((c - first) / BLOCK * size_t(count) + n) * BLOCK + c % BLOCK];
        });
    }

    // Steps [first, end) of one image. The first reads `from` (unless it is the stem), the last
    // writes `to` (unless it is the head); in between two buffers of `shared` take turns.
    void steps(const Member& team, int image, int first, int end, const char* from, char* to, Scratch& shared) {
        Shape shape = size;
        char *current = const_cast<char*>(from), *spare[2] = {shared.input.as(), shared.output.as()};
        for (int step = 0; step < end; ++step) {
            if (step == last) {
                head(team, image, shape, current);
                watch.lap(3 * step - 2);
                break;
            }
            const Window& window = step == 0 ? net.stem_.window : net.blocks_[step - 1].window;
            const Shape out = window.output(shape);
            if (step >= first) {
                char* next = to && step == end - 1 ? to : spare[step % 2];
                if (step == 0) {
                    stem(team, image, shape, out, next);
                    watch.lap(0);
                } else {
                    const Block& b = net.blocks_[step - 1];
                    filter(team, step, shape, out, current, shared);
                    watch.lap(3 * step - 2);
                    gates(b, shape, out, shared);
                    watch.lap(3 * step - 1);
                    project(team, step, out, current, next, shared);
                    watch.lap(3 * step);
                }
                current = next;
            }
            shape = out;
        }
    }

    void run() {
        const int alone = self.size > 1 ? count / self.size * self.size : count;
        for (size_t s = 0; alone > 0 && s + 1 < net.segments_.size(); ++s)
            self.each(alone, [&](int image) {
                const size_t at = context.between_bytes_ * image;
                const char* from = context.between_[s % 2].as() + at;
                char* to = net.segments_[s + 1] > last ? nullptr : context.between_[(s + 1) % 2].as() + at;
                steps(self.alone(), image, net.segments_[s], net.segments_[s + 1], from, to, own);
            });
        for (int image = alone; image < count; ++image)
            steps(self, image, 0, last + 1, nullptr, nullptr, context.scratch_[0]);
        if (logits) {
            classify(self);
            watch.lap(3 * last - 1);
        }
    }
};

void Network::run(Context& context, const float* images, int count, Shape size, float* logits, float* pooled,
                  float* features, double* seconds) const {
    prepare(context, count, size);
    const int threads = context.threads();
    std::vector<double> times(seconds ? size_t(threads) * laps() : 0);
    context.team_.run([&](const Member& self) {
        const Stopwatch watch{seconds ? times.data() + size_t(self.index) * laps() : nullptr};
        Pass{*this, context, images, count, size, logits, pooled, features, self, watch}.run();
    });
    for (size_t i = 0; i < times.size(); ++i) seconds[i % laps()] += times[i] / threads;
}

} // namespace effnet
