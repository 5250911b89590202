// The libraries of the process: libtorch_cuda and what is built on it, opened at run time.

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <dlfcn.h>

#include <ATen/Context.h>

#include "api.h"

extern "C" {

effnet_result effnet_load_cuda(const char* folder, int32_t* loaded) noexcept {
    return guarded([&] {
        *loaded = 0;
        if (!dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) return;
        std::string path;
        if (folder) {
            path = folder;
        } else {
            // Resolve symbolic links: the library's search path is relative to its real folder.
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

effnet_result effnet_open_library(const char* path, const char* function, const void** table) noexcept {
    return guarded([&] {
        void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) throw std::runtime_error(dlerror());
        const auto get = reinterpret_cast<const void* (*)() noexcept>(dlsym(library, function));
        if (!get) throw std::runtime_error(dlerror());
        *table = get();
    });
}

} // extern "C"
