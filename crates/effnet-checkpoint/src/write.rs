//! Writing state_dicts: safetensors, and the zip archive of `torch.save`.
//!
//! Both write one tensor after the other to a new file beside the target, make sure that it is on the disk
//! and rename it into place: a reader sees the old file or the new one, and an interrupted write leaves the
//! old one as it was.

mod fresh_file;
mod pickle;
mod safetensors;
mod zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use fresh_file::{FreshFile, UNFINISHED};

use crate::{Container, DType, StateDict, Tensor, TensorError};

/// Why a file could not be written. The target is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system refused.
    #[error("{}: cannot be written: {source}; check the folder, its permissions and the space left", path.display())]
    Io {
        /// The target.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A tensor could not be read or cast.
    #[error("{}: tensor `{name}` cannot be written: {source}", path.display())]
    Tensor {
        /// The target.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Why.
        source: TensorError,
    },
    /// The file name does not tell the container.
    #[error("{}: `.pth`, `.pt` or `.safetensors` was expected at the end of the name, to tell what to write", path.display())]
    Extension {
        /// The target.
        path: PathBuf,
    },
}

/// What to write beside the tensors, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// The type of floating tensors in the file; `None` keeps each as it is. Others are never changed.
    pub float_dtype: Option<DType>,
    /// Texts for `__metadata__`; only safetensors has room for them.
    pub metadata: BTreeMap<String, String>,
}

impl WriteOptions {
    /// Tensors as they are, no metadata.
    pub fn new() -> WriteOptions {
        WriteOptions::default()
    }

    /// Casts floating tensors.
    #[must_use]
    pub fn float_dtype(mut self, dtype: DType) -> WriteOptions {
        self.float_dtype = Some(dtype);
        self
    }

    /// Adds texts.
    #[must_use]
    pub fn metadata(mut self, metadata: BTreeMap<String, String>) -> WriteOptions {
        self.metadata = metadata;
        self
    }

    /// Writes the container that the extension names: `.pth` and `.pt` are zip archives.
    ///
    /// # Errors
    /// [`WriteError`]; the target is then as it was.
    pub fn write(&self, path: impl AsRef<Path>, state_dict: &StateDict) -> Result<Container, WriteError> {
        let path = path.as_ref();
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let container = match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Container::Safetensors,
            "pth" | "pt" => Container::Zip,
            _ => {
                return Err(WriteError::Extension {
                    path: path.to_owned(),
                });
            }
        };
        self.write_as(container, path, state_dict)?;
        Ok(container)
    }

    fn write_as(&self, container: Container, path: &Path, state_dict: &StateDict) -> Result<(), WriteError> {
        let job = Job {
            path,
            state_dict,
            options: self,
        };
        let mut file = FreshFile::create(path).map_err(|source| job.io(source))?;
        match container {
            Container::Safetensors => safetensors::write(&job, &mut file)?,
            _ => zip::write(&job, &mut file)?,
        }
        file.commit().map_err(|source| job.io(source))
    }
}

/// Writes a safetensors file with these texts as its metadata.
///
/// # Errors
/// [`WriteError`]; the target is then as it was.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    state_dict: &StateDict,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WriteError> {
    let options = WriteOptions::new().metadata(metadata.clone());
    options.write_as(Container::Safetensors, path.as_ref(), state_dict)
}

/// Writes a zip archive that `torch.load(path, weights_only=True)` gives back as an `OrderedDict`.
///
/// # Errors
/// [`WriteError`]; the target is then as it was.
pub fn write_pth(path: impl AsRef<Path>, state_dict: &StateDict) -> Result<(), WriteError> {
    WriteOptions::new().write_as(Container::Zip, path.as_ref(), state_dict)
}

/// One file to be written.
struct Job<'a> {
    path: &'a Path,
    state_dict: &'a StateDict,
    options: &'a WriteOptions,
}

impl Job<'_> {
    fn io(&self, source: io::Error) -> WriteError {
        WriteError::Io {
            path: self.path.to_owned(),
            source,
        }
    }

    /// The type that a tensor has in the file.
    fn dtype(&self, tensor: &Tensor) -> DType {
        match self.options.float_dtype {
            Some(dtype) if tensor.dtype().is_float() => dtype,
            _ => tensor.dtype(),
        }
    }

    /// Gives the bytes that a tensor has in the file to `write`, and lets go of them afterwards.
    fn with_bytes(
        &self,
        name: &str,
        tensor: &Tensor,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let failed = |source| WriteError::Tensor {
            path: self.path.to_owned(),
            name: name.to_owned(),
            source,
        };
        let dtype = self.dtype(tensor);
        let cast = if dtype == tensor.dtype() {
            Cow::Borrowed(tensor)
        } else {
            Cow::Owned(tensor.to_float(dtype).map_err(failed)?)
        };
        let bytes = cast.bytes().map_err(failed)?;
        write(&bytes).map_err(|source| self.io(source))?;
        // Otherwise all of the file that is read would be in memory in the end.
        tensor.release();
        Ok(())
    }
}
