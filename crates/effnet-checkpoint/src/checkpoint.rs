//! Opening a checkpoint: recognising the container, selecting the state_dict, stripping the prefix.
//!
//! People save the same network in many ways: as a state_dict, inside a training checkpoint, as a whole
//! module, behind `DataParallel`. Everything that reads weights opens files here, so every command accepts
//! the same files and reports the same decisions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::budget::{Budget, Work};
use crate::container::{keras, legacy, safetensors, tar, zip};
use crate::error::{Error, ErrorKind};
use crate::mapped::MappedFile;
use crate::object::{Objects, Storages};
use crate::pickle::{Graph, Value, load};
use crate::search::{Site, prefix_of};
use crate::selection::{Layer, Selection, only, select};
use crate::{Container, StateDict};

/// Prefixes added to every name by module wrappers (`nn.DataParallel`, `torch.compile`) and by the attributes
/// in which training programs keep the network.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "backbone.", "encoder."];

/// An opened checkpoint: the state_dict of a file, and how it was found.
///
/// Opening maps the file into memory and parses its description; the bytes of a tensor are read on demand,
/// directly from the map.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    container: Container,
    file_len: usize,
    wrapper: Option<String>,
    whole_module: bool,
    prefix: String,
    left_out: Vec<String>,
    calls: Vec<String>,
    metadata: BTreeMap<String, String>,
    statements: Vec<(String, String)>,
    layers: Vec<Layer>,
    aside: StateDict,
    state_dict: StateDict,
}

/// Options for opening a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The top-level key to open instead of the first default key: for example `state_dict` rather than the
    /// averaged `state_dict_ema`. With [`anchors`](Self::anchors), this may also name keys below it and the
    /// prefix of a network, joined by dots: `checkpoint.model`, `state_dict.student`. The elements of a list or
    /// tuple have the keys `0`, `1` and so on.
    pub wrapper: Option<String>,
    /// Names of tensors that every network contains exactly once. If any are set, the state_dict is searched
    /// for under all keys and prefixes, and whatever precedes an anchor is stripped from the names.
    pub anchors: &'static [&'static str],
}

impl OpenOptions {
    /// Sets [`wrapper`](Self::wrapper).
    #[must_use]
    pub fn with_wrapper(mut self, wrapper: impl Into<String>) -> Self {
        self.wrapper = Some(wrapper.into());
        self
    }

