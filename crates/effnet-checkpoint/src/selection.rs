//! Which of a saved object's parts is the state_dict.

use std::cell::Cell;
use std::path::Path;

use crate::error::ErrorKind;
use crate::object::{Dense, Found, Objects};
use crate::pickle::{Object, Value};
use crate::tensor::byte_count;
use crate::{DType, Tensor};

/// Keys under which training programs put parameters, in the order in which they are looked for: averages
/// first, because those are what was evaluated.
const WRAPPERS: [&str; 7] = [
    "state_dict_ema",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
];

/// What unpickling calls in an ordinary checkpoint; anything else is worth telling.
const ORDINARY_CALLS: [&str; 12] = [
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "builtins.set",
    "__builtin__.set",
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
];

/// A module inside a module inside a module ...: real networks have 10 such levels.
const MAX_MODULE_DEPTH: usize = 100;
/// Entries visited, and bytes of names made, while modules are walked. A pickle may use one module a
/// million times and be small; names multiply then.
const MAX_VISITS: usize = 1_000_000;
const MAX_NAME_BYTES: usize = 64 << 20;
/// Expanded and transposed tensors are copied when they are asked for. Together they may take this many
/// times the file, or this many bytes where the file is tiny.
const MAX_COPIES: usize = 4;
const SMALL_COPY: usize = 1 << 20;

/// The chosen part.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) wrapper: Option<String>,
    pub(crate) whole_module: bool,
    pub(crate) left_out: Vec<String>,
}

/// Finds and reads the state_dict of a saved object.
pub(crate) fn select(
    objects: &Objects<'_>,
    path: &Path,
    file_len: usize,
    demanded: Option<&str>,
) -> Result<Selection, ErrorKind> {
    let selector = Selector {
        objects,
        path,
        copy_limit: SMALL_COPY.max(file_len.saturating_mul(MAX_COPIES)),
        copied: Cell::new(0),
        visits: Cell::new(0),
        name_bytes: Cell::new(0),
    };
    selector.select(demanded)
}

struct Selector<'a> {
    objects: &'a Objects<'a>,
    path: &'a Path,
    copy_limit: usize,
    copied: Cell<usize>,
    visits: Cell<usize>,
    name_bytes: Cell<usize>,
}

type Entries = Vec<(Value, Value)>;

