// The inference kernels for one instruction set. build.rs compiles this file once per set, with the flags that
// enable the set and its name in KERNEL_ISA; network.cpp selects one that the CPU supports.

#include "direct.h"
#include "patches.h"
#include "product.h"

namespace KERNEL_ISA {

template <class Out>
void scale(const float* in, size_t in_plane, const float* gate, int blocks, int rows, void* out) noexcept {
    for (int b = 0; b < blocks; ++b) {
        const float* from = in + b * in_plane;
        Out* to = static_cast<Out*>(out) + size_t(b) * rows * 16;
        const Vec factor = load(gate + 16 * b);
        for (int r = 0; r < rows; ++r) store(to + 16 * r, multiply(load(from + 16 * r), factor));
    }
}

float total(const Vec& v) noexcept {
    float element[16], sum = 0;
    store(element, v);
    for (float e : element) sum += e;
    return sum;
}

void gate(const float* mean, int channels, int squeezed, const float* reduce, const float* reduce_bias,
          const float* expand, const float* expand_bias, float* hidden, float* gate) noexcept {
    for (int s = 0; s < squeezed; ++s) {
        Vec sum = splat(0.0f), other = splat(0.0f);
        const float* weight = reduce + size_t(s) * channels;
        int c = 0;
        for (; c + 32 <= channels; c += 32) {
            multiply_add(sum, load(weight + c), load(mean + c));
            multiply_add(other, load(weight + c + 16), load(mean + c + 16));
        }
        if (c < channels) multiply_add(sum, load(weight + c), load(mean + c));
        float activated[16];
        store(activated, silu(splat(total(add(sum, other)) + reduce_bias[s])));
        hidden[s] = activated[0];
    }
    for (int c = 0; c < channels; c += 16, expand += size_t(squeezed) * 16) {
        Vec even = load(expand_bias + c), odd = splat(0.0f);
        int s = 0;
        for (; s + 2 <= squeezed; s += 2) {
            multiply_add(even, splat(hidden[s]), load(expand + 16 * s));
            multiply_add(odd, splat(hidden[s + 1]), load(expand + 16 * s + 16));
        }
        if (s < squeezed) multiply_add(even, splat(hidden[s]), load(expand + 16 * s));
        store(gate + c, sigmoid(add(even, odd)));
    }
}

void sums(const float* in, size_t in_plane, int blocks, int rows, float* sum) noexcept {
    for (int b = 0; b < blocks; ++b) {
        Vec v = splat(0.0f);
        for (int r = 0; r < rows; ++r) v = add(v, load(in + b * in_plane + 16 * r));
        store(sum + 16 * b, v);
    }
}

#define NAME_OF(isa) #isa
#define NAME(isa) NAME_OF(isa)
const effnet::Kernels table = {
    NAME(KERNEL_ISA), PANEL_BLOCKS,
    product<float, float>, product<bf16, bf16>, product<bf16, float>,
    depthwise<float, float>, depthwise<bf16, float>, depthwise<float, bf16>, depthwise<bf16, bf16>,
    stem, patches<float>, patches<bf16>,
    scale<float>, scale<bf16>, gate, sums,
};

} // namespace KERNEL_ISA

#define GETTER_OF(isa) kernels_##isa
#define GETTER(isa) GETTER_OF(isa)
const effnet::Kernels& effnet::GETTER(KERNEL_ISA)() noexcept { return KERNEL_ISA::table; }
