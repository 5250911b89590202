//! Labelled images.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use effnet_image::Image;
use effnet_infer::{BoxError, Source};

use crate::inputs::{self, Input};

/// The classes of a data set and its images.
pub(super) struct Data {
    /// In order of their names.
    pub(super) classes: Vec<String>,
    pub(super) images: Vec<Labelled>,
}

/// An image and the index of its class in [`Data::classes`].
pub(super) struct Labelled {
    pub(super) image: Input,
    pub(super) class: usize,
}

impl Source for Labelled {
    fn image(&self) -> Result<Image, BoxError> {
        self.image.image()
    }
}

/// The images below each folder in `folder`, which has the name of their class.
pub(super) fn list(folder: &Path) -> anyhow::Result<Data> {
    let shown = folder.display();
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| shown.to_string())? {
        let path = entry.with_context(|| shown.to_string())?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    ensure!(
        !folders.is_empty(),
        "{shown}: no folders, expected one with images for each class"
    );
    let mut data = Data {
        classes: Vec::new(),
        images: Vec::new(),
    };
    for path in folders {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let class = data.classes.len();
        let images = inputs::expand(std::slice::from_ref(&path))?;
        let images = images.into_iter().map(|image| Labelled { image, class });
        data.images.extend(images);
        data.classes.push(name.into_owned());
    }
    Ok(data)
}
