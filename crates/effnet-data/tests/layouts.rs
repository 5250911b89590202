//! Folders as people and websites arrange them: which images are used for what, and what is reported about
//! the rest.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod counts;
mod images;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use counts::counts;
use effnet_data::{DataError, Dataset, Evaluation, Notice, Splits};
use images::{bmp, write, write_images};
use tempfile::{TempDir, tempdir};
use zip::write::SimpleFileOptions;

/// Creates three images in each of these folders, whose names end in `/`; other names are files.
fn folder(names: &[&str]) -> TempDir {
    let root = tempdir().unwrap();
    for name in names {
        if name.ends_with('/') {
            let images = ["0", "1", "2"].map(|number| format!("{name}{number}.bmp"));
            write_images(root.path(), &images.each_ref().map(String::as_str));
        } else {
            write(root.path(), name, b"text");
        }
    }
    root
}

/// Formats splits as `TRAIN: COUNTS | VAL: COUNTS`.
fn describe(splits: &Splits) -> String {
    let part = |name: &Option<String>, images: &dyn Dataset| {
        format!("{}: {}", name.as_deref().unwrap_or("all"), counts(images))
    };
    let train = part(&splits.reading.train, &*splits.train);
    match &splits.val {
        Some(val) => format!("{train} | {}", part(&splits.reading.val, &**val)),
        None => train,
    }
}

fn notices(notices: &[Notice], warnings: bool) -> Vec<String> {
    let notices = notices.iter().filter(|notice| notice.is_warning() == warnings);
    notices.map(ToString::to_string).collect()
}

/// A layout: its folders and files, how it is read, and what is ignored.
type Layout<'a> = (&'a [&'a str], &'a str, &'a [&'a str]);

