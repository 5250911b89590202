// The store where the processes of a group meet: c10d's TCPStore.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "distributed.h"
#include "torch_boundary.h"

using std::chrono::milliseconds;

extern "C" {

void effnet_c10d_free_message(char* message) { free_message(message); }

// Takes a copy of `count` bytes, and does not unwind.
typedef void (*effnet_take_bytes)(void* context, const uint8_t* bytes, size_t count);

// `clients` are waited for as PyTorch's own store does, which counts them; 0 for nobody.
char* effnet_store_connect(const char* host, uint16_t port, int32_t serves, int32_t clients, int64_t timeout,
                           effnet_store** out) {
    return torch_guarded([&] {
        // Otherwise TORCH_CPP_LOG_LEVEL does not count, and each retry is reported with a backtrace.
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

// The part of a store whose keys begin with `prefix`.
char* effnet_store_prefixed(const effnet_store* store, const char* prefix, effnet_store** out) {
    return torch_guarded([&] {
        *out = new effnet_store{c10::make_intrusive<c10d::PrefixStore>(prefix, store->store)};
    });
}

// The same store on a connection of its own: a call on one does not wait for those on others.
char* effnet_store_clone(const effnet_store* store, effnet_store** out) {
    return torch_guarded([&] { *out = new effnet_store{store->store->clone()}; });
}

void effnet_store_free(effnet_store* store) { delete store; }

char* effnet_store_set(const effnet_store* store, const char* key, const uint8_t* bytes, size_t count) {
    return torch_guarded([&] { store->store->set(key, std::vector<uint8_t>(bytes, bytes + count)); });
}

// Waits for the key.
char* effnet_store_get(const effnet_store* store, const char* key, int64_t timeout, effnet_take_bytes take,
                       void* context) {
    return torch_guarded([&] {
        store->store->wait({key}, milliseconds(timeout));
        const std::vector<uint8_t> value = store->store->get(key);
        take(context, value.data(), value.size());
    });
}

char* effnet_store_has(const effnet_store* store, const char* key, int32_t* out) {
    return torch_guarded([&] { *out = store->store->check({key}); });
}

} // extern "C"
