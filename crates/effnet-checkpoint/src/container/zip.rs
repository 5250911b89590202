//! The zip archive of `torch.save` since 1.6: a pickle and one entry for each storage
//! (`torch/serialization.py` `_save`, `_load`).

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
    /// The folder that everything is in, with its slash; empty when there is none.
    root: String,
    big_endian: bool,
    /// Storages already handed out, so that tensors that share one share its unpacked bytes.
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
        // Files before 2.1 have no such entry, and were written on little-endian machines.
        if let Some(entry) = archive.directory.get(&format!("{}byteorder", archive.root)) {
            let order = archive.small(entry)?;
            archive.big_endian = match order.trim_ascii() {
                b"little" => false,
                b"big" => true,
                other => return Err(ZIP.damaged(format!("its byte order is `{}`", other.escape_ascii()))),
            };
        }
        Ok(archive)
    }

    /// The pickle that describes the saved object, its checksum verified.
    pub(crate) fn pickle(&self) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let name = format!("{}data.pkl", self.root);
        let entry = self
            .directory
            .get(&name)
            .ok_or_else(|| ZIP.damaged("its data.pkl is missing"))?;
        self.small(entry)
    }

    /// The bytes of an entry, unpacked where necessary, checked against its checksum.
    fn small(&self, entry: &Entry) -> Result<Cow<'_, [u8]>, ErrorKind> {
        let stored = self.file.slice(&entry.stored);
        match entry.method {
            Method::Stored => {
                let found = crc32fast::hash(stored);
                if found != entry.crc {
                    return Err(ZIP.damaged(format!(
                        "entry `{}` has checksum {found:08x}, and {:08x} was recorded",
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
    format!("entry `{name}` is encrypted or packed by method {method}, and stored or deflated was expected")
}

/// The folder of `data.pkl`: named after the file, or `archive`. The shallowest counts.
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
                advice: "unpack it and save the one that is meant with torch.save",
            })
        }
        [first, ..] => Ok(first.to_owned()),
    }
}

/// Names a zip archive that `torch.save` did not write.
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
        let what = format!("a zip archive without a data.pkl (it has {})", some.join(", "));
        (what, "save the state_dict with torch.save")
    };
    ErrorKind::Foreign { what, advice }
}

/// Refuses an archive whose deflated entries declare far more than real parameters can: those shrink by
/// a tenth, rounded ones by half.
fn check_total(directory: &Directory, file_len: usize) -> Result<(), ErrorKind> {
    let limit = (16 << 20) + 4 * file_len as u64;
    let packed = directory
        .entries
        .iter()
        .filter(|entry| entry.method == Method::Deflated);
    let size = packed.fold(0u64, |total, entry| total.saturating_add(entry.size));
    if size > limit {
        return Err(ErrorKind::TooBig {
            what: "unpacking its entries".to_owned(),
            size,
            limit,
        });
    }
    Ok(())
}

impl Storages for Archive {
    fn storage(&self, key: &str, _kind: StorageType, nbytes: usize) -> Result<Storage, String> {
        if let Some(storage) = self.opened.borrow().get(key) {
            return enough(storage.clone(), key, nbytes);
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
        enough(storage, key, nbytes)
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}

fn enough(storage: Storage, key: &str, nbytes: usize) -> Result<Storage, String> {
    if storage.len() < nbytes {
        return Err(format!(
            "its storage `{key}` should have {nbytes} bytes and has {}",
            storage.len()
        ));
    }
    Ok(storage)
}
