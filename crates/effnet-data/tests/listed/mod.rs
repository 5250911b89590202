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
    assert_says(&error, words);
}

/// Checks that a message has all of these words.
pub(crate) fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

/// Lists the images, each with what is said of its index: `a.bmp cat, b.bmp dog`.
pub(crate) fn each(root: &Path, dataset: &dyn Dataset, text: impl Fn(usize) -> String) -> String {
    let root = format!("{}/", root.display());
    let row = |index| format!("{} {}", dataset.name(index).replace(&root, ""), text(index));
    (0..dataset.len()).map(row).collect::<Vec<_>>().join(", ")
}

/// Lists the images with their labels: `a.bmp cat, b.bmp dog`.
pub(crate) fn rows(root: &Path, dataset: &dyn Dataset) -> String {
    each(root, dataset, |index| {
        dataset.classes()[dataset.label(index)].clone()
    })
}

pub(crate) fn notices(notices: &[Notice], warnings: bool) -> Vec<String> {
    let notices = notices.iter().filter(|notice| notice.is_warning() == warnings);
    notices.map(ToString::to_string).collect()
}
