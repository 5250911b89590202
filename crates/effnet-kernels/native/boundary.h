// The C boundary: how a function that Rust calls reports a failure, and how the layouts of shared structures are
// checked.
//
// An exception that unwinds into Rust is undefined behaviour, so every function that can fail runs in `guarded`
// and returns an `effnet_result`, and all other functions are noexcept. src/boundary.rs is the Rust half. Each
// crate with C++ code lists its own functions and structures in one header, and mirrors them in its src/raw.rs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <type_traits>

// Asserts the layout of a structure that Rust mirrors. `assert_layout!` in Rust has the same numbers, so a change
// to one side fails an assertion that names the other. All targets have 64-bit pointers.
#define ASSERT_LAYOUT(type, size, alignment)                                                \
    static_assert(std::is_standard_layout_v<type> && std::is_trivially_copyable_v<type>);   \
    static_assert(sizeof(type) == (size) && alignof(type) == (alignment), #type " in raw.rs")
#define ASSERT_OFFSET(type, field, offset) \
    static_assert(offsetof(type, field) == (offset), #type "::" #field " in raw.rs")

extern "C" {

// Running out of memory has its own number: callers react to it with a smaller batch, and should not have to parse
// a message to recognise it.
enum effnet_status : int32_t {
    effnet_ok = 0,
    effnet_failed = 1,
    effnet_out_of_memory = 2,
};

struct effnet_result {
    effnet_status status;
    char* message; // why it failed; freed by its library's `free_message`; null for other statuses
};

} // extern "C"

ASSERT_LAYOUT(effnet_result, 16, 8);
ASSERT_OFFSET(effnet_result, status, 0);
ASSERT_OFFSET(effnet_result, message, 8);

// Returns a failure with a copy of `text`.
inline effnet_result failure(const char* text) noexcept {
    char* message = strdup(text);
    return {message ? effnet_failed : effnet_out_of_memory, message};
}

inline void free_message(char* message) noexcept { std::free(message); }

// Runs `body`, and turns an exception into a status.
template <class Body>
effnet_result guarded(Body&& body) noexcept {
    try {
        body();
        return {effnet_ok, nullptr};
    } catch (const std::bad_alloc&) {
        return {effnet_out_of_memory, nullptr};
    } catch (const std::exception& error) {
        return failure(error.what());
    } catch (...) {
        return failure("a C++ exception of an unknown type");
    }
}
