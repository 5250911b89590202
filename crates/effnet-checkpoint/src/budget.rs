//! What reading one file may cost in all.
//!
//! A pickle refers to a value as often as it likes for two bytes each time, so work and memory that follow
//! references are not bounded by the length of the file, and are counted here instead.

use std::cell::Cell;

use crate::error::ErrorKind;

/// Entries looked at. The largest EfficientNet has 2500 tensors.
const MAX_VISITS: usize = 1_000_000;
/// Bytes of names made.
const MAX_NAME_BYTES: usize = 16 << 20;
/// Expanded and transposed tensors are copied when they are asked for. Together they may take this many
/// times the file, or this many bytes where the file is tiny.
const MAX_COPIES: usize = 4;
const SMALL_COPY: usize = 1 << 20;
/// The same for all tensors: several may share a storage, but a caller who reads them one by one must not
/// be made to hold a hundred files.
const MAX_TOTAL: usize = 16;
const SMALL_TOTAL: usize = 16 << 20;

/// What is left of the allowance.
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
            visits: Allowance::new(MAX_VISITS, "a list of what it refers to"),
            name_bytes: Allowance::new(MAX_NAME_BYTES, "a list of the names in it"),
            copies: Allowance::new(
                times(MAX_COPIES, SMALL_COPY),
                "a copy of its transposed and expanded tensors",
            ),
            total: Allowance::new(times(MAX_TOTAL, SMALL_TOTAL), "all of its tensors together"),
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
