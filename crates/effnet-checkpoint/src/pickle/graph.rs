//! The object graph that a pickle describes, and queries on it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use crate::budget::Budget;

/// Classes that are mappings even if empty.
const MAPPINGS: [&str; 4] = ["OrderedDict", "Counter", "dict", "defaultdict"];
/// Maximum size of a class name or a key in bytes. PyTorch's are shorter than 100.
const MAX_SHORT: usize = 256;
/// Maximum number of attributes of an instance, and of its states. A module has 30 attributes and one state.
const MAX_ATTRIBUTES: usize = 1024;
const MAX_STATES: usize = 2;

/// A Python object, or a reference to one. Copying it does not copy its contents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A float, as 32 bits, which is enough for constants such as a batch norm's epsilon. NaN if it was
    /// written as text (protocol 0).
    Float(f32),
    /// An integer beyond 64 bits, by the position of its little-endian two's complement bytes in the pickle.
    Long {
        start: u32,
        len: u32,
    },
    /// A string or bytes object, by its position in the pickle.
    Str {
        start: u32,
        len: u32,
    },
    /// A string that had to be unescaped (protocol 0), as an index into the graph's texts.
    Text(u32),
    /// Index into the graph's nodes.
    Node(u32),
}

impl Value {
    /// The value of an integer.
    pub(crate) fn int(self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }
}

/// A Python object that refers to other objects.
#[derive(Debug)]
pub(crate) enum Node {
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// An imported name, as module and qualified name.
    Global {
        module: Value,
        name: Value,
    },
    /// A reference to something outside the pickle: a storage, or a class with its source text.
    Persistent(Value),
    /// The result of a call that was not made.
    Object(Box<Object>),
}

/// A call or an instance: the function, its arguments, and what was assigned to the result.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) class: Value,
    pub(crate) args: Value,
    /// Arguments of `__setstate__`, in order.
    pub(crate) states: Vec<Value>,
    /// Entries assigned to the result.
    pub(crate) items: Vec<(Value, Value)>,
    /// Elements appended to the result.
    pub(crate) elements: Vec<Value>,
}

/// The result of reading one pickle.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) nodes: Vec<Node>,
    pub(crate) texts: Vec<String>,
    pub(crate) root: Value,
    /// Length of the pickle, including its STOP.
    pub(crate) consumed: usize,
    /// The budget to which queries are charged. Once it is exceeded, they find nothing.
    pub(crate) budget: &'a Budget,
}

