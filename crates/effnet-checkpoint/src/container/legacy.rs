//! The stream format of `torch.save` from 0.1.10 to 1.5: five pickles, then the storages (`_legacy_save` and
//! `_legacy_load` in `torch/serialization.py`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::Container;
use crate::budget::{Budget, STORAGE};
use crate::dtype::StorageType;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::object::{Storages, storage_id};
use crate::pickle::{Graph, Node, Value, load};
use crate::quote::quote;
use crate::storage::Storage;

const STREAM: Container = Container::LegacyStream;

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same number in decimal digits, as protocol 0 writes it.
const MAGIC_DIGITS: &[u8] = b"119547037146038801333356L";
const PROTOCOL: i64 = 1001;

/// Returns whether the first pickle is the magic number, in any protocol.
pub(crate) fn is_stream(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    match load(head, &Budget::for_instructions(8)) {
        Ok(graph) => matches!(graph.raw(graph.root), Some(raw) if raw == MAGIC || raw == MAGIC_DIGITS),
        // Truncated within the magic number.
        Err(_) => head.len() >= 4 && head.starts_with(b"\x80\x02\x8a\x0a"),
    }
}

/// A parsed stream.
pub(crate) struct Stream<'a> {
    /// The saved object.
    pub(crate) graph: Graph<'a>,
    pub(crate) storages: StreamStorages,
}

/// Storages by key; views have their own keys.
pub(crate) struct StreamStorages {
    storages: HashMap<String, Storage>,
}

impl Stream<'_> {
    pub(crate) fn read<'a>(file: &'a Arc<MappedFile>, budget: &'a Budget) -> Result<Stream<'a>, ErrorKind> {
        let bytes = file.bytes();
        let mut position = 0;
        let mut next = |what: &str| {
            let graph = load(&bytes[position..], budget).map_err(|error| STREAM.bad_pickle(what, &error))?;
            position += graph.consumed;
            Ok::<_, ErrorKind>(graph)
        };
        next("its magic number")?;
        let version = next("its version")?;
        if version.root.int() != Some(PROTOCOL) {
            return Err(STREAM.damaged("its protocol version is not 1001"));
        }
        check_byte_order(&next("its system description")?)?;
        let graph = next("its object")?;
        let keys = next("its list of storages")?;
        let storages = read_storages(file, &graph, &keys, position)?;
        Ok(Stream {
            graph,
            storages: StreamStorages { storages },
        })
    }
}

/// Rejects streams from big-endian machines: writers differ in whether they swap the bytes of numbers.
fn check_byte_order(system: &Graph<'_>) -> Result<(), ErrorKind> {
    let entries = system.entries(system.root).unwrap_or_default();
    let little = entries
        .iter()
        .find(|&&(key, _)| system.raw(key) == Some(b"little_endian"));
    match little {
        Some((_, Value::Bool(false))) => Err(ErrorKind::BigEndian),
        _ => Ok(()),
    }
}

/// Reads the storages in the order of the key list: an 8-byte element count, then the elements. Only the
/// references to a storage in the object give the size of its elements.
fn read_storages(
    file: &Arc<MappedFile>,
    graph: &Graph<'_>,
    keys: &Graph<'_>,
    mut position: usize,
) -> Result<HashMap<String, Storage>, ErrorKind> {
    let types = storage_types(graph);
    let bytes = file.bytes();
    let list = keys.sequence(keys.root);
    let list = list.ok_or_else(|| STREAM.damaged("its list of storages is not a list"))?;
    let mut storages = HashMap::new();
    for (index, &key) in list.iter().enumerate() {
        let key = keys
            .id(key)
            .ok_or_else(|| STREAM.damaged("a storage key is not a string"))?;
        let Some(kind) = types.get(&key) else {
            return Err(STREAM.damaged(format!("the type of storage `{}` is missing", quote(&key))));
        };
        graph.budget.hold(STORAGE);
        graph.budget.check()?;
        let short = |what: &str| {
            STREAM.truncated(format!(
                "{what} of storage {} of {} is missing",
                index + 1,
                list.len()
            ))
        };
        let Some((head, rest)) = bytes[position..].split_first_chunk::<8>() else {
            return Err(short("the length"));
        };
        let numel = usize::try_from(i64::from_le_bytes(*head));
        let numel =
            numel.map_err(|_| STREAM.damaged(format!("storage `{}` has a negative length", quote(&key))))?;
        let len = numel.checked_mul(kind.size).filter(|&len| len <= rest.len());
        let len = len.ok_or_else(|| short("part"))?;
        let start = position + 8;
        position = start + len;
        if storages
            .insert(key.clone(), Storage::mapped(file, start..position))
            .is_some()
        {
            return Err(STREAM.damaged(format!("storage `{}` is listed twice", quote(&key))));
        }
    }
    Ok(storages)
}

/// Returns the element types of the storages to which the object refers.
fn storage_types(graph: &Graph<'_>) -> HashMap<String, StorageType> {
    let references = graph.nodes.iter().filter_map(|node| match node {
        Node::Persistent(id) if graph.budget.hold(STORAGE / 4) => storage_id(graph, *id).ok(),
        _ => None,
    });
    references
        .map(|reference| (reference.key, reference.kind))
        .collect()
}

impl Storages for StreamStorages {
    fn storage(&self, key: &str, _kind: StorageType, nbytes: usize) -> Result<Storage, String> {
        let storage = self
            .storages
            .get(key)
            .ok_or_else(|| format!("its storage `{}` is missing", quote(key)))?;
        if storage.len() != nbytes {
            return Err(format!(
                "its storage `{}` has {} bytes, expected {nbytes}",
                quote(key),
                storage.len()
            ));
        }
        Ok(storage.clone())
    }
}
