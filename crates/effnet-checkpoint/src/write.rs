//! Writes state_dicts, as safetensors, as the zip archive of `torch.save` or as the HDF5 file of Keras.
//!
//! All write one tensor at a time to a temporary file next to the target, sync it to disk and rename it into
//! place: readers see the old file or the new one, and an interrupted write leaves the old one unchanged.

mod atomic_file;
mod hdf5;
mod pair;
mod pickle;
mod replaced;
mod safetensors;
mod target;
mod zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use atomic_file::{AtomicFile, PARTIAL_SUFFIX};
pub use pair::{PairError, commit_pair};
pub use target::follow_links;

use crate::{Container, DType, StateDict, Tensor, TensorError};

/// The reason why a file could not be written. The target is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system returned an error.
    #[error("{}: cannot write: {source}; check the folder, its permissions and the free space", path.display())]
    Io {
        /// The target.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A tensor could not be read or cast.
    #[error("{}: cannot write tensor `{name}`: {source}", path.display())]
    Tensor {
        /// The target.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// The reason.
        source: TensorError,
    },
    /// The extension is unknown.
    #[error("{}: unknown extension, expected .pth, .pt, .safetensors or .weights.h5 to select the format", path.display())]
    Extension {
        /// The target.
        path: PathBuf,
    },
}

/// Options for writing a state_dict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Type to cast floating-point tensors to; `None` keeps their types. Other tensors are never cast.
    pub float_dtype: Option<DType>,
    /// Entries for `__metadata__` of `.safetensors` and for a dataset of `.weights.h5`; ignored for `.pth` and `.pt`,
    /// which have no place for them.
    pub metadata: BTreeMap<String, String>,
}

impl WriteOptions {
    /// Sets [`float_dtype`](Self::float_dtype).
    #[must_use]
    pub fn with_float_dtype(mut self, float_dtype: impl Into<Option<DType>>) -> Self {
        self.float_dtype = float_dtype.into();
        self
    }

    /// Sets [`metadata`](Self::metadata).
    #[must_use]
    pub fn with_metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Writes a file in the format of its extension; `.pth` and `.pt` are zip archives. The names in a `.weights.h5` are
    /// those of numbered layers of Keras, such as `conv2d_3.weight`.
    ///
    /// # Errors
    /// [`WriteError`]; the target is then unchanged.
    pub fn write(&self, path: impl AsRef<Path>, state_dict: &StateDict) -> Result<Container, WriteError> {
        let path = path.as_ref();
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let container = match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Container::Safetensors,
            "pth" | "pt" => Container::Zip,
            "h5" if is_keras(path) => Container::Hdf5,
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
        let mut file = AtomicFile::create(path).map_err(|source| job.io(source))?;
        match container {
            Container::Safetensors => safetensors::write(&job, &mut file)?,
            Container::Hdf5 => hdf5::write(&job, &mut file)?,
            _ => zip::write(&job, &mut file)?,
        }
        file.commit().map_err(|source| job.io(source))
    }
}

/// Whether Keras reads the file as weights: it goes by the last two extensions.
fn is_keras(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().ends_with(".weights.h5")
}

/// Writes a safetensors file with metadata.
///
/// # Errors
/// [`WriteError`]; the target is then unchanged.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    state_dict: &StateDict,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WriteError> {
    let options = WriteOptions::default().with_metadata(metadata.clone());
    options.write_as(Container::Safetensors, path.as_ref(), state_dict)
}

/// Writes a zip archive that `torch.load(path, weights_only=True)` loads as an `OrderedDict`.
///
/// # Errors
/// [`WriteError`]; the target is then unchanged.
pub fn write_pth(path: impl AsRef<Path>, state_dict: &StateDict) -> Result<(), WriteError> {
    WriteOptions::default().write_as(Container::Zip, path.as_ref(), state_dict)
}

/// A single file to write.
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

    /// Type of a tensor in the file.
    fn dtype(&self, tensor: &Tensor) -> DType {
        match self.options.float_dtype {
            Some(dtype) if tensor.dtype().is_float() => dtype,
            _ => tensor.dtype(),
        }
    }

    /// Passes the bytes of a tensor, cast if necessary, to `write`, and releases their memory afterwards.
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
        // Otherwise the whole source file would be in memory at the end.
        tensor.release();
        Ok(())
    }
}
