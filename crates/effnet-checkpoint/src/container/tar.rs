//! The tar archive of the first releases, with the members `storages`, `tensors` and `pickle` (`legacy_load`
//! in `torch/serialization.py`).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Budget, STORAGE};
use crate::dtype::StorageType;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::object::{Dense, Storages};
use crate::pickle::{Graph, Value, load};
use crate::quote::quote;
use crate::storage::Storage;
use crate::{Container, DType};

const TAR: Container = Container::Tar;
const BLOCK: usize = 512;
const MAX_DIMENSIONS: usize = 64;

/// Returns whether the file starts with a header block with a valid checksum, which `torch.load` also checks.
pub(crate) fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(..BLOCK).is_some_and(|block| {
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(index, &byte)| u64::from(if (148..156).contains(&index) { b' ' } else { byte }))
            .sum();
        octal(&block[148..156]) == Some(sum)
    })
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

/// A parsed archive.
pub(crate) struct TarFile<'a> {
    /// The saved object.
    pub(crate) graph: Graph<'a>,
    pub(crate) storages: TarStorages,
}

pub(crate) struct TarStorages {
    storages: HashMap<String, (StorageType, Storage)>,
    tensors: HashMap<String, Dense>,
}

impl TarFile<'_> {
    pub(crate) fn read<'a>(file: &'a Arc<MappedFile>, budget: &'a Budget) -> Result<TarFile<'a>, ErrorKind> {
        let members = members(file.bytes(), budget)?;
        let cursor = |name: &'static str| {
            let range = members.get(name).cloned();
            range.map(|range| Cursor {
                file,
                position: range.start,
                end: range.end,
                name,
                budget,
            })
        };
        let missing = |name: &str| TAR.damaged(format!("its member `{name}` is missing"));
        let storages = read_storages(cursor("storages").ok_or_else(|| missing("storages"))?)?;
        let tensors = match cursor("tensors") {
            Some(cursor) => read_tensors(cursor, &storages)?,
            None => HashMap::new(),
        };
        let graph = cursor("pickle").ok_or_else(|| missing("pickle"))?.pickle()?;
        Ok(TarFile {
            graph,
            storages: TarStorages { storages, tensors },
        })
    }
}

/// Returns the members by name. If several have the same name, the last one counts, as in Python's `tarfile`.
fn members(bytes: &[u8], budget: &Budget) -> Result<HashMap<String, Range<usize>>, ErrorKind> {
    let mut members = HashMap::new();
    let mut position = 0usize;
    while let Some(block) = bytes.get(position..position.saturating_add(BLOCK)) {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(members);
        }
        if !is_tar(block) {
            return Err(TAR.damaged(format!("the header at byte {position} has an invalid checksum")));
        }
        let end = block[..100].iter().position(|&byte| byte == 0).unwrap_or(100);
        let name = String::from_utf8_lossy(&block[..end]);
        let name = name.trim_start_matches("./").to_owned();
        let size = octal(&block[124..136]).and_then(|size| usize::try_from(size).ok());
        let size =
            size.ok_or_else(|| TAR.damaged(format!("member `{}` has an invalid size", quote(&name))))?;
        let start = position + BLOCK;
        let end = start.checked_add(size).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| {
            TAR.truncated(format!(
                "member `{}` of {size} bytes reaches beyond the end of the file",
                quote(&name)
            ))
        })?;
        budget.name(name.len())?;
        members.insert(name, start..end);
        position = end.next_multiple_of(BLOCK);
    }
    // Python's tarfile does not require the two empty blocks at the end either.
    Ok(members)
}

/// A position in a member, which holds a sequence of pickles and raw numbers.
struct Cursor<'a> {
    file: &'a Arc<MappedFile>,
    position: usize,
    end: usize,
    name: &'static str,
    budget: &'a Budget,
}

impl<'a> Cursor<'a> {
    fn short(&self) -> ErrorKind {
        TAR.truncated(format!(
            "its member `{}` ends in the middle of an item",
            self.name
        ))
    }

    fn wrong(&self, what: &str) -> ErrorKind {
        TAR.damaged(format!("in its member `{}`, {what}", self.name))
    }

    fn pickle(&mut self) -> Result<Graph<'a>, ErrorKind> {
        let rest = &self.file.bytes()[self.position..self.end];
        let graph = load(rest, self.budget)
            .map_err(|error| TAR.bad_pickle(&format!("a pickle in its member `{}`", self.name), &error))?;
        self.position += graph.consumed;
        Ok(graph)
    }

    fn take(&mut self, len: usize) -> Result<Range<usize>, ErrorKind> {
        let end = self.position.checked_add(len).filter(|&end| end <= self.end);
        let end = end.ok_or_else(|| self.short())?;
        let range = self.position..end;
        self.position = end;
        Ok(range)
    }

    /// Charges for what is kept of an item.
    fn held(&self, bytes: usize) -> Result<(), ErrorKind> {
        self.budget.hold(bytes);
        self.budget.check()
    }

    fn i64(&mut self) -> Result<i64, ErrorKind> {
        let range = self.take(8)?;
        let raw = self.file.slice(&range).first_chunk::<8>().copied();
        Ok(i64::from_le_bytes(raw.unwrap_or_default()))
    }

    fn size(&mut self) -> Result<usize, ErrorKind> {
        usize::try_from(self.i64()?).map_err(|_| self.wrong("a size is negative"))
    }

    fn count(&mut self) -> Result<usize, ErrorKind> {
        let graph = self.pickle()?;
        let count = graph.root.int().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.wrong("the count is not a number"))
    }
}

