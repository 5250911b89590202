//! The budget of work and memory to which reading a file is charged.
//!
//! A pickle can refer to the same value any number of times, at two bytes per reference, and a zip directory
//! can list the same bytes under any number of names. The work and memory needed to follow references are
//! therefore not bounded by the length of the file: without a budget, a small file could exhaust memory or
//! hang the process. All code that reads a checkpoint charges what it visits and what it copies to this
//! budget.
//!
//! Once a limit is exceeded, it stays exceeded: from then on, lookups that cannot return an error find
//! nothing, and [`Budget::check`] reports the excess before any result is used.

use std::cell::Cell;

use crate::error::ErrorKind;

/// Steps allowed for any file, and further steps allowed per byte of the file. A step visits an entry or
/// reads up to [`BYTES_PER_STEP`] bytes of a name. An EfficientNet with 2500 tensors takes 0.2 million steps.
const STEPS: u64 = 2_000_000;
const STEPS_PER_BYTE: u64 = 2;
const BYTES_PER_STEP: usize = 8;

/// Memory allowed for any file in bytes, and the multiple of the file's size allowed in addition.
const MEMORY: u64 = 64 << 20;
const MEMORY_PER_BYTE: u64 = 2;

/// The same limits for all tensors together. Several tensors may share a storage, but a caller that keeps a
/// copy of each must not end up with a hundred times the size of the file.
const TENSORS: u64 = 64 << 20;
const TENSORS_PER_BYTE: u64 = 2;

/// Memory per pickle instruction in bytes: a value of 16 bytes on the stack and in a container, a node of 32
/// bytes or an entry of the memo, all in vectors that double when they grow.
const INSTRUCTION: u64 = 96;
/// Memory per tensor in bytes, not counting its name and its dimensions.
const TENSOR: usize = 512;
/// Memory per dimension in bytes: a size and a stride, both held twice while they are copied.
const DIMENSION: usize = 32;
/// Memory per storage in bytes, not counting its elements: its key in a map, and the location of its bytes.
pub(crate) const STORAGE: usize = 512;
/// Memory per name in addition to its own bytes: a string in a list or a map.
const NAME: usize = 96;

/// The work charged for reading a file, or the limit on it.
///
/// [`OpenOptions::open_measured`](crate::OpenOptions::open_measured) returns it. The numbers depend only on
/// the file, not on the machine, so a test can bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Entries visited, and names read in units of 8 bytes.
    pub steps: u64,
    /// Bytes allocated, even if only briefly. Compressed and transposed tensors count as if all of them were
    /// read.
    pub memory: u64,
}

impl Work {
    /// Returns the limits for a file of `len` bytes. Both are linear in `len`; the memory limit is twice the
    /// size of the file plus 64 MiB.
    pub fn limit_for(len: usize) -> Work {
        let len = len as u64;
        Work {
            steps: STEPS.saturating_add(len.saturating_mul(STEPS_PER_BYTE)),
            memory: MEMORY.saturating_add(len.saturating_mul(MEMORY_PER_BYTE)),
        }
    }
}

/// The work and memory used so far by reading a file, and their limits.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: Allowance,
    memory: Allowance,
    tensors: Allowance,
}

#[derive(Debug)]
struct Allowance {
    spent: Cell<u64>,
    limit: u64,
    what: &'static str,
}

impl Allowance {
    fn new(limit: u64, what: &'static str) -> Allowance {
        Allowance {
            spent: Cell::new(0),
            limit,
            what,
        }
    }

    /// Adds to the amount spent. Once the limit is exceeded, nothing more is added, since no more work is
    /// done.
    fn spend(&self, amount: u64) -> bool {
        if !self.is_within() {
            return false;
        }
        self.spent.set(self.spent.get().saturating_add(amount));
        self.is_within()
    }

    fn is_within(&self) -> bool {
        self.spent.get() <= self.limit
    }

    fn check(&self) -> Result<(), ErrorKind> {
        if self.is_within() {
            return Ok(());
        }
        Err(ErrorKind::TooBig {
            what: self.what.to_owned(),
            size: self.spent.get(),
            limit: self.limit,
        })
    }
}

impl Budget {
    pub(crate) fn for_file(len: usize) -> Budget {
        let Work { steps, memory } = Work::limit_for(len);
        let tensors = TENSORS.saturating_add((len as u64).saturating_mul(TENSORS_PER_BYTE));
        Budget {
            steps: Allowance::new(steps, "steps to read the file"),
            memory: Allowance::new(memory, "memory to read the file, in bytes"),
            tensors: Allowance::new(tensors, "total size of its tensors, in bytes"),
        }
    }

    /// Creates a budget of `count` pickle instructions, for looking at the start of a file.
    pub(crate) fn for_instructions(count: u64) -> Budget {
        Budget {
            memory: Allowance::new(count * INSTRUCTION, "memory to read the file, in bytes"),
            ..Budget::for_file(0)
        }
    }

    /// Charges for visiting entries; returns false if the budget is exceeded.
    pub(crate) fn step(&self, entries: usize) -> bool {
        self.steps.spend(entries as u64) && self.memory.is_within()
    }

    /// Charges for reading the bytes of a name; returns false if the budget is exceeded.
    pub(crate) fn read(&self, bytes: usize) -> bool {
        self.step(1 + bytes / BYTES_PER_STEP)
    }

    /// Charges for memory in bytes; returns false if the budget is exceeded.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        self.memory.spend(bytes as u64) && self.steps.is_within()
    }

    /// Charges for a pickle instruction; returns false if the budget is exceeded.
    pub(crate) fn instruction(&self) -> bool {
        self.steps.spend(1) && self.memory.spend(INSTRUCTION)
    }

    /// Charges for entries that are visited and copied.
    pub(crate) fn visit(&self, entries: usize) -> Result<(), ErrorKind> {
        self.step(entries);
        self.hold(entries.saturating_mul(size_of::<(u128, u128)>()));
        self.check()
    }

    /// Charges for a name that is kept.
    pub(crate) fn name(&self, bytes: usize) -> Result<(), ErrorKind> {
        self.read(bytes);
        self.hold(bytes.saturating_mul(2).saturating_add(NAME));
        self.check()
    }

    /// Charges for a tensor of `nbytes` bytes, of which `copied` are copied when it is read.
    pub(crate) fn tensor(&self, dimensions: usize, nbytes: usize, copied: usize) -> Result<(), ErrorKind> {
        self.step(1 + dimensions);
        self.hold(dimensions.saturating_mul(DIMENSION).saturating_add(TENSOR));
        self.hold(copied);
        self.tensors.spend(nbytes as u64);
        self.check()
    }

    /// # Errors
    /// Fails if reading has been charged more than the file's limits allow.
    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        self.steps.check()?;
        self.memory.check()?;
        self.tensors.check()
    }

    /// Returns the work charged so far.
    pub(crate) fn work(&self) -> Work {
        Work {
            steps: self.steps.spent.get(),
            memory: self.memory.spent.get(),
        }
    }
}
