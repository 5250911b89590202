// Keeps exceptions on this side of the C border.
#pragma once

#include <cstring>
#include <exception>
#include <new>

// The one message that takes no memory; `effnet_free_message` leaves it alone.
inline char out_of_memory[] = "std::bad_alloc";

// Runs `body`; returns null, or a message that the caller frees with `effnet_free_message`.
template <class Body>
char* guarded(Body&& body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const std::bad_alloc&) {
        return out_of_memory;
    } catch (const std::exception& error) {
        char* message = strdup(error.what());
        return message ? message : out_of_memory;
    } catch (...) {
        char* message = strdup("an exception of an unknown kind");
        return message ? message : out_of_memory;
    }
}
