//! Container formats of checkpoints, one module per format.
//!
//! The format is recognised by content rather than by extension: people rename files, and `torch.save` used
//! three formats under the same extension.

use std::fmt;

pub(crate) mod foreign;
mod hdf5;
pub(crate) mod keras;
pub(crate) mod legacy;
pub(crate) mod safetensors;
mod safetensors_header;
pub(crate) mod tar;
pub(crate) mod zip;
mod zip_directory;

use crate::error::ErrorKind;
use crate::pickle::PickleError;

/// Container format of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// The zip archive that `torch.save` has written since 1.6.
    Zip,
    /// A stream of pickles followed by storages: `torch.save` from 0.1.10 to 1.5.
    LegacyStream,
    /// The tar archive of the first releases, before 0.1.10.
    Tar,
    /// A safetensors file.
    Safetensors,
    /// An HDF5 file of Keras: `.h5` or `.weights.h5`.
    Hdf5,
    /// The zip archive of Keras 3, with an HDF5 file in it.
    Keras,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Container::Zip => "a PyTorch zip archive",
            Container::LegacyStream => "a PyTorch stream (before 1.6)",
            Container::Tar => "a PyTorch tar archive (before 0.1.10)",
            Container::Safetensors => "a safetensors file",
            Container::Hdf5 => "an HDF5 file of Keras",
            Container::Keras => "a Keras archive",
        })
    }
}

impl Container {
    /// Recognises the container by its first bytes, checking in the order of `torch.load`
    /// (`torch/serialization.py`: zip, then tar, then stream), with safetensors first.
    ///
    /// # Errors
    /// The error names the format of the file if it is a well-known one, and otherwise shows the first bytes.
    pub(crate) fn recognise(bytes: &[u8]) -> Result<Container, ErrorKind> {
        if safetensors::is_safetensors(bytes) {
            return Ok(Container::Safetensors);
        }
        if keras::is_hdf5(bytes) {
            return Ok(Container::Hdf5);
        }
        if bytes.starts_with(b"PK\x03\x04") {
            return Ok(Container::Zip);
        }
        if legacy::is_stream(bytes) {
            return Ok(Container::LegacyStream);
        }
        if tar::is_tar(bytes) {
            return Ok(Container::Tar);
        }
        Err(foreign::identify(bytes))
    }

    pub(crate) fn damaged(self, what: impl Into<String>) -> ErrorKind {
        ErrorKind::Damaged {
            container: self,
            what: what.into(),
        }
    }

    pub(crate) fn truncated(self, what: impl Into<String>) -> ErrorKind {
        ErrorKind::Truncated {
            container: self,
            what: what.into(),
        }
    }

    /// Returns the error for an invalid pickle in this container; `pickle` says which one.
    pub(crate) fn bad_pickle(self, pickle: &str, error: &PickleError) -> ErrorKind {
        let what = format!("{pickle} is invalid at byte {}: {}", error.offset, error.what);
        if error.truncated {
            self.truncated(what)
        } else {
            self.damaged(what)
        }
    }
}