    /// Sets [`anchors`](Self::anchors).
    #[must_use]
    pub const fn with_anchors(mut self, anchors: &'static [&'static str]) -> Self {
        self.anchors = anchors;
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error`], which names the file, the problem and a remedy. Whatever the file contains, nothing in it
    /// is executed, time is linear in its size, and memory stays below twice its size plus 64 MiB.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        self.open_measured(path).0
    }

    /// Opens a file and also returns the work charged for reading it, even if the file is rejected. The work
    /// is at most [`Work::limit_for`] the size of the file, plus the one charge that exceeded the limit.
    ///
    /// # Errors
    /// Same as [`OpenOptions::open`].
    pub fn open_measured(&self, path: impl AsRef<Path>) -> (Result<Checkpoint, Error>, Work) {
        let path = path.as_ref();
        let (opened, work) = match MappedFile::open(path) {
            Ok(file) => open(file, self),
            Err(kind) => (Err(kind), Budget::for_file(0).work()),
        };
        (opened.map_err(|kind| Error::new(path, kind)), work)
    }

    /// Opens a file held in memory, without copying it. Messages refer to it as `name`.
    ///
    /// # Errors
    /// Same as [`OpenOptions::open`].
    pub fn open_bytes(
        &self,
        name: impl AsRef<Path>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Checkpoint, Error> {
        self.open_bytes_measured(name, bytes).0
    }

    /// Opens a file held in memory and also returns the work charged for reading it, like
    /// [`open_measured`](Self::open_measured).
    ///
    /// # Errors
    /// Same as [`OpenOptions::open`].
    pub fn open_bytes_measured(
        &self,
        name: impl AsRef<Path>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> (Result<Checkpoint, Error>, Work) {
        let name = name.as_ref();
        let (opened, work) = open(MappedFile::in_memory(name, bytes.into()), self);
        (opened.map_err(|kind| Error::new(name, kind)), work)
    }
}

impl Checkpoint {
    /// Opens a file with the default options, which select the first of the keys `state_dict_ema`,
    /// `model_ema`, `ema`, `state_dict`, `model_state_dict`, `model` and `net` that contains tensors, or the only
    /// element of a list that does, or else the file itself.
    ///
    /// # Errors
    /// Same as [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        OpenOptions::default().open(path)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container format of the file.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The top-level key or the number of the element that was opened; `None` if the file itself is the state_dict or module.
    pub fn wrapper(&self) -> Option<&str> {
        self.wrapper.as_deref()
    }

    /// Whether a whole `nn.Module` was saved instead of a state_dict.
    pub fn is_whole_module(&self) -> bool {
        self.whole_module
    }

    /// The prefix that was stripped from every name; empty if there was none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The keys that were skipped: other top-level keys, and non-tensor entries stored next to the tensors.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The functions and classes that unpickling the file in Python would call, except those that ordinary
    /// checkpoints call, as `module.name` in sorted order. Empty for a safetensors file. Opening the file
    /// called none of them.
    pub fn calls(&self) -> &[String] {
        &self.calls
    }

    /// The metadata of the file; only safetensors files and Keras files of this project have any.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Short strings and numbers that the file states in addition to its tensors. Each comes with the keys
    /// that lead to it, joined by dots: `arch`, `args.model`, `hyper_parameters.model_name`. There are at
    /// most 256.
    pub fn statements(&self) -> &[(String, String)] {
        &self.statements
    }

    /// The layers of a whole module, with their full names; empty for a state_dict.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Tensors stored next to the network but without its prefix, under their names in the file.
    pub fn aside(&self) -> &StateDict {
        &self.aside
    }

    /// The tensors, under their names in the file minus the prefix.
    pub fn state_dict(&self) -> &StateDict {
        &self.state_dict
    }

    /// Replaces the tensors and the metadata, for callers that know more about the network.
    #[must_use]
    pub fn with_contents(mut self, state_dict: StateDict, metadata: BTreeMap<String, String>) -> Checkpoint {
        self.state_dict = state_dict;
        self.metadata = metadata;
        self
    }

    /// Returns the tensors and drops everything else.
    pub fn into_state_dict(self) -> StateDict {
        self.state_dict
    }

    /// The size of the file in bytes.
    pub fn file_len(&self) -> usize {
        self.file_len
    }
}

fn open(file: MappedFile, options: &OpenOptions) -> (Result<Checkpoint, ErrorKind>, Work) {
    let budget = Budget::for_file(file.bytes().len());
    let opened = open_within(&budget, &Arc::new(file), options);
    // An exceeded budget hides parts of the file, so it is reported before any other error.
    (budget.check().and(opened), budget.work())
}

fn open_within(
    budget: &Budget,
    file: &Arc<MappedFile>,
    options: &OpenOptions,
) -> Result<Checkpoint, ErrorKind> {
    let path = file.path.as_path();
    let mut container = Container::recognise(file.bytes())?;
    let mut keras_archive = None;
    if container == Container::Zip {
        keras_archive = keras::read_archive(file, budget)?;
        container = if keras_archive.is_some() {
            Container::Keras
        } else {
            container
        };
    }
    let requested = options.wrapper.as_deref();
    let read = |graph: &Graph<'_>, storages: &dyn Storages| {
        select(&Objects { graph, storages }, path, requested, options.anchors)
    };
    let mut metadata = BTreeMap::new();
    let selection = match container {
        Container::Hdf5 | Container::Keras => {
            let contents = match keras_archive {
                Some(contents) => contents,
                None => keras::read(file, budget)?,
            };
            metadata.clone_from(&contents.metadata);
            of_keras(contents, requested, options.anchors)?
        }
        Container::Zip => {
            let archive = zip::Archive::open(file, budget)?;
            let pickle = archive.pickle()?;
            let graph =
                load(&pickle, budget).map_err(|error| container.bad_pickle("its data.pkl", &error))?;
            read(&graph, &archive)?
        }
        Container::LegacyStream => {
            let stream = legacy::Stream::read(file, budget)?;
            read(&stream.graph, &stream.storages)?
        }
        Container::Tar => {
            let tar = tar::TarFile::read(file, budget)?;
            read(&tar.graph, &tar.storages)?
        }
        Container::Safetensors => {
            let (tensors, entries) = safetensors::read(file, budget)?;
            metadata = entries;
            flat(tensors, requested, options.anchors)?
        }
    };
    let prefix = match &selection.prefix {
        Some(prefix) => prefix.clone(),
        None => common_prefix(&selection),
    };
    let mut left_out = selection.left_out;
    let (mut state_dict, mut aside) = (StateDict::new(), StateDict::new());
    for (name, tensor) in selection.tensors {
        if let Some(stripped) = name.strip_prefix(&prefix) {
            state_dict.insert(stripped, tensor);
        } else {
            budget.name(name.len())?;
            left_out.push(name.clone());
            aside.insert(name, tensor);
        }
    }
    Ok(Checkpoint {
        path: path.to_owned(),
        container,
        file_len: file.bytes().len(),
        wrapper: selection.wrapper,
        whole_module: selection.whole_module,
        state_dict,
        aside,
        prefix,
        left_out,
        calls: selection.calls,
        statements: selection.statements,
        layers: selection.layers,
        metadata,
    })
}

/// Selects the tensors of a Keras file.
fn of_keras(
    contents: keras::Contents,
    requested: Option<&str>,
    anchors: &[&str],
) -> Result<Selection, ErrorKind> {
    if contents.tensors.is_empty() {
        let found = "this HDF5 file has no variables of layers; save the weights with Keras".to_owned();
        return Err(ErrorKind::NoTensors {
            found,
            calls: Vec::new(),
        });
    }
    let mut selection = flat(contents.tensors, requested, anchors)?;
    selection.left_out.extend(contents.left_out);
    Ok(selection)
}

/// Selects the tensors of a safetensors file. Its names have a single level, so a key can only be the prefix
/// of a network.
fn flat(
    tensors: Vec<(String, crate::Tensor)>,
    requested: Option<&str>,
    anchors: &[&str],
) -> Result<Selection, ErrorKind> {
    let prefixes = tensors.iter().filter_map(|(name, _)| prefix_of(name, anchors));
    let mut sites: Vec<Site> = prefixes
        .map(|prefix| Site {
            path: String::new(),
            value: Value::None,
            prefix: prefix.to_owned(),
        })
        .collect();
    if let Some(wanted) = requested {
        let found: Vec<String> = sites
            .iter()
            .map(Site::key)
            .filter(|key| !key.is_empty())
            .collect();
        sites.retain(|site| site.key() == wanted);
        if sites.is_empty() {
            let wanted = wanted.to_owned();
            return Err(ErrorKind::NoSuchWrapper { wanted, found });
        }
    }
    let prefix = only(sites)?.map(|site| site.prefix);
    if tensors.is_empty() {
        let found = "the header lists none; save a state_dict".to_owned();
        return Err(ErrorKind::NoTensors {
            found,
            calls: Vec::new(),
        });
    }
    Ok(Selection {
        tensors,
        prefix,
        ..Selection::default()
    })
}

/// Returns the longest sequence of known prefixes that all names share.
fn common_prefix(selection: &Selection) -> String {
    let mut prefix = String::new();
    while let Some(next) = PREFIXES.iter().find(|&&next| {
        selection.tensors.iter().all(|(name, _)| {
            // A name that consists only of prefixes keeps the last one.
            name[prefix.len()..]
                .strip_prefix(next)
                .is_some_and(|rest| !rest.is_empty())
        })
    }) {
        prefix.push_str(next);
    }
    prefix
}
