//! Calls `effnet features --format npy` and `effnet similar` with the bundled weights.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use effnet_image::Image;

fn effnet(folder: &Path, arguments: &[&str]) -> Output {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.current_dir(folder)
        .args(arguments)
        .args(["--model", "b0.cifar10"])
        .env("EFFNET_OFFLINE", "1");
    call.output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a PPM file of a color gradient that depends on `seed`.
fn write_image(path: &Path, seed: u8) {
    let mut bytes = b"P6\n40 30\n255\n".to_vec();
    for y in 0..30_u8 {
        for x in 0..40_u8 {
            let value = |channel: u8| {
                (x.wrapping_mul(seed).wrapping_add(y.wrapping_mul(channel + seed))).wrapping_mul(5)
            };
            bytes.extend([value(0), value(3), value(7)]);
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Creates a folder `photos` with six images and a damaged one.
fn photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir_all(photos.join("sub")).unwrap();
    for seed in 1..6 {
        write_image(&photos.join(format!("{seed}.ppm")), seed);
    }
    let ship = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png");
    fs::copy(ship, photos.join("sub/ship.png")).unwrap();
    fs::write(photos.join("broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    folder
}

const SHIP: &str = "photos/sub/ship.png";

#[test]
fn an_image_is_most_similar_to_itself_and_the_index_is_kept() {
    let folder = photos();
    let arguments = ["similar", SHIP, "photos/3.ppm", "--index", "photos", "-k", "2"];
    let first = effnet(folder.path(), &arguments);
    let text = stdout(&first);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert_eq!((lines[0], lines[4]), (SHIP, "photos/3.ppm"));
    assert_eq!(lines[1], format!("   1.0000  {SHIP}"));
    assert_eq!(lines[5], "   1.0000  photos/3.ppm");
    let said = stderr(&first);
    assert!(
        said.contains("index of 6 images -> photos/effnet-features.npy"),
        "{said}"
    );
    assert!(said.contains("photos/broken.png"), "{said}");

    let again = effnet(folder.path(), &arguments);
    assert_eq!(stdout(&again), text);
    assert!(!stderr(&again).contains("index of"), "{}", stderr(&again));

    // From another folder, the same images have other paths.
    let inside = folder.path().join("photos");
    let text = stdout(&effnet(&inside, &["similar", "3.ppm", "--index", ".", "-k", "1"]));
    assert!(text.contains("1.0000  ./3.ppm"), "{text}");

    write_image(&folder.path().join("photos/new.ppm"), 9);
    let grown = effnet(
        folder.path(),
        &[
            "similar",
            "photos/new.ppm",
            "--index",
            "photos",
            "--format",
            "json",
        ],
    );
    let record: serde_json::Value = serde_json::from_str(&stdout(&grown)).unwrap();
    assert!(stderr(&grown).contains("index of 7 images"), "{}", stderr(&grown));
    assert_eq!(record["neighbors"].as_array().unwrap().len(), 5);
    assert_eq!(record["neighbors"][0]["input"], "photos/new.ppm");
    assert_eq!(record["weights"], "b0.cifar10");
}

#[test]
fn only_new_and_changed_images_are_computed() {
    let folder = photos();
    let at = |name: &str| folder.path().join("photos").join(name);
    let search = |expected: &[&str]| -> String {
        let arguments = ["similar", SHIP, "--index", "photos", "-k", "9", "--format", "csv"];
        let output = effnet(folder.path(), &arguments);
        let (found, said) = (stdout(&output), stderr(&output));
        for expected in expected {
            assert!(said.contains(expected), "{said}");
        }
        found
    };
    // What an update leaves is what a new index would be.
    let compare_with_new = |found: &str| {
        let index =
            || ["effnet-features.npy", "effnet-features.npy.jsonl"].map(|name| fs::read(at(name)).unwrap());
        let updated = index();
        let arguments = [
            "similar",
            SHIP,
            "--index",
            "photos",
            "-k",
            "9",
            "--format",
            "csv",
            "--rebuild",
        ];
        assert_eq!(stdout(&effnet(folder.path(), &arguments)), found);
        assert!(updated == index(), "the updated index differs from a new one");
    };
    search(&["index of 6 images"]);

    write_image(&at("0.ppm"), 9);
    write_image(&at("4.ppm"), 11);
    // The damaged file has no row and is tried again.
    let found = search(&[
        "5 images unchanged, 3 to compute, 1 removed or outdated",
        "index of 7 images",
    ]);
    compare_with_new(&found);

    fs::remove_file(at("1.ppm")).unwrap();
    let found = search(&["6 images unchanged, 1 to compute, 1 removed", "index of 6 images"]);
    assert!(!found.contains("1.ppm"), "{found}");
    compare_with_new(&found);

    fs::remove_file(at("broken.png")).unwrap();
    fs::rename(at("2.ppm"), at("sub/renamed.ppm")).unwrap();
    let found = search(&["5 images unchanged, 1 to compute, 1 removed", "index of 6 images"]);
    assert!(
        found.contains("sub/renamed.ppm") && !found.contains("/2.ppm"),
        "{found}"
    );
    compare_with_new(&found);

    // Nothing to compute.
    fs::remove_file(at("3.ppm")).unwrap();
    let found = search(&["5 images unchanged, 0 to compute, 1 removed", "index of 5 images"]);
    compare_with_new(&found);

    // Another network is refused whatever has changed, and a damaged row is not copied.
    write_image(&at("new.ppm"), 13);
    let other = ["similar", SHIP, "--index", "photos", "--image-size", "64"];
    let refused = effnet(folder.path(), &other);
    assert!(
        stderr(&refused).contains("another network"),
        "{}",
        stderr(&refused)
    );
    let mut rows = fs::read(at("effnet-features.npy")).unwrap();
    rows[200] ^= 1;
    fs::write(at("effnet-features.npy"), rows).unwrap();
    let refused = effnet(folder.path(), &["similar", SHIP, "--index", "photos"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    assert!(said.contains("checksum") && said.contains("--rebuild"), "{said}");
}

/// Reads an NPY file of float32.
fn rows(path: &Path, width: usize) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let numbers: Vec<f32> = bytes[128..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    numbers.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn features_are_the_same_numbers_in_every_format_and_normalize_scales_them() {
    let folder = photos();
    let at = |name: &str| folder.path().join(name);
    let json = effnet(folder.path(), &["features", "photos"]);
    assert_eq!(json.status.code(), Some(1));
    let plain = effnet(folder.path(), &["features", "photos", "-o", "plain.npy"]);
    assert_eq!(plain.status.code(), Some(1), "{}", stderr(&plain));
    effnet(
        folder.path(),
        &["features", "photos", "--normalize", "-o", "unit.npy"],
    );
    effnet(
        folder.path(),
        &["features", "photos", "--normalize", "-o", "unit.csv"],
    );
    let records: Vec<serde_json::Value> = String::from_utf8(json.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let done: Vec<&serde_json::Value> = records
        .iter()
        .filter(|record| record["features"].is_array())
        .collect();
    assert_eq!((records.len(), done.len()), (7, 6));
    let (plain, unit) = (rows(&at("plain.npy"), 1280), rows(&at("unit.npy"), 1280));
    assert_eq!((plain.len(), unit.len()), (6, 6));
    let csv = fs::read_to_string(at("unit.csv")).unwrap();
    let csv: Vec<&str> = csv
        .lines()
        .skip(1)
        .filter(|line| !line.contains("broken"))
        .collect();
    for (((record, plain), unit), line) in done.iter().zip(&plain).zip(&unit).zip(csv) {
        let length = plain.iter().map(|value| value * value).sum::<f32>().sqrt();
        for (index, (plain, unit)) in plain.iter().zip(unit).enumerate() {
            assert_eq!(record["features"][index].as_f64().unwrap() as f32, *plain);
            assert!((plain / length - unit).abs() < 1e-6);
        }
        let csv: Vec<f32> = line
            .split(',')
            .skip(1)
            .take(1280)
            .map(|value| value.parse().unwrap())
            .collect();
        assert_eq!(csv, *unit);
    }
    // Similarity does not depend on the length.
    let search = |index: &str| {
        stdout(&effnet(
            folder.path(),
            &["similar", SHIP, "--index", index, "--format", "csv"],
        ))
    };
    assert_eq!(search("plain.npy").lines().count(), 6);
    let paths = |text: String| -> Vec<String> {
        text.lines()
            .map(|line| line.split(',').nth(2).unwrap().to_owned())
            .collect()
    };
    assert_eq!(paths(search("plain.npy")), paths(search("unit.npy")));
}

#[test]
fn a_contact_sheet_shows_the_query_and_its_neighbours() {
    let folder = photos();
    let output = effnet(
        folder.path(),
        &[
            "similar",
            SHIP,
            "photos/1.ppm",
            "--index",
            "photos",
            "-k",
            "3",
            "-o",
            "sheet.png",
        ],
    );
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let sheet = Image::open(folder.path().join("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (4 * 204 + 12, 52 + 2 * 230));
    let column = |left: usize| -> Vec<u8> {
        let rows = sheet.rows().skip(52).take(192);
        rows.flat_map(|row| row[3 * left..3 * (left + 192)].to_vec())
            .collect()
    };
    // The best neighbour is the query itself.
    assert_eq!(column(12), column(12 + 204));
    assert_ne!(column(12), column(12 + 2 * 204));
}

#[test]
fn an_index_that_does_not_fit_is_refused_with_advice() {
    let folder = photos();
    let at = |name: &str| folder.path().join(name);
    effnet(folder.path(), &["features", "photos", "-o", "f.npy"]);
    let refuse = |arguments: &[&str], expected: &[&str]| {
        let output = effnet(folder.path(), arguments);
        let said = stderr(&output);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{said}"
        );
        for expected in expected {
            assert!(said.contains(expected), "{said}");
        }
    };
    refuse(
        &["similar", SHIP, "--index", "f.npy", "--image-size", "64"],
        &[
            "f.npy: this index is from another network: preprocessing",
            "not 64 x 64",
        ],
    );
    stdout(&effnet(folder.path(), &["similar", SHIP, "--index", "photos"]));
    let other = ["similar", SHIP, "--index", "photos", "--image-size", "64"];
    refuse(&other, &["another network", "--rebuild"]);
    stdout(&effnet(folder.path(), &[&other[..], &["--rebuild"]].concat()));
    stdout(&effnet(folder.path(), &other));
    refuse(
        &["similar", SHIP, "--index", "missing.npy"],
        &["--index", "missing.npy"],
    );
    refuse(&["similar", SHIP, "--index", SHIP], &["not an NPY file"]);
    refuse(&["similar", "missing.jpg", "--index", "photos"], &["missing.jpg"]);
    refuse(
        &["similar", SHIP, "--index", "f.npy", "--rebuild"],
        &["--rebuild", "not a folder"],
    );
    refuse(
        &["similar", SHIP, "--index", "f.npy", "--format", "png"],
        &["--output FILE.png"],
    );
    refuse(
        &["similar", SHIP, "--index", "f.npy", "-k", "500", "-o", "s.png"],
        &["too large", "--top-k"],
    );
    refuse(&["features", "photos", "--format", "npy"], &["--output FILE.npy"]);
    let whole = fs::read(at("f.npy")).unwrap();
    fs::write(at("f.npy"), &whole[..whole.len() - 4]).unwrap();
    refuse(&["similar", SHIP, "--index", "f.npy"], &["damaged", "bytes"]);
    fs::write(at("f.npy"), &whole).unwrap();
    fs::remove_file(at("f.npy.jsonl")).unwrap();
    refuse(
        &["similar", SHIP, "--index", "f.npy"],
        &["f.npy.jsonl: not found"],
    );
    let empty = at("empty");
    fs::create_dir(&empty).unwrap();
    refuse(
        &["similar", SHIP, "--index", "empty"],
        &["no images in this folder"],
    );
    fs::write(empty.join("a.png"), b"x").unwrap();
    refuse(
        &["similar", SHIP, "--index", "empty"],
        &["none of its images can be read"],
    );
    assert_eq!(left_in(&empty), [empty.join("a.png")]);
}

fn left_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn a_query_that_cannot_be_read_does_not_stop_the_others() {
    let folder = photos();
    let output = effnet(
        folder.path(),
        &[
            "similar",
            "photos/broken.png",
            SHIP,
            "--index",
            "photos",
            "--format",
            "json",
            "-k",
            "1",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["input"], "photos/broken.png");
    assert!(lines[0]["error"].is_string());
    assert_eq!(lines[1]["neighbors"][0]["input"], SHIP);
}
