//! The checkpoints of a run folder.
//!
//! A training run may be killed at any moment, or the disk may fill up. The folder must always hold a checkpoint
//! to resume from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use effnet::ModelMetadata;
use effnet_checkpoint::{Checkpoint, PARTIAL_SUFFIX, StateDict, write_safetensors};
use serde_json::{Map, Value};

use crate::{Error, Snapshot};

/// Keeps three files in a run folder:
///
/// - `last.state`: everything needed to resume, including the weights;
/// - `last.safetensors`: the weights of the same step, for inference (those of the EMA, if there is one);
/// - `best.safetensors`: the weights of the best step so far.
///
/// Each is written to a temporary file, synced and renamed, so that it is always complete. A run is resumed from
/// `last.state` alone, which is written first. So being killed between two of the files does no harm:
/// [`resume`](Self::resume) writes the weights that are still missing.
///
/// Only one process at a time may use a folder.
#[derive(Debug)]
pub struct Checkpointer {
    folder: PathBuf,
    metadata: ModelMetadata,
    saved: bool,
    /// The values of settings that checkpoints from earlier versions do not contain.
    defaults: Map<String, Value>,
}

/// The file from which a run is resumed.
const STATE: &str = "last.state";
/// The weights of the same step.
const LAST: &str = "last.safetensors";
/// The weights of the best step.
const BEST: &str = "best.safetensors";

impl Checkpointer {
    /// Creates a checkpointer for `folder`, which is created if it does not exist. `metadata` is written to the
    /// weight files, so that inference needs nothing else.
    ///
    /// Also removes the temporary files of interrupted writes.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn new(folder: impl Into<PathBuf>, metadata: ModelMetadata) -> Result<Self, Error> {
        let folder = folder.into();
        let refused = |source| Error::Folder {
            path: folder.clone(),
            source,
        };
        fs::create_dir_all(&folder).map_err(refused)?;
        sweep(&folder).map_err(refused)?;
        let saved = folder.join(STATE).exists();
        Ok(Self {
            folder,
            metadata,
            saved,
            defaults: Map::new(),
        })
    }

    /// Sets the values of settings that are missing from a checkpoint because they were added in a later version.
    #[must_use]
    pub fn with_defaults(mut self, defaults: Map<String, Value>) -> Self {
        self.defaults = defaults;
        self
    }

    /// Returns the file to resume from, if there is one.
    pub fn last_good(&self) -> Option<PathBuf> {
        self.saved.then(|| self.folder.join(STATE))
    }

    /// Returns the path of the weights of the best step. The file may not exist yet.
    pub fn best(&self) -> PathBuf {
        self.folder.join(BEST)
    }

    /// Returns the path of the weights of the last saved step. The file may not exist yet.
    pub fn last(&self) -> PathBuf {
        self.folder.join(LAST)
    }

    /// Saves `snapshot`, and also saves it as the best one if `is_best` is true.
    ///
    /// # Errors
    /// [`Error::Write`], which names the last good checkpoint, which is still intact.
    pub fn save(&mut self, snapshot: &Snapshot, is_best: bool) -> Result<(), Error> {
        let written = snapshot.write(&self.folder.join(STATE), is_best);
        written.map_err(|source| self.unwritten(source))?;
        self.saved = true;
        for name in weights_of(is_best) {
            self.write_weights(name, snapshot)?;
        }
        Ok(())
    }

    fn write_weights(&self, name: &str, snapshot: &Snapshot) -> Result<(), Error> {
        let weights: &StateDict = snapshot.trainer.published();
        let mut entries = self.metadata.to_entries();
        entries.extend(age(snapshot));
        if let Some(thresholds) = snapshot.notes.get(THRESHOLDS) {
            entries.insert(THRESHOLDS.to_owned(), thresholds.clone());
        }
        let written = write_safetensors(self.folder.join(name), weights, &entries);
        written.map_err(|source| self.unwritten(source))
    }

    fn unwritten(&self, source: effnet_checkpoint::WriteError) -> Error {
        Error::Write {
            source: Box::new(source),
            last_good: self.last_good(),
        }
    }

    /// Reads the last saved snapshot. Returns `None` if nothing has been saved.
    ///
    /// `config` must equal the saved config, except for the settings named in `free`, which do not affect the
    /// results (such as `workers`, or `data.workers` if it is nested).
    ///
    /// # Errors
    /// [`Error::ConfigMismatch`] with all differences, [`Error::Read`] and [`Error::BadCheckpoint`] for a damaged
    /// file, [`Error::Write`] if weights of this snapshot are missing but cannot be written.
    pub fn resume(&self, config: &Value, free: &[&str]) -> Result<Option<Snapshot>, Error> {
        let Some(path) = self.last_good() else {
            return Ok(None);
        };
        let (snapshot, is_best) = Snapshot::read(&path)?;
        let mut saved = snapshot.config.clone();
        if let Value::Object(saved) = &mut saved {
            for (name, value) in &self.defaults {
                saved.entry(name).or_insert_with(|| value.clone());
            }
        }
        let mut differences = Vec::new();
        compare("", &saved, config, free, &mut differences);
        if !differences.is_empty() {
            return Err(Error::ConfigMismatch { path, differences });
        }
        for name in weights_of(is_best) {
            if !is_of(&self.folder.join(name), &snapshot) {
                self.write_weights(name, &snapshot)?;
            }
        }
        Ok(Some(snapshot))
    }
}

/// The note of a snapshot with the probability from which each label applies, a JSON list, for networks with several
/// labels per image. It becomes the entry of the same name in the metadata of the weights.
pub const THRESHOLDS: &str = "thresholds";

/// The files that get the weights of a snapshot.
fn weights_of(is_best: bool) -> impl Iterator<Item = &'static str> {
    [BEST, LAST]
        .into_iter()
        .filter(move |name| is_best || *name == LAST)
}

/// The metadata entries that tell for how long the weights of a snapshot were trained. A step may be saved twice, before
/// and after the validation of its epoch.
fn age(snapshot: &Snapshot) -> [(String, String); 2] {
    let position = snapshot.trainer.position;
    [("epoch", position.epoch), ("step", position.step)]
        .map(|(key, count)| (key.to_owned(), count.to_string()))
}

/// Whether the file can be read and was written for this snapshot.
fn is_of(weights: &Path, snapshot: &Snapshot) -> bool {
    let Ok(file) = Checkpoint::open(weights) else {
        return false;
    };
    let is_equal = |(key, count): &(String, String)| file.metadata().get(key) == Some(count);
    age(snapshot).iter().all(is_equal)
}

/// Removes the temporary files that a killed process left behind.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name
            .to_str()
            .and_then(|name| name.strip_prefix('.')?.strip_suffix(PARTIAL_SUFFIX));
        let unfinished =
            hidden.is_some_and(|name| [STATE, LAST, BEST].iter().any(|target| name.starts_with(target)));
        if unfinished {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Describes each setting that differs.
fn compare(path: &str, saved: &Value, current: &Value, free: &[&str], differences: &mut Vec<String>) {
    if saved == current || free.contains(&path) {
        return;
    }
    let (Value::Object(saved), Value::Object(current)) = (saved, current) else {
        let path = if path.is_empty() { "the settings" } else { path };
        differences.push(format!("{path}: {saved} in the checkpoint, {current} now"));
        return;
    };
    let missing = Value::Null;
    let added = current.keys().filter(|key| !saved.contains_key(*key));
    for key in saved.keys().chain(added) {
        let place = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let [saved, current] = [saved, current].map(|settings| settings.get(key).unwrap_or(&missing));
        compare(&place, saved, current, free, differences);
    }
}
