// `guarded` of boundary.h for calls of libtorch, whose exceptions differ from the standard library's.
#pragma once

#include <new>
#include <stdexcept>

#include <c10/util/Exception.h>

#include "boundary.h"

// As `guarded`: out of memory on a device is the status for out of memory too, and messages have no backtrace.
//
// libtorch's CPU allocator throws a c10::Error like any other, which only its words tell apart; src/error.rs looks for
// them, as it has to in the errors of tch.
template <class Body>
effnet_result torch_guarded(Body&& body) noexcept {
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
