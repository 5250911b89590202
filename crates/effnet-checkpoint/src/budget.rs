//! Limits on the total work and memory that reading one file may take.
//!
//! A pickle can refer to the same value any number of times, at two bytes per reference. Work and memory that
//! follow references are therefore not bounded by the length of the file; without these counters a small file
//! could exhaust memory or hang the process.

use std::cell::Cell;

use crate::error::ErrorKind;

/// Entries visited. The largest EfficientNet has 2500 tensors.
const MAX_VISITS: usize = 1_000_000;
/// Bytes of all names together.
const MAX_NAME_BYTES: usize = 16 << 20;
/// Expanded and transposed tensors are copied when they are read. Their copies may take this many times the
/// size of the file in total, or [`SMALL_COPY`] bytes if the file is tiny.
const MAX_COPIES: usize = 4;
const SMALL_COPY: usize = 1 << 20;
/// The same for all tensors: several may share a storage, but a caller that keeps a copy of each must not end
/// up with a hundred times the file.
const MAX_TOTAL: usize = 16;
const SMALL_TOTAL: usize = 16 << 20;

/// What reading a file has used so far, and its limits.
pub(crate) struct Budget {
    visits: Allowance,
    name_bytes: Allowance,
    copies: Allowance,
    total: Allowance,
}

struct Allowance {
    spent: Cell<usize>,
    limit: usize,
    what: &'static str,
}

impl Allowance {
    fn new(limit: usize, what: &'static str) -> Allowance {
        Allowance {
            spent: Cell::new(0),
            limit,
            what,
        }
    }

    fn spend(&self, amount: usize) -> Result<(), ErrorKind> {
        let spent = self.spent.get().saturating_add(amount);
        self.spent.set(spent);
        if spent > self.limit {
            let (size, limit) = (spent as u64, self.limit as u64);
            return Err(ErrorKind::TooBig {
                what: self.what.to_owned(),
                size,
                limit,
            });
        }
        Ok(())
    }
}

impl Budget {
    pub(crate) fn for_file(len: usize) -> Budget {
        let times = |factor: usize, least: usize| least.max(len.saturating_mul(factor));
        Budget {
            visits: Allowance::new(MAX_VISITS, "number of references"),
            name_bytes: Allowance::new(MAX_NAME_BYTES, "length of all names in bytes"),
            copies: Allowance::new(
                times(MAX_COPIES, SMALL_COPY),
                "size of transposed and expanded tensors in bytes",
            ),
            total: Allowance::new(times(MAX_TOTAL, SMALL_TOTAL), "size of all tensors in bytes"),
        }
    }

    pub(crate) fn visit(&self, entries: usize) -> Result<(), ErrorKind> {
        self.visits.spend(entries)
    }

    pub(crate) fn name(&self, bytes: usize) -> Result<(), ErrorKind> {
        self.name_bytes.spend(bytes)
    }

    pub(crate) fn tensor(&self, nbytes: usize, copied: bool) -> Result<(), ErrorKind> {
        self.total.spend(nbytes)?;
        self.copies.spend(if copied { nbytes } else { 0 })
    }
}
