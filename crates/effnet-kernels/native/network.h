// The packed network, and the memory and threads of a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"
#include "network_api.h"
#include "team.h"

namespace effnet {

// Memory that starts at a huge page if it is large enough.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t bytes);
    template <class T = char> T* as() const noexcept { return reinterpret_cast<T*>(memory_.get()); }
    size_t bytes() const noexcept { return bytes_; }
    // Discards the contents if it grows.
    void grow(size_t bytes) { if (bytes > bytes_) *this = Buffer(bytes); }

private:
    struct Free { void operator()(char* memory) const noexcept; };
    std::unique_ptr<char, Free> memory_;
    size_t bytes_ = 0;
};

// Returns whether this CPU supports the instruction set.
bool supports(Isa isa) noexcept;

inline int blocks_of(int channels) noexcept { return (channels + BLOCK - 1) / BLOCK; }

struct Shape {
    int height, width;
    int pixels() const noexcept { return height * width; }
};

// The window of a convolution, which determines the size of its output.
struct Window {
    int kernel, stride, same, pad[4];
    // Throws if the image is smaller than the kernel.
    Shape output(Shape in) const;
    int top(Shape in) const noexcept { return same ? before(in.height) : pad[0]; }
    int left(Shape in) const noexcept { return same ? before(in.width) : pad[2]; }

private:
    int before(int size) const noexcept;
};

// A dense convolution or the classifier, in panels of columns. Its matrix has one row per tap and input channel.
struct Dense {
    int inputs = 0, outputs = 0; // rows and columns of the matrix
    int tap_stride = 0;          // rows per tap: the input channels, and for large kernels possibly padding
    bool narrow = false;       // bfloat16, like the activations that it is multiplied by
    Buffer weight;
    std::vector<float> bias;
    size_t panel_elements = 0; // between two panels
    int panels = 0;
    int element() const noexcept { return narrow ? 2 : 4; } // bytes
};

struct Block {
    BlockKind kind;
    bool has_expand, has_gates, skip;
    Dense expand, project;
    Window window; // of the convolution that is not pointwise
    int inputs;
    int channels; // after the expansion
    int squeezed; // channels between the two layers of squeeze-and-excitation, or 0
    std::vector<float> depthwise, depthwise_bias;      // [C / 16][k * k][16]
    std::vector<float> reduce, reduce_bias, excite, excite_bias;
};

struct StemLayer {
    Window window;
    int inputs, outputs;
    std::vector<float> weight, bias; // [panels][inputs * k * k][columns]
};

// Rows of the stem's output per task.
constexpr int STEM_STRIP = 8;

// The sizes in bytes of one thread's buffers that grow with the image.
struct ScratchBytes {
    size_t activation = 0, expanded = 0, filtered = 0, scaled = 0;
    size_t total() const noexcept { return 2 * activation + expanded + filtered + scaled; }
};

// One thread's memory.
struct Scratch {
    Buffer input, output;  // activations between the steps of a segment
    Buffer expanded;       // a strip of one panel or of the stem's padded input, or patches
    Buffer filtered;       // the output of the depthwise convolution or of a dense expansion
    Buffer scaled;         // rows of `filtered` times the gates, or rounded
    std::vector<float> sums, mean, hidden, gate;
};

// The memory and the threads for one call at a time. The memory grows to the size that the largest call needs, and
// is kept for the next call.
class Context {
public:
    explicit Context(int threads) : scratch_(threads < 1 ? 1 : threads), team_(int(scratch_.size())) {}
    int threads() const noexcept { return team_.size(); }
    // Returns the bytes held between calls, except for the few kilobytes of squeeze-and-excitation.
    size_t bytes() const noexcept;

private:
    friend class Network;
    std::vector<Scratch> scratch_;
    Buffer between_[2];         // activations between segments, of all images
    size_t between_bytes_ = 0;  // of one image
    Buffer pooled_, pooled_bf16_;
    Team team_;
};

// The packed weights. A network is immutable: any number of threads may run it at the same time, each with its own
// context.
class Network {
public:
    explicit Network(const effnet_network_spec& spec);
    // `images` [count][inputs][height][width]. The outputs that are not null are computed: `logits` [count][classes],
    // `pooled` [count][features], and `features` [count][channels][h][w], the output of `step`: 0 is the stem, 1 to n
    // the blocks, n + 1 the head. If `seconds` is not null, the time of each of the `laps()` parts is added to its values. Each time is the mean over the threads. Time spent waiting for
    // another thread counts towards the part that follows.
    void run(Context& context, const float* images, int count, Shape size, float* logits, float* pooled,
             float* features, int step, double* seconds) const;
    // The number of timed parts: the stem; three per block (expansion and depthwise convolution, gates,
    // projection); the head; the classifier.
    int laps() const noexcept { return 3 + 3 * int(blocks_.size()); }
    // The shape of the output of a step. Throws if there is no such step.
    Shape feature_shape(int step, Shape size) const;
    int channels(int step) const;
    // Writes the weights of one of the classifier's outputs, which are rounded if the network is in bfloat16.
    void classifier_row(int output, float* row) const;
    // Computes the bytes of a context's activations per thread and per image of the batch.
    void memory(Shape size, size_t& thread, size_t& image) const;
    // Returns the bytes of the packed weights.
    size_t bytes() const noexcept;
    const char* isa() const noexcept { return kernels_.name; }

private:
    struct Pass;
    friend struct Pass;
    // Grows the context's memory, and returns `outputs(size)`.
    std::vector<Shape> prepare(Context& context, int count, Shape size) const;
    std::vector<Shape> outputs(Shape size) const; // of the stem and of each block
    ScratchBytes scratch_bytes(const std::vector<Shape>& shapes) const;
    void reserve(Scratch& s, const std::vector<Shape>& shapes) const;
    size_t between_bytes(const std::vector<Shape>& shapes) const;
    // Returns whether the output of this step is in bfloat16.
    bool narrow(int step) const noexcept { return step >= first_narrow_; }
    int element(int step) const noexcept { return narrow(step) ? 2 : 4; }
    size_t pooled_elements() const noexcept { return size_t(blocks_of(head_.outputs)) * BLOCK; }
    int strips(Shape in, Shape out) const noexcept;
    int row_block(int rows, const Dense& project) const noexcept;
    int patch_rows(const Block& block) const noexcept;

    const Kernels& kernels_;
    // With bf16, activations are in bfloat16 from the output of this step on, which is the first block that
    // downsamples. Everything else is computed from the few channels before it: in measurements, rounding those
    // caused half to two thirds of the error of the logits.
    int first_narrow_;
    bool bf16_;
    Activation activation_;
    size_t cache_; // size of the second-level cache in bytes
    StemLayer stem_;
    std::vector<Block> blocks_;
    Dense head_, classifier_;
    bool has_classifier_;
    std::vector<int> segments_; // first step of each segment, then the number of steps
};

} // namespace effnet
