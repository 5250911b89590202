//! The zip archive of `torch.save` since 1.6: a pickle and one entry per storage (`_save` and `_load` in
//! `torch/serialization.py`).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::zip_directory::{Directory, Entry, Method};
use crate::Container;
use crate::dtype::StorageType;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::object::Storages;
use crate::storage::{Deflated, Storage, inflate};

const ZIP: Container = Container::Zip;

/// An opened archive.
pub(crate) struct Archive {
    file: Arc<MappedFile>,
    directory: Directory,
    /// The folder that contains all entries, with its slash; empty if there is none.
    root: String,
    big_endian: bool,
    /// Storages already opened, so that tensors that share one also share its decompressed bytes.
    opened: RefCell<HashMap<String, Storage>>,
}

impl Archive {
    pub(crate) fn open(file: &Arc<MappedFile>) -> Result<Archive, ErrorKind> {
        let directory = Directory::read(file.bytes())?;
        let root = root(&directory)?;
        if directory.get(&format!("{root}constants.pkl")).is_some() {
            return Err(ErrorKind::TorchScript {
                root: root.trim_end_matches('/').to_owned(),
            });
        }
        check_total(&directory, file.bytes().len())?;
        let mut archive = Archive {
            file: Arc::clone(file),
            directory,
            root,
            big_endian: false,
            opened: RefCell::new(HashMap::new()),
        };
        // Files written before PyTorch 2.1 do not have this entry and are little-endian.
        if let Some(entry) = archive.directory.get(&format!("{}byteorder", archive.root)) {
            let order = archive.small(entry)?;
            archive.big_endian = match order.trim_ascii() {
                b"little" => false,
                b"big" => true,
                other => {
                    return Err(ZIP.damaged(format!(
                        "its byte order is `{}`, expected little or big",
                        other.escape_ascii()
                    )));
                }
            };
        }
        Ok(archive)
    }

    /// The pickle that describes the saved object, after verifying its checksum.
    pub(crate) fn pickle(&self) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let name = format!("{}data.pkl", self.root);
        let entry = self
            .directory
            .get(&name)
            .ok_or_else(|| ZIP.damaged("its data.pkl is missing"))?;
        self.small(entry)
    }

    /// The bytes of an entry, decompressed if necessary, after verifying its checksum.
    fn small(&self, entry: &Entry) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let stored = self.file.slice(&entry.stored);
        match entry.method {
            Method::Stored => {
                let found = crc32fast::hash(stored);
                if found != entry.crc {
                    return Err(ZIP.damaged(format!(
                        "entry `{}` has checksum {found:08x}, expected {:08x}",
                        entry.name, entry.crc
                    )));
                }
                Ok(Cow::Borrowed(stored))
            }
            Method::Deflated => inflate(stored, entry.size as usize, entry.crc, &entry.name)
                .map(Cow::Owned)
                .map_err(|what| ZIP.damaged(what)),
            Method::Other(method) => Err(ZIP.damaged(unreadable(&entry.name, method))),
        }
    }
}

fn unreadable(name: &str, method: u16) -> String {
    format!("entry `{name}` is encrypted or uses compression method {method}, expected stored or deflated")
}

/// The folder of `data.pkl`, which is named after the file or `archive`. The shallowest one counts.
fn root(directory: &Directory) -> Result<String, ErrorKind> {
    let mut roots: Vec<&str> = directory
        .entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix("data.pkl"))
        .filter(|root| root.is_empty() || root.ends_with('/'))
        .collect();
    roots.sort_by_key(|root| root.matches('/').count());
    match roots[..] {
        [] => Err(no_pickle(directory)),
        [first, second, ..] if first.matches('/').count() == second.matches('/').count() => {
            Err(ErrorKind::Foreign {
                what: format!("a zip archive with several checkpoints (`{first}` and `{second}`)"),
                advice: "unpack it and save one of them with torch.save",
            })
        }
        [first, ..] => Ok(first.to_owned()),
    }
}

/// Identifies a zip archive that `torch.save` did not write.
fn no_pickle(directory: &Directory) -> ErrorKind {
    let names = || directory.entries.iter().map(|entry| entry.name.as_str());
    let ends_with = |endings: &[&str]| names().find(|name| endings.iter().any(|end| name.ends_with(end)));
    let (what, advice) = if let Some(name) = ends_with(&[".pth", ".pt", ".safetensors", ".ckpt"]) {
        (
            format!("a zip archive that contains a checkpoint (`{name}`)"),
            "unpack it and open that file",
        )
    } else if ends_with(&[".npy"]).is_some() {
        (
            "a NumPy archive (.npz)".to_owned(),
            "load it in Python and use torch.save",
        )
    } else if ends_with(&["model.weights.h5"]).is_some() {
        (
            "a Keras archive".to_owned(),
            "export the parameters with PyTorch or safetensors first",
        )
    } else {
        let some: Vec<&str> = names().take(4).collect();
        let what = format!(
            "a zip archive without a data.pkl (it contains {})",
            some.join(", ")
        );
        (what, "save the state_dict with torch.save")
    };
    ErrorKind::Foreign { what, advice }
}

/// Rejects an archive whose compressed entries declare far larger sizes than parameters can have: those
/// shrink by a tenth, or by half if they were rounded.
fn check_total(directory: &Directory, file_len: usize) -> Result<(), ErrorKind> {
    let limit = (16 << 20) + 4 * file_len as u64;
    let packed = directory
        .entries
        .iter()
        .filter(|entry| entry.method == Method::Deflated);
    let size = packed.fold(0u64, |total, entry| total.saturating_add(entry.size));
    if size > limit {
        return Err(ErrorKind::TooBig {
            what: "size of the decompressed entries in bytes".to_owned(),
            size,
            limit,
        });
    }
    Ok(())
}

impl Storages for Archive {
    fn storage(&self, key: &str, _kind: StorageType, nbytes: usize) -> Result<Storage, String> {
        if let Some(storage) = self.opened.borrow().get(key) {
            return check_len(storage.clone(), key, nbytes);
        }
        let name = format!("{}data/{key}", self.root);
        let entry = self
            .directory
            .get(&name)
            .ok_or_else(|| format!("entry `{name}` is missing"))?;
        let storage = match entry.method {
            Method::Stored => Storage::mapped(&self.file, entry.stored.clone()),
            Method::Deflated => Storage::deflated(Deflated {
                file: Arc::clone(&self.file),
                name,
                packed: entry.stored.clone(),
                size: entry.size as usize,
                crc: entry.crc,
                unpacked: OnceLock::new(),
            }),
            Method::Other(method) => return Err(unreadable(&name, method)),
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
            "its storage `{key}` has {} bytes, expected {nbytes}",
            storage.len()
        ));
    }
    Ok(storage)
}
