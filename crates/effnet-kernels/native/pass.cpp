// The steps of one forward pass, as each thread performs them.
//
// All threads of a context run the same `Pass`, and share the tasks of each step through their `Member`.
// Everything that can fail, above all memory allocation, happens in `Network::prepare` before they start: nothing
// here throws.

#include <algorithm>
#include <chrono>
#include <cstring>

#include "network.h"
#include "pack.h"
#include "subnormals.h"

namespace effnet {

// Adds up the time that one thread spends in each part, if there is a place to write it.
struct Stopwatch {
    using Clock = std::chrono::steady_clock;
    double* seconds;
    Clock::time_point last = seconds ? Clock::now() : Clock::time_point();

    void lap(int part) noexcept {
        if (!seconds) return;
        const auto now = Clock::now();
        seconds[part] += std::chrono::duration<double>(now - last).count();
        last = now;
    }
};

// A range of rows of a block's output, and the rows of its input from which they are computed.
struct Strip {
    int index;
    int out_first, out_last; // rows [first, last)
    int in_first, in_last;

    Strip(const Window& window, Shape in, Shape out, int index, int strips) noexcept
        : index(index), out_first(out.height * index / strips), out_last(out.height * (index + 1) / strips) {
        const int top = window.top(in);
        in_first = std::clamp(out_first * window.stride - top, 0, in.height);
        in_last = std::clamp((out_last - 1) * window.stride - top + window.kernel, in_first, in.height);
    }
    // Returns the number of elements in the input's rows, for one block of channels.
    size_t plane(Shape in) const noexcept { return size_t(in_last - in_first) * in.width * BLOCK; }
};

struct Network::Pass {
    const Network& net;
    Context& context;
    const float* images;
    int count;
    Shape size;
    const std::vector<Shape>& shapes; // of the outputs of stem and blocks
    float *logits, *pooled, *features;
    const int feature_step;
    const Member& self;
    Stopwatch watch;

    const Kernels& kernels = net.kernels_;
    const int head_step = int(net.blocks_.size()) + 1;
    Scratch& scratch = context.scratch_[self.index]; // this thread's own; `shared` belongs to the image's team

    // Returns the number of elements in one block of channels.
    static size_t plane(Shape shape) noexcept { return size_t(shape.pixels()) * BLOCK; }

    // Runs the stem in strips of rows. Each strip is first copied with its padding, so that the kernel need not
    // handle borders.
    void stem(const Member& team, int image, Shape in, Shape out, char* to) noexcept {
        const StemLayer& layer = net.stem_;
        const Window& window = layer.window;
        const int padded_width = (out.width - 1) * window.stride + window.kernel;
        const float* from = images + size_t(image) * layer.inputs * in.pixels();
        float* padded = scratch.expanded.as<float>();
        team.each((out.height + STEM_STRIP - 1) / STEM_STRIP, [&](int task) noexcept {
            const int first = task * STEM_STRIP, rows = std::min(STEM_STRIP, out.height - first);
            const int span = (rows - 1) * window.stride + window.kernel;
            copy_padded(from, in, first * window.stride - window.top(in), span, padded_width, padded);
            stem_panels({padded, layer.inputs, window.kernel, window.stride, span, padded_width, nullptr, 0, nullptr,
                         reinterpret_cast<float*>(to), plane(out), rows, out.width, net.activation_},
                        first);
        });
    }

    // Copies rows of the image from `first_row` on, which may lie outside the image, into `padded`
    // [channels][rows][width].
    void copy_padded(const float* from, Shape in, int first_row, int rows, int width, float* padded) const noexcept {
        const int left = net.stem_.window.left(in), columns = std::min(in.width, width - left);
        for (int channel = 0; channel < net.stem_.inputs; ++channel)
            for (int row = 0; row < rows; ++row) {
                float* line = padded + (size_t(channel) * rows + row) * width;
                std::memset(line, 0, sizeof(float) * width);
                const int y = first_row + row;
                if (y >= 0 && y < in.height && columns > 0)
                    std::memcpy(line + left, from + (size_t(channel) * in.height + y) * in.width,
                                sizeof(float) * columns);
            }
    }

    void stem_panels(Stem rows, int first_row) const noexcept {
        const int taps = rows.channels * rows.kernel * rows.kernel, blocks = blocks_of(net.stem_.outputs);
        float* to = rows.out + size_t(first_row) * rows.out_width * BLOCK;
        for (int block = 0; block < blocks; block += kernels.panel_blocks) {
            rows.panel = net.stem_.weight.data() + size_t(block) * BLOCK * taps;
            rows.blocks = std::min(kernels.panel_blocks, blocks - block);
            rows.bias = net.stem_.bias.data() + block * BLOCK;
            rows.out = to + block * rows.out_plane;
            kernels.stem(rows);
        }
    }

