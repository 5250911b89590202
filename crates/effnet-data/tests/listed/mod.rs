//! Images that a table lists, and what is read of them.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::path::Path;

use effnet_architecture::Task;
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

/// Lists the images with the names and values of their targets: `a.bmp cat+dog`, `a.bmp price=1.5`.
pub(crate) fn targets(root: &Path, dataset: &dyn Dataset) -> String {
    let classes = dataset.classes();
    each(root, dataset, |index| {
        let mut row = vec![0.0; classes.len()];
        dataset.values(index, &mut row);
        let named = classes.iter().zip(&row);
        let texts: Vec<String> = match dataset.task() {
            Task::Regression => named.map(|(name, value)| format!("{name}={value}")).collect(),
            _ => named
                .filter(|(_, value)| **value == 1.0)
                .map(|(name, _)| name.clone())
                .collect(),
        };
        texts.join("+")
    })
}

pub(crate) fn notices(notices: &[Notice], warnings: bool) -> Vec<String> {
    let notices = notices.iter().filter(|notice| notice.is_warning() == warnings);
    notices.map(ToString::to_string).collect()
}

/// Reads a table for a task and lists its training images with their targets, or says why it is refused.
pub(crate) fn read(images: &[&str], table: &str, task: Option<Task>) -> Result<String, String> {
    let root = home(images, table);
    let splits = Splits::open_for(root.path().join("list.csv"), task).map_err(|error| error.to_string())?;
    Ok(match splits.reading.task {
        Task::Classify => rows(root.path(), &*splits.train),
        _ => targets(root.path(), &*splits.train),
    })
}
