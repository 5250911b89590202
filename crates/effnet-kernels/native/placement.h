// Keeps the threads of a team off the processor of the thread that wakes them.
//
// Linux may wake a thread on the processor of its waker, and leave both there: on virtual machines whose processors
// share no cache, and for passes that are shorter than the time after which it moves threads. The pass then takes
// twice as long, again and again.
#pragma once

#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace effnet {

#if defined(__linux__)

class Placement {
public:
    // For a team of `size` threads, which may run where the calling thread may. More threads than processors are left
    // to the system.
    explicit Placement(int size) noexcept {
        applies_ = size > 1 && sched_getaffinity(0, sizeof allowed_, &allowed_) == 0 && CPU_COUNT(&allowed_) >= size;
    }

    // Moves the threads off the calling thread's processor, if it has changed since the last call. Failures do not
    // matter: the threads then run where the system puts them.
    void make_room(std::vector<std::thread>& threads) noexcept {
        if (!applies_) return;
        const int processor = sched_getcpu();
        if (processor < 0 || processor >= CPU_SETSIZE || processor == processor_) return;
        processor_ = processor;
        cpu_set_t others = allowed_;
        CPU_CLR(processor, &others);
        for (auto& thread : threads) pthread_setaffinity_np(thread.native_handle(), sizeof others, &others);
    }

private:
    cpu_set_t allowed_;
    bool applies_ = false;
    int processor_ = -1; // of the last call
};

#else

class Placement {
public:
    explicit Placement(int) noexcept {}
    void make_room(std::vector<std::thread>&) noexcept {}
};

#endif

} // namespace effnet
