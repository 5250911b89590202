// The threads of one network: all run the same program and share out the work of each phase.
//
// libtorch's own pool starts and joins its threads for every operation; here they are started once
// per forward pass and meet at barriers that cost less than a microsecond.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace effnet {

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Waits until `value` is no longer `seen`: first spinning, then asleep, so that a thread that was
// put aside by the system does not cost its siblings a processor.
inline void await_change(const std::atomic<unsigned>& value, unsigned seen) {
    for (int spin = 0; spin < 2000; ++spin) {
        if (value.load(std::memory_order_acquire) != seen) return;
        relax();
    }
    while (value.load(std::memory_order_acquire) == seen) value.wait(seen, std::memory_order_acquire);
}

struct Meeting {
    alignas(64) std::atomic<int> next{0};
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<unsigned> generation{0};
};

// One thread's membership.
struct Member {
    int index;
    int size;
    Meeting* meeting; // null when alone

    // Calls `work(i)` once for each i below `count`, on whichever member is free, and returns when
    // all calls have. Every member must call it, with the same count.
    template <class Work>
    void each(int count, Work&& work) const {
        if (!meeting) {
            for (int i = 0; i < count; ++i) work(i);
            return;
        }
        for (int i; (i = meeting->next.fetch_add(1, std::memory_order_relaxed)) < count;) work(i);
        const unsigned generation = meeting->generation.load(std::memory_order_acquire);
        if (meeting->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
            meeting->next.store(0, std::memory_order_relaxed);
            meeting->arrived.store(0, std::memory_order_relaxed);
            meeting->generation.store(generation + 1, std::memory_order_release);
            meeting->generation.notify_all();
        } else {
            await_change(meeting->generation, generation);
        }
    }

    Member alone() const { return Member{index, 1, nullptr}; }
};

class Team {
public:
    explicit Team(int size) : size_(size) {
        try {
            for (int i = 1; i < size; ++i) threads_.emplace_back([this, i] { serve(i); });
        } catch (...) {
            dismiss();
            throw;
        }
    }
    ~Team() { dismiss(); }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }

    // Runs `program` on every thread, this one included. It must not throw: an exception would leave the
    // others at a barrier.
    void run(const std::function<void(const Member&)>& program) noexcept {
        if (size_ == 1) return program(Member{0, 1, nullptr});
        program_ = &program;
        call();
        program(Member{0, size_, &meeting_});
        Member{0, size_, &meeting_}.each(0, [](int) {}); // until all have left the program
    }

private:
    void call() {
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
    }

    void dismiss() {
        program_ = nullptr;
        call();
        for (auto& thread : threads_) thread.join();
    }

    void serve(int index) {
        for (unsigned seen = 0;; ++seen) {
            await_change(calls_, seen);
            if (!program_) return;
            const Member self{index, size_, &meeting_};
            (*program_)(self);
            self.each(0, [](int) {});
        }
    }

    int size_;
    Meeting meeting_;
    alignas(64) std::atomic<unsigned> calls_{0};
    const std::function<void(const Member&)>* program_ = nullptr;
    std::vector<std::thread> threads_;
};

} // namespace effnet
