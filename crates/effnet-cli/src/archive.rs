//! Reads images from zip, tar and tar.gz archives without unpacking them.
//!
//! People often receive photos as archives. The members are listed once. After that, any thread reads an image directly
//! from the archive, so no more images are in memory than are being decoded. A compressed tar cannot be read at
//! arbitrary positions, so its images are read in order. Files found by scanning a folder are treated as images, never
//! as archives.

mod tar;

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use effnet_data::{ArchiveError, ZipFile};
use effnet_image::{is_hidden, is_image_path, unsupported_kind};

use crate::failure::{Failure, FailureKind};

/// An archive and the images in it.
#[derive(Debug)]
pub(crate) struct ImageArchive {
    path: PathBuf,
    members: Members,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Zip(ZipFile),
    Tar(tar::TarFile),
    CompressedTar(Box<tar::CompressedTar>),
}

/// An image in an archive.
#[derive(Debug)]
struct Member {
    /// The path in the archive.
    name: String,
    /// The location: the position of its bytes in a tar, its index in a zip.
    place: u64,
    /// The size in bytes, as declared by the archive.
    size: u64,
}

/// The contents of an archive.
#[derive(Debug, Default)]
struct Members {
    images: Vec<Member>,
    /// The kind of each image that is not supported.
    unsupported: Vec<&'static str>,
}

impl Members {
    /// Records a file of the archive. Hidden files and files without an image extension are skipped.
    fn add(&mut self, path: &Path, place: u64, size: u64) {
        let normal = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        let path: PathBuf = normal.collect();
        if path.iter().any(is_hidden) {
            return;
        }
        if is_image_path(&path) {
            let name = path.display().to_string();
            self.images.push(Member { name, place, size });
        } else {
            self.unsupported.extend(unsupported_kind(&path));
        }
    }
}

impl ImageArchive {
    /// Opens an archive and lists its images. Returns `None` if the name is not that of an archive.
    pub(crate) fn open(path: &Path) -> Option<Result<Self, Failure>> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let opened = if ends(&[".zip"]) {
            open_zip(path).map(|(file, members)| (Content::Zip(file), members))
        } else if ends(&[".tar"]) {
            tar::TarFile::open(path).map(|(file, members)| (Content::Tar(file), members))
        } else if ends(&[".tar.gz", ".tgz"]) {
            tar::CompressedTar::open(path)
                .map(|(file, members)| (Content::CompressedTar(Box::new(file)), members))
        } else if ends(&[".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar"]) {
            Err(Failure::new(
                FailureKind::Unsupported,
                "unsupported archive format, expected .zip, .tar or .tar.gz; unpack it first",
            ))
        } else {
            return None;
        };
        Some(opened.map(|(content, members)| Self {
            path: path.to_owned(),
            members,
            content,
        }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of images.
    pub(crate) fn len(&self) -> usize {
        self.members.images.len()
    }

    /// Returns the kind of each image that is not supported.
    pub(crate) fn unsupported(&self) -> &[&'static str] {
        &self.members.unsupported
    }

    /// Returns the name of an image, such as `photos.zip/a/b.jpg`.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{}/{}", self.path.display(), self.members.images[index].name)
    }

    /// Returns the declared size of an image in bytes.
    pub(crate) fn size(&self, index: usize) -> u64 {
        self.members.images[index].size
    }

    /// Returns whether reading out of order starts over at the beginning of the archive.
    pub(crate) fn is_sequential(&self) -> bool {
        matches!(self.content, Content::CompressedTar(_))
    }

    /// Reads the bytes of an image. Fails if there are more than `limit`.
    pub(crate) fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, Failure> {
        let Member { place, size, .. } = self.members.images[index];
        if size > limit {
            return Err(Failure::new(
                FailureKind::TooLarge,
                format!(
                    "expected a file of at most {} MiB, found {} MiB",
                    limit >> 20,
                    size >> 20
                ),
            ));
        }
        match &self.content {
            Content::Zip(file) => file.read(place as usize, size).map_err(failure),
            Content::Tar(file) => file.read(place, size),
            Content::CompressedTar(file) => file.read(place, size),
        }
    }
}

fn open_zip(path: &Path) -> Result<(ZipFile, Members), Failure> {
    let file = File::open(path).map_err(|error| Failure::from_io(&error))?;
    let mut zip = ZipFile::open(file).map_err(failure)?;
    let mut members = Members::default();
    for index in 0..zip.len() {
        if let Some(name) = zip.name(index).filter(|name| !name.ends_with('/')) {
            members.add(Path::new(name), index as u64, 0);
        }
    }
    let images = std::mem::take(&mut members.images);
    for member in images {
        if let Some(size) = zip.size(member.place as usize).map_err(failure)? {
            members.images.push(Member { size, ..member });
        }
    }
    Ok((zip, members))
}

fn failure(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Read(error) => damaged(error),
        ArchiveError::Unsupported(feature) => Failure::new(
            FailureKind::Unsupported,
            format!("unsupported archive ({feature}); unpack it first"),
        ),
        error => damaged(error),
    }
}

/// Returns the failure for an archive that violates its format.
fn damaged(found: impl std::fmt::Display) -> Failure {
    Failure::new(
        FailureKind::Damaged,
        format!("damaged archive ({found}); download or copy it again"),
    )
}
