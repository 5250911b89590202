//! Recognises tensors and modules in a pickle (`torch/_utils.py`, `torch/_tensor.py`).
//!
//! The pickle machine records calls without interpreting them. This module interprets those of the few torch
//! functions that describe a tensor; calls to anything else stay uninterpreted, which is why a malicious
//! pickle cannot do anything.

use crate::DType;
use crate::dtype::{StorageType, Unsupported};
use crate::pickle::{Graph, Node, Object, Value};
use crate::quote::quote;
use crate::storage::Storage;

/// Maximum nesting of a tensor. A parameter with state, of a subclass, wrapped around a tensor has a nesting
/// of 3.
const MAX_WRAPPING: usize = 8;

/// The maximum number of dimensions, as in PyTorch itself.
const MAX_DIMENSIONS: usize = 64;
const MAX_FLAGS: usize = 8;

/// The storages of a container, to which its pickle refers by key.
pub(crate) trait Storages {
    /// Returns the storage with this key, which has `nbytes` bytes according to the pickle.
    fn storage(&self, key: &str, kind: StorageType, nbytes: usize) -> Result<Storage, String>;

    /// Whether the numbers in the storages are big-endian.
    fn big_endian(&self) -> bool {
        false
    }

    /// Returns the tensor with this persistent id. Only tar archives describe tensors outside the pickle.
    fn tensor(&self, _graph: &Graph<'_>, _id: Value) -> Option<&Dense> {
        None
    }
}

/// A tensor as the file describes it, not yet checked. Offset and strides are in elements.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) offset: usize,
    pub(crate) storage: Storage,
}

/// A recognised tensor.
#[derive(Debug)]
pub(crate) enum Found {
    Dense(Dense),
    /// A tensor that cannot be read, with its shape (empty if unknown) and the name of its kind.
    Unsupported {
        dtype: DType,
        shape: Vec<usize>,
        what: String,
    },
}

/// A reference to a storage: `('storage', class, key, location, numel[, view])`.
pub(crate) struct StorageId {
    pub(crate) kind: StorageType,
    pub(crate) key: String,
    numel: usize,
    /// `(key, offset, numel)` of a view, in elements.
    view: Option<(usize, usize)>,
}

/// Parses a reference to a storage.
///
/// # Errors
/// Describes what is wrong with the reference.
pub(crate) fn storage_id(graph: &Graph<'_>, id: Value) -> Result<StorageId, String> {
    let parts = graph.sequence(id).ok_or("its storage is not a reference")?;
    let &[tag, class, key, _location, numel, ref rest @ ..] = parts else {
        return Err(format!("its storage has {} fields, expected 5 or 6", parts.len()));
    };
    if !graph.is_str(tag, "storage") {
        return Err("its storage is not a reference".to_owned());
    }
    let (module, name) = graph.global(class).ok_or("its storage has no class")?;
    let kind = DType::of_storage_class(&name).ok_or_else(|| {
        format!(
            "its storage has the unknown class {}",
            quote(&format!("{module}.{name}"))
        )
    })?;
    let key = graph.id(key);
    let key = key.ok_or("its storage has no key")?;
    let count = |value: Value| value.int().and_then(|number| usize::try_from(number).ok());
    let numel = count(numel).ok_or("its storage has no length")?;
    let view = match rest.first().map(|&view| (view, graph.sequence(view))) {
        None | Some((Value::None, _)) => None,
        Some((_, Some(&[_key, offset, len]))) => {
            let both = count(offset).zip(count(len));
            Some(both.ok_or("its view of a storage has no length")?)
        }
        Some(_) => return Err("its view of a storage does not have 3 fields".to_owned()),
    };
    Ok(StorageId {
        kind,
        key,
        numel,
        view,
    })
}

/// A pickle and the storages it refers to.
pub(crate) struct Objects<'a> {
    pub(crate) graph: &'a Graph<'a>,
    pub(crate) storages: &'a dyn Storages,
}