const LAYOUTS: [Layout<'_>; 27] = [
    // Class folders, with and without a folder around them.
    (&["cat/", "dog/"], "all: cat 3, dog 3", &[]),
    (
        &["PetImages/Cat/", "PetImages/Dog/", "readme[1].txt"],
        "PetImages/: Cat 3, Dog 3",
        &[],
    ),
    (
        &["raw-img/cane/", "raw-img/gatto/", "translate.py"],
        "raw-img/: cane 3, gatto 3",
        &[],
    ),
    (&["a/b/cat/", "a/b/dog/"], "a/b/: cat 3, dog 3", &[]),
    (
        &[
            "food-101/images/pizza/",
            "food-101/images/sushi/",
            "food-101/meta/classes.txt",
        ],
        "food-101/images/: pizza 3, sushi 3",
        &["ignored: meta/ (no images)"],
    ),
    (
        &[
            "__MACOSX/x/",
            "flowers/rose/",
            "flowers/tulip/",
            "flowers/.DS_Store",
        ],
        "flowers/: rose 3, tulip 3",
        &[],
    ),
    // Training and validation, in every spelling.
    (
        &["train/a/", "train/b/", "val/a/", "val/b/"],
        "train/: a 3, b 3 | val/: a 3, b 3",
        &[],
    ),
    (
        &["Train/a/", "Train/b/", "Val/a/", "Test/b/"],
        "Train/: a 3, b 3 | Val/: a 3, b 0",
        &["ignored: Test/ (Val/ is used for validation)"],
    ),
    (
        &["Training/a/", "Training/b/", "Testing/a/"],
        "Training/: a 3, b 3 | Testing/: a 3, b 0",
        &[],
    ),
    (
        &["training/a/", "training/b/", "validation/b/"],
        "training/: a 3, b 3 | validation/: a 0, b 3",
        &[],
    ),
    (
        &["train_set/a/", "train_set/b/", "test_set/a/"],
        "train_set/: a 3, b 3 | test_set/: a 3, b 0",
        &[],
    ),
    (
        &["TrainData/a/", "TrainData/b/", "TestData/a/"],
        "TrainData/: a 3, b 3 | TestData/: a 3, b 0",
        &[],
    ),
    (
        &["trainset/a/", "trainset/b/", "valset/a/"],
        "trainset/: a 3, b 3 | valset/: a 3, b 0",
        &[],
    ),
    (
        &["train2017/a/", "train2017/b/", "val2017/a/"],
        "train2017/: a 3, b 3 | val2017/: a 3, b 0",
        &[],
    ),
    (
        &["train/a/", "train/b/", "dev/a/"],
        "train/: a 3, b 3 | dev/: a 3, b 0",
        &[],
    ),
    (
        &[
            "data/train/a/",
            "data/train/b/",
            "data/valid/a/",
            "data/test/a/",
            "data/README.roboflow.txt",
        ],
        "data/train/: a 3, b 3 | data/valid/: a 3, b 0",
        &["ignored: test/ (valid/ is used for validation)"],
    ),
    // Kaggle's folders in folders of the same name.
    (
        &[
            "seg_train/seg_train/sea/",
            "seg_train/seg_train/street/",
            "seg_test/seg_test/sea/",
            "seg_pred/seg_pred/",
        ],
        "seg_train/seg_train/: sea 3, street 3 | seg_test/seg_test/: sea 3, street 0",
        &["ignored: seg_pred/ (without labels)"],
    ),
    (
        &[
            "training_set/training_set/cats/",
            "training_set/training_set/dogs/",
            "test_set/test_set/cats/",
        ],
        "training_set/training_set/: cats 3, dogs 3 | test_set/test_set/: cats 3, dogs 0",
        &[],
    ),
    (
        &[
            "train/NORMAL/",
            "train/PNEUMONIA/",
            "val/NORMAL/",
            "test/NORMAL/",
            "chest_xray/train/NORMAL/",
        ],
        "train/: NORMAL 3, PNEUMONIA 3 | val/: NORMAL 3, PNEUMONIA 0",
        &[
            "ignored: chest_xray/ (not a part of the data set)",
            "ignored: test/ (val/ is used for validation)",
        ],
    ),
    // Test images without labels.
    (
        &["train/a/", "train/b/", "test/"],
        "train/: a 3, b 3",
        &["ignored: test/ (3 images without class folders)"],
    ),
    (
        &["train/a/", "train/b/", "test/test/"],
        "train/: a 3, b 3",
        &["ignored: test/ (3 images without class folders)"],
    ),
    (
        &["train/a/", "train/b/", "test/unknown/"],
        "train/: a 3, b 3",
        &["ignored: test/ (its only folder, unknown/, is not a class of the training images)"],
    ),
    (
        &["train/a/", "train/b/", "val/a/", "test/"],
        "train/: a 3, b 3 | val/: a 3, b 0",
        &["ignored: test/ (3 images without class folders)"],
    ),
    (
        &["train/a/", "train/b/", "other/"],
        "train/: a 3, b 3",
        &["ignored: other/ (not a part of the data set)"],
    ),
    // A class may have the same name as a part.
    (&["bus/", "car/", "train/"], "all: bus 3, car 3, train 3", &[]),
    (
        &["steam_train/", "model_train/a/", "bus/"],
        "all: bus 3, model_train 3, steam_train 3",
        &[],
    ),
    (&["valid/", "invalid/"], "all: invalid 3, valid 3", &[]),
];

#[test]
fn layouts_are_read_as_they_are_meant() {
    for (names, expected, ignored) in LAYOUTS {
        let root = folder(names);
        let splits = Splits::open(root.path()).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        assert_eq!(describe(&splits), expected, "{names:?}");
        assert_eq!(notices(&splits.reading.notices, false), ignored, "{names:?}");
        assert_eq!(notices(&splits.reading.notices, true), [""; 0], "{names:?}");
        // Whatever can be trained on can be evaluated: the validation images, or all.
        let evaluation = Evaluation::open(root.path(), None).unwrap();
        let images = splits.val.as_ref().unwrap_or(&splits.train).len();
        assert_eq!(evaluation.images.len(), images, "{names:?}");
        assert_eq!(evaluation.reading.val, splits.reading.val, "{names:?}");
    }
}

#[test]
fn archives_are_read_like_folders() {
    for (names, expected, _) in LAYOUTS {
        let root = folder(names);
        let target = tempdir().unwrap();
        let from_folder = Splits::open(root.path()).unwrap();
        for pack in [tar_of, zip_of] {
            let packed = pack(root.path(), target.path());
            let splits = Splits::open(&packed).unwrap_or_else(|error| panic!("{names:?}: {error}"));
            // The images are the same. In an archive, folders around all others are not part of the image names.
            assert_eq!(
                counts(&*splits.train),
                counts(&*from_folder.train),
                "{packed:?} {names:?}: {expected}"
            );
            let val = |splits: &Splits| splits.val.as_ref().map(|val| counts(&**val));
            assert_eq!(val(&splits), val(&from_folder), "{packed:?} {names:?}");
            for index in 0..splits.train.len() {
                let (packed, loose) = (splits.train.image(index), from_folder.train.image(index));
                assert_eq!(packed.unwrap().pixels(), loose.unwrap().pixels(), "{names:?}");
            }
        }
    }
}

