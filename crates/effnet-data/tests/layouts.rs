//! Folders as people and websites arrange them: which images are used for what, and what is reported about
//! the rest.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod counts;
mod images;
mod packing;

use counts::counts;
use effnet_architecture::Task;
use effnet_data::{DataError, DataOptions, Dataset, Evaluation, EvaluationOptions, Notice, Splits};
use images::{write, write_images};
use packing::{tar_of, zip_of};
use tempfile::{TempDir, tempdir};

fn classes() -> DataOptions {
    DataOptions::default().with_task(Task::Classify)
}

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
        let evaluation = Evaluation::open(root.path(), &EvaluationOptions::default()).unwrap();
        let images = splits.val.as_ref().unwrap_or(&splits.train).len();
        assert_eq!(evaluation.images.len(), images, "{names:?}");
        assert_eq!(evaluation.reading.val, splits.reading.val, "{names:?}");
    }
}

#[test]
fn all_parts_are_opened_side_by_side() {
    let names: &[&str] = &["train/a/", "train/b/", "val/a/", "val/b/", "test/a/", "test/b/"];
    let root = folder(names);
    let target = tempdir().unwrap();
    let tables = tempdir().unwrap();
    write_images(tables.path(), &["1.bmp", "2.bmp", "3.bmp", "4.bmp"]);
    let rows = b"path,label,split\n1.bmp,a,train\n2.bmp,b,train\n3.bmp,a,val\n4.bmp,b,test\n";
    write(tables.path(), "t.csv", rows);
    let expected = ["train/", "val/", "test/"];
    for (path, expected) in [
        (root.path().to_owned(), expected),
        (zip_of(root.path(), target.path()), expected),
        (
            tables.path().join("t.csv"),
            ["split = train", "split = val", "split = test"],
        ),
    ] {
        let splits = Splits::open_all(&path, &classes()).unwrap();
        let reading = &splits.reading;
        let found =
            [&reading.train, &reading.val, &reading.test].map(|name| name.as_deref().unwrap_or("none"));
        assert_eq!(found, expected, "{path:?}");
        assert_eq!(splits.test.unwrap().classes(), splits.train.classes());
        assert_eq!(notices(&reading.notices, false), [""; 0], "{path:?}");
        // For training, the images for tests are left alone.
        let splits = Splits::open(&path).unwrap();
        assert!(splits.test.is_none() && splits.reading.test.is_none());
        assert_eq!(notices(&splits.reading.notices, false).len(), 1, "{path:?}");
        let evaluation = Evaluation::open(&path, &EvaluationOptions::default().with_test(true)).unwrap();
        assert_eq!(evaluation.reading.test.as_deref(), Some(expected[2]), "{path:?}");
        assert_eq!(notices(&evaluation.reading.notices, false), [""; 0], "{path:?}");
        let tests = Splits::open_all(&path, &classes()).unwrap().test.unwrap();
        assert_eq!(evaluation.images.len(), tests.len(), "{path:?}");
        assert_eq!(evaluation.images.name(0), tests.name(0), "{path:?}");
    }
    for (names, found) in [
        (&["a/", "b/"][..], "images that are not split"),
        (&["train/a/", "train/b/", "val/a/", "val/b/"], "train/ and val/"),
    ] {
        let error = Evaluation::open(
            folder(names).path(),
            &EvaluationOptions::default().with_test(true),
        )
        .unwrap_err();
        assert!(
            matches!(&error, DataError::NoTest { found: parts, .. } if parts == found),
            "{error}"
        );
    }
    let root = folder(&["train/a/", "train/b/", "test/a/", "test/b/"]);
    let evaluation = Evaluation::open(root.path(), &EvaluationOptions::default().with_test(true)).unwrap();
    let warnings = notices(&evaluation.reading.notices, true);
    assert!(
        warnings.len() == 1 && warnings[0].contains("test/"),
        "{warnings:?}"
    );
    // Images for tests are not called validation images, although they are used as such.
    let root = folder(&[
        "train/a/",
        "train/b/",
        "test/a/",
        "test/b/",
        "testing/a/",
        "testing/b/",
    ]);
    let splits = Splits::open_all(root.path(), &classes()).unwrap();
    assert!(splits.val.is_none() && splits.test.is_some());
    let ignored = ["ignored: testing/ (test/ is used for validation)"];
    assert_eq!(notices(&splits.reading.notices, false), ignored);
    assert_eq!(
        describe(&Splits::open(root.path()).unwrap()),
        "train/: a 3, b 3 | test/: a 3, b 3"
    );
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
            "all contain test, train, whose images will be merged",
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
