// The interface of libeffnet_cuda_graphs.so, a library of its own: what it needs of libtorch_cuda is
// not there when this program is linked, and a program has no gaps to be filled later.
#pragma once

#include <cstdint>

extern "C" {

struct effnet_graph;

// Messages are as those of boundary.h, to be freed with `free_message`.
struct effnet_graph_api {
    // Begins to record what this thread puts on `device`, instead of running it. Tensors made
    // meanwhile lie in memory that belongs to the graph, or that it shares with `beside`.
    char* (*begin)(int32_t device, const effnet_graph* beside, effnet_graph** graph);
    // Ends the recording; on an error the graph is gone.
    char* (*end)(effnet_graph* graph);
    // Gives up a recording that is under way.
    void (*abandon)(effnet_graph* graph);
    // Puts everything recorded on the current stream, after all work that the stream has been given.
    char* (*replay)(effnet_graph* graph);
    // Waits for the device.
    void (*release)(effnet_graph* graph);
    void (*free_message)(char* message);
};

} // extern "C"
