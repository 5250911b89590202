//! Image folders, CSV files and tar archives, and their error messages.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use effnet_data::{
    Archive, CsvDataset, DataError, Dataset, ImageFolder, Splits, Subset, by_class, open_evaluation,
    stratified_split, survey,
};
use images::{Painted, bmp, write, write_images};
use tempfile::{TempDir, tempdir};

fn folder(names: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    write_images(folder.path(), names);
    folder
}

fn names(dataset: &dyn Dataset, root: &Path) -> Vec<String> {
    let root = format!("{}/", root.display());
    (0..dataset.len())
        .map(|index| dataset.name(index).replace(&root, ""))
        .collect()
}

fn labels(dataset: &dyn Dataset) -> Vec<usize> {
    (0..dataset.len()).map(|index| dataset.label(index)).collect()
}

fn message<T>(result: Result<T, DataError>) -> String {
    result.err().map(|error| error.to_string()).unwrap()
}

#[test]
fn a_folder_has_torchvisions_classes_and_order() {
    let root = folder(&[
        "dog/b.bmp",
        "dog/a.BMP",
        "Cat/x/deep/2.bmp",
        "Cat/x-y/1.bmp",
        "Cat/z.bmp",
        "bird/1.bmp",
        ".hidden/1.bmp",
        "dog/.hidden.bmp",
        "dog/.thumbnails/1.bmp",
        "dog/notes.txt",
        "readme.bmp",
    ]);
    let dataset = ImageFolder::open(root.path()).unwrap();
    assert_eq!(dataset.classes(), ["Cat", "bird", "dog"]);
    // The order of `sorted(os.walk(...))`, with the names of each folder sorted.
    let expected = [
        "Cat/z.bmp",
        "Cat/x-y/1.bmp",
        "Cat/x/deep/2.bmp",
        "bird/1.bmp",
        "dog/a.BMP",
        "dog/b.bmp",
    ];
    assert_eq!(names(&dataset, root.path()), expected);
    assert_eq!(labels(&dataset), [0, 0, 0, 1, 2, 2]);
    assert_eq!(dataset.image(5).unwrap().pixels()[..3], [0, 0, 255]);
}

#[test]
fn known_classes_keep_their_numbers() {
    let root = folder(&["dog/1.bmp", "cat/1.bmp"]);
    let classes = ["dog", "horse", "cat"].map(str::to_owned);
    let dataset = ImageFolder::with_classes(root.path(), &classes).unwrap();
    assert_eq!(dataset.classes(), classes);
    assert_eq!(labels(&dataset), [2, 0]);
    let error = message(ImageFolder::with_classes(root.path(), &classes[..2]));
    assert!(error.contains("found cat"), "{error}");
}

#[test]
fn an_empty_folder_is_named() {
    let root = tempdir().unwrap();
    let error = message(Splits::open(root.path()));
    assert!(error.contains("neither folders nor images"), "{error}");
    write_images(root.path(), &["1.bmp", "2.bmp"]);
    let error = message(Splits::open(root.path()));
    assert!(error.contains("2 images directly in it"), "{error}");
    assert!(matches!(
        Splits::open(root.path().join("absent")),
        Err(DataError::Read { .. })
    ));
}

#[test]
fn empty_classes_are_all_named() {
    let root = folder(&["cat/1.bmp"]);
    for empty in ["dog", "horse/deep", ".git"] {
        fs::create_dir_all(root.path().join(empty)).unwrap();
    }
    write(root.path(), "dog/readme.md", b"not an image");
    let error = message(ImageFolder::open(root.path()));
    assert!(error.contains("none of dog, horse;"), "{error}");
}

#[test]
fn a_single_class_is_refused_for_training_only() {
    let root = folder(&["cat/1.bmp", "cat/2.bmp"]);
    let error = message(Splits::open(root.path()));
    assert!(error.contains("found only \"cat\""), "{error}");
    assert_eq!(open_evaluation(root.path(), None).unwrap().len(), 2);
}

