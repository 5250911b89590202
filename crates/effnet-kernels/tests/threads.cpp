// Runs the thread team, and networks on it, under ThreadSanitizer: `scripts/sanitize --thread` builds and runs it.
//
// This test is in C++ because ThreadSanitizer has to see every synchronisation. It sees none in Rust's standard
// library, which is not instrumented, so it reports races in every Rust test that hands memory from one thread to
// another.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>
#include <vector>

#include "network_api.h"
#include "team.h"

static void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::exit(1);
}

// Every task runs once, and every member can read in the next phase what a task has written.
static void each_phase_sees_the_one_before(int threads, int count) {
    constexpr int PHASES = 50;
    effnet::Team team(threads);
    for (int call = 0; call < 20; ++call) {
        std::vector<int> values(count, 0), next(count, 0);
        team.run([&](const effnet::Member& self) noexcept {
            for (int phase = 0; phase < PHASES; ++phase) {
                self.each(count, [&](int i) noexcept { next[i] = values[(i + 1) % count] + 1; });
                self.each(count, [&](int i) noexcept { values[i] = next[i]; });
            }
        });
        for (int value : values) expect(value == PHASES, "each task runs once per phase");
    }
}

// Owns made-up weights, and the layers that point to them.
class Layers {
public:
    Layers() {
        blocks_ = {block(24, 24, 16, 3, 1), block(16, 96, 16, 3, 1), block(16, 100, 40, 5, 2)};
        blocks_[0].has_expand = 0;
        blocks_[1].skip = 1;
        blocks_[2].has_gates = 0;
        spec_.activation = effnet::Activation::silu;
        spec_.stem = convolution(24, 3, 3, 2);
        spec_.blocks = blocks_.data();
        spec_.block_count = int32_t(blocks_.size());
        spec_.head = convolution(70, 40, 1, 1);
        spec_.has_classifier = 1;
        spec_.classifier = convolution(11, 70, 1, 1);
    }
    const effnet_network_spec& spec() const { return spec_; }

    std::vector<float> numbers(size_t count, float size) {
        std::vector<float> values(count);
        for (float& value : values) {
            state_ = state_ * 1664525 + 1013904223;
            value = (float(state_ >> 8) / float(1 << 24) - 0.5f) * size;
        }
        return values;
    }

private:
    effnet_convolution convolution(int outputs, int inputs, int kernel, int stride) {
        const auto& weight = memory_.emplace_back(numbers(size_t(outputs) * inputs * kernel * kernel, 0.5f));
        const auto& bias = memory_.emplace_back(numbers(outputs, 0.1f));
        return {weight.data(), nullptr, bias.data(), inputs, outputs, kernel, stride, 1, {}};
    }

    effnet_block block(int inputs, int expanded, int outputs, int kernel, int stride) {
        effnet_block made{};
        made.has_expand = made.has_gates = 1;
        made.kind = effnet::BlockKind::mbconv;
        made.expand = convolution(expanded, inputs, 1, 1);
        made.depthwise = convolution(expanded, 1, kernel, stride);
        made.reduce = convolution(6, expanded, 1, 1);
        made.excite = convolution(expanded, 6, 1, 1);
        made.project = convolution(outputs, expanded, 1, 1);
        return made;
    }

    uint32_t state_ = 1;
    std::deque<std::vector<float>> memory_;
    std::vector<effnet_block> blocks_;
    effnet_network_spec spec_{};
};

static std::vector<float> logits(const effnet::Network* network, int threads, const std::vector<float>& images,
                                 int count, int side) {
    effnet::Context* context = nullptr;
    expect(effnet_context_new(threads, &context).status == effnet_ok, "a context is made");
    std::vector<float> result(size_t(count) * 11);
    for (int i = 0; i < 3; ++i) {
        const effnet_result status = effnet_network_run(network, context, images.data(), count, side, side,
                                                        result.data(), nullptr, nullptr, 0, nullptr);
        expect(status.status == effnet_ok, "a network runs");
    }
    effnet_context_free(context);
    return result;
}

// Contexts with and without threads share a network. Both whole images per thread and shared images are covered.
static void contexts_share_a_network(effnet::Isa isa, bool bf16) {
    constexpr int COUNT = 5, SIDE = 48;
    Layers layers;
    effnet_network_spec spec = layers.spec();
    spec.isa = isa;
    spec.bf16 = bf16;
    effnet::Network* network = nullptr;
    const effnet_result made = effnet_network_new(&spec, &network);
    if (made.status != effnet_ok) {
        std::printf("skipped: instruction set %d: %s\n", int(isa), made.message);
        return effnet_free_message(made.message);
    }
    const std::vector<float> images = layers.numbers(size_t(COUNT) * 3 * SIDE * SIDE, 2);
    const std::vector<float> expected = logits(network, 1, images, COUNT, SIDE);
    std::vector<std::thread> callers;
    for (int threads = 1; threads <= 4; ++threads)
        callers.emplace_back([&, threads] {
            expect(logits(network, threads, images, COUNT, SIDE) == expected, "threads do not change a bit");
        });
    for (auto& caller : callers) caller.join();
    effnet_network_free(network);
}

int main() {
    for (int threads = 1; threads <= 4; ++threads)
        for (int count : {1, 3, 37}) each_phase_sees_the_one_before(threads, count);
    for (const auto isa : {effnet::Isa::baseline, effnet::Isa::avx2, effnet::Isa::avx512, effnet::Isa::avx512bf16})
        for (const bool bf16 : {false, true}) contexts_share_a_network(isa, bf16);
    std::puts("ok: thread teams of 1 to 4, and contexts that share a network");
}
