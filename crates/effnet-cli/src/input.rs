//! An input of a command: the path of an image, or why it was not found.

use std::borrow::Cow;
use std::path::PathBuf;

use effnet::{BoxError, Source};
use effnet_image::{Image, ImageWarning};

/// An image file, or why there is none.
#[derive(Debug)]
pub(crate) struct Input {
    /// The name in results and messages.
    pub(crate) name: String,
    pub(crate) source: Result<PathBuf, String>,
    /// What decoding mended.
    pub(crate) warnings: Vec<ImageWarning>,
}

impl Source for Input {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        match &self.source {
            Ok(path) => path.image(),
            Err(reason) => Err(reason.as_str().into()),
        }
    }

    fn set_warnings(&mut self, warnings: Vec<ImageWarning>) {
        self.warnings = warnings;
    }
}

impl Input {
    /// An existing file.
    pub(crate) fn file(path: PathBuf) -> Self {
        Self {
            name: path.display().to_string(),
            source: Ok(path),
            warnings: Vec::new(),
        }
    }

    /// An input that was named but not found.
    pub(crate) fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: Err(reason.into()),
            warnings: Vec::new(),
        }
    }
}
