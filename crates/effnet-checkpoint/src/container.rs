//! The kinds of file that hold checkpoints.

use std::fmt;

pub(crate) mod foreign;
pub(crate) mod legacy;
pub(crate) mod safetensors;
pub(crate) mod tar;
pub(crate) mod zip;
mod zip_directory;

use crate::error::ErrorKind;
use crate::pickle::PickleError;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// The zip archive that `torch.save` writes since 1.6.
    Zip,
    /// Pickles and storages one behind the other: `torch.save` from 0.1.10 to 1.5.
    LegacyStream,
    /// The tar archive of the first releases, before 0.1.10.
    Tar,
    /// A safetensors file.
    Safetensors,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Container::Zip => "a PyTorch zip archive",
            Container::LegacyStream => "a PyTorch stream (before 1.6)",
            Container::Tar => "a PyTorch tar archive (before 0.1.10)",
            Container::Safetensors => "a safetensors file",
        })
    }
}

impl Container {
    /// Tells the container by the first bytes, in the order in which `torch.load` asks
    /// (`torch/serialization.py`: zip, then tar, then stream), with safetensors in front.
    ///
    /// # Errors
    /// Names what the file is when it is something well known, otherwise shows its first bytes.
    pub(crate) fn recognise(bytes: &[u8]) -> Result<Container, ErrorKind> {
        if safetensors::is_safetensors(bytes) {
            return Ok(Container::Safetensors);
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
        Err(foreign::name(bytes))
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

    /// `pickle` says which of the container's pickles it was.
    pub(crate) fn bad_pickle(self, pickle: &str, error: &PickleError) -> ErrorKind {
        let what = format!(
            "{pickle} stops making sense at its byte {}: {}",
            error.offset, error.what
        );
        if error.truncated {
            self.truncated(what)
        } else {
            self.damaged(what)
        }
    }
}