impl Graph<'_> {
    pub(crate) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    /// Returns the raw bytes of a string, a bytes object or a long integer.
    pub(crate) fn raw(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Str { start, len } | Value::Long { start, len } => {
                let start = start as usize;
                self.bytes.get(start..start + len as usize)
            }
            Value::Text(index) => self.texts.get(index as usize).map(String::as_bytes),
            _ => None,
        }
    }

    /// Returns whether a value is this string.
    pub(crate) fn is_str(&self, value: Value, text: &str) -> bool {
        self.raw(value) == Some(text.as_bytes())
    }

    /// Returns a string. Python 2 wrote byte strings without recording the encoding; whatever is not UTF-8 is
    /// read as Latin-1, as `torch.load` eventually does.
    pub(crate) fn str(&self, value: Value) -> Option<Cow<'_, str>> {
        if matches!(value, Value::Long { .. }) {
            return None;
        }
        let raw = self.raw(value)?;
        if !self.budget.read(raw.len()) {
            return None;
        }
        Some(match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(raw.iter().map(|&byte| char::from(byte)).collect()),
        })
    }

    /// Returns the elements of a tuple or a list.
    pub(crate) fn sequence(&self, value: Value) -> Option<&[Value]> {
        if !self.budget.step(1) {
            return None;
        }
        match self.node(value)? {
            Node::Tuple(items) => Some(items),
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn object(&self, value: Value) -> Option<&Object> {
        match self.node(value)? {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the module and the name of an import. A persistent reference to a class (`('module', class,
    /// file, source)` in old whole-module files, `(class, file, source)` in a tar archive) counts as that
    /// class.
    pub(crate) fn global(&self, value: Value) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        let (module, name) = match self.node(value)? {
            Node::Global { module, name } => (*module, *name),
            Node::Persistent(id) => {
                let parts = self.sequence(*id)?;
                parts.iter().take(2).find_map(|&part| match self.node(part)? {
                    Node::Global { module, name } => Some((*module, *name)),
                    _ => None,
                })?
            }
            _ => return None,
        };
        Some((self.short_str(module)?, self.short_str(name)?))
    }

    /// Returns a string that is read once per reference to it, and therefore must be short.
    fn short_str(&self, value: Value) -> Option<Cow<'_, str>> {
        self.raw(value).filter(|raw| raw.len() <= MAX_SHORT)?;
        self.str(value)
    }

    /// Returns the key of a storage or the number of a tensor, as text.
    pub(crate) fn id(&self, value: Value) -> Option<String> {
        match value.int() {
            Some(number) => Some(number.to_string()),
            None => self.short_str(value).map(Cow::into_owned),
        }
    }

    /// Returns the number of entries that [`Graph::entries`] or [`Graph::strings`] would visit.
    pub(crate) fn entry_count(&self, value: Value) -> usize {
        match self.node(value) {
            Some(Node::Dict(items)) => items.len(),
            Some(Node::List(items) | Node::Set(items)) => items.len(),
            Some(Node::Tuple(items)) => items.len(),
            Some(Node::Object(object)) => {
                let args = self.sequence(object.args).unwrap_or_default();
                let constructor = args.iter().take(2).map(|&arg| match self.node(arg) {
                    Some(Node::Dict(items)) => items.len(),
                    _ => self.sequence(arg).map_or(0, <[Value]>::len),
                });
                let state = match object.states.last().and_then(|&state| self.node(state)) {
                    Some(Node::Dict(items)) => items.len(),
                    _ => 0,
                };
                object.items.len() + constructor.sum::<usize>() + state
            }
            _ => 0,
        }
    }

    pub(crate) fn is_mapping(&self, value: Value) -> bool {
        match self.node(value) {
            Some(Node::Dict(_)) => true,
            Some(Node::Object(object)) => {
                !object.items.is_empty()
                    || self
                        .global(object.class)
                        .is_some_and(|(_, name)| MAPPINGS.contains(&name.as_ref()))
            }
            _ => false,
        }
    }

    /// Returns the entries of a dict, an `OrderedDict` or any other class with assigned keys, in order of
    /// assignment; `None` for other values. Duplicate keys are not removed: as in Python, the last one
    /// counts.
    pub(crate) fn entries(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        match self.node(value)? {
            Node::Dict(items) => Some(items.clone()),
            Node::Object(object) => {
                let mut entries = self.constructor_entries(object);
                if entries.is_none() && object.items.is_empty() {
                    return None;
                }
                let all = entries.get_or_insert_default();
                all.extend_from_slice(&object.items);
                entries
            }
            _ => None,
        }
    }

    /// Returns the entries of `OrderedDict([(key, value), ...])` and similar constructors.
    fn constructor_entries(&self, object: &Object) -> Option<Vec<(Value, Value)>> {
        let (_, name) = self.global(object.class)?;
        let args = self.sequence(object.args)?;
        let source = match name.as_ref() {
            "defaultdict" => args.get(1),
            name if MAPPINGS.contains(&name) => args.first(),
            _ => return None,
        };
        let Some(&source) = source else {
            return Some(Vec::new());
        };
        if let Some(Node::Dict(items)) = self.node(source) {
            return Some(items.clone());
        }
        let pairs = self.sequence(source)?;
        Some(
            pairs
                .iter()
                .filter_map(|&pair| match self.sequence(pair)? {
                    &[key, value] => Some((key, value)),
                    _ => None,
                })
                .collect(),
        )
    }

    /// Returns the elements of a tuple or a list under their numbers, as [`entries`](Self::entries) returns those of
    /// a dict; `None` for other values.
    pub(crate) fn numbered(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        let elements = self.sequence(value)?.iter();
        Some((0..).map(Value::Int).zip(elements.copied()).collect())
    }

    /// Returns the value of `instance.name` after unpickling, for an attribute in the state of the instance.
    pub(crate) fn attribute(&self, object: &Object, name: &str) -> Option<Value> {
        object.states.iter().rev().take(MAX_STATES).find_map(|&state| {
            // An object with slots has the state (dict, slots).
            let dict = match self.node(state)? {
                Node::Tuple(parts) => *parts.first()?,
                _ => state,
            };
            match self.node(dict)? {
                Node::Dict(items) if items.len() <= MAX_ATTRIBUTES && self.budget.step(items.len()) => items
                    .iter()
                    .rev()
                    .find(|&&(key, _)| self.is_str(key, name))
                    .map(|&(_, value)| value),
                _ => None,
            }
        })
    }

    /// Returns the named contents of a mapping or an instance: its entries, or its attributes if it has no
    /// entries.
    pub(crate) fn members(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        if let Some(entries) = self.entries(value) {
            return Some(entries);
        }
        let state = *self.object(value)?.states.last()?;
        match self.node(state)? {
            Node::Dict(items) if items.len() <= MAX_ATTRIBUTES => Some(items.clone()),
            _ => None,
        }
    }

    /// Returns the strings in a set, list or tuple, or in a call such as `set([...])`, as raw bytes. A file
    /// may list the same string any number of times, so none is copied.
    pub(crate) fn strings(&self, value: Value) -> HashSet<&[u8]> {
        let elements = match self.node(value) {
            Some(Node::Tuple(items)) => &items[..],
            Some(Node::List(items) | Node::Set(items)) => &items[..],
            Some(Node::Object(object)) => self
                .sequence(object.args)
                .and_then(|args| args.first())
                .and_then(|&first| self.sequence(first))
                .unwrap_or_default(),
            _ => &[],
        };
        let mut strings = HashSet::new();
        for raw in elements.iter().filter_map(|&element| self.raw(element)) {
            // Hashing reads the whole string for every reference to it.
            if !self.budget.read(raw.len()) || !self.budget.hold(2 * size_of::<&[u8]>()) {
                break;
            }
            strings.insert(raw);
        }
        strings
    }

    /// Returns the functions that unpickling in Python would call, as `module.name`, sorted, without
    /// duplicates.
    pub(crate) fn called(&self) -> BTreeSet<String> {
        let mut classes: Vec<Value> = self
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Object(object) => Some(object.class),
                _ => None,
            })
            .collect();
        let index = |value: &Value| match *value {
            Value::Node(index) => Some(index),
            _ => None,
        };
        classes.sort_unstable_by_key(index);
        classes.dedup_by_key(|value| index(value));
        let mut names = BTreeSet::new();
        for class in classes {
            if let Some((module, name)) = self.global(class) {
                let name = format!("{module}.{name}");
                if !names.contains(&name) && self.budget.name(name.len()).is_ok() {
                    names.insert(name);
                }
            }
        }
        names
    }
}
