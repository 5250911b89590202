//! Opening a file: container, wrapper, prefix, names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::{legacy, safetensors, tar, zip};
use crate::error::{Error, ErrorKind};
use crate::mapped::MappedFile;
use crate::object::{Objects, Storages};
use crate::pickle::{Graph, Limits, load};
use crate::selection::{Selection, select};
use crate::{Container, StateDict};

/// What wrappers of modules put in front of every name: `nn.DataParallel`, `torch.compile`, and the
/// attribute that a training program keeps its network in.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "backbone.", "encoder."];

/// An opened checkpoint: the state_dict of a file, and what was decided on the way to it.
///
/// Opening maps the file and reads its description; the bytes of a tensor are read when they are asked
/// for, straight from the map.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    container: Container,
    file_len: usize,
    wrapper: Option<String>,
    whole_module: bool,
    prefix: String,
    left_out: Vec<String>,
    metadata: BTreeMap<String, String>,
    state_dict: StateDict,
}

/// How to open a checkpoint, where the usual way is not wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The top-level key to open, instead of the first of the usual ones: `state_dict` where the averaged
    /// `state_dict_ema` is not wanted, or any other key of the file.
    pub wrapper: Option<String>,
}

impl OpenOptions {
    /// The usual way.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Demands this top-level key.
    #[must_use]
    pub fn wrapper(mut self, key: impl Into<String>) -> OpenOptions {
        self.wrapper = Some(key.into());
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error`] names the file, what is wrong with it and what to do about it. Whatever the file
    /// contains, nothing in it is executed, and the memory used stays below about twice its size, or 64 MB
    /// for a small file that is all pickle instructions.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        let path = path.as_ref();
        let opened = MappedFile::open(path).and_then(|file| open(file, self));
        opened.map_err(|kind| Error::new(path, kind))
    }

    /// Opens a file that the program carries in itself, which messages call `name`. Nothing is copied.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open_bytes(&self, name: impl AsRef<Path>, bytes: &'static [u8]) -> Result<Checkpoint, Error> {
        let name = name.as_ref();
        open(MappedFile::from_static(name, bytes), self).map_err(|kind| Error::new(name, kind))
    }
}

impl Checkpoint {
    /// Opens a file the usual way: the first of `state_dict_ema`, `model_ema`, `ema`, `state_dict`,
    /// `model_state_dict`, `model` and `net` that holds tensors, or the file itself.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        OpenOptions::default().open(path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kind of the file.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The top-level key that was opened; `None` when the file itself is the state_dict or module.
    pub fn wrapper(&self) -> Option<&str> {
        self.wrapper.as_deref()
    }

    /// Whether a whole `nn.Module` was saved where a state_dict was expected.
    pub fn is_whole_module(&self) -> bool {
        self.whole_module
    }

    /// What was taken off the front of every name; empty when nothing was.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Keys that were not read: the other top-level keys, and what is no tensor beside the tensors.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The texts in the file; only safetensors has any.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors, under the file's own names less the prefix.
    pub fn state_dict(&self) -> &StateDict {
        &self.state_dict
    }

    /// The tensors, without the rest.
    pub fn into_state_dict(self) -> StateDict {
        self.state_dict
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> usize {
        self.file_len
    }
}

fn open(file: MappedFile, options: &OpenOptions) -> Result<Checkpoint, ErrorKind> {
    let file = Arc::new(file);
    let path = file.path.as_path();
    let container = Container::recognise(file.bytes())?;
    let demanded = options.wrapper.as_deref();
    let read = |graph: &Graph<'_>, storages: &dyn Storages| {
        select(&Objects { graph, storages }, path, file.bytes().len(), demanded)
    };
    let mut metadata = BTreeMap::new();
    let selection = match container {
        Container::Zip => {
            let archive = zip::Archive::open(&file)?;
            let pickle = archive.pickle()?;
            let graph = load(&pickle, Limits::for_file(file.bytes().len()))
                .map_err(|error| container.bad_pickle("its data.pkl", &error))?;
            read(&graph, &archive)?
        }
        Container::LegacyStream => {
            let stream = legacy::Stream::read(&file)?;
            read(&stream.graph, &stream.storages)?
        }
        Container::Tar => {
            let tar = tar::TarFile::read(&file)?;
            read(&tar.graph, &tar.storages)?
        }
        Container::Safetensors => {
            let (tensors, texts) = safetensors::read(&file)?;
            metadata = texts;
            flat(tensors, demanded)?
        }
    };
    let prefix = common_prefix(&selection);
    let tensors = selection.tensors.into_iter();
    Ok(Checkpoint {
        path: path.to_owned(),
        container,
        file_len: file.bytes().len(),
        wrapper: selection.wrapper,
        whole_module: selection.whole_module,
        state_dict: tensors
            .map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor))
            .collect(),
        prefix,
        left_out: selection.left_out,
        metadata,
    })
}

/// A safetensors file is one level of names: it has no wrapper that could be demanded.
fn flat(tensors: Vec<(String, crate::Tensor)>, demanded: Option<&str>) -> Result<Selection, ErrorKind> {
    if let Some(wanted) = demanded {
        let found = Vec::new();
        return Err(ErrorKind::NoSuchWrapper {
            wanted: wanted.to_owned(),
            found,
        });
    }
    if tensors.is_empty() {
        let found = "its header lists none; save a state_dict".to_owned();
        return Err(ErrorKind::NoTensors {
            found,
            calls: Vec::new(),
        });
    }
    Ok(Selection {
        tensors,
        ..Selection::default()
    })
}

/// The longest run of known prefixes that all names have.
fn common_prefix(selection: &Selection) -> String {
    let mut prefix = String::new();
    while let Some(next) = PREFIXES.iter().find(|&&next| {
        selection.tensors.iter().all(|(name, _)| {
            // A name that is nothing but prefixes keeps the last one.
            name[prefix.len()..]
                .strip_prefix(next)
                .is_some_and(|rest| !rest.is_empty())
        })
    }) {
        prefix.push_str(next);
    }
    prefix
}
