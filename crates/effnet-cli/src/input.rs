//! One image that a command was given, by the path that it has, or the reason why there is none.

use std::path::PathBuf;

use effnet::{BoxError, Source};
use effnet_image::Image;

/// An image to classify, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Input {
    /// As it is reported.
    pub(crate) name: String,
    pub(crate) source: Result<PathBuf, String>,
}

impl Source for Input {
    fn image(&self) -> Result<Image, BoxError> {
        match &self.source {
            Ok(path) => Ok(Image::open(path)?),
            Err(reason) => Err(reason.as_str().into()),
        }
    }
}

impl Input {
    /// A file that was found.
    pub(crate) fn file(path: PathBuf) -> Self {
        Self {
            name: path.display().to_string(),
            source: Ok(path),
        }
    }

    /// Something that was named and is not there.
    pub(crate) fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: Err(reason.into()),
        }
    }
}
