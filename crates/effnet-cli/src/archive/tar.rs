//! Reads images from tar archives, compressed or not.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use effnet_checkpoint::read_exact_at;
use effnet_data::{ArchiveError, Forward, TarKind, walk_tar};
use flate2::bufread::MultiGzDecoder;

use super::{Members, damaged, failure};
use crate::failure::Failure;

/// A compressed archive that unpacks to more bytes than this, and to more than [`MOST_GROWTH`] times its size, does not
/// contain images.
const LARGE: u64 = 1 << 30;
/// The most by which images grow when unpacked: JPEGs hardly shrink and bitmaps of a single colour are rare, but gzip
/// can shrink zeros to a thousandth.
const MOST_GROWTH: u64 = 100;

/// An open tar archive. Each file is read at its position.
#[derive(Debug)]
pub(super) struct TarFile(File);

impl TarFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Members), Failure> {
        let (file, length) = open(path)?;
        let copy = file.try_clone().map_err(|error| Failure::from_io(&error))?;
        let members = list(&mut BufReader::new(copy))?;
        if members
            .images
            .iter()
            .any(|member| member.place.saturating_add(member.size) > length)
        {
            return Err(damaged(format!("truncated at byte {length}")));
        }
        Ok((Self(file), members))
    }

    pub(super) fn read(&self, place: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; size as usize];
        read_exact_at(&self.0, &mut bytes, place).map_err(|error| Failure::from_io(&error))?;
        Ok(bytes)
    }
}

/// A compressed tar archive, which is read from start to end.
#[derive(Debug)]
pub(super) struct CompressedTar {
    path: PathBuf,
    /// `None` before the first image.
    reader: Mutex<Option<Unpacking>>,
}

impl CompressedTar {
    pub(super) fn open(path: &Path) -> Result<(Self, Members), Failure> {
        let members = list(&mut Unpacking::start(path)?)?;
        let (path, reader) = (path.to_owned(), Mutex::new(None));
        Ok((Self { path, reader }, members))
    }

    pub(super) fn read(&self, place: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let unpacking = match reader.take() {
            Some(unpacking) if unpacking.position <= place => unpacking,
            _ => Unpacking::start(&self.path)?,
        };
        let unpacking = reader.insert(unpacking);
        unpacking.skip(place - unpacking.position).map_err(damaged)?;
        let mut bytes = Vec::new();
        unpacking.take(size).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err(damaged("truncated"));
        }
        Ok(bytes)
    }
}

/// Unpacks a compressed file.
#[derive(Debug)]
struct Unpacking {
    decoder: MultiGzDecoder<BufReader<File>>,
    position: u64,
    limit: u64,
}

impl Unpacking {
    fn start(path: &Path) -> Result<Self, Failure> {
        let (file, length) = open(path)?;
        Ok(Self {
            decoder: MultiGzDecoder::new(BufReader::new(file)),
            position: 0,
            limit: LARGE.max(length.saturating_mul(MOST_GROWTH)),
        })
    }
}

impl Read for Unpacking {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(bytes)?;
        self.position += count as u64;
        if self.position > self.limit {
            let mebibytes = self.limit >> 20;
            return Err(io::Error::other(format!(
                "larger than {mebibytes} MiB when unpacked"
            )));
        }
        Ok(count)
    }
}

impl Forward for Unpacking {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        match io::copy(&mut self.take(count), &mut io::sink())? {
            skipped if skipped == count => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Lists the files of an archive.
fn list(reader: &mut impl Forward) -> Result<Members, Failure> {
    let mut members = Members::default();
    walk_tar(reader, |member| {
        match member.kind {
            TarKind::File => members.add(&member.name, member.offset, member.size),
            TarKind::GnuSparse => return Err(ArchiveError::Unsupported("sparse files".to_owned())),
            // Folders, links and devices are not images.
            _ => {}
        }
        Ok(())
    })
    .map_err(failure)?;
    Ok(members)
}

fn open(path: &Path) -> Result<(File, u64), Failure> {
    let file = File::open(path).map_err(|error| Failure::from_io(&error))?;
    let length = file.metadata().map_err(|error| Failure::from_io(&error))?.len();
    Ok((file, length))
}
