//! An input of a command: an image and its location, or the reason why it was not found.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet::{BoxError, Source};
use effnet_image::{DecodeOptions, Image, ImageWarning};

use crate::archive::ImageArchive;
use crate::failure::Failure;
use crate::web::Web;

/// An image to read, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Input {
    /// The name shown in results and messages.
    pub(crate) name: String,
    source: InputSource,
    /// Warnings from decoding the image.
    pub(crate) warnings: Vec<ImageWarning>,
}

/// The location of an image.
#[derive(Debug)]
enum InputSource {
    File(PathBuf),
    /// The bytes of a file, from standard input or a compressed archive.
    Bytes(Vec<u8>),
    /// The image with this index in an archive.
    Member(Arc<ImageArchive>, usize),
    /// The file at this web address.
    Address(Arc<Web>, String),
    Failed(Failure),
}

impl Source for Input {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        match &self.source {
            InputSource::File(path) => path.image(),
            InputSource::Failed(failure) => Err(failure.clone().into()),
            _ => Ok(Cow::Owned(Image::decode(&self.bytes()?, &self.name)?)),
        }
    }

    fn set_warnings(&mut self, warnings: Vec<ImageWarning>) {
        self.warnings = warnings;
    }
}

impl Input {
    fn new(name: impl Into<String>, source: InputSource) -> Self {
        Self {
            name: name.into(),
            source,
            warnings: Vec::new(),
        }
    }

    /// Creates an input for an existing file.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self::new(path.display().to_string(), InputSource::File(path))
    }

    /// Creates an input from the bytes of a file.
    pub(crate) fn of_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self::new(name, InputSource::Bytes(bytes))
    }

    /// Creates an input for each image in an archive.
    pub(crate) fn of_archive(archive: &Arc<ImageArchive>) -> impl Iterator<Item = Self> {
        (0..archive.len()).map(|index| {
            Self::new(
                archive.name(index),
                InputSource::Member(Arc::clone(archive), index),
            )
        })
    }

    /// Creates an input for a file on the web, which is downloaded when it is needed.
    pub(crate) fn of_address(web: &Arc<Web>, address: &str) -> Self {
        Self::new(
            address.to_owned(),
            InputSource::Address(Arc::clone(web), address.to_owned()),
        )
    }

    /// Creates an input for an image that was named but not found.
    pub(crate) fn of_failure(name: impl Into<String>, failure: Failure) -> Self {
        Self::new(name, InputSource::Failed(failure))
    }

    /// Returns the path of the image, or of the archive that contains it.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            InputSource::File(path) => Some(path),
            InputSource::Member(archive, _) => Some(archive.path()),
            _ => None,
        }
    }

    /// Returns the path of the image if it is a file of its own, outside any archive.
    pub(crate) fn own_file(&self) -> Option<&Path> {
        match &self.source {
            InputSource::File(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the size of an image in an archive, in bytes.
    pub(crate) fn member_size(&self) -> Option<u64> {
        match &self.source {
            InputSource::Member(archive, index) => Some(archive.size(*index)),
            _ => None,
        }
    }

    /// Returns the reason why there is no image, if it is known before reading.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match &self.source {
            InputSource::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Reads the bytes of the image file.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>, BoxError> {
        let limit = DecodeOptions::default().max_memory;
        Ok(match &self.source {
            InputSource::File(path) => Cow::Owned(std::fs::read(path)?),
            InputSource::Bytes(bytes) => Cow::Borrowed(bytes),
            InputSource::Member(archive, index) => Cow::Owned(archive.read(*index, limit)?),
            InputSource::Address(web, address) => Cow::Owned(web.read(address, limit)?),
            InputSource::Failed(failure) => return Err(failure.clone().into()),
        })
    }

    /// Reads the bytes into memory now if they can only be read in the order of the archive. Must be called in that
    /// order, by one thread at a time: reading a compressed archive out of order starts over at its beginning.
    pub(crate) fn in_order(mut self) -> Self {
        let InputSource::Member(archive, index) = &self.source else {
            return self;
        };
        if archive.is_sequential() {
            self.source = match archive.read(*index, DecodeOptions::default().max_memory) {
                Ok(bytes) => InputSource::Bytes(bytes),
                Err(failure) => InputSource::Failed(failure),
            };
        }
        self
    }
}
