// A version of boundary.h's `guarded` for calls to libtorch, whose exceptions differ from the standard library's.
#pragma once

#include <new>
#include <stdexcept>

#include <c10/util/Exception.h>

#include "boundary.h"

// Like `guarded`, but running out of memory on a device also gives the status for out of memory, and messages do
// not contain a backtrace.
//
// libtorch's CPU allocator throws an ordinary c10::Error, which can only be recognised by its message;
// src/error.rs does so, as it must for tch's errors.
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
