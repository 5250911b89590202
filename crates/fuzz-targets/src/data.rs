//! Data sets: the CSV table and the tar archive.

use std::io::Write;

use effnet_data::{Archive, CsvDataset, Dataset};

/// Images of a data set to read.
const READ: usize = 4;

/// Writes the bytes to a file of this extension.
fn with_file(extension: &str, bytes: &[u8], read: impl FnOnce(&std::path::Path)) {
    let file = tempfile::Builder::new().suffix(extension).tempfile();
    if let Ok(mut file) = file
        && file.write_all(bytes).is_ok()
    {
        read(file.path());
    }
}

fn check(dataset: &dyn Dataset) {
    for index in 0..dataset.len() {
        assert!(dataset.label(index) < dataset.classes().len());
    }
    for index in 0..dataset.len().min(READ) {
        let _ = (dataset.name(index), dataset.image(index).is_ok());
    }
}

pub(crate) fn csv(bytes: &[u8]) {
    with_file(".csv", bytes, |path| {
        if let Ok(table) = CsvDataset::open(path) {
            check(&table);
        }
    });
}

pub(crate) fn tar(bytes: &[u8]) {
    with_file(".tar", bytes, |path| {
        let Ok(archive) = Archive::open(path) else {
            return;
        };
        for split in [None, Some("train")] {
            if let Ok(dataset) = archive.dataset(split, None) {
                check(&dataset);
            }
        }
    });
}
