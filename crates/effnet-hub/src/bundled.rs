//! Weight files embedded in the program, which work without a network connection.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::transfer::{CacheFolder, PART, local, open_plain};
use crate::{Bundled, Entry, Error, Hub, Progress, WeightFile};

impl Hub {
    /// Whether the weights of `entry` are embedded in the program.
    pub fn is_bundled(&self, entry: &Entry) -> bool {
        self.bundled(entry).is_some()
    }

    /// Returns the name and content of the embedded file of `entry`, if there is one.
    pub fn bundled_bytes(&self, entry: &Entry) -> Option<(&'static str, &'static [u8])> {
        self.bundled(entry)
            .map(|(_, bundled)| (bundled.name, bundled.bytes))
    }

    fn bundled<'a>(&'a self, entry: &'a Entry) -> Option<(&'a WeightFile, &'a Bundled)> {
        entry.files.iter().filter(|file| file.bundled).find_map(|file| {
            let is_the_file = |bundled: &&Bundled| {
                bundled.id == entry.id
                    && bundled.name == file.name.as_str()
                    // A user's manifest may use the same name for a different file.
                    && file
                        .sha256
                        .as_ref()
                        .is_some_and(|expected| expected.matches(bundled.sha256))
            };
            Some((file, self.config.bundled.iter().find(is_the_file)?))
        })
    }

    /// Writes the embedded file of `entry`, if there is one, to the cache folder.
    pub(crate) fn unpack(
        &self,
        entry: &Entry,
        progress: &mut dyn Progress,
        rejected: &mut Vec<String>,
    ) -> Result<Option<PathBuf>, Error> {
        let Some((file, bundled)) = self.bundled(entry) else {
            return Ok(None);
        };
        let folder = CacheFolder::open(&self.config.cache)?;
        let _lock = folder.lock(file, progress)?;
        // Another process may have written the file while this one waited.
        if let Some(path) = self.search_path.usable(entry, &self.digests, progress, rejected) {
            return Ok(Some(path));
        }
        let part = folder.path_of(file, PART);
        let mut handle = open_plain(&part, OpenOptions::new().write(true).create(true).truncate(true))?;
        handle
            .write_all(bundled.bytes)
            .and_then(|()| handle.sync_all())
            .map_err(|source| {
                let _ = fs::remove_file(&part);
                local("write to", &part, source)
            })?;
        let path = folder.publish(&part, file)?;
        self.digests.remember(&path, bundled.sha256);
        Ok(Some(path))
    }
}