#[test]
fn classes_that_differ_by_case_are_refused() {
    let root = folder(&["Äpfel/1.bmp", "äpfel/1.bmp"]);
    let error = message(ImageFolder::open(root.path()));
    assert!(error.contains("\"Äpfel\" and \"äpfel\""), "{error}");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_work_for_images_and_are_named_for_classes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let odd = OsStr::from_bytes(b"caf\xE9.bmp");
    let root = folder(&["dog/1.bmp"]);
    write(root.path(), Path::new("cat").join(odd), &bmp(2, 2, [7; 3]));
    let dataset = ImageFolder::open(root.path()).unwrap();
    assert_eq!(dataset.image(0).unwrap().pixels()[0], 7);

    write(
        root.path(),
        Path::new(OsStr::from_bytes(b"\xFFclass")).join("1.bmp"),
        &bmp(2, 2, [7; 3]),
    );
    let error = message(ImageFolder::open(root.path()));
    assert!(error.contains(r#""\xFFclass""#), "{error}");
}

#[test]
fn twenty_thousand_files_are_listed_in_two_seconds() {
    let root = tempdir().unwrap();
    for class in 0..20 {
        let class = root.path().join(format!("class-{class}"));
        fs::create_dir(&class).unwrap();
        for number in 0..1000 {
            File::create(class.join(format!("{number}.jpg"))).unwrap();
        }
    }
    let start = Instant::now();
    let dataset = ImageFolder::open(root.path()).unwrap();
    assert_eq!(dataset.len(), 20_000);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn parts_are_found_and_share_the_classes_of_the_training() {
    for val in ["val", "valid", "Validation", "test"] {
        let dog = format!("{val}/dog/1.bmp");
        let root = folder(&[
            "train/cat/1.bmp",
            "train/dog/1.bmp",
            "train/emu/1.bmp",
            &dog,
            "other/x.bmp",
        ]);
        let splits = Splits::open(root.path()).unwrap();
        let val = splits.val.unwrap();
        assert_eq!(splits.train.len(), 3);
        assert_eq!(val.classes(), ["cat", "dog", "emu"]);
        assert_eq!(labels(&*val), [1]);
        assert_eq!(
            names(&*open_evaluation(root.path(), None).unwrap(), root.path()),
            [dog]
        );
    }
}

#[test]
fn val_is_preferred_to_test() {
    let root = folder(&["train/a/1.bmp", "train/b/1.bmp", "test/a/1.bmp", "val/b/1.bmp"]);
    let val = Splits::open(root.path()).unwrap().val.unwrap();
    assert_eq!(names(&*val, root.path()), ["val/b/1.bmp"]);
}

#[test]
fn a_class_that_only_the_val_part_has_is_an_error() {
    let root = folder(&["train/a/1.bmp", "train/b/1.bmp", "val/c/1.bmp"]);
    let error = message(Splits::open(root.path()));
    assert!(error.contains("found c") && error.contains("val"), "{error}");
}

#[test]
fn a_list_is_read_with_and_without_a_header() {
    let root = folder(&["x/1.bmp", "2.bmp", "3.bmp"]);
    let lists = [
        "path,label\nx/1.bmp,cat\n2.bmp,dog\n3.bmp,cat\n",
        "x/1.bmp,cat\n2.bmp,dog,ignored\n\n3.bmp, cat\n",
        "\u{feff}id,Class,filename\r\n1,cat,x/1.bmp\r\n2,dog,\"2.bmp\"\r\n3,cat,3.bmp\r\n",
    ];
    for list in lists {
        write(root.path(), "list.csv", list.as_bytes());
        let splits = Splits::open(root.path().join("list.csv")).unwrap();
        assert_eq!(splits.train.classes(), ["cat", "dog"], "{list}");
        assert_eq!(labels(&*splits.train), [0, 1, 0]);
        assert_eq!(names(&*splits.train, root.path()), ["x/1.bmp", "2.bmp", "3.bmp"]);
        assert!(splits.train.image(0).is_ok());
    }
}

#[test]
fn labels_that_are_numbers_are_sorted_by_value() {
    let root = folder(&["1.bmp"]);
    let csv = root.path().join("list.csv");
    fs::write(&csv, "1.bmp,10\n1.bmp,9\n1.bmp,100\n").unwrap();
    assert_eq!(CsvDataset::open(&csv).unwrap().classes(), ["9", "10", "100"]);
    fs::write(&csv, "1.bmp,10\n1.bmp,9\n1.bmp,ten\n").unwrap();
    assert_eq!(CsvDataset::open(&csv).unwrap().classes(), ["10", "9", "ten"]);
}

#[test]
fn missing_files_of_a_list_are_reported_together() {
    let root = folder(&["1.bmp"]);
    let csv = root.path().join("list.csv");
    let missing = (0..15).map(|number| format!("missing-{number}.bmp,b\n"));
    let list: String = std::iter::once("1.bmp,a\n".to_owned()).chain(missing).collect();
    fs::write(&csv, list).unwrap();
    let error = CsvDataset::open(&csv).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("15 of 16 images not found"), "{text}");
    assert!(text.contains("missing-9.bmp and 5 more"), "{text}");
    let DataError::MissingFiles { missing, .. } = error else {
        panic!("{text}");
    };
    assert_eq!(missing.names().len(), 15);
}

#[test]
fn invalid_lists_are_refused_with_the_line() {
    let root = folder(&["1.bmp"]);
    let csv = root.path().join("list.csv");
    for (list, expected) in [
        (&b"1.bmp,a\n1.bmp\n"[..], "line 2"),
        (b"path,label\n1.bmp,\n", "line 2"),
        (b"", "no rows"),
        (b"path,label\n", "no rows"),
        (b"1.bmp,a\n\xFF.bmp,b\n", "UTF-8"),
    ] {
        fs::write(&csv, list).unwrap();
        let error = message(CsvDataset::open(&csv));
        assert!(error.contains(expected), "{error}");
    }
}

fn archive(path: &Path, files: &[(&str, Vec<u8>)]) {
    let mut builder = tar::Builder::new(File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn an_archive_returns_the_images_that_were_packed() {
    let long = format!("{}/3.bmp", "deep/".repeat(40));
    let files = [
        ("./data/train/cat/2.bmp".to_owned(), bmp(3, 2, [2; 3])),
        ("./data/train/cat/1.bmp".to_owned(), bmp(3, 2, [1; 3])),
        (format!("./data/train/dog/{long}"), bmp(3, 2, [3; 3])),
        ("./data/train/dog/._1.bmp".to_owned(), b"hidden".to_vec()),
        ("./data/train/dog/readme".to_owned(), b"not an image".to_vec()),
        ("./data/test/dog/4.bmp".to_owned(), bmp(3, 2, [4; 3])),
    ];
    let root = tempdir().unwrap();
    let path = root.path().join("data.tar");
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (&**name, bytes.clone()))
        .collect();
    archive(&path, &files);
    let splits = Splits::open(&path).unwrap();
    let train = splits.train;
    assert_eq!(train.classes(), ["cat", "dog"]);
    assert_eq!(labels(&*train), [0, 0, 1]);
    let colors: Vec<u8> = (0..3)
        .map(|index| train.image(index).unwrap().pixels()[0])
        .collect();
    assert_eq!(colors, [1, 2, 3]);
    assert!(
        train.name(0).ends_with("data.tar:train/cat/1.bmp"),
        "{}",
        train.name(0)
    );
    let val = splits.val.unwrap();
    assert_eq!(
        (val.len(), val.label(0), val.image(0).unwrap().pixels()[0]),
        (1, 1, 4)
    );
    assert_eq!(open_evaluation(&path, None).unwrap().len(), 1);
}

#[test]
fn an_archive_of_class_folders_is_one_set() {
    let root = tempdir().unwrap();
    let path = root.path().join("data.tar");
    archive(
        &path,
        &[("cat/1.bmp", bmp(2, 2, [0; 3])), ("dog/1.bmp", bmp(2, 2, [0; 3]))],
    );
    let splits = Splits::open(&path).unwrap();
    assert!(splits.val.is_none());
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
    let classes = ["dog".to_owned()];
    let error = message(Archive::open(&path).unwrap().dataset(None, Some(&classes)));
    assert!(error.contains("found cat"), "{error}");
}

#[test]
fn archives_that_are_cut_off_damaged_or_compressed_are_refused() {
    let root = tempdir().unwrap();
    let path = root.path().join("data.tar");
    archive(
        &path,
        &[
            ("cat/1.bmp", bmp(20, 20, [0; 3])),
            ("dog/1.bmp", bmp(20, 20, [0; 3])),
        ],
    );
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        let error = message(Splits::open(&path));
        assert!(error.contains(expected), "{error}");
    };
    refused(&whole[..900], "truncated in cat/1.bmp at byte 900");
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    refused(&damaged, "checksum");
    refused(&[0x1F, 0x8B, 8, 0, 0, 0], "gzip");
    refused(&[0; 1024], "no images");
    refused(&[], "no images");
    // Octal digits of an impossible size.
    let mut enormous = whole.clone();
    enormous[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = enormous[..148]
        .iter()
        .chain(&enormous[156..512])
        .map(|byte| u32::from(*byte))
        .sum();
    enormous[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
    refused(&enormous, "truncated");
}

#[test]
fn other_files_are_refused() {
    let root = folder(&["x.pdf", "x.7z", "x.zip"]);
    for (name, expected) in [
        ("x.pdf", "a different kind of file (.pdf)"),
        ("x.7z", "a .7z archive; unpack it first"),
        ("x.zip", "a damaged one (invalid Zip archive"),
    ] {
        let error = message(Splits::open(root.path().join(name)));
        assert!(error.contains(".zip") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_split_is_stratified_and_keeps_an_image_of_each_class_to_train_on() {
    // The four classes have 100, 7, 2 and 1 images.
    let counts = [100, 7, 2, 1];
    let root = tempdir().unwrap();
    for (class, count) in counts.iter().enumerate() {
        for number in 0..*count {
            write(root.path(), format!("{class}/{number}.bmp"), &bmp(1, 1, [0; 3]));
        }
    }
    let dataset = ImageFolder::open(root.path()).unwrap();
    let (train, val) = stratified_split(std::sync::Arc::new(dataset), 0.2, 3);
    let sizes = |part: &Subset<_>| by_class(part).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&train), [80, 6, 1, 1]);
    assert_eq!(sizes(&val), [20, 1, 1, 0]);
    let mut all: Vec<usize> = train.indices().iter().chain(val.indices()).copied().collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..110));
}

#[test]
fn a_split_follows_from_its_seed() {
    let dataset = std::sync::Arc::new(Painted::new(50, 5));
    let split = |seed| stratified_split(dataset.clone(), 0.3, seed).1.indices().to_vec();
    assert_eq!(split(1), split(1));
    assert_ne!(split(1), split(2));
    // A later build must be able to resume a run with the same split.
    assert_eq!(split(1)[..5], [6, 8, 9, 10, 11]);
}

#[test]
fn a_survey_lists_what_cannot_be_read() {
    let root = folder(&["a/1.bmp", "a/2.bmp", "b/3.bmp", "b/4.bmp"]);
    write(root.path(), "a/2.bmp", b"BM damaged");
    write(root.path(), "b/5.jpg", b"");
    let dataset = ImageFolder::open(root.path()).unwrap();
    let counted = Mutex::new(Vec::new());
    let never = AtomicBool::new(false);
    let found = survey(&dataset, None, &never, &|done| counted.lock().unwrap().push(done)).unwrap();
    let names: Vec<&str> = found
        .iter()
        .map(|found| found.name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["2.bmp", "5.jpg"]);
    assert!(
        found[1]
            .reason
            .starts_with("expected an image, found an empty file"),
        "{}",
        found[1].reason
    );
    let mut counted = counted.into_inner().unwrap();
    counted.sort_unstable();
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    let rest = Subset::without(dataset, found.iter().map(|found| found.index));
    assert_eq!(rest.indices(), [0, 2, 3]);
}

#[test]
fn a_survey_of_nothing_but_damage_is_an_error() {
    let mut dataset = Painted::new(3, 2);
    dataset.broken = vec![0, 2];
    dataset.panicking = vec![1];
    let error = message(survey(&dataset, None, &AtomicBool::new(false), &|_| {}));
    assert!(
        error.contains("none of 3 images") && error.contains("image 0: it is broken"),
        "{error}"
    );
}

#[test]
fn a_survey_that_is_stopped_looks_no_further() {
    let dataset = Painted::new(1000, 2);
    let stop = AtomicBool::new(false);
    let most = Mutex::new(0);
    let threads = std::num::NonZeroUsize::new(2);
    survey(&dataset, threads, &stop, &|done| {
        stop.store(done >= 10, Ordering::Relaxed);
        let mut most = most.lock().unwrap();
        *most = done.max(*most);
    })
    .unwrap();
    assert!(*most.lock().unwrap() < 20);
}

#[test]
fn a_class_may_be_called_train() {
    let vehicles = folder(&["bus/1.bmp", "car/1.bmp", "train/1.bmp"]);
    let splits = Splits::open(vehicles.path()).unwrap();
    assert_eq!(splits.train.classes(), ["bus", "car", "train"]);
    let packed = vehicles.path().join("vehicles.tar");
    let files = ["bus/1.bmp", "car/1.bmp", "train/1.bmp"].map(|name| (name, bmp(3, 2, [9; 3])));
    archive(&packed, &files);
    assert_eq!(
        Splits::open(&packed).unwrap().train.classes(),
        ["bus", "car", "train"]
    );
}

#[cfg(unix)]
#[test]
fn a_broken_link_is_an_unreadable_image_or_ignored() {
    let photos = folder(&["cat/1.bmp", "dog/1.bmp"]);
    for name in ["cat/2.bmp", "cat/notes"] {
        std::os::unix::fs::symlink("gone", photos.path().join(name)).unwrap();
    }
    let photos = ImageFolder::open(photos.path()).unwrap();
    assert_eq!(photos.len(), 3);
    assert!(photos.image(0).is_ok() && photos.image(1).is_err());
}

#[test]
fn classes_of_an_archive_without_images_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("photos.tar");
    let image = bmp(3, 2, [9; 3]);
    let files = [
        ("cat/1.bmp", image.clone()),
        ("dog/1.bmp", image),
        ("owl/1.heic", vec![0; 9]),
    ];
    archive(&packed, &files);
    let message = message(Splits::open(&packed));
    assert!(message.contains("owl"), "{message}");
}

#[test]
fn images_next_to_the_class_folders_of_an_archive_have_no_class() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("photos.tar");
    let files = ["photos/cat/1.bmp", "photos/cover.bmp", "photos/dog/1.bmp"];
    archive(&packed, &files.map(|name| (name, bmp(3, 2, [9; 3]))));
    let train = Splits::open(&packed).unwrap().train;
    assert_eq!(
        (train.classes(), train.len()),
        (&["cat".to_owned(), "dog".to_owned()][..], 2)
    );
}
