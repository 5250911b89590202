//! Why a file could not be read.

use std::path::{Path, PathBuf};

use crate::Container;

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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

/// The reasons for which a file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file.
    #[error("no such file; check the path, or download the weights first")]
    NotFound,
    /// The path leads to a folder.
    #[error("this is a folder, and a checkpoint file was expected; name the .pth or .safetensors in it")]
    Folder,
    /// The path leads to a pipe, a socket or a device.
    #[error("this is no regular file, and a checkpoint is mapped into memory; copy it to a disk first")]
    NotRegular,
    /// The operating system refused.
    #[error("the file cannot be read: {0}; check its permissions and the disk")]
    Io(#[source] std::io::Error),
    /// The file has no bytes.
    #[error("the file is empty; its download or its copy did not happen, fetch it again")]
    Empty,
    /// The file ends too early.
    #[error("the file is cut short: it begins as {container}, but {what}; download or copy it again")]
    Truncated {
        /// What it began as.
        container: Container,
        /// What is missing.
        what: String,
    },
    /// The structure of the file contradicts itself.
    #[error("the file is damaged: it begins as {container}, but {what}; download or copy it again")]
    Damaged {
        /// What it began as.
        container: Container,
        /// What is wrong.
        what: String,
    },
    /// The file is sound and is something else.
    #[error("this is {what}, and a PyTorch or safetensors checkpoint was expected; {advice}")]
    Foreign {
        /// What the file is.
        what: String,
        /// What to do next.
        advice: &'static str,
    },
    /// The file is a TorchScript archive.
    #[error(
        "this is a TorchScript archive (folder `{root}` holds compiled code), and a state_dict was \
         expected; save the state_dict instead: torch.save(torch.jit.load(file).state_dict(), out)"
    )]
    TorchScript {
        /// Folder inside the archive.
        root: String,
    },
    /// The first bytes are those of nothing known.
    #[error(
        "this is no checkpoint: its first bytes are {first_bytes}, and a zip archive, a torch.save stream, \
         a tar of torch 0.1 or a safetensors file was expected; check what was downloaded"
    )]
    Unrecognised {
        /// The first bytes, as hexadecimal numbers and as text.
        first_bytes: String,
    },
    /// Unpacking would use far more memory than the file has.
    #[error(
        "{what} would take {size} bytes, and the limit for this file is {limit}; this is what a \
         decompression bomb does: save it again with torch.save if the file can be trusted"
    )]
    TooBig {
        /// What would be unpacked.
        what: String,
        /// Bytes that it declares.
        size: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The data is in the byte order of another kind of machine.
    #[error(
        "the file was written on a big-endian machine in a format that does not say how its numbers are \
         stored; open it there and save it again with a recent torch.save"
    )]
    BigEndian,
    /// The key that the caller demanded is not there.
    #[error("`{wanted}` was asked for and is not at the top level; there are: {}", listed(.found))]
    NoSuchWrapper {
        /// The demanded key.
        wanted: String,
        /// The keys that are there.
        found: Vec<String>,
    },
    /// There is no named tensor where state_dicts stand.
    #[error("no tensors found: {found}{}", would_call(.calls))]
    NoTensors {
        /// What was found instead.
        found: String,
        /// Names that unpickling in Python would call, other than those that rebuild tensors.
        calls: Vec<String>,
    },
    /// A tensor describes itself in a way that its storage contradicts.
    #[error("tensor `{name}`: {what}; the file is damaged, download or save it again")]
    BadTensor {
        /// Name of the tensor in the file.
        name: String,
        /// What is wrong.
        what: String,
    },
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "no keys".to_owned();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
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

/// Why the bytes of a tensor could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The bytes do not fill the shape.
    #[error("a {dtype} tensor of shape {shape:?} has {expected} bytes, and {found} were given")]
    WrongLength {
        /// Element type.
        dtype: crate::DType,
        /// Shape.
        shape: Vec<usize>,
        /// Bytes that the shape needs; `usize::MAX` when no memory holds it.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The tensor is of a kind that is listed and not read.
    #[error(
        "{}: `{name}` is a {what} tensor, and dense tensors of floats, integers and booleans are read; \
         convert it in Python and save it again", path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Name of the tensor in the file.
        name: String,
        /// What kind it is.
        what: String,
    },
    /// A compressed storage does not unpack to what the file declares.
    #[error("{}: {what}; the file is damaged, download or copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A cast between types of which one is no float.
    #[error("a {from} tensor cannot become {to}: only floats are cast, and only to floats")]
    NotFloat {
        /// The type it has.
        from: crate::DType,
        /// The type that was asked for.
        to: crate::DType,
    },
    /// A cast would make a finite number infinite.
    #[error("{value} is beyond the range of {to}; use bf16 or f32")]
    Overflow {
        /// The number.
        value: f64,
        /// The type that was asked for.
        to: crate::DType,
    },
}
