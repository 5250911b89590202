//! Errors from reading files and tensors.

use std::path::{Path, PathBuf};

use crate::Container;
use crate::quote::{quote, quote_list};

/// A file that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct Error {
    path: PathBuf,
    kind: Box<ErrorKind>,
}

impl Error {
    pub(crate) fn new(path: &Path, kind: ErrorKind) -> Error {
        Error {
            path: path.to_owned(),
            kind: Box::new(kind),
        }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The reason.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

/// Reasons why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist.
    #[error("no such file; check the path, or download the weights first")]
    NotFound,
    /// The path is a folder.
    #[error("this is a folder, expected a checkpoint file; pass the .pth or .safetensors file in it")]
    Folder,
    /// The path is a pipe, a socket or a device.
    #[error("not a regular file, so it cannot be mapped into memory; copy it to disk first")]
    NotRegular,
    /// The operating system returned an error.
    #[error("cannot read the file: {0}; check its permissions and the disk")]
    Io(#[source] std::io::Error),
    /// The file is empty.
    #[error("the file is empty; download or copy it again")]
    Empty,
    /// The file ends early.
    #[error("the file is truncated: it starts like {container}, but {what}; download or copy it again")]
    Truncated {
        /// Container format of its first bytes.
        container: Container,
        /// What is missing.
        what: String,
    },
    /// The file is inconsistent.
    #[error("the file is damaged: it starts like {container}, but {what}; download or copy it again")]
    Damaged {
        /// Container format of its first bytes.
        container: Container,
        /// What is wrong.
        what: String,
    },
    /// The file has a different, well-known format.
    #[error("this is {what}, expected a PyTorch, safetensors or Keras checkpoint; {advice}")]
    Foreign {
        /// What the file is.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file is a TorchScript archive.
    #[error(
        "this is a TorchScript archive (folder `{root}` contains compiled code), expected a state_dict; \
         save the state_dict instead: torch.save(torch.jit.load(file).state_dict(), out)"
    )]
    TorchScript {
        /// Folder in the archive.
        root: String,
    },
    /// The file type is not recognised.
    #[error(
        "not a checkpoint: the file starts with {first_bytes}, expected a zip archive, a torch.save stream, \
         a tar archive of torch 0.1, a safetensors file or an HDF5 file; check what was downloaded"
    )]
    Unrecognised {
        /// The first bytes, as hexadecimal numbers and as text.
        first_bytes: String,
    },
    /// Reading would take far more work or memory than the size of the file justifies.
    #[error(
        "{what}: {size}, expected at most {limit} for this file; this may be a decompression bomb: if you \
         trust the file, save it again with torch.save"
    )]
    TooBig {
        /// The limited quantity, with its unit.
        what: String,
        /// Its value.
        size: u64,
        /// Its limit.
        limit: u64,
    },
    /// The byte order of the data is unknown.
    #[error(
        "the file was written on a big-endian machine in a format that does not record the byte order; \
         load it there and save it again with a recent torch.save"
    )]
    BigEndian,
    /// The requested key does not exist.
    #[error("no top-level key `{}`, found {}", quote(.wanted), listed(.found))]
    NoSuchWrapper {
        /// The requested key.
        wanted: String,
        /// The keys in the file.
        found: Vec<String>,
    },
    /// The file contains several networks, and none of the default keys identifies the one to open.
    #[error("the file contains {} networks; pass --key with one of {}", keys.len(), quote_list(keys))]
    SeveralNetworks {
        /// The keys that select them.
        keys: Vec<String>,
    },
    /// None of the places where state_dicts are usually stored contains a named tensor.
    #[error("no tensors found: {found}{}", would_call(.calls))]
    NoTensors {
        /// What was found instead.
        found: String,
        /// Functions that unpickling in Python would call, except those that rebuild tensors.
        calls: Vec<String>,
    },
    /// The description of a tensor is invalid or contradicts its storage.
    #[error("tensor `{}`: {what}; the file is damaged, download or save it again", quote(.name))]
    BadTensor {
        /// Name of the tensor in the file.
        name: String,
        /// What is wrong.
        what: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "no keys".to_owned();
    }
    quote_list(names)
}

fn would_call(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(
        "; unpickling it in Python would call {} (nothing was executed here)",
        listed(names)
    )
}

/// Errors from reading or converting the bytes of a tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The number of bytes does not match the shape.
    #[error("expected {expected} bytes for a tensor of {dtype} with shape {shape:?}, found {found}")]
    WrongLength {
        /// Element type.
        dtype: crate::DType,
        /// Shape.
        shape: Vec<usize>,
        /// Bytes that the shape needs; `usize::MAX` if that overflows.
        expected: usize,
        /// Bytes that were passed.
        found: usize,
    },
    /// The tensor is of a kind that is listed but not read.
    #[error(
        "{}: `{}` is a {what} tensor, expected a dense tensor of floats, integers or booleans; \
         convert it in Python and save it again", path.display(), quote(.name)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Name of the tensor in the file.
        name: String,
        /// Its kind.
        what: String,
    },
    /// A compressed storage does not decompress to what the file declares.
    #[error("{}: {what}; the file is damaged, download or copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A cast from or to a type that is not a float.
    #[error("cannot cast {from} to {to}: only floats can be cast, and only to floats")]
    NotFloat {
        /// Type of the tensor.
        from: crate::DType,
        /// The requested type.
        to: crate::DType,
    },
    /// A cast would make a finite number infinite.
    #[error("{value} is out of range for {to}; use bf16 or f32")]
    Overflow {
        /// The number.
        value: f64,
        /// The requested type.
        to: crate::DType,
    },
}
