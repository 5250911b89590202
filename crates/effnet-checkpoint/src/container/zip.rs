//! The zip archive of `torch.save` since 1.6: a pickle and one entry per storage (`_save` and `_load` in
//! `torch/serialization.py`).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::zip_directory::{Directory, Entry, Method};
use crate::Container;
use crate::budget::{Budget, STORAGE};
use crate::dtype::StorageType;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::object::Storages;
use crate::quote::{quote, quote_bytes, quote_list};
use crate::storage::{Deflated, Storage, inflate};

const ZIP: Container = Container::Zip;
/// Maximum number of bytes of the byte order to show; a valid one has 3 or 6.
const MAX_ORDER: usize = 32;

/// An opened archive.
pub(crate) struct Archive<'a> {
    file: Arc<MappedFile>,
    directory: Directory,
    /// The folder that contains all entries, with its slash; empty if there is none.
    root: Vec<u8>,
    big_endian: bool,
    /// Storages already opened, so that tensors that share one also share its decompressed bytes.
    opened: RefCell<HashMap<String, Storage>>,
    budget: &'a Budget,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(file: &Arc<MappedFile>, budget: &'a Budget) -> Result<Archive<'a>, ErrorKind> {
        let directory = Directory::read(file, budget)?;
        let mut archive = Archive {
            root: root(&directory)?.to_owned(),
            file: Arc::clone(file),
            directory,
            big_endian: false,
            opened: RefCell::new(HashMap::new()),
            budget,
        };
        if archive.entry("constants.pkl").is_some() {
            let root = archive.root.strip_suffix(b"/").unwrap_or_default();
            return Err(ErrorKind::TorchScript {
                root: quote_bytes(root),
            });
        }
        archive.check_total()?;
        // Files written before PyTorch 2.1 do not have this entry and are little-endian.
        if let Some(entry) = archive.entry("byteorder") {
            archive.big_endian = match archive.small(entry)?.trim_ascii() {
                b"little" => false,
                b"big" => true,
                other => {
                    let other = quote(&other[..other.len().min(MAX_ORDER)].escape_ascii());
                    let what = format!("its byte order is `{other}`, expected little or big");
                    return Err(ZIP.damaged(what));
                }
            };
        }
        Ok(archive)
    }

    /// Returns the entry with this name in the archive's folder.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let path = [&self.root, name.as_bytes()].concat();
        // The folder can be long, and it is read for every storage.
        self.budget
            .read(path.len())
            .then(|| self.directory.get(&path))
            .flatten()
    }

    /// Rejects an archive whose compressed entries declare far larger sizes than parameters can have.
    /// Parameters shrink by a tenth when compressed, or by half if they were rounded.
    fn check_total(&self) -> Result<(), ErrorKind> {
        let deflated = self.directory.entries();
        for entry in deflated.filter(|entry| entry.method == Method::Deflated) {
            self.budget
                .hold(usize::try_from(entry.size).unwrap_or(usize::MAX));
        }
        self.budget.check()
    }

    /// Returns the pickle that describes the saved object, after verifying its checksum.
    pub(crate) fn pickle(&self) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let entry = self
            .entry("data.pkl")
            .ok_or_else(|| ZIP.damaged("its data.pkl is missing"))?;
        self.small(entry)
    }

    /// Returns the bytes of an entry, decompressed if necessary, after verifying its checksum.
    fn small(&self, entry: &Entry) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let stored = self.file.slice(&entry.stored);
        let name = || self.directory.quoted(entry);
        match entry.method {
            Method::Stored => {
                let found = crc32fast::hash(stored);
                if found != entry.crc {
                    return Err(ZIP.damaged(format!(
                        "entry `{}` has checksum {found:08x}, expected {:08x}",
                        name(),
                        entry.crc
                    )));
                }
                Ok(Cow::Borrowed(stored))
            }
            Method::Deflated => inflate(stored, entry.size as usize, entry.crc, &name())
                .map(Cow::Owned)
                .map_err(|what| ZIP.damaged(what)),
            Method::Other(method) => Err(ZIP.damaged(unreadable(&name(), method))),
        }
    }
}

