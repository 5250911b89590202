//! Summarises the inputs of a job: sizes, latest change and a digest, which shows processes whether they list the same
//! files.

use std::time::SystemTime;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::job::digest;
use crate::input::Input;

/// Facts about the inputs from the file system.
pub(super) struct Listing {
    /// Size of each file in bytes, in the order of the inputs; 0 for an input without a file.
    pub(super) bytes: Vec<u64>,
    /// Digest of names and sizes, which changes with the list of inputs.
    pub(super) digest: String,
    /// The latest modification time of any file.
    pub(super) newest: Option<SystemTime>,
}

impl Listing {
    pub(super) fn of(inputs: &[Input]) -> Self {
        let files: Vec<(u64, Option<SystemTime>)> = inputs.par_iter().map(file).collect();
        let sizes: Vec<[u8; 8]> = files.iter().map(|(bytes, _)| bytes.to_le_bytes()).collect();
        let texts = inputs
            .iter()
            .zip(&sizes)
            .flat_map(|(input, size)| [input.name.as_bytes(), size.as_slice()]);
        Self {
            digest: digest(texts),
            newest: files.iter().filter_map(|&(_, modified)| modified).max(),
            bytes: files.into_iter().map(|(bytes, _)| bytes).collect(),
        }
    }
}

/// Returns the size and modification time of an input. A file that has neither is reported when it is read.
fn file(input: &Input) -> (u64, Option<SystemTime>) {
    let metadata = input.file().and_then(|path| std::fs::metadata(path).ok());
    let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let bytes = input.member_size().or(metadata.map(|metadata| metadata.len()));
    (bytes.unwrap_or(0), modified)
}
