//! An allocator that counts the memory this thread holds, so that a test can measure what reading a file
//! takes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = TOTAL.try_with(|total| total.set(total.get().saturating_add(layout.size())));
        let _ = HELD.try_with(|held| {
            held.set(held.get().saturating_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        });
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The memory that a call took, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// The most memory that it held at one time.
    pub(crate) peak: usize,
    /// The sum of its allocations: a measure of the bytes that it copied.
    pub(crate) total: usize,
}

/// Calls a function and counts its allocations on this thread.
pub(crate) fn counted<T>(call: impl FnOnce() -> T) -> (T, Memory) {
    let (held, total) = (HELD.get(), TOTAL.get());
    PEAK.set(held);
    let value = call();
    let memory = Memory {
        peak: PEAK.get() - held,
        total: TOTAL.get() - total,
    };
    (value, memory)
}
