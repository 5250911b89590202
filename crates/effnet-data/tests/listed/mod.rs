//! Images that a table lists, and what is read of them.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::path::Path;

use effnet_data::{Dataset, Notice, Splits};
use tempfile::{TempDir, tempdir};

use crate::images::{write, write_images};

/// Creates images and a table `list.csv`.
pub(crate) fn home(images: &[&str], table: &str) -> TempDir {
    let root = tempdir().unwrap();
    write_images(root.path(), images);
    write(root.path(), "list.csv", table.as_bytes());
    root
}

pub(crate) fn open(root: &TempDir) -> Splits {
    Splits::open(root.path().join("list.csv")).unwrap()
}

pub(crate) fn refused(root: &TempDir, words: &[&str]) {
    let error = Splits::open(root.path().join("list.csv"))
        .unwrap_err()
        .to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Lists the images with their labels: `a.bmp cat, b.bmp dog`.
pub(crate) fn rows(root: &Path, dataset: &dyn Dataset) -> String {
    let root = format!("{}/", root.display());
    let row = |index: usize| {
        let label = &dataset.classes()[dataset.label(index)];
        format!("{} {label}", dataset.name(index).replace(&root, ""))
    };
    (0..dataset.len()).map(row).collect::<Vec<_>>().join(", ")
}

pub(crate) fn notices(notices: &[Notice], warnings: bool) -> Vec<String> {
    let notices = notices.iter().filter(|notice| notice.is_warning() == warnings);
    notices.map(ToString::to_string).collect()
}
