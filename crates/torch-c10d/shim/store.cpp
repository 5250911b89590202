// The store through which the processes of a group rendezvous: c10d's TCPStore.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "api.h"
#include "distributed.h"
#include "torch_boundary.h"

using std::chrono::milliseconds;

extern "C" {

effnet_result effnet_store_connect(const char* host, uint16_t port, int32_t serves, int32_t clients, int64_t timeout,
                                   effnet_store** out) noexcept {
    return torch_guarded([&] {
        // Without this call TORCH_CPP_LOG_LEVEL has no effect, and each retry is logged with a backtrace.
        c10::initLogging();
        c10d::TCPStoreOptions options;
        options.port = port;
        options.isServer = serves != 0;
        options.waitWorkers = clients > 0;
        if (clients > 0) options.numWorkers = clients;
        options.multiTenant = true;
        options.timeout = milliseconds(timeout);
        *out = new effnet_store{c10::make_intrusive<c10d::TCPStore>(host, options)};
    });
}

effnet_result effnet_store_prefixed(const effnet_store* store, const char* prefix, effnet_store** out) noexcept {
    return torch_guarded([&] {
        *out = new effnet_store{c10::make_intrusive<c10d::PrefixStore>(prefix, store->store)};
    });
}

effnet_result effnet_store_clone(const effnet_store* store, effnet_store** out) noexcept {
    return torch_guarded([&] { *out = new effnet_store{store->store->clone()}; });
}

void effnet_store_free(effnet_store* store) noexcept { delete store; }

effnet_result effnet_store_set(const effnet_store* store, const char* key, const uint8_t* bytes,
                               size_t count) noexcept {
    return torch_guarded([&] { store->store->set(key, std::vector<uint8_t>(bytes, bytes + count)); });
}

effnet_result effnet_store_get(const effnet_store* store, const char* key, int64_t timeout, effnet_take_bytes take,
                               void* context) noexcept {
    return torch_guarded([&] {
        store->store->wait({key}, milliseconds(timeout));
        const std::vector<uint8_t> value = store->store->get(key);
        take(context, value.data(), value.size());
    });
}

effnet_result effnet_store_has(const effnet_store* store, const char* key, int32_t* out) noexcept {
    return torch_guarded([&] { *out = store->store->check({key}); });
}

} // extern "C"
