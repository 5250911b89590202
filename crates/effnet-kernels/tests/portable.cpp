// Compares the kernels of two machines: `scripts/check-aarch64` builds and runs it.
//
//   portable write FILE     runs each network on this machine, and writes its numbers
//   portable compare FILE   runs each network on this machine, and compares with the numbers of another
//
// The weights and images are made from whole numbers, so that they are the same to the bit everywhere. Both runs use
// the baseline: SSE2 on x86-64, NEON on aarch64. A difference is the largest of an output, relative to the output's
// largest number. This is C++ because only the C++ differs between the two: an aarch64 Rust is not needed.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "network_api.h"

using effnet::Activation;
using effnet::BlockKind;

namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    std::exit(1);
}

void expect(const effnet_result& result, const char* what) {
    if (result.status != effnet_ok) fail(std::string(what) + ": " + (result.message ? result.message : "no message"));
}

// Made-up numbers between -size / 2 and size / 2.
class Numbers {
public:
    std::vector<float> next(size_t count, float size) {
        std::vector<float> values(count);
        for (float& value : values) {
            state_ = state_ * 1664525 + 1013904223;
            value = (float(state_ >> 8) / float(1 << 24) - 0.5f) * size;
        }
        return values;
    }

private:
    uint32_t state_ = 1;
};

struct BlockOptions {
    BlockKind kind = BlockKind::mbconv;
    int kernel = 3, stride = 1, expand = 6;
    bool gates = true;
};

// Owns the weights of a network, and the layers that point to them.
class Layers {
public:
    Layers(int stem, Activation activation, bool same) : channels_(stem), same_(same) {
        spec_.stem = convolution(stem, 3, 3, 2);
        spec_.activation = activation;
        spec_.isa = effnet::Isa::baseline;
    }

    void block(int outputs, const BlockOptions& options) {
        const int inputs = channels_, expanded = inputs * options.expand;
        effnet_block made{};
        made.kind = options.kind;
        made.skip = options.stride == 1 && inputs == outputs;
        if (options.kind == BlockKind::mbconv) {
            made.has_expand = options.expand > 1;
            made.has_gates = options.gates;
            if (made.has_expand) made.expand = convolution(expanded, inputs, 1, 1);
            made.depthwise = convolution(expanded, 1, options.kernel, options.stride);
            if (options.gates) {
                const int squeezed = inputs / 4 > 0 ? inputs / 4 : 1;
                made.reduce = convolution(squeezed, expanded, 1, 1);
                made.excite = convolution(expanded, squeezed, 1, 1);
            }
            made.project = convolution(outputs, expanded, 1, 1);
        } else if (options.kind == BlockKind::fused) {
            made.has_expand = 1;
            made.expand = convolution(expanded, inputs, options.kernel, options.stride);
            made.project = convolution(outputs, expanded, 1, 1);
        } else {
            made.project = convolution(outputs, inputs, options.kernel, options.stride);
        }
        blocks_.push_back(made);
        channels_ = outputs;
    }

    const effnet_network_spec& finish(int features, int classes) {
        spec_.blocks = blocks_.data();
        spec_.block_count = int32_t(blocks_.size());
        spec_.head = convolution(features, channels_, 1, 1);
        spec_.has_classifier = 1;
        spec_.classifier = convolution(classes, features, 1, 1);
        classes_ = classes;
        return spec_;
    }

    int classes() const { return classes_; }
    int blocks() const { return int(blocks_.size()); }
    std::vector<float> images(size_t count) { return numbers_.next(count, 4); }

private:
    effnet_convolution convolution(int outputs, int inputs, int kernel, int stride) {
        const int fan_in = inputs * kernel * kernel;
        // Uniform numbers of variance 1.6 / fan-in, so that activations neither vanish nor explode through a network.
        const auto& weight = memory_.emplace_back(numbers_.next(size_t(outputs) * fan_in, 4.4f / std::sqrt(float(fan_in))));
        const auto& bias = memory_.emplace_back(numbers_.next(outputs, 0.5f));
        const int pad = kernel / 2;
        return {weight.data(), nullptr, bias.data(), inputs, outputs, kernel, stride, same_, {pad, pad, pad, pad}};
    }

    Numbers numbers_;
    int channels_, classes_ = 0;
    bool same_;
    std::deque<std::vector<float>> memory_;
    std::vector<effnet_block> blocks_;
    effnet_network_spec spec_{};
};

struct Case {
    std::string name;
    Layers layers;
    std::vector<int> sides;
};

Case one_block(const std::string& name, int outputs, const BlockOptions& options,
               Activation activation = Activation::silu, bool same = true) {
    Case made{name, Layers(24, activation, same), {32, 47, 224}};
    made.layers.block(outputs, options);
    return made;
}

// The stages of a B0.
Case b0(const std::string& name, Activation activation, bool gates, bool same) {
    struct Stage { int repeats, kernel, stride, expand, channels; };
    Case made{name, Layers(32, activation, same), {32, 97, 224}};
    for (const Stage& stage : {Stage{1, 3, 1, 1, 16}, {2, 3, 2, 6, 24}, {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80},
                               {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320}})
        for (int i = 0; i < stage.repeats; ++i)
            made.layers.block(stage.channels,
                              {BlockKind::mbconv, stage.kernel, i == 0 ? stage.stride : 1, stage.expand, gates});
    return made;
}