    // Describes the product with one panel of a dense layer. This thread's next panel is probably the one after it. The
    // caller sets where the first column of the result goes.
    Product panel_of(const Dense& layer, int panel, const void* left, size_t left_plane, int rows) const noexcept {
        const int first = panel * kernels.panel_blocks;
        const size_t panel_bytes = layer.panel_elements * layer.element();
        Product product{};
        product.left = left;
        product.left_plane = left_plane;
        product.rows = rows;
        product.depth = (layer.inputs + 1) / 2 * 2;
        product.panel = layer.weight.as() + panel * panel_bytes;
        if (panel + 1 < layer.panels) product.next = layer.weight.as() + (panel + 1) * panel_bytes;
        product.blocks = std::min(kernels.panel_blocks, blocks_of(layer.outputs) - first);
        product.bias = layer.bias.data() + first * BLOCK;
        return product;
    }

    // Computes the product with a result in floats, whatever the type of the layer.
    void widen(const Dense& layer, const Product& product) const noexcept {
        layer.narrow ? kernels.product_widen(product) : kernels.product(product);
    }

    // Computes the expansion and the depthwise convolution into `filtered`, and their sums into `sums`
    // [strips][channels]. A task is one panel of one strip, whose expansion stays in the cache. The strips are the outer
    // loop, so that a thread reads rows that it wrote, and writes rows that it projects.
    void filter(const Member& team, int step, Shape in, Shape out, const char* input, Scratch& shared) noexcept {
        const Block& block = net.blocks_[step - 1];
        const int strips = net.strips(in, out), group = kernels.panel_blocks;
        const int panels = (blocks_of(block.channels) + group - 1) / group;
        team.each(panels * strips, [&](int task) noexcept {
            const int panel = task % panels;
            const Strip strip(block.window, in, out, task / panels, strips);
            if (block.has_expand) expand(step, panel, strip, in, input);
            filter_panel(step, panel, strip, in, out, input, shared);
        });
    }

    void expand(int step, int panel, const Strip& strip, Shape in, const char* input) noexcept {
        const Dense& layer = net.blocks_[step - 1].expand;
        const size_t start = size_t(strip.in_first) * in.width * BLOCK * net.element(step - 1);
        const int pixels = (strip.in_last - strip.in_first) * in.width;
        Product product = panel_of(layer, panel, input + start, plane(in), pixels);
        product.out = scratch.expanded.as();
        product.out_plane = strip.plane(in);
        product.activation = net.activation_;
        widen(layer, product);
    }

    void filter_panel(int step, int panel, const Strip& strip, Shape in, Shape out, const char* input,
                      Scratch& shared) noexcept {
        const Block& block = net.blocks_[step - 1];
        const int blocks = blocks_of(block.channels), taps = block.window.kernel * block.window.kernel;
        const int first = panel * kernels.panel_blocks, last = std::min(blocks, first + kernels.panel_blocks);
        Depthwise filter{};
        filter.height = in.height;
        filter.width = in.width;
        filter.kernel = block.window.kernel;
        filter.stride = block.window.stride;
        filter.pad_top = block.window.top(in);
        filter.pad_left = block.window.left(in);
        filter.out_first = strip.out_first;
        filter.out_last = strip.out_last;
        filter.out_width = out.width;
        filter.activation = net.activation_;
        const size_t out_start = size_t(strip.out_first) * out.width * BLOCK;
        for (int c = first; c < last; ++c) {
            if (block.has_expand) {
                filter.input = scratch.expanded.as<float>() + (c - first) * strip.plane(in);
                filter.input_row = strip.in_first;
            } else {
                filter.input = input + c * plane(in) * net.element(step - 1);
            }
            filter.weight = block.depthwise.data() + size_t(c) * taps * BLOCK;
            filter.bias = block.depthwise_bias.data() + c * BLOCK;
            filter.out = shared.filtered.as() + (c * plane(out) + out_start) * filtered_element(block);
            filter.sum = shared.sums.data() + (size_t(strip.index) * blocks + c) * BLOCK;
            const bool from_float = block.has_expand || !net.narrow(step - 1);
            if (rounds_filtered(block)) from_float ? kernels.depthwise_round(filter) : kernels.depthwise_narrow(filter);
            else from_float ? kernels.depthwise(filter) : kernels.depthwise_widen(filter);
        }
    }

