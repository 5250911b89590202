// Keeps exceptions on this side of the C border.
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

// The one message that takes no memory.
inline char out_of_memory[] = "std::bad_alloc";

// A message that the receiver frees.
inline char* new_message(const char* text) noexcept {
    char* message = strdup(text);
    return message ? message : out_of_memory;
}

// Takes back a message of the same library.
inline void free_message(char* message) {
    if (message != out_of_memory) std::free(message);
}

// Runs `body`; returns null, or a message that the caller frees with `effnet_free_message`.
template <class Body>
char* guarded(Body&& body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const std::bad_alloc&) {
        return out_of_memory;
    } catch (const std::exception& error) {
        return new_message(error.what());
    } catch (...) {
        return new_message("an exception of an unknown kind");
    }
}