std::deque<Case> cases() {
    std::deque<Case> made;
    const auto fused = BlockKind::fused, convolution = BlockKind::convolution;
    const auto relu6 = Activation::relu6;
    made.push_back(one_block("depthwise-separable", 16, {BlockKind::mbconv, 3, 1, 1, true}));
    made.push_back(one_block("depthwise-separable, skip, ReLU6", 24, {BlockKind::mbconv, 3, 1, 1, false}, relu6));
    made.push_back(one_block("MBConv with SE, 3x3, skip", 24, {BlockKind::mbconv, 3, 1, 6, true}));
    made.push_back(one_block("MBConv with SE, 5x5, stride 2", 40, {BlockKind::mbconv, 5, 2, 6, true}));
    made.push_back(one_block("MBConv with SE, 5x5, symmetric", 40, {BlockKind::mbconv, 5, 2, 6, true},
                             Activation::silu, false));
    made.push_back(one_block("MBConv, ReLU6, stride 2", 40, {BlockKind::mbconv, 3, 2, 6, false}, relu6));
    made.push_back(one_block("Fused-MBConv, skip", 24, {fused, 3, 1, 4, false}));
    made.push_back(one_block("Fused-MBConv, stride 2", 48, {fused, 3, 2, 4, false}));
    made.push_back(one_block("convolution, skip", 24, {convolution, 3, 1, 1, false}));
    made.push_back(b0("B0", Activation::silu, true, true));
    made.push_back(b0("B0, symmetric padding", Activation::silu, true, false));
    made.push_back(b0("B0 without SE, ReLU6 (Lite0)", relu6, false, true));
    return made;
}

// The output of the last block and the logits.
std::vector<std::vector<float>> run(Case& test, const effnet_network_spec& spec, int side) {
    effnet::Network* network = nullptr;
    expect(effnet_network_new(&spec, &network), "a network");
    effnet::Context* context = nullptr;
    expect(effnet_context_new(1, &context), "a context");
    int32_t shape[3];
    const int step = test.layers.blocks();
    expect(effnet_network_feature_shape(network, step, side, side, shape), "a shape");
    std::vector<float> features(size_t(shape[0]) * shape[1] * shape[2]), logits(test.layers.classes());
    const std::vector<float> image = test.layers.images(size_t(3) * side * side);
    expect(effnet_network_run(network, context, image.data(), 1, side, side, logits.data(), nullptr, features.data(),
                              step, nullptr),
           "a run");
    effnet_context_free(context);
    effnet_network_free(network);
    return {features, logits};
}

float largest(const std::vector<float>& values) {
    float most = 0;
    for (float value : values) {
        if (!std::isfinite(value)) fail("an output is not finite");
        most = std::max(most, std::fabs(value));
    }
    return most;
}

// The largest difference to the numbers in the file, relative to the largest of these.
double difference(std::FILE* file, const std::vector<float>& found, const std::string& name) {
    std::vector<float> expected(found.size());
    if (std::fread(expected.data(), sizeof(float), expected.size(), file) != expected.size())
        fail(name + ": the file ends early");
    double most = 0;
    for (size_t i = 0; i < found.size(); ++i) most = std::max(most, std::fabs(double(found[i]) - expected[i]));
    return most / largest(expected);
}

} // namespace

int main(int count, char** arguments) {
    constexpr double BOUND = 1e-5;
    const bool writes = count == 3 && std::strcmp(arguments[1], "write") == 0;
    if (!writes && !(count == 3 && std::strcmp(arguments[1], "compare") == 0)) {
        std::fputs("usage: portable write|compare FILE\n", stderr);
        return 2;
    }
    std::FILE* file = std::fopen(arguments[2], writes ? "wb" : "rb");
    if (!file) fail(std::string(arguments[2]) + ": cannot be opened");
    int failed = 0;
    for (Case& test : cases()) {
        const effnet_network_spec& spec = test.layers.finish(test.layers.blocks() > 1 ? 1280 : 70, 1000);
        for (int side : test.sides) {
            const auto outputs = run(test, spec, side);
            double worst = 0;
            for (const auto& output : outputs) {
                // Differences would mean nothing in an output that vanishes or explodes.
                const float size = largest(output);
                if (size < 1e-2f || size > 1e4f) fail(test.name + ": the outputs are of size " + std::to_string(size));
                if (writes) {
                    if (std::fwrite(output.data(), sizeof(float), output.size(), file) != output.size())
                        fail(std::string(arguments[2]) + ": cannot be written");
                } else {
                    worst = std::max(worst, difference(file, output, test.name));
                }
            }
            if (writes) continue;
            failed += !(worst <= BOUND);
            std::printf("%-6s %.1e  %s, %d x %d\n", worst <= BOUND ? "ok" : "FAILED", worst, test.name.c_str(), side, side);
        }
    }
    if (!writes && std::fgetc(file) != EOF) fail("the file has more numbers");
    if (std::fclose(file) != 0) fail(std::string(arguments[2]) + ": cannot be written");
    return failed ? 1 : 0;
}
