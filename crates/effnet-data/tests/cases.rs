//! Reads the collected data sets, which are not part of the project: `data/` in the folder `cases` next to
//! `EFFNET_SHARED_DATA`.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod counts;

use std::path::PathBuf;

use counts::counts;
use effnet_data::Splits;
use test_support::skip;

/// Returns the folder of the cases. If there is none, adds a line to the log of skipped tests and returns
/// `None`.
fn cases(test: &str) -> Option<PathBuf> {
    let data = std::env::var_os("EFFNET_SHARED_DATA").filter(|folder| !folder.is_empty());
    let data = data.map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let folder = data.join("../cases/data");
    if folder.is_dir() {
        return Some(folder);
    }
    skip(test, &format!("there is no folder {}", folder.display()));
    None
}

#[test]
fn the_collected_data_sets_are_read_as_they_are_meant() {
    let Some(folder) = cases("the_collected_data_sets_are_read_as_they_are_meant") else {
        return;
    };
    let pets = "cat 8, dog 8";
    let listed = "cat 6, dog 6";
    for (path, train, val, words) in [
        (
            "training",
            "glioma 8, meningioma 8, pituitary 8",
            "glioma 4, meningioma 4, pituitary 4",
            &[][..],
        ),
        ("mac", pets, "", &[]),
        ("jfif", pets, "", &[]),
        ("ppm", pets, "", &[]),
        (
            "traintestflat",
            pets,
            "",
            &["ignored: test/ (5 images without class folders)"],
        ),
        ("csv/backslash.csv", listed, "", &[]),
        ("csv/noext.csv", listed, "", &[]),
        ("csv/h-Image-Id.csv", listed, "", &[]),
        ("csv/h-file_name-label.csv", listed, "", &[]),
        ("csv/h-filename-target.csv", listed, "", &[]),
        ("csv/h-filepath-class.csv", listed, "", &[]),
        ("csv/h-filepaths-labels.csv", listed, "", &[]),
        ("csv/h-id-label.csv", listed, "", &[]),
        ("csv/h-image_id-label.csv", listed, "", &[]),
        ("csv/h-image_path-label.csv", listed, "", &[]),
        ("csv/onehot.csv", listed, "", &[]),
        ("csv/split.csv", "cat 4, dog 4", "cat 2, dog 2", &[]),
        (
            "csv/dups.csv",
            listed,
            "",
            &["12 rows of the CSV file repeat an image"],
        ),
        (
            "csv/multirow.csv",
            "cat 6, dog 6, pet 12",
            "",
            &["12 images are listed with more than one label"],
        ),
    ] {
        let splits = Splits::open(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(counts(&*splits.train), train, "{path}");
        assert_eq!(
            splits.val.map(|val| counts(&*val)).unwrap_or_default(),
            val,
            "{path}"
        );
        let notices: Vec<String> = splits.reading.notices.iter().map(ToString::to_string).collect();
        assert_eq!(notices.len(), words.len(), "{path}: {notices:?}");
        for (notice, word) in notices.iter().zip(words) {
            assert!(notice.starts_with(word), "{path}: {notice}");
        }
    }
    let error = Splits::open(folder.join("csv/onehot-nohead.csv"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("add a first line"), "{error}");
}