fn unreadable(name: &str, method: u16) -> String {
    format!("entry `{name}` is encrypted or uses compression method {method}, expected stored or deflated")
}

/// Returns the folder of `data.pkl`, which is named after the file or `archive`. The shallowest one counts.
fn root(directory: &Directory) -> Result<&[u8], ErrorKind> {
    let mut shallowest: Option<(usize, &[u8])> = None;
    let mut rival = None;
    for entry in directory.entries() {
        let Some(root) = directory.name(entry).strip_suffix(b"data.pkl") else {
            continue;
        };
        if !(root.is_empty() || root.ends_with(b"/")) {
            continue;
        }
        let depth = root.split(|&byte| byte == b'/').count();
        match shallowest {
            Some((least, _)) if depth > least => {}
            Some((least, _)) if depth == least => rival = Some(root),
            _ => (shallowest, rival) = (Some((depth, root)), None),
        }
    }
    match (shallowest, rival) {
        (None, _) => Err(no_pickle(directory)),
        (Some((_, root)), None) => Ok(root),
        (Some((_, root)), Some(rival)) => Err(ErrorKind::Foreign {
            what: format!(
                "a zip archive with several checkpoints ({})",
                quote_list(&[quote_bytes(root), quote_bytes(rival)])
            ),
            advice: "unpack it and save one of them with torch.save",
        }),
    }
}

/// Says what a zip archive is when it was not written by `torch.save`.
fn no_pickle(directory: &Directory) -> ErrorKind {
    let ends_with = |endings: &[&str]| {
        directory.entries().find(|entry| {
            let name = directory.name(entry);
            endings.iter().any(|end| name.ends_with(end.as_bytes()))
        })
    };
    let (what, advice) = if let Some(entry) = ends_with(&[".pth", ".pt", ".safetensors", ".ckpt"]) {
        (
            format!(
                "a zip archive that contains a checkpoint (`{}`)",
                directory.quoted(entry)
            ),
            "unpack it and open that file",
        )
    } else if ends_with(&[".npy"]).is_some() {
        (
            "a NumPy archive (.npz)".to_owned(),
            "load it in Python and use torch.save",
        )
    } else {
        let some = directory.entries().take(4).map(|entry| directory.quoted(entry));
        let what = format!(
            "a zip archive without a data.pkl (it contains {})",
            quote_list(&some.collect::<Vec<_>>())
        );
        (what, "save the state_dict with torch.save")
    };
    ErrorKind::Foreign { what, advice }
}

impl Storages for Archive<'_> {
    fn storage(&self, key: &str, _kind: StorageType, nbytes: usize) -> Result<Storage, String> {
        if let Some(storage) = self.opened.borrow().get(key) {
            return check_len(storage.clone(), key, nbytes);
        }
        let entry = self
            .entry(&format!("data/{key}"))
            .ok_or_else(|| format!("entry `data/{}` is missing", quote(key)))?;
        self.budget.hold(STORAGE);
        let storage = match entry.method {
            Method::Stored => Storage::mapped(&self.file, entry.stored.clone()),
            Method::Deflated => Storage::deflated(Deflated {
                file: Arc::clone(&self.file),
                name: self.directory.quoted(entry),
                packed: entry.stored.clone(),
                size: entry.size as usize,
                crc: entry.crc,
                unpacked: OnceLock::new(),
            }),
            Method::Other(method) => return Err(unreadable(&self.directory.quoted(entry), method)),
        };
        self.opened.borrow_mut().insert(key.to_owned(), storage.clone());
        check_len(storage, key, nbytes)
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}

fn check_len(storage: Storage, key: &str, nbytes: usize) -> Result<Storage, String> {
    if storage.len() < nbytes {
        return Err(format!(
            "its storage `{}` has {} bytes, expected {nbytes}",
            quote(key),
            storage.len()
        ));
    }
    Ok(storage)
}
