//! Takes back the replacement of a file.

use std::io;
use std::path::{Path, PathBuf};

/// A file that was replaced. Dropping this restores the previous file, [`keep`](Self::keep) does not.
#[derive(Debug)]
#[must_use = "dropping it restores the previous file"]
pub(super) struct Replaced {
    target: PathBuf,
    previous: Previous,
}

/// What was at the target before.
#[derive(Debug)]
pub(super) enum Previous {
    Nothing,
    /// The previous file, under a name of its own.
    File(PathBuf),
    /// Not known, because the target can only be written to: a pipe, or a mounted file.
    Unknown,
}

impl Previous {
    /// Gives the file at `target`, if there is one, the additional name `name`.
    pub(super) fn of(target: &Path, name: PathBuf) -> Self {
        match std::fs::hard_link(target, &name) {
            Ok(()) => Self::File(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Nothing,
            // Some file systems have no links.
            Err(_) if target.is_file() && std::fs::rename(target, &name).is_ok() => Self::File(name),
            Err(_) => Self::Unknown,
        }
    }
}

impl Replaced {
    pub(super) fn new(target: PathBuf, previous: Previous) -> Self {
        Self { target, previous }
    }

    /// Removes the previous file for good.
    pub(super) fn keep(mut self) {
        if let Previous::File(name) = std::mem::replace(&mut self.previous, Previous::Unknown) {
            let _ = std::fs::remove_file(name);
        }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        let _ = match &self.previous {
            Previous::Nothing => std::fs::remove_file(&self.target),
            Previous::File(name) => {
                std::fs::rename(name, &self.target).or_else(|_| std::fs::remove_file(name))
            }
            Previous::Unknown => Ok(()),
        };
    }
}