type Answer = Result<Option<Found>, String>;

impl Objects<'_> {
    /// Returns the tensor that a value describes; `None` if it describes something else.
    ///
    /// # Errors
    /// Fails if the description of the tensor is invalid.
    pub(crate) fn tensor(&self, value: Value) -> Answer {
        self.tensor_within(value, MAX_WRAPPING)
    }

    fn tensor_within(&self, value: Value, depth: usize) -> Answer {
        match self.graph.node(value) {
            Some(Node::Persistent(id)) => {
                Ok(self.storages.tensor(self.graph, *id).cloned().map(Found::Dense))
            }
            Some(Node::Object(object)) => {
                let args = self.graph.sequence(object.args).unwrap_or_default();
                match self.dense_state(object) {
                    Some(state) => self.rebuilt("_rebuild_tensor", state, depth),
                    None => self.called(object.class, args, depth),
                }
            }
            _ => Ok(None),
        }
    }

    /// The oldest tensors are created empty and receive `(storage, offset, size, stride)` as their state.
    fn dense_state(&self, object: &Object) -> Option<&[Value]> {
        let (module, name) = self.graph.global(object.class)?;
        if !is_torch(&module) || !name.ends_with("Tensor") {
            return None;
        }
        let state = self.graph.sequence(*object.states.last()?)?;
        (state.len() == 4).then_some(state)
    }

    fn called(&self, function: Value, args: &[Value], depth: usize) -> Answer {
        match self.graph.global(function) {
            Some((module, name)) if is_torch(&module) => self.rebuilt(&name, args, depth),
            _ => Ok(None),
        }
    }

    fn rebuilt(&self, name: &str, args: &[Value], depth: usize) -> Answer {
        let Some(depth) = depth.checked_sub(1) else {
            return Err("it is nested too deeply".to_owned());
        };
        let unsupported = |kind, shape: Option<&Value>, what: &str| {
            let shape = shape.and_then(|&shape| self.sizes(shape)).unwrap_or_default();
            Ok(Some(Found::Unsupported {
                dtype: DType::Unsupported(kind),
                shape,
                what: what.to_owned(),
            }))
        };
        match name {
            "_rebuild_tensor" => self.dense(args, None, None),
            "_rebuild_tensor_v2" => self.dense(args, None, args.get(6)),
            "_rebuild_tensor_v3" => {
                let dtype = args.get(6).and_then(|&dtype| self.graph.global(dtype));
                let (_, dtype) = dtype.ok_or("it has no element type")?;
                self.dense(args, Some(&dtype), args.get(7))
            }
            "_rebuild_parameter"
            | "_rebuild_parameter_with_state"
            | "Parameter"
            | "Buffer"
            | "Variable"
            | "_rebuild_device_tensor_from_cpu_tensor" => match args.first() {
                Some(&inner) => self.tensor_within(inner, depth),
                None => Ok(None),
            },
            "_rebuild_from_type" | "_rebuild_from_type_v2" => match *args {
                [function, _, inner, ..] => {
                    let inner = self.graph.sequence(inner).unwrap_or_default();
                    match self.graph.global(function) {
                        Some((module, name)) if is_torch(&module) => self.rebuilt(&name, inner, depth),
                        _ => unsupported(Unsupported::Other, None, "tensor subclass"),
                    }
                }
                _ => Ok(None),
            },
            "_rebuild_qtensor" => unsupported(Unsupported::Quantised, args.get(2), "quantised"),
            "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => {
                unsupported(Unsupported::Sparse, None, "sparse")
            }
            "_rebuild_nested_tensor" => unsupported(Unsupported::Nested, None, "nested"),
            "_rebuild_meta_tensor_no_storage" => {
                unsupported(Unsupported::Meta, args.get(1), "meta (a shape without data)")
            }
            "_rebuild_wrapper_subclass" | "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor" => {
                unsupported(Unsupported::Other, None, "tensor subclass")
            }
            _ => Ok(None),
        }
    }

    /// Interprets the arguments `(storage, offset, size, stride, ...)`.
    fn dense(&self, args: &[Value], dtype: Option<&str>, flags: Option<&Value>) -> Answer {
        let &[storage, offset, size, stride, ..] = args else {
            return Err(format!("it has {} fields, expected 4 or more", args.len()));
        };
        let shape = self.sizes(size).ok_or("its shape is not a tuple of sizes")?;
        let strides = self.sizes(stride).ok_or("its strides are not a tuple of sizes")?;
        let offset = offset.int().and_then(|offset| usize::try_from(offset).ok());
        let offset = offset.ok_or("its offset is not a size")?;
        // A tar archive written with today's functions keeps the reference as a plain tuple.
        let id = match self.graph.node(storage) {
            Some(Node::Persistent(id)) => *id,
            _ => storage,
        };
        let id = storage_id(self.graph, id)?;
        let dtype = match dtype {
            Some(name) => DType::of_torch_name(name),
            None => id.kind.dtype,
        };
        if flags.is_some_and(|&flags| self.is_lazy(flags)) {
            let what = "lazily negated or conjugated".to_owned();
            let dtype = DType::Unsupported(Unsupported::Other);
            return Ok(Some(Found::Unsupported { dtype, shape, what }));
        }
        if let DType::Unsupported(_) = dtype {
            let what = dtype.name().to_owned();
            return Ok(Some(Found::Unsupported { dtype, shape, what }));
        }
        let nbytes = id
            .numel
            .checked_mul(id.kind.size)
            .ok_or("its storage is too large for any memory")?;
        let mut storage = self.storages.storage(&id.key, id.kind, nbytes)?;
        if let Some((start, len)) = id.view {
            let bytes = |count: usize| count.checked_mul(id.kind.size);
            storage = bytes(start)
                .zip(bytes(len))
                .and_then(|(start, len)| storage.part(start, len))
                .ok_or("its view reaches beyond its storage")?;
        }
        Ok(Some(Found::Dense(Dense {
            dtype,
            shape,
            strides,
            offset,
            storage,
        })))
    }

    /// Returns whether PyTorch negates or conjugates the tensor when it is read. There are two such flags; a
    /// longer list contains unknown ones, so the tensor counts as lazy.
    fn is_lazy(&self, flags: Value) -> bool {
        if self.graph.entry_count(flags) > MAX_FLAGS {
            return true;
        }
        let flags = self.graph.entries(flags).unwrap_or_default();
        flags.iter().any(|&(key, value)| {
            matches!(self.graph.raw(key), Some(b"neg" | b"conj")) && value == Value::Bool(true)
        })
    }

    /// Reads a tuple of sizes, or a `torch.Size` made from one. Returns `None` if any size is not a
    /// non-negative integer.
    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let sizes = match self.graph.object(value) {
            Some(object) => self.graph.sequence(*self.graph.sequence(object.args)?.first()?)?,
            None => self.graph.sequence(value)?,
        };
        if sizes.len() > MAX_DIMENSIONS || !self.graph.budget.step(sizes.len()) {
            return None;
        }
        sizes
            .iter()
            .map(|&size| usize::try_from(size.int()?).ok())
            .collect()
    }

    /// Returns the value as a whole `nn.Module`: an instance with parameters or submodules.
    pub(crate) fn module(&self, value: Value) -> Option<&Object> {
        let object = self.graph.object(value)?;
        let has = |name| {
            self.graph
                .attribute(object, name)
                .is_some_and(|value| self.graph.is_mapping(value))
        };
        (has("_parameters") || has("_modules")).then_some(object)
    }
}

/// Returns whether a module belongs to PyTorch. A function of the same name in another module is a different
/// function.
fn is_torch(module: &str) -> bool {
    module == "torch" || module.starts_with("torch.")
}