fn tar_of(root: &Path, target: &Path) -> PathBuf {
    let packed = target.join("packed.tar");
    let mut builder = tar::Builder::new(File::create(&packed).unwrap());
    builder.append_dir_all("packed", root).unwrap();
    builder.finish().unwrap();
    packed
}

/// Half of the files are compressed.
fn zip_of(root: &Path, target: &Path) -> PathBuf {
    let packed = target.join("packed.zip");
    let mut writer = zip::ZipWriter::new(File::create(&packed).unwrap());
    let methods = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated];
    for (index, entry) in walkdir::WalkDir::new(root).into_iter().enumerate() {
        let entry = entry.unwrap();
        let name = Path::new("packed").join(entry.path().strip_prefix(root).unwrap());
        let options = SimpleFileOptions::default().compression_method(methods[index % 2]);
        if entry.file_type().is_dir() {
            writer.add_directory_from_path(name, options).unwrap();
        } else {
            writer.start_file_from_path(name, options).unwrap();
            writer.write_all(&std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
    writer.finish().unwrap();
    packed
}

/// Packs images into a zip archive, next to what macOS and links add, and damages it.
#[test]
fn a_zip_archive_is_checked_when_it_is_opened_and_when_it_is_read() {
    let root = tempdir().unwrap();
    let packed = root.path().join("photos.zip");
    let image = bmp(30, 20, [7; 3]);
    let mut writer = zip::ZipWriter::new(File::create(&packed).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for name in ["cat/1.bmp", "dog/1.bmp", "__MACOSX/cat/._1.bmp", "notes.txt"] {
        writer.start_file(name, options).unwrap();
        writer.write_all(&image).unwrap();
    }
    writer.add_symlink("dog/2.bmp", "1.bmp", options).unwrap();
    writer.add_directory("__MACOSX/", options).unwrap();
    writer.finish().unwrap();
    let train = Splits::open(&packed).unwrap().train;
    assert_eq!(counts(&*train), "cat 1, dog 1");
    assert!(
        train.name(1).ends_with("photos.zip:dog/1.bmp"),
        "{}",
        train.name(1)
    );
    let whole = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &whole[..whole.len() - 30]).unwrap();
    let error = Splits::open(&packed).unwrap_err().to_string();
    assert!(
        error.contains("photos.zip") && error.contains("a damaged one ("),
        "{error}"
    );
    let mut changed = whole.clone();
    let pixel = whole.windows(3).position(|bytes| bytes == [7; 3]).unwrap();
    changed[pixel] = 8;
    std::fs::write(&packed, &changed).unwrap();
    let train = Splits::open(&packed).unwrap().train;
    let error = train.image(0).unwrap_err().to_string();
    assert!(error.contains("a damaged one ("), "{error}");
    assert!(train.image(1).is_ok());
}

/// The command in the error makes a data set that can be opened.
#[cfg(unix)]
#[test]
fn a_compressed_archive_is_refused_with_the_command_that_unpacks_it() {
    let root = folder(&["cat/", "dog/"]);
    let target = tempdir().unwrap();
    let plain = std::fs::read(tar_of(root.path(), target.path())).unwrap();
    let packed = target.path().join("it's mine.tar.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    encoder.finish().unwrap();
    let error = Splits::open(&packed).unwrap_err().to_string();
    assert!(error.contains("gzip compression"), "{error}");
    let command = error.split('`').nth(1).unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(target.path())
        .status();
    assert!(status.unwrap().success(), "{command}");
    let train = Splits::open(target.path().join("it's mine")).unwrap().train;
    assert_eq!(counts(&*train), "cat 3, dog 3");
}

#[test]
fn what_looks_like_a_mistake_is_warned_of() {
    for (names, words) in [
        // Parts with unknown names would become classes.
        (
            &["fold1/cat/", "fold1/dog/", "fold2/cat/", "fold2/dog/"][..],
            "(fold1, fold2) all contain the same subfolders (cat, dog)",
        ),
        // Class folders that contain parts.
        (
            &["cat/train/", "cat/test/", "dog/train/", "dog/test/"],
            "all contain test, train, which are used together",
        ),
        // A data set that contains a copy of itself.
        (
            &["rose/", "tulip/", "flowers/rose/", "flowers/tulip/"],
            "the class folder flowers/ contains folders named like the other classes",
        ),
        (
            &["cat/", "train/", "test/"],
            "the folders test, train are used as classes",
        ),
        (
            &["a/", "b/", "./"],
            "3 images are not in any class folder and will be ignored",
        ),
    ] {
        let root = folder(names);
        let reading = Splits::open(root.path()).unwrap().reading;
        let warnings = notices(&reading.notices, true);
        assert!(
            warnings.len() == 1 && warnings[0].contains(words),
            "{names:?}: {warnings:?}"
        );
    }
}

#[test]
fn layouts_without_classes_are_refused_with_what_was_found() {
    for (names, words) in [
        (
            &["train/", "test/"][..],
            &["train", "3 images directly in it"][..],
        ),
        (
            &["train/", "test/", "labels.csv"],
            &["3 images directly in it", "labels.csv lists their labels"],
        ),
        (
            &["train/a/", "train/b/", "val/"],
            &["val", "3 images directly in it"],
        ),
        (&["val/a/", "val/b/"], &["training images", "found only val/"]),
        (&["train/a/", "train/b/", "val/c/"], &["found c"]),
        (
            &["a/", "b/x.heic"],
            &["none of b (1 HEIC file, which effnet cannot read)"],
        ),
    ] {
        let root = folder(names);
        let error = Splits::open(root.path()).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{names:?}: `{word}` is not in: {error}");
        }
    }
}

#[test]
fn files_that_are_not_supported_are_counted() {
    let root = folder(&["a/", "a/x.heic", "a/y.HEIC", "b/", "b/z.cr2", "b/notes.txt"]);
    let reading = Splits::open(root.path()).unwrap().reading;
    let warnings = notices(&reading.notices, true);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("2 HEIC files cannot be read"),
        "{warnings:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting_for_its_other_end() {
    let root = folder(&["cat/", "dog/"]);
    for name in ["data.csv", "data.tar", "data", "cat/pipe.bmp"] {
        let made = std::process::Command::new("mkfifo")
            .arg(root.path().join(name))
            .status();
        assert!(made.unwrap().success());
    }
    for name in ["data.csv", "data.tar", "data"] {
        let error = Splits::open(root.path().join(name)).unwrap_err().to_string();
        assert!(error.contains("a pipe or a device"), "{error}");
    }
    assert_eq!(Splits::open(root.path()).unwrap().train.len(), 6);
}

/// Returns a header of this kind and size, with a valid checksum.
fn header(kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("long").unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_long_name_in_an_archive_is_limited() {
    let root = tempdir().unwrap();
    let path = root.path().join("data.tar");
    for (kind, size) in [
        (tar::EntryType::GNULongName, 3 << 30),
        (tar::EntryType::XHeader, 1 << 32),
    ] {
        write(root.path(), "data.tar", &header(kind, size));
        // A sparse file, which takes no space on disk.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(size + 2048)
            .unwrap();
        match Splits::open(&path) {
            Err(DataError::Archive { found, .. }) => {
                assert!(found.contains(&format!("{size} bytes")), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn extended_headers_and_sparse_files_of_an_archive_are_understood() {
    let root = tempdir().unwrap();
    let path = root.path().join("data.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let image = bmp(3, 2, [7; 3]);
    let mut file = tar::Header::new_ustar();
    file.set_size(image.len() as u64);
    file.set_mode(0o644);
    let long = format!("cat/{}/1.bmp", "deep".repeat(60));
    builder
        .append_pax_extensions([("comment", &b"x"[..]), ("path", long.as_bytes())])
        .unwrap();
    builder
        .append_data(&mut file.clone(), "short", &image[..])
        .unwrap();
    builder
        .append_pax_extensions([("GNU.sparse.major", &b"1"[..])])
        .unwrap();
    builder
        .append_data(&mut file.clone(), "cat/sparse.bmp", &image[..])
        .unwrap();
    builder.append_data(&mut file, "dog/2.bmp", &image[..]).unwrap();
    builder.finish().unwrap();
    let train = Splits::open(&path).unwrap().train;
    assert_eq!(counts(&*train), "cat 1, dog 1");
    assert!(train.name(0).ends_with(&long), "{}", train.name(0));
    assert_eq!(train.image(0).unwrap().pixels()[0], 7);
    assert_eq!(train.image(1).unwrap().pixels()[0], 7);
    assert!(Path::new(&path).is_file());
}
