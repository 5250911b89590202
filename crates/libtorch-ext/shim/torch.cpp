// The process, and what libtorch exports beyond tch.

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <dlfcn.h>

#include <ATen/Context.h>

#include "boundary.h"

extern "C" {

char* effnet_load_cuda(const char* folder, int32_t* loaded) {
    return guarded([&] {
        *loaded = 0;
        if (!dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) return;
        std::string path;
        if (folder) {
            path = folder;
        } else {
            // The real folder: the library's own search path is relative to where it lies.
            Dl_info info;
            if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &info) || !info.dli_fname)
                throw std::runtime_error("the folder of libtorch_cpu.so is unknown");
            char* real = realpath(info.dli_fname, nullptr);
            path = real ? real : info.dli_fname;
            std::free(real);
            path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
        }
        path += "/libtorch_cuda.so";
        if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
        *loaded = 1;
    });
}

// A message for C++ that calls back; null stands for memory that is short.
char* effnet_new_message(const char* text) {
    return text ? new_message(text) : out_of_memory;
}

// What `function` of the library at `path` returns: a table of functions that are built on libtorch_cuda,
// which `effnet_load_cuda` has to have opened. The library is never closed.
char* effnet_open_library(const char* path, const char* function, const void** table) {
    return guarded([&] {
        void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) throw std::runtime_error(dlerror());
        const auto get = reinterpret_cast<const void* (*)()>(dlsym(library, function));
        if (!get) throw std::runtime_error(dlerror());
        *table = get();
    });
}

} // extern "C"
