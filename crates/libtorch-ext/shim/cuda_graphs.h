// The interface of libeffnet_cuda_graphs.so. The library is opened at run time because it needs symbols from
// libtorch_cuda, which the program is not linked against.
#pragma once

#include <cstdint>

#include "boundary.h"

extern "C" {

struct effnet_graph;

// The table that `effnet_cuda_graphs_2` returns. The number in that name changes with this table, so that a
// program cannot call a library of a different version.
struct effnet_graph_api {
    // Starts recording the work that this thread queues on `device`, instead of running it. Tensors created during
    // the recording are in the graph's memory pool; if `beside` is not null, that is its pool.
    effnet_result (*begin)(int32_t device, const effnet_graph* beside, effnet_graph** graph) noexcept;
    // Ends the recording, and frees the graph if that fails.
    effnet_result (*end)(effnet_graph* graph) noexcept;
    // Aborts a recording, and frees the graph.
    void (*abandon)(effnet_graph* graph) noexcept;
    // Queues the recorded work on the current stream.
    effnet_result (*replay)(effnet_graph* graph) noexcept;
    // Waits for the device, and frees the graph.
    void (*release)(effnet_graph* graph) noexcept;
    void (*free_message)(char* message) noexcept;
};

} // extern "C"

ASSERT_LAYOUT(effnet_graph_api, 48, 8);
ASSERT_OFFSET(effnet_graph_api, begin, 0);
ASSERT_OFFSET(effnet_graph_api, end, 8);
ASSERT_OFFSET(effnet_graph_api, abandon, 16);
ASSERT_OFFSET(effnet_graph_api, replay, 24);
ASSERT_OFFSET(effnet_graph_api, release, 32);
ASSERT_OFFSET(effnet_graph_api, free_message, 40);
