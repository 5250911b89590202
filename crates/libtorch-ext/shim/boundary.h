// Keeps exceptions on this side of the C border.
#pragma once

#include <cstring>
#include <exception>

// Runs `body`; returns null, or a message that the caller frees with `effnet_free_message`.
template <class Body>
char* guarded(Body&& body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const std::exception& error) {
        return strdup(error.what());
    } catch (...) {
        return strdup("an exception of an unknown kind");
    }
}