impl Selector<'_> {
    fn select(&self, demanded: Option<&str>) -> Result<Selection, ErrorKind> {
        let root = self.objects.graph.root;
        let mut selection = Selection::default();
        let entries = match self.objects.module(root) {
            Some(_) => Vec::new(),
            None => self.objects.graph.entries(root).unwrap_or_default(),
        };
        let (chosen, opened) = match self.wrapper(&entries, demanded)? {
            Some((name, value)) => {
                selection.left_out = entries
                    .iter()
                    .map(|&(key, _)| self.key(key))
                    .filter(|key| *key != name)
                    .collect();
                (value, Some(name))
            }
            None => (root, None),
        };
        selection.wrapper = opened;
        if let Some(module) = self.objects.module(chosen) {
            selection.whole_module = true;
            self.walk(module, "", 0, &mut selection)?;
        } else {
            let entries = self.objects.graph.entries(chosen).unwrap_or_default();
            self.collect(&entries, "", &mut selection)?;
        }
        if selection.tensors.is_empty() {
            return Err(self.nothing(&entries, selection.wrapper.as_deref()));
        }
        Ok(selection)
    }

    /// The first wrapper that holds tensors, or the demanded key whatever it holds.
    fn wrapper(
        &self,
        entries: &Entries,
        demanded: Option<&str>,
    ) -> Result<Option<(String, Value)>, ErrorKind> {
        let find = |name: &str| entries.iter().rev().find(|&&(key, _)| self.is_key(key, name));
        if let Some(wanted) = demanded {
            let found = find(wanted).ok_or_else(|| ErrorKind::NoSuchWrapper {
                wanted: wanted.to_owned(),
                found: entries.iter().map(|&(key, _)| self.key(key)).collect(),
            })?;
            return Ok(Some((wanted.to_owned(), found.1)));
        }
        Ok(WRAPPERS.iter().find_map(|&name| {
            let &(_, value) = find(name)?;
            self.holds_tensors(value).then(|| (name.to_owned(), value))
        }))
    }

    fn is_key(&self, key: Value, name: &str) -> bool {
        self.objects.graph.raw(key) == Some(name.as_bytes())
    }

    fn key(&self, key: Value) -> String {
        match self.objects.graph.str(key) {
            Some(text) => text.into_owned(),
            None => key
                .int()
                .map_or("(a key that is no string)".to_owned(), |key| key.to_string()),
        }
    }

    fn holds_tensors(&self, value: Value) -> bool {
        self.objects.module(value).is_some()
            || self
                .objects
                .graph
                .entries(value)
                .is_some_and(|entries| entries.iter().any(|&(_, value)| self.is_tensor(value)))
    }

    /// A damaged tensor is one, too: its error is for whoever reads it.
    fn is_tensor(&self, value: Value) -> bool {
        !matches!(self.objects.tensor(value), Ok(None))
    }

    /// Takes the tensors of one level; what is no tensor is left out by name.
    fn collect(&self, entries: &Entries, prefix: &str, selection: &mut Selection) -> Result<(), ErrorKind> {
        for &(key, value) in entries {
            let name = format!("{prefix}{}", self.key(key));
            self.spend(name.len())?;
            let found = self.objects.tensor(value);
            match found.map_err(|what| ErrorKind::BadTensor {
                name: name.clone(),
                what,
            })? {
                Some(found) => {
                    let tensor = self.finish(&name, found)?;
                    selection.tensors.push((name, tensor));
                }
                // A module registers `bias=None` for a layer without one.
                None if value == Value::None && selection.whole_module => {}
                None => selection.left_out.push(match &selection.wrapper {
                    Some(wrapper) => format!("{wrapper}.{name}"),
                    None => name,
                }),
            }
        }
        Ok(())
    }

    /// Parameters, then buffers, then the modules inside: the order of `nn.Module.state_dict`.
    fn walk(
        &self,
        module: &Object,
        prefix: &str,
        depth: usize,
        selection: &mut Selection,
    ) -> Result<(), ErrorKind> {
        let graph = self.objects.graph;
        let part = |name| {
            graph
                .attribute(module, name)
                .and_then(|value| graph.entries(value))
                .unwrap_or_default()
        };
        self.collect(&part("_parameters"), prefix, selection)?;
        let transient = graph
            .attribute(module, "_non_persistent_buffers_set")
            .map(|names| graph.strings(names))
            .unwrap_or_default();
        let mut buffers = part("_buffers");
        buffers.retain(|&(key, _)| !transient.contains(&self.key(key)));
        self.collect(&buffers, prefix, selection)?;
        for (key, value) in part("_modules") {
            let name = format!("{prefix}{}.", self.key(key));
            self.spend(name.len())?;
            let Some(inner) = self.objects.module(value) else {
                continue;
            };
            if depth == MAX_MODULE_DEPTH {
                let what = format!("it is a module inside more than {MAX_MODULE_DEPTH} others");
                return Err(ErrorKind::BadTensor { name, what });
            }
            self.walk(inner, &name, depth + 1, selection)?;
        }
        Ok(())
    }

    fn spend(&self, name_bytes: usize) -> Result<(), ErrorKind> {
        self.visits.set(self.visits.get() + 1);
        self.name_bytes.set(self.name_bytes.get() + name_bytes);
        if self.visits.get() > MAX_VISITS || self.name_bytes.get() > MAX_NAME_BYTES {
            return Err(ErrorKind::TooBig {
                what: "listing the names in it".to_owned(),
                size: self.name_bytes.get() as u64,
                limit: MAX_NAME_BYTES as u64,
            });
        }
        Ok(())
    }

    /// Checks that the storage holds every element that shape and strides reach.
    fn finish(&self, name: &str, found: Found) -> Result<Tensor, ErrorKind> {
        let bad = |what: String| ErrorKind::BadTensor {
            name: name.to_owned(),
            what,
        };
        let Dense {
            dtype,
            shape,
            strides,
            offset,
            storage,
        } = match found {
            Found::Dense(dense) => dense,
            Found::Unsupported { dtype, shape, what } => {
                let numel = byte_count(DType::U8, &shape);
                numel.ok_or_else(|| bad(format!("its shape {shape:?} is beyond any memory")))?;
                return Ok(Tensor::unsupported(
                    dtype,
                    shape,
                    self.path.to_owned(),
                    name,
                    &what,
                ));
            }
        };
        if let DType::Unsupported(_) = dtype {
            let (path, what) = (self.path.to_owned(), dtype.name());
            return Ok(Tensor::unsupported(dtype, shape, path, name, what));
        }
        if shape.len() != strides.len() {
            return Err(bad(format!(
                "its shape {shape:?} and its strides {strides:?} differ in length"
            )));
        }
        let nbytes = byte_count(dtype, &shape)
            .filter(|_| byte_count(DType::U8, &nonzero(&shape)).is_some())
            .ok_or_else(|| bad(format!("its shape {shape:?} is beyond any memory")))?;
        let reached = reach(&shape, &strides).and_then(|reach| reach.checked_mul(dtype.size()));
        let view = reached
            .zip(offset.checked_mul(dtype.size()))
            .and_then(|(len, start)| {
                if len == 0 {
                    storage.part(0, 0)
                } else {
                    storage.part(start, len)
                }
            });
        let view = view.ok_or_else(|| {
            bad(format!(
                "shape {shape:?}, strides {strides:?} and offset {offset} of {dtype} reach beyond its storage \
                 of {} bytes",
                storage.len()
            ))
        })?;
        let tensor = Tensor::view(dtype, shape, strides, view, self.objects.storages.big_endian());
        if !tensor.is_contiguous() {
            self.copied.set(self.copied.get().saturating_add(nbytes));
            if self.copied.get() > self.copy_limit {
                return Err(ErrorKind::TooBig {
                    what: format!("copying the views up to tensor `{name}`"),
                    size: self.copied.get() as u64,
                    limit: self.copy_limit as u64,
                });
            }
        }
        Ok(tensor)
    }

    /// The error for an object without named tensors at the places looked at.
    fn nothing(&self, entries: &Entries, wrapper: Option<&str>) -> ErrorKind {
        let graph = self.objects.graph;
        let elsewhere: Vec<String> = entries
            .iter()
            .filter(|&&(_, value)| self.holds_tensors(value))
            .map(|&(key, _)| format!("`{}`", self.key(key)))
            .collect();
        let keys: Vec<String> = entries
            .iter()
            .take(12)
            .map(|&(key, _)| format!("`{}`", self.key(key)))
            .collect();
        let found = if let Some(wrapper) = wrapper {
            format!("`{wrapper}` holds no named tensors; open the file without it to see what there is")
        } else if self.is_tensor(graph.root) {
            "the file is a single tensor without a name; save a state_dict instead".to_owned()
        } else if !elsewhere.is_empty() {
            format!(
                "none of the usual keys, but {} has tensors: ask for it by name",
                elsewhere.join(", ")
            )
        } else if keys.is_empty() {
            "the saved object is no dict and no module, or an empty one; save a state_dict".to_owned()
        } else {
            format!(
                "the saved dict has {} and no tensors in them; save a state_dict",
                keys.join(", ")
            )
        };
        let calls = graph
            .called()
            .into_iter()
            .filter(|name| !is_ordinary(name))
            .collect();
        ErrorKind::NoTensors { found, calls }
    }
}

fn is_ordinary(name: &str) -> bool {
    name.starts_with("torch.") || ORDINARY_CALLS.contains(&name)
}

/// The sizes with each 0 replaced, so that their product does not hide an overflow.
fn nonzero(shape: &[usize]) -> Vec<usize> {
    shape.iter().map(|&size| size.max(1)).collect()
}

/// Elements from the first to the last one that the strides reach.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let steps = shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |total, (&size, &stride)| {
            total.checked_add((size - 1).checked_mul(stride)?)
        });
    steps?.checked_add(1)
}
