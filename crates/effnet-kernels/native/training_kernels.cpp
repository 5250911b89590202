// The training kernels for one instruction set. build.rs compiles this file once per set, like kernels.cpp.

#include "depthwise_training.h"

namespace KERNEL_ISA {

using effnet::Activation;
using effnet::Norm;
using effnet::Upstream;

// Calls `body(lanes, c)` for each block of up to sixteen channels, where `c` is the block's first channel.
template <class Body>
INLINE void each_block(int channels, Body body) {
    int c = 0;
    for (; c + 16 <= channels; c += 16) body(Full{}, c);
    if (c < channels) body(Part{channels - c}, c);
}

// Calls `body(row)` for all rows, and `flush()` after every sixteen rows. A sum of such partial sums loses two
// digits fewer to rounding than a running sum.
template <class Body, class Flush>
INLINE void each_row(int64_t rows, Body body, Flush flush) {
    constexpr int64_t part = 16;
    int64_t r = 0;
    while (r < rows) {
        for (const int64_t end = r + part < rows ? r + part : rows; r < end; ++r) body(r);
        flush();
    }
}

// A sum of partial sums: each row is added to `part`, which `flush` adds to `whole`.
struct Sum {
    Vec whole = splat(0.0f), part = splat(0.0f);

    INLINE void flush() {
        whole = add(whole, part);
        part = splat(0.0f);
    }
};

template <class T>
void moments(const void* x, int64_t rows, int channels, const float* shift, float* sum,
             float* square) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        const T* from = static_cast<const T*>(x) + c;
        const Vec minus = multiply(splat(-1.0f), lanes.load(shift + c));
        Sum sums, squares;
        each_row(
            rows,
            [&](int64_t r) {
                const Vec v = add(lanes.load(from + r * channels), minus);
                sums.part = add(sums.part, v);
                multiply_add(squares.part, v, v);
            },
            [&] { sums.flush(), squares.flush(); });
        lanes.store(sum + c, sums.whole);
        lanes.store(square + c, squares.whole);
    });
}

template <class T, Activation ACTIVATION>
void apply_as(const void* x, int64_t rows, int channels, const Norm& norm, float* sum, void* out) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        const T* from = static_cast<const T*>(x) + c;
        T* to = static_cast<T*>(out) + c;
        const Vec scale = lanes.load(norm.scale + c), offset = lanes.load(norm.offset + c);
        Sum sums;
        each_row(
            rows,
            [&](int64_t r) {
                Vec v = offset;
                multiply_add(v, lanes.load(from + r * channels), scale);
                v = activate<ACTIVATION>(v);
                sums.part = add(sums.part, v);
                lanes.store(to + r * channels, v);
            },
            [&] { sums.flush(); });
        if (sum) lanes.store(sum + c, sums.whole);
    });
}

template <class T>
void apply(const void* x, int64_t rows, int channels, const Norm& norm, float* sum, void* out) noexcept {
    const auto as = norm.activation == Activation::silu ? apply_as<T, Activation::silu>
        : norm.activation == Activation::relu6 ? apply_as<T, Activation::relu6> : apply_as<T, Activation::none>;
    as(x, rows, channels, norm, sum, out);
}

template <class T>
void scale(void* x, int64_t rows, int channels, const float* gate) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        T* at = static_cast<T*>(x) + c;
        const Vec factor = lanes.load(gate + c);
        for (int64_t r = 0; r < rows; ++r)
            lanes.store(at + r * channels, multiply(lanes.load(at + r * channels), factor));
    });
}

template <class T>
void products(const void* a, const void* b, int64_t rows, int channels, float* sum) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        const T *left = static_cast<const T*>(a) + c, *right = static_cast<const T*>(b) + c;
        Sum sums;
        each_row(
            rows,
            [&](int64_t r) {
                multiply_add(sums.part, lanes.load(left + r * channels), lanes.load(right + r * channels));
            },
            [&] { sums.flush(); });
        lanes.store(sum + c, sums.whole);
    });
}

