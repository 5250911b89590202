// Arithmetic without subnormal numbers.
//
// Processors take over a hundred cycles for a product with a subnormal operand or result. Trained weights often have
// such values, and the tails of sigmoids as well; all of them are far below what a logit can show.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace effnet {

// While it lives, its thread takes subnormal operands for zero and rounds subnormal results to zero.
class WithoutSubnormals {
public:
    WithoutSubnormals() noexcept : before_(read()) { write(before_ | FLAGS); }
    ~WithoutSubnormals() { write(before_); }
    WithoutSubnormals(const WithoutSubnormals&) = delete;
    WithoutSubnormals& operator=(const WithoutSubnormals&) = delete;

private:
#if defined(__x86_64__)
    using Control = uint32_t;
    static constexpr Control FLAGS = 1u << 15 | 1u << 6; // flush to zero; denormals are zeros
    static Control read() noexcept { return _mm_getcsr(); }
    static void write(Control control) noexcept { _mm_setcsr(control); }
#elif defined(__aarch64__)
    using Control = uint64_t;
    static constexpr Control FLAGS = uint64_t(1) << 24; // FZ: operands and results
    static Control read() noexcept {
        Control control;
        __asm__ volatile("mrs %0, fpcr" : "=r"(control));
        return control;
    }
    static void write(Control control) noexcept { __asm__ volatile("msr fpcr, %0" : : "r"(control)); }
#else
    using Control = uint32_t;
    static constexpr Control FLAGS = 0;
    static Control read() noexcept { return 0; }
    static void write(Control) noexcept {}
#endif

    Control before_;
};

} // namespace effnet
