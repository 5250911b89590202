//! Reads images from zip archives.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::{Members, damaged};
use crate::failure::{Failure, FailureKind};

/// An open zip archive. Clones share the directory, so that threads can read independently.
#[derive(Debug)]
pub(super) struct ZipFile(ZipArchive<Positional>);

impl ZipFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Members), Failure> {
        let file = File::open(path).map_err(|error| Failure::of_io(&error))?;
        let length = file.metadata().map_err(|error| Failure::of_io(&error))?.len();
        let reader = Positional {
            file: Arc::new(file),
            position: 0,
            length,
        };
        let archive = ZipArchive::new(reader).map_err(explain)?;
        let mut members = Members::default();
        for index in 0..archive.len() {
            // Of an invalid name, the readable part is shown.
            let Some(name) = archive.name_for_index(index) else {
                continue;
            };
            if !name.ends_with('/') {
                members.add(Path::new(name), index as u64, 0);
            }
        }
        let mut file = Self(archive);
        for member in &mut members.images {
            let entry = file.0.by_index_raw(member.place as usize).map_err(explain)?;
            member.size = entry.size();
        }
        Ok((file, members))
    }

    /// Reads the file with this index.
    pub(super) fn read(&self, number: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let mut archive = self.0.clone();
        let entry = archive.by_index(number as usize).map_err(explain)?;
        let mut bytes = Vec::new();
        // Reading one byte more than declared reveals a wrong size; the checksum is verified at the end.
        entry.take(size + 1).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err(damaged("a file size differs from the declared one"));
        }
        Ok(bytes)
    }
}

fn explain(error: ZipError) -> Failure {
    match error {
        ZipError::Io(error) => damaged(error),
        ZipError::UnsupportedArchive(feature) => Failure::new(
            FailureKind::Unsupported,
            format!("unsupported zip archive: {feature}; unpack it first"),
        ),
        error => damaged(error),
    }
}

/// Reads a file at its own position, so that clones do not interfere with each other.
#[derive(Debug, Clone)]
struct Positional {
    file: Arc<File>,
    position: u64,
    length: u64,
}

impl Read for Positional {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Positional {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
