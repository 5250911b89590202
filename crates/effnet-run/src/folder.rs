//! [`RunFolder`]: the file names of a run, and the lock that keeps two processes from training in one folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "plots")]
use effnet_data::metrics::ConfusionMatrix;
#[cfg(feature = "plots")]
use effnet_data::{Panel, confusion_png, curves_png, write_confusion_csv};
use effnet_data::{remove_temporaries, replace_file};

use crate::RunError;

/// The settings; a folder with this file contains a run.
const CONFIG: &str = "config.json";
/// The file that is locked while a process trains in the folder.
const LOCK: &str = ".lock";
/// How often a lock that is held is tried again.
const TRIES: u32 = 5;

/// A run folder, locked against other processes for as long as this exists.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked; the operating system unlocks it however the process ends.
    _lock: File,
}

impl RunFolder {
    /// Refuses a folder that [`create`](Self::create) would refuse because it contains a run. Nothing is written.
    ///
    /// # Errors
    /// [`RunError::Occupied`].
    pub fn check_unoccupied(path: &Path) -> Result<(), RunError> {
        if path.join(CONFIG).exists() {
            return Err(RunError::Occupied {
                path: path.to_owned(),
            });
        }
        Ok(())
    }

    /// Creates the folder of a new run, with its parent folders. An existing folder is used unless it
    /// contains a run, and temporary files of interrupted writes are removed from it. Call it when there is something to
    /// write: a run that fails before leaves no trace.
    ///
    /// # Errors
    /// [`RunError::Occupied`], [`RunError::Locked`], [`RunError::Io`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(RunError::io(&path, "created"))?;
        let folder = Self::lock(path)?;
        Self::check_unoccupied(&folder.path)?;
        folder.remove_temporaries()?;
        Ok(folder)
    }

    /// Opens the folder of a run to resume it, and removes temporary files of interrupted writes.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::Locked`], [`RunError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        if !path.join(CONFIG).is_file() {
            return Err(RunError::NotARun { path });
        }
        let folder = Self::lock(path)?;
        folder.remove_temporaries()?;
        Ok(folder)
    }

    fn remove_temporaries(&self) -> Result<(), RunError> {
        remove_temporaries(&self.path).map_err(RunError::io(&self.path, "cleaned"))
    }

    fn lock(path: PathBuf) -> Result<Self, RunError> {
        let name = path.join(LOCK);
        let lock = File::create(&name).map_err(RunError::io(&name, "created"))?;
        let mut locked = FileExt::try_lock(&lock);
        for _ in 0..TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            // `is_in_use` of another process holds it for a moment.
            std::thread::sleep(Duration::from_millis(20));
            locked = FileExt::try_lock(&lock);
        }
        match locked {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked { path }),
            // The file system has no locks: proceed without one.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::Error(error)) => Err(RunError::io(&name, "locked")(error)),
        }
    }

    /// Returns whether a process trains in this folder. Nothing is written.
    pub fn is_in_use(path: &Path) -> bool {
        let Ok(lock) = File::open(path.join(LOCK)) else {
            return false;
        };
        matches!(FileExt::try_lock_shared(&lock), Err(TryLockError::WouldBlock))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// `classes.json`.
    pub fn classes(&self) -> PathBuf {
        self.path.join("classes.json")
    }

    /// `log.jsonl`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Writes the settings to `config.json`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_config(&self, config: &impl Serialize) -> Result<(), RunError> {
        self.write_json(CONFIG, config)
    }

    /// The settings that the run was started with.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read_config<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        self.read_json(CONFIG)
    }

    /// Writes the class names, in the order of the logits, to `classes.json`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_classes(&self, names: &[String]) -> Result<(), RunError> {
        self.write_json("classes.json", &names)
    }

    /// Writes an indented JSON file.
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

    /// Reads a file that [`write_json`](Self::write_json) wrote.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunError> {
        read_json(&self.path.join(name))
    }

    /// Draws curves into the file `name`, such as `curves.png`; `x_name` labels the x axes.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Plot`].
    #[cfg(feature = "plots")]
    pub fn write_curves(
        &self,
        name: &str,
        title: &str,
        x_name: &str,
        panels: &[Panel],
    ) -> Result<(), RunError> {
        self.write_file(name, &curves_png(title, x_name, panels)?)
    }

    /// Writes a file, such as a PNG.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        replace_file(&self.path.join(name), |file| file.write_all(content))?;
        Ok(())
    }

    /// Writes `confusion.csv` and draws `confusion.png`.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Plot`].
    #[cfg(feature = "plots")]
    pub fn write_confusion(&self, confusion: &ConfusionMatrix, classes: &[String]) -> Result<(), RunError> {
        write_confusion_csv(&self.path.join("confusion.csv"), confusion, classes)?;
        self.write_file("confusion.png", &confusion_png(confusion, classes)?)
    }
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let text = fs::read_to_string(path).map_err(RunError::io(path, "read"))?;
    serde_json::from_str(&text).map_err(|source| RunError::Json {
        path: path.to_owned(),
        source,
    })
}