    // Computes the gates of squeeze-and-excitation into this thread's `gate`: computing them on every thread is
    // cheaper than waiting for one thread. Strips are added up in order, so that the result does not depend on
    // which thread computed which strip.
    void gates(const Block& block, Shape in, Shape out, const Scratch& shared) noexcept {
        const int channels = blocks_of(block.channels) * BLOCK, strips = net.strips(in, out);
        const float scale = 1.0f / out.pixels();
        for (int c = 0; c < channels; ++c) {
            float sum = 0;
            for (int strip = 0; strip < strips; ++strip) sum += shared.sums[size_t(strip) * channels + c];
            scratch.mean[c] = sum * scale;
        }
        kernels.gate(scratch.mean.data(), channels, block.squeezed, block.reduce.data(), block.reduce_bias.data(),
                     block.excite.data(), block.excite_bias.data(), scratch.hidden.data(), scratch.gate.data());
    }

    // Multiplies the gated activations by the projection, and adds the block's input if it has a skip connection.
    // A task is a group of pixels. If there are too few groups for the threads, a task is also limited to a slice
    // of the panels, and each task scales the pixels for itself.
    void project(const Member& team, int step, Shape out, const char* input, char* output, Scratch& shared) noexcept {
        const Block& block = net.blocks_[step - 1];
        const int rows = net.row_block(out.pixels(), block.project), panels = block.project.panels;
        const int parts = (out.pixels() + rows - 1) / rows;
        const int slices = team.size > 1 ? std::clamp(2 * team.size / parts, 1, panels) : 1;
        int scaled = -1; // which part `scratch.scaled` holds
        team.each(parts * slices, [&](int task) noexcept {
            const int part = task / slices, slice = task % slices;
            const int first = part * rows, height = std::min(rows, out.pixels() - first);
            if (scaled != part && block.has_gates) {
                const float* from = shared.filtered.as<float>() + size_t(first) * BLOCK;
                const auto scale = block.project.narrow ? kernels.scale_narrow : kernels.scale;
                scale(from, plane(out), scratch.gate.data(), blocks_of(block.channels), height, scratch.scaled.as());
                scaled = part;
            }
            const int end = panels * (slice + 1) / slices;
            for (int panel = panels * slice / slices; panel < end; ++panel)
                project_panel(step, panel, first, height, out, input, output, shared);
        });
    }

    // Whether the depthwise convolution rounds its result to what the projection reads. With gates, it is rounded once
    // they have been applied.
    static bool rounds_filtered(const Block& block) noexcept { return !block.has_gates && block.project.narrow; }
    static size_t filtered_element(const Block& block) noexcept {
        return rounds_filtered(block) ? sizeof(uint16_t) : sizeof(float);
    }

    // Computes pixels [first, first + height) of one panel of the projection.
    void project_panel(int step, int panel, int first, int height, Shape out, const char* input, char* output,
                       const Scratch& shared) const noexcept {
        const Block& block = net.blocks_[step - 1];
        const char* filtered = shared.filtered.as() + size_t(first) * BLOCK * filtered_element(block);
        Product product = block.has_gates
            ? panel_of(block.project, panel, scratch.scaled.as(), size_t(height) * BLOCK, height)
            : panel_of(block.project, panel, filtered, plane(out), height);
        const size_t column = size_t(panel) * kernels.panel_blocks * plane(out);
        const size_t offset = (column + size_t(first) * BLOCK) * net.element(step);
        product.residual = block.skip ? input + offset : nullptr;
        product.out = output + offset;
        product.out_plane = plane(out);
        block.project.narrow ? kernels.product_narrow(product) : kernels.product(product);
    }

    // Runs a block whose filter is a dense convolution. A task is a group of pixels, from the block's input to its
    // output.
    void dense(const Member& team, int step, Shape in, Shape out, const char* input, char* output) noexcept {
        const Block& block = net.blocks_[step - 1];
        const bool fused = block.kind == BlockKind::fused;
        const Dense& layer = fused ? block.expand : block.project;
        const int most = std::min(out.pixels(), net.patch_rows(block));
        int parts = (out.pixels() + most - 1) / most;
        // The same number of tasks for each thread.
        parts = std::min(out.pixels(), (parts + team.size - 1) / team.size * team.size);
        team.each(parts, [&](int task) noexcept {
            const int first = int(int64_t(out.pixels()) * task / parts);
            const int count = int(int64_t(out.pixels()) * (task + 1) / parts) - first;
            copy_patches(block, layer, in, out, input, first, count);
            if (fused) expand_patches(block, count);
            const bool rounds = fused && block.project.narrow && !layer.narrow;
            if (rounds) {
                // Rounding goes through the gates.
                std::fill_n(scratch.gate.data(), size_t(blocks_of(block.channels)) * BLOCK, 1.0f);
                kernels.scale_narrow(scratch.filtered.as<float>(), size_t(count) * BLOCK, scratch.gate.data(),
                                     blocks_of(block.channels), count, scratch.scaled.as());
            }
            const Buffer& left = !fused ? scratch.expanded : rounds ? scratch.scaled : scratch.filtered;
            for (int panel = 0; panel < block.project.panels; ++panel) {
                Product product = panel_of(block.project, panel, left.as(), size_t(count) * BLOCK, count);
                const size_t column = size_t(panel) * kernels.panel_blocks * plane(out);
                const size_t offset = (column + size_t(first) * BLOCK) * net.element(step);
                product.residual = block.skip ? input + offset : nullptr;
                product.out = output + offset;
                product.out_plane = plane(out);
                if (!fused) product.activation = net.activation_;
                block.project.narrow ? kernels.product_narrow(product) : kernels.product(product);
            }
        });
    }