// Computes the gradient before the activation.
template <Activation ACTIVATION, bool GATED>
INLINE Vec before_activation(Vec gradient, const Vec& z, const Vec& gate, const Vec& shift) {
    if (GATED) {
        Vec shifted = shift;
        multiply_add(shifted, gradient, gate);
        gradient = shifted;
    }
    if (ACTIVATION == Activation::none) return gradient;
    if (ACTIVATION == Activation::relu6) return before_relu6(gradient, z);
    // silu'(z) = s + z s (1 - s)
    const Vec s = sigmoid(z);
    Vec slope = s;
    multiply_add(slope, multiply(z, s), add(splat(1.0f), multiply(splat(-1.0f), s)));
    return multiply(gradient, slope);
}

template <class T, Activation ACTIVATION, bool GATED>
void before_norm_as(const void* x, const Upstream& up, int64_t rows, int channels, const Norm& norm,
                    const float* mean, float* sum, float* product, void* out) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        const T* from = static_cast<const T*>(x) + c;
        const T* upstream = static_cast<const T*>(up.gradient) + c;
        T* to = static_cast<T*>(out) + c;
        const Vec scale = lanes.load(norm.scale + c), offset = lanes.load(norm.offset + c);
        const Vec gate = GATED ? lanes.load(up.gate + c) : scale;
        const Vec shift = GATED ? lanes.load(up.shift + c) : scale;
        const Vec minus = multiply(splat(-1.0f), lanes.load(mean + c));
        Sum sums, products;
        each_row(
            rows,
            [&](int64_t r) {
                const Vec v = lanes.load(from + r * channels);
                Vec z = offset;
                multiply_add(z, v, scale);
                const Vec dz = before_activation<ACTIVATION, GATED>(lanes.load(upstream + r * channels), z, gate, shift);
                sums.part = add(sums.part, dz);
                multiply_add(products.part, dz, add(v, minus));
                if (ACTIVATION != Activation::none || GATED) lanes.store(to + r * channels, dz);
            },
            [&] { sums.flush(), products.flush(); });
        lanes.store(sum + c, sums.whole);
        lanes.store(product + c, products.whole);
    });
}

template <class T>
void before_norm(const void* x, const Upstream& up, int64_t rows, int channels, const Norm& norm,
                 const float* mean, float* sum, float* product, void* dz) noexcept {
    const auto as = up.gate ? before_norm_as<T, Activation::silu, true>
        : norm.activation == Activation::silu ? before_norm_as<T, Activation::silu, false>
        : norm.activation == Activation::relu6 ? before_norm_as<T, Activation::relu6, false>
                                               : before_norm_as<T, Activation::none, false>;
    as(x, up, rows, channels, norm, mean, sum, product, dz);
}

template <class T>
void norm_gradient(const void* x, const void* dz, int64_t rows, int channels, const float* scale,
                   const float* mean, const float* slope, const float* level, void* out) noexcept {
    each_block(channels, [&](auto lanes, int c) {
        const T *from = static_cast<const T*>(x) + c, *upstream = static_cast<const T*>(dz) + c;
        T* to = static_cast<T*>(out) + c;
        const Vec factor = lanes.load(scale + c), along = lanes.load(slope + c), constant = lanes.load(level + c);
        const Vec minus = multiply(splat(-1.0f), lanes.load(mean + c));
        for (int64_t r = 0; r < rows; ++r) {
            Vec result = constant;
            multiply_add(result, add(lanes.load(from + r * channels), minus), along);
            multiply_add(result, lanes.load(upstream + r * channels), factor);
            lanes.store(to + r * channels, result);
        }
    });
}

#define FUNCTIONS(T) { \
    moments<T>, apply<T>, scale<T>, products<T>, before_norm<T>, norm_gradient<T>, \
    depthwise<T>, depthwise_input<T>, depthwise_weight<T>, \
}
const effnet::TrainingKernels table = {FUNCTIONS(float), FUNCTIONS(bf16)};

} // namespace KERNEL_ISA

#define GETTER_OF(isa) training_##isa
#define GETTER(isa) GETTER_OF(isa)
const effnet::TrainingKernels& effnet::GETTER(KERNEL_ISA)() noexcept { return KERNEL_ISA::table; }
