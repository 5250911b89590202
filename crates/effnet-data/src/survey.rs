//! Finds unreadable images before training starts.
//!
//! Otherwise, a damaged file is discovered only in the middle of an epoch, possibly hours into a run.
//! Training surveys a data set once, reports the files found and trains on the rest.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::window::DecodeFailure;
use super::{DataError, Dataset, chain};

/// An image that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its index in the data set.
    pub index: usize,
    /// Its name; see [`Dataset::name`].
    pub name: String,
    /// What is wrong with it, in one line.
    pub reason: String,
}

impl Unreadable {
    /// Describes an image of `dataset` that could not be read for this reason.
    pub fn new(dataset: &(impl Dataset + ?Sized), index: usize, reason: String) -> Self {
        let name = dataset.name(index);
        Self {
            index,
            // Errors about a file already start with the name of the file.
            reason: match reason
                .strip_prefix(&name)
                .and_then(|rest| rest.strip_prefix(": "))
            {
                Some(rest) => rest.to_owned(),
                None => reason,
            },
            name,
        }
    }
}

/// Decodes every image on `threads` threads (one per core if `None`) and lists the images that cannot be
/// decoded, in order.
///
/// `checked` is called after each image with the number of images checked so far. Once `stop` is true, the
/// remaining images are not checked.
///
/// # Errors
/// [`DataError::NothingReadable`] if no image of the data set can be read.
pub fn survey(
    dataset: &dyn Dataset,
    threads: Option<NonZeroUsize>,
    stop: &AtomicBool,
    checked: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Unreadable>, DataError> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok());
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found = Mutex::new(Vec::new());
    let check = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= dataset.len() {
                return;
            }
            if let Err(reason) = read(dataset, index) {
                let unreadable = Unreadable::new(dataset, index, reason);
                found
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(unreadable);
            }
            checked(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.map_or(1, NonZeroUsize::get) {
            scope.spawn(check);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|unreadable| unreadable.index);
    match found.first() {
        Some(first) if found.len() == dataset.len() => Err(DataError::NothingReadable {
            images: found.len(),
            name: first.name.clone(),
            reason: first.reason.clone(),
        }),
        _ => Ok(found),
    }
}

fn read(dataset: &dyn Dataset, index: usize) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| dataset.image(index))) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(error.as_ref())),
        Err(panic) => Err(DecodeFailure::of_panic(panic.as_ref()).to_string()),
    }
}
