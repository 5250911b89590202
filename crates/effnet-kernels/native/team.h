// The threads of one context. All of them run the same program, and divide the work of each phase among
// themselves.
//
// libtorch's pool starts and joins its threads for every operation. The threads here are started once, woken once
// per forward pass, and meet at barriers that take less than a microsecond.
//
// Everything that runs on these threads is noexcept: an exception on one of them would leave the others waiting at
// a barrier.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "placement.h"

namespace effnet {

inline void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Waits until `value` is no longer `seen`: spins first, then sleeps, so that waiting for a thread that the system has
// preempted does not keep a processor busy.
inline void await_change(const std::atomic<unsigned>& value, unsigned seen) noexcept {
    for (int spin = 0; spin < 2000; ++spin) {
        if (value.load(std::memory_order_acquire) != seen) return;
        relax();
    }
    while (value.load(std::memory_order_acquire) == seen) value.wait(seen, std::memory_order_acquire);
}

// How much of one member's share of a phase has been taken, for phases of even and of odd generations: while a phase
// uses one of them, the other is set back.
struct alignas(64) Share {
    std::atomic<int> taken[2]{};
};

// Each field has its own cache line, because every thread writes all of them.
struct Meeting {
    explicit Meeting(int size) : shares(size) {}
    std::vector<Share> shares; // of each member
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<unsigned> generation{0};
};

// One thread's membership.
struct Member {
    int index;
    int size;
    Meeting* meeting; // null when alone

    // Calls `work(i)` once for each i below `count`, and returns when all of these calls have returned. Every member
    // must call `each` with the same count. A member begins with its own share, an equal part of the numbers in their
    // order, and then takes what the others have not begun. So it mostly finds what it wrote in the last phase in its
    // own cache: between processors that share none, data takes longer than the arithmetic.
    template <class Work>
    void each(int count, Work&& work) const noexcept {
        static_assert(std::is_nothrow_invocable_v<Work&, int>, "work on a team must be noexcept");
        if (!meeting) {
            for (int i = 0; i < count; ++i) work(i);
            return;
        }
        const unsigned parity = meeting->generation.load(std::memory_order_relaxed) % 2;
        for (int turn = 0; turn < size; ++turn) {
            const int owner = (index + turn) % size;
            const int first = int(int64_t(count) * owner / size), end = int(int64_t(count) * (owner + 1) / size);
            std::atomic<int>& taken = meeting->shares[owner].taken[parity];
            // Most shares of others are taken: reading is cheaper than writing.
            if (turn > 0 && first + taken.load(std::memory_order_relaxed) >= end) continue;
            for (int i; (i = first + taken.fetch_add(1, std::memory_order_relaxed)) < end;) work(i);
        }
        wait_for_all();
    }

    // Returns once every member has called this function.
    void wait_for_all() const noexcept {
        const unsigned generation = meeting->generation.load(std::memory_order_acquire);
        // Nobody uses it before all have arrived.
        meeting->shares[index].taken[(generation + 1) % 2].store(0, std::memory_order_relaxed);
        if (meeting->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
            meeting->arrived.store(0, std::memory_order_relaxed);
            meeting->generation.store(generation + 1, std::memory_order_release);
            meeting->generation.notify_all();
        } else {
            await_change(meeting->generation, generation);
        }
    }

    Member alone() const noexcept { return Member{index, 1, nullptr}; }
};

class Team {
public:
    explicit Team(int size) : size_(size), placement_(size), meeting_(size) {
        try {
            for (int i = 1; i < size; ++i) threads_.emplace_back([this, i]() noexcept { serve(i); });
        } catch (...) {
            dismiss();
            throw;
        }
    }
    ~Team() { dismiss(); }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const noexcept { return size_; }

    // Runs `program(member)` on every thread, including the caller's.
    template <class Program>
    void run(const Program& program) noexcept {
        static_assert(std::is_nothrow_invocable_v<const Program&, const Member&>, "a team's program must be noexcept");
        if (size_ == 1) {
            program(Member{0, 1, nullptr});
            return;
        }
        program_ = &program;
        call_ = [](const void* erased, const Member& self) noexcept { (*static_cast<const Program*>(erased))(self); };
        placement_.make_room(threads_);
        wake();
        const Member self{0, size_, &meeting_};
        program(self);
        self.wait_for_all(); // until all have left the program, which belongs to the caller
    }

private:
    void wake() noexcept {
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
    }

    void dismiss() noexcept {
        program_ = nullptr;
        wake();
        for (auto& thread : threads_) thread.join();
    }

    void serve(int index) noexcept {
        for (unsigned seen = 0;; ++seen) {
            await_change(calls_, seen);
            if (!program_) return;
            const Member self{index, size_, &meeting_};
            call_(program_, self);
            self.wait_for_all();
        }
    }

    int size_;
    Placement placement_;
    Meeting meeting_;
    alignas(64) std::atomic<unsigned> calls_{0};
    // The program of the current call, or null to end the threads. (std::function cannot hold a noexcept
    // signature.)
    const void* program_ = nullptr;
    void (*call_)(const void*, const Member&) noexcept = nullptr;
    std::vector<std::thread> threads_;
};

} // namespace effnet
