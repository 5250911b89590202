//! Data sets for tests, also used by effnet-train.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::fs;
use std::path::Path;

use effnet_data::{BoxError, Dataset};
use effnet_image::Image;

/// Creates a BMP file of one colour.
pub(crate) fn bmp(width: u32, height: u32, [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let stride = (width as usize * 3).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + (stride * height as usize) as u32).to_le_bytes());
    for field in [0, 54, 40, width, height, 24 << 16 | 1, 0, 0, 0, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    let mut row = [blue, green, red].repeat(width as usize);
    row.resize(stride, 0);
    bytes.extend(row.repeat(height as usize));
    bytes
}

/// Writes a file, creating the folders above it.
pub(crate) fn write(root: &Path, name: impl AsRef<Path>, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes small images, all of them different.
pub(crate) fn write_images(root: &Path, names: &[&str]) {
    for (number, name) in names.iter().enumerate() {
        let number = number as u8;
        write(root, name, &bmp(5, 4, [number, number * 3, 255 - number]));
    }
}

/// Images in memory: image `n` has the colour `(n, n, n)` and the class `n % classes`.
pub(crate) struct Painted {
    pub(crate) length: usize,
    pub(crate) classes: Vec<String>,
    /// Images that cannot be read.
    pub(crate) broken: Vec<usize>,
    /// Images that make the decoder panic.
    pub(crate) panicking: Vec<usize>,
}

impl Painted {
    pub(crate) fn new(length: usize, classes: usize) -> Self {
        Self {
            length,
            classes: (0..classes).map(|class| format!("class-{class}")).collect(),
            broken: Vec::new(),
            panicking: Vec::new(),
        }
    }
}

impl Dataset for Painted {
    fn len(&self) -> usize {
        self.length
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        index % self.classes.len()
    }

    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        assert!(!self.panicking.contains(&index), "a bug in the decoder");
        if self.broken.contains(&index) {
            return Err(format!("image {index}: it is broken").into());
        }
        // The image has several colours, so that crops differ.
        let pixels = (0..9 * 7 * 3).map(|n| (index * 31 + n * 5) as u8).collect();
        Ok(Image::from_rgb8(9, 7, pixels)?)
    }
}