/// Reads the count, then for each storage `(key, location, class)` and its elements, then the list of views
/// `(key, root, offset, numel)`.
fn read_storages(mut cursor: Cursor<'_>) -> Result<HashMap<String, (StorageType, Storage)>, ErrorKind> {
    let mut storages: HashMap<String, (StorageType, Storage)> = HashMap::new();
    for _ in 0..cursor.count()? {
        let graph = cursor.pickle()?;
        let parts = graph.sequence(graph.root).unwrap_or_default();
        let &[key, _location, class] = parts else {
            return Err(cursor.wrong("a storage does not have three fields"));
        };
        let key = graph
            .id(key)
            .ok_or_else(|| cursor.wrong("a storage has no key"))?;
        let kind = graph
            .global(class)
            .and_then(|(_, name)| DType::of_storage_class(&name));
        let kind = kind.ok_or_else(|| cursor.wrong("a storage has an unknown class"))?;
        let len = cursor
            .size()?
            .checked_mul(kind.size)
            .ok_or_else(|| cursor.short())?;
        let range = cursor.take(len)?;
        cursor.held(STORAGE)?;
        storages.insert(key, (kind, Storage::mapped(cursor.file, range)));
    }
    // Files without views may not have the list.
    if cursor.position == cursor.end {
        return Ok(storages);
    }
    let views = cursor.pickle()?;
    for &view in views.sequence(views.root).unwrap_or_default() {
        let found = view_of(&views, view, &storages);
        let (key, view) = found.ok_or_else(|| cursor.wrong("a view exceeds its storage"))?;
        cursor.held(STORAGE)?;
        storages.insert(key, view);
    }
    Ok(storages)
}

fn view_of(
    graph: &Graph<'_>,
    view: Value,
    storages: &HashMap<String, (StorageType, Storage)>,
) -> Option<(String, (StorageType, Storage))> {
    let &[target, root, offset, numel] = graph.sequence(view)? else {
        return None;
    };
    let (kind, storage) = storages.get(&graph.id(root)?)?;
    let offset = usize::try_from(offset.int()?).ok()?.checked_mul(kind.size)?;
    let len = usize::try_from(numel.int()?).ok()?.checked_mul(kind.size)?;
    Some((graph.id(target)?, (*kind, storage.part(offset, len)?)))
}

/// Reads the count, then for each tensor `(key, storage, class)` and its geometry: a 4-byte number of
/// dimensions, 4 unused bytes, shape, strides, offset.
fn read_tensors(
    mut cursor: Cursor<'_>,
    storages: &HashMap<String, (StorageType, Storage)>,
) -> Result<HashMap<String, Dense>, ErrorKind> {
    let mut tensors = HashMap::new();
    for _ in 0..cursor.count()? {
        let graph = cursor.pickle()?;
        let &[key, storage, _class] = graph.sequence(graph.root).unwrap_or_default() else {
            return Err(cursor.wrong("a tensor does not have three fields"));
        };
        let key = graph.id(key).ok_or_else(|| cursor.wrong("a tensor has no key"))?;
        let storage = graph.id(storage).and_then(|storage| storages.get(&storage));
        let (kind, storage) = storage.ok_or_else(|| cursor.wrong("a tensor has no storage"))?;
        let dimensions = (cursor.i64()? & 0xffff_ffff) as usize;
        if dimensions > MAX_DIMENSIONS {
            return Err(cursor.wrong("a tensor has too many dimensions"));
        }
        let shape = (0..dimensions)
            .map(|_| cursor.size())
            .collect::<Result<Vec<_>, _>>()?;
        let strides = (0..dimensions)
            .map(|_| cursor.size())
            .collect::<Result<Vec<_>, _>>()?;
        let offset = cursor.size()?;
        cursor.held(STORAGE + dimensions * size_of::<(usize, usize)>())?;
        let storage = storage.clone();
        tensors.insert(
            key,
            Dense {
                dtype: kind.dtype,
                shape,
                strides,
                offset,
                storage,
            },
        );
    }
    Ok(tensors)
}

impl Storages for TarStorages {
    fn storage(&self, key: &str, kind: StorageType, nbytes: usize) -> Result<Storage, String> {
        let (found, storage) = self
            .storages
            .get(key)
            .ok_or_else(|| format!("its storage `{}` is missing", quote(key)))?;
        if found.size != kind.size || storage.len() < nbytes {
            return Err(format!(
                "its storage `{}` has {} bytes, expected {nbytes}",
                quote(key),
                storage.len()
            ));
        }
        Ok(storage.clone())
    }

    fn tensor(&self, graph: &Graph<'_>, id: Value) -> Option<&Dense> {
        self.tensors.get(&graph.id(id)?)
    }
}
