// Keeps libtorch's exceptions on this side of the C border, in a caller's words.
#pragma once

#include <new>
#include <stdexcept>

#include <c10/util/Exception.h>

#include "boundary.h"

// As `guarded`: memory that a device lacks is memory that is short, and a message has no backtrace.
template <class Body>
char* torch_guarded(Body&& body) noexcept {
    return guarded([&] {
        try {
            body();
        } catch (const c10::OutOfMemoryError&) {
            throw std::bad_alloc();
        } catch (const c10::Error& error) {
            throw std::runtime_error(error.what_without_backtrace());
        }
    });
}