    // Copies the patches of `count` output pixels into `scratch.expanded`.
    void copy_patches(const Block& block, const Dense& layer, Shape in, Shape out, const char* input, int first,
                      int count) const noexcept {
        Patches patches{};
        patches.input = input;
        patches.channels = block.inputs;
        patches.height = in.height;
        patches.width = in.width;
        patches.kernel = block.window.kernel;
        patches.stride = block.window.stride;
        patches.pad_top = block.window.top(in);
        patches.pad_left = block.window.left(in);
        patches.tap_stride = layer.tap_stride;
        patches.out_width = out.width;
        patches.first = first;
        patches.count = count;
        patches.out = scratch.expanded.as();
        layer.narrow ? kernels.patches_narrow(patches) : kernels.patches(patches);
    }

    // Multiplies the patches by the expansion, into `scratch.filtered`.
    void expand_patches(const Block& block, int count) const noexcept {
        const Dense& layer = block.expand;
        for (int panel = 0; panel < layer.panels; ++panel) {
            Product product = panel_of(layer, panel, scratch.expanded.as(), size_t(count) * BLOCK, count);
            product.out =
                scratch.filtered.as() + size_t(panel) * kernels.panel_blocks * count * BLOCK * layer.element();
            product.out_plane = size_t(count) * BLOCK;
            product.activation = net.activation_;
            layer.narrow ? kernels.product_narrow(product) : kernels.product(product);
        }
    }

    // Runs the head, and stores its activations or their means over the pixels, as requested.
    void head(const Member& team, int image, Shape shape, const char* input) noexcept {
        team.each(net.head_.panels, [&](int panel) noexcept {
            Product product = panel_of(net.head_, panel, input, plane(shape), shape.pixels());
            float* activations = scratch.expanded.as<float>();
            product.out = activations;
            product.out_plane = plane(shape);
            product.activation = net.activation_;
            widen(net.head_, product);
            const int first = panel * kernels.panel_blocks * BLOCK;
            if (features && feature_step == head_step)
                store_features(image, shape, first, product.blocks, activations);
            if (logits || pooled) store_means(image, shape, first, product.blocks, activations);
        });
    }

    // Copies the output of the stem or of a block into the caller's [channels][pixels].
    void store_step(const Member& team, int image, int step, Shape shape, const char* output) noexcept {
        const int channels = net.channels(step), pixels = shape.pixels();
        team.each(channels, [&](int c) noexcept {
            float* to = features + (size_t(image) * channels + c) * pixels;
            const size_t from = c / BLOCK * plane(shape) + c % BLOCK;
            for (int i = 0; i < pixels; ++i) {
                const size_t at = from + size_t(i) * BLOCK;
                to[i] = net.narrow(step) ? widen_bf16(reinterpret_cast<const uint16_t*>(output)[at])
                                         : reinterpret_cast<const float*>(output)[at];
            }
        });
    }

    // Copies the channels from `first` on out of their blocks, into the caller's [channels][pixels].
    void store_features(int image, Shape shape, int first, int blocks, const float* activations) const noexcept {
        const int channels = net.head_.outputs, pixels = shape.pixels();
        const int end = std::min(channels, first + blocks * BLOCK);
        for (int c = first; c < end; ++c)
            for (int i = 0; i < pixels; ++i)
                features[(size_t(image) * channels + c) * pixels + i] =
                    activations[(c - first) / BLOCK * plane(shape) + size_t(i) * BLOCK + c % BLOCK];
    }

