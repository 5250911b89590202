//! The folder itself: its names, and who may write there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use effnet_data::metrics::ConfusionMatrix;
use effnet_data::{confusion_png, curves_png, remove_temporaries, replace_file, write_confusion_csv};

use super::{EpochRecord, RunError, history_panels};

/// A run's folder, which no other process writes to as long as this exists.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked; the system unlocks it however the process ends.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder of a new run, with the folders above it. One that is there is taken if it holds
    /// no run.
    ///
    /// # Errors
    /// [`RunError::Occupied`], [`RunError::Locked`], [`RunError::Io`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(RunError::io(&path, "created"))?;
        let folder = Self::lock(path)?;
        if folder.config().exists() {
            return Err(RunError::Occupied { path: folder.path });
        }
        Ok(folder)
    }

    /// Opens the folder of a run to go on with it, and removes what interrupted writes left there.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::Locked`], [`RunError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        if !path.join("config.json").is_file() {
            return Err(RunError::NotARun { path });
        }
        let folder = Self::lock(path)?;
        remove_temporaries(&folder.path).map_err(RunError::io(&folder.path, "cleaned"))?;
        Ok(folder)
    }

    fn lock(path: PathBuf) -> Result<Self, RunError> {
        let name = path.join(".lock");
        let lock = File::create(&name).map_err(RunError::io(&name, "created"))?;
        match FileExt::try_lock(&lock) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked { path }),
            // A file system without locks: the user has to know who trains where.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::Error(error)) => Err(RunError::io(&name, "locked")(error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// `classes.json`.
    pub fn classes(&self) -> PathBuf {
        self.path.join("classes.json")
    }

    /// `log.jsonl`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Writes every setting.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_config(&self, config: &impl Serialize) -> Result<(), RunError> {
        self.write_json("config.json", config)
    }

    /// The settings that the run was begun with.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read_config<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        self.read_json("config.json")
    }

    /// Writes the class names, in the order of the logits.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_classes(&self, names: &[String]) -> Result<(), RunError> {
        self.write_json("classes.json", &names)
    }

    /// Writes a file of this name, for people and programs.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunError> {
        replace_file(&self.path.join(name), |file| {
            serde_json::to_writer_pretty(&mut *file, value)?;
            writeln!(file)
        })?;
        Ok(())
    }

    /// What [`write_json`](Self::write_json) wrote.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunError> {
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).map_err(RunError::io(&path, "read"))?;
        serde_json::from_str(&text).map_err(|source| RunError::Json { path, source })
    }

    /// Draws `curves.png`: loss, accuracy and rate over the epochs so far.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Picture`].
    pub fn write_curves(&self, title: &str, epochs: &[EpochRecord]) -> Result<(), RunError> {
        let picture = curves_png(title, "epoch", &history_panels(epochs))?;
        replace_file(&self.path.join("curves.png"), |file| file.write_all(&picture))?;
        Ok(())
    }

    /// Writes `confusion.csv` and draws `confusion.png`.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Picture`].
    pub fn write_confusion(&self, confusion: &ConfusionMatrix, classes: &[String]) -> Result<(), RunError> {
        write_confusion_csv(&self.path.join("confusion.csv"), confusion, classes)?;
        let picture = confusion_png(confusion, classes)?;
        replace_file(&self.path.join("confusion.png"), |file| file.write_all(&picture))?;
        Ok(())
    }
}