    // Stores the means in `pooled_` [C / 16][count][16], which the classifier reads as rows of a matrix.
    void store_means(int image, Shape shape, int first, int blocks, const float* activations) const noexcept {
        const int channels = net.head_.outputs, pixels = shape.pixels();
        float sum[4 * BLOCK];
        kernels.sums(activations, plane(shape), blocks, pixels, sum);
        for (int c = 0; c < blocks * BLOCK; ++c) {
            const float mean = sum[c] / pixels;
            const size_t at = (size_t(first + c) / BLOCK * count + image) * BLOCK + c % BLOCK;
            context.pooled_.as<float>()[at] = mean;
            if (net.bf16_) context.pooled_bf16_.as<uint16_t>()[at] = round_bf16(mean);
            if (pooled && first + c < channels) pooled[size_t(image) * channels + first + c] = mean;
        }
    }

    void classify(const Member& team) noexcept {
        const Dense& layer = net.classifier_;
        team.each(layer.panels, [&](int panel) noexcept {
            const char* left = net.bf16_ ? context.pooled_bf16_.as() : context.pooled_.as();
            Product product = panel_of(layer, panel, left, size_t(count) * BLOCK, count);
            float* columns = scratch.expanded.as<float>();
            product.out = columns;
            product.out_plane = size_t(count) * BLOCK;
            widen(layer, product);
            const int first = panel * kernels.panel_blocks * BLOCK;
            const int end = std::min(layer.outputs, first + product.blocks * BLOCK);
            for (int image = 0; image < count; ++image)
                for (int c = first; c < end; ++c)
                    logits[size_t(image) * layer.outputs + c] =
                        columns[((c - first) / BLOCK * size_t(count) + image) * BLOCK + c % BLOCK];
        });
    }

    // Runs steps [first, end) of one image. The first reads `input` (unless it is the stem), and the last writes
    // `to` (unless it is the head); two buffers of `shared` alternate in between.
    void steps(const Member& team, int image, int first, int end, const char* input, char* to,
               Scratch& shared) noexcept {
        for (int step = first; step < end; ++step) {
            if (step == head_step) {
                head(team, image, shapes[step - 1], input);
                watch.lap(3 * step - 2);
                return;
            }
            const Shape out = shapes[step];
            char* output = to && step == end - 1 ? to : (step % 2 ? shared.output : shared.input).as();
            if (step == 0) {
                stem(team, image, size, out, output);
                watch.lap(0);
            } else {
                const Shape in = shapes[step - 1];
                if (net.blocks_[step - 1].kind != BlockKind::mbconv) {
                    dense(team, step, in, out, input, output);
                    for (int part = -2; part <= 0; ++part) watch.lap(3 * step + part);
                } else {
                    filter(team, step, in, out, input, shared);
                    watch.lap(3 * step - 2);
                    if (net.blocks_[step - 1].has_gates) gates(net.blocks_[step - 1], in, out, shared);
                    watch.lap(3 * step - 1);
                    project(team, step, out, input, output, shared);
                    watch.lap(3 * step);
                }
            }
            if (features && step == feature_step) store_step(team, image, step, out, output);
            input = output;
        }
    }

    void run() noexcept {
        // Each thread takes an equal number of whole images; all threads share each of the others.
        const int alone = self.size > 1 ? count / self.size * self.size : count;
        for (size_t s = 0; alone > 0 && s + 1 < net.segments_.size(); ++s)
            self.each(alone, [&](int image) noexcept {
                const int first = net.segments_[s], end = net.segments_[s + 1];
                const size_t offset = context.between_bytes_ * image;
                const char* from = context.between_[s % 2].as() + offset;
                char* to = end > head_step ? nullptr : context.between_[(s + 1) % 2].as() + offset;
                steps(self.alone(), image, first, end, from, to, scratch);
            });
        for (int image = alone; image < count; ++image)
            steps(self, image, 0, head_step + 1, nullptr, nullptr, context.scratch_[0]);
        if (logits) {
            classify(self);
            watch.lap(3 * head_step - 1);
        }
    }
};

void Network::run(Context& context, const float* images, int count, Shape size, float* logits, float* pooled,
                  float* features, int step, double* seconds) const {
    const std::vector<Shape> shapes = prepare(context, count, size);
    const int threads = context.threads();
    std::vector<double> times(seconds ? size_t(threads) * laps() : 0);
    context.team_.run([&](const Member& self) noexcept {
        const WithoutSubnormals without_subnormals;
        const Stopwatch watch{seconds ? times.data() + size_t(self.index) * laps() : nullptr};
        Pass{*this, context, images, count, size, shapes, logits, pooled, features, step, self, watch}.run();
    });
    for (size_t i = 0; i < times.size(); ++i) seconds[i % laps()] += times[i] / threads;
}

} // namespace effnet
