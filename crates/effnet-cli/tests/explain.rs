//! Calls `effnet explain` on the bundled weights: what it draws and writes, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use effnet_image::Image;
use serde_json::Value;
use test_support::names_in;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.current_dir(folder)
        .args(["explain", "--weights", "b0.cifar10"])
        .args(arguments)
        .env("EFFNET_OFFLINE", "1");
    call
}

fn explain(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A photo of a ship in the right half of a wide image, so that turning or mirroring it would show.
fn photo() -> Image {
    let ship = Image::open("../../docs/ship.png").unwrap();
    let (width, height) = (ship.width() * 3 / 2, ship.height());
    let mut pixels = vec![0; width * height * 3];
    for (to, from) in pixels.chunks_exact_mut(width * 3).zip(ship.rows()) {
        to.fill(90);
        to[(width - ship.width()) * 3..].copy_from_slice(from);
    }
    Image::from_rgb8(width, height, pixels).unwrap()
}

/// Encodes an uncompressed TIFF with 1, 3 or 4 samples per pixel.
fn tiff((width, height): (usize, usize), samples: usize, pixels: &[u8], orientation: u32) -> Vec<u8> {
    let photometric = if samples == 1 { 1 } else { 2 };
    let mut entries = vec![
        (256, 4, 1, width as u32),
        (257, 4, 1, height as u32),
        (258, 3, samples as u32, 0),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 0),
        (274, 3, 1, orientation),
        (277, 3, 1, samples as u32),
        (278, 4, 1, height as u32),
        (279, 4, 1, pixels.len() as u32),
    ];
    if samples == 4 {
        entries.push((338, 3, 1, 2));
    }
    let bits = 8 + 2 + 12 * entries.len() as u32 + 4;
    let start = bits + 2 * samples as u32;
    entries[2].3 = if samples == 1 { 8 } else { bits };
    entries[5].3 = start;
    let mut bytes = b"II\x2a\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(kind));
        bytes.extend(u32::to_le_bytes(count));
        bytes.extend(u32::to_le_bytes(value));
    }
    bytes.extend(0_u32.to_le_bytes());
    for _ in 0..samples {
        bytes.extend(8_u16.to_le_bytes());
    }
    bytes.extend(pixels);
    bytes
}

/// Stores an image in such a way that it is upright after the transform of an EXIF orientation.
fn turned(image: &Image, orientation: u32) -> Vec<u8> {
    let (width, height) = (image.width(), image.height());
    let stored = if orientation > 4 {
        (height, width)
    } else {
        (width, height)
    };
    let (last_x, last_y) = (stored.0 - 1, stored.1 - 1);
    let mut pixels = vec![0; width * height * 3];
    for (y, row) in image.rows().enumerate() {
        for (x, pixel) in row.as_chunks::<3>().0.iter().enumerate() {
            let (to_x, to_y) = match orientation {
                1 => (x, y),
                2 => (last_x - x, y),
                3 => (last_x - x, last_y - y),
                4 => (x, last_y - y),
                5 => (y, x),
                6 => (y, last_y - x),
                7 => (last_x - y, last_y - x),
                _ => (last_x - y, x),
            };
            let at = 3 * (to_y * stored.0 + to_x);
            pixels[at..at + 3].copy_from_slice(pixel);
        }
    }
    tiff(stored, 3, &pixels, orientation)
}

#[test]
fn the_overlay_is_upright_for_every_orientation() {
    let folder = tempfile::tempdir().unwrap();
    let image = photo();
    for orientation in 1..=8 {
        let name = format!("o{orientation}.tiff");
        fs::write(folder.path().join(name), turned(&image, orientation)).unwrap();
    }
    let output = explain(folder.path(), &[".", "-o", "out", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |orientation: usize| fs::read(folder.path().join(format!("out/o{orientation}.png"))).unwrap();
    let upright = read(1);
    for orientation in 2..=8 {
        assert!(read(orientation) == upright, "{orientation}");
    }
    // The region is the square in the middle that the network sees, up to half a pixel of the resized image.
    let record = &json(&output)[5];
    let (width, height) = (image.width() as f64, image.height() as f64);
    let side = |key: &str| record["region"][key].as_f64().unwrap();
    assert!(
        (side("left") + side("width") / 2.0 - width / 2.0).abs() < 1.5,
        "{record}"
    );
    assert!(
        (side("top") + side("height") / 2.0 - height / 2.0).abs() < 1.5,
        "{record}"
    );
    assert!(
        (side("width") - side("height")).abs() < 1e-3 && side("width") <= height,
        "{record}"
    );
    assert_eq!(record["image"], "out/o6.png");
}

#[test]
fn a_strip_has_a_panel_per_class() {
    let folder = tempfile::tempdir().unwrap();
    let image = photo();
    let ppm = [
        format!("P6 {} {} 255\n", image.width(), image.height()).as_bytes(),
        image.pixels(),
    ]
    .concat();
    fs::write(folder.path().join("ship.ppm"), ppm).unwrap();
    let width = |arguments: &[&str]| {
        let mut call = vec!["ship.ppm", "--force", "--format", "json", "-o", "x.png"];
        call.extend(arguments);
        let output = explain(folder.path(), &call);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let record = json(&output).remove(0);
        let panels = record["predictions"].as_array().unwrap().len();
        (Image::open(folder.path().join("x.png")).unwrap().width(), panels)
    };
    let (one, panels) = width(&[]);
    assert_eq!(panels, 1);
    assert_eq!(width(&["--top-k", "3"]), (3 * one + 24, 3));
    // There are only ten classes.
    assert_eq!(width(&["-k", "16"]), (10 * one + 9 * 12, 10));
    assert_eq!(width(&["--class", "Horse"]), (one, 1));
    assert_eq!(width(&["--class", "3", "--method", "occlusion"]), (one, 1));
}

#[test]
fn raw_maps_are_those_of_the_results() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ship.tiff"), turned(&photo(), 6)).unwrap();
    let call = ["ship.tiff", "-k", "2", "--raw"];
    let output = explain(folder.path(), &[&call[..], &["npy"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = explain(
        folder.path(),
        &[&call[..], &["json", "--force", "--format", "json"]].concat(),
    );
    let record = json(&output).remove(0);
    assert_eq!(
        names_in(folder.path().join("explained")),
        ["ship.json", "ship.npy", "ship.png"]
    );
    let raw = fs::read(folder.path().join("explained/ship.json")).unwrap();
    let raw: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(raw["predictions"], record["predictions"]);
    assert_eq!(raw["region"], record["region"]);
    let npy = fs::read(folder.path().join("explained/ship.npy")).unwrap();
    let header = text(&npy[10..npy.len() - 2 * 16 * 4]);
    assert!(
        header.contains("'shape': (2, 4, 4)") && header.ends_with('\n'),
        "{header}"
    );
    assert_eq!((10 + header.len()) % 64, 0);
    let values = npy[npy.len() - 128..].as_chunks::<4>().0;
    let listed = raw["maps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|map| map.as_array().unwrap());
    let listed: Vec<f64> = listed
        .flat_map(|row| row.as_array().unwrap())
        .map(|value| value.as_f64().unwrap())
        .collect();
    let found: Vec<f64> = values
        .iter()
        .map(|&value| f64::from(f32::from_le_bytes(value)))
        .collect();
    assert_eq!(found.len(), listed.len());
    assert!(found.iter().zip(&listed).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn grey_transparent_and_tiny_images_are_explained_and_others_reported() {
    let folder = tempfile::tempdir().unwrap();
    let image = photo();
    let size = (image.width(), image.height());
    let grey: Vec<u8> = image.pixels().iter().step_by(3).copied().collect();
    let opaque: Vec<u8> = image
        .pixels()
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|&[red, green, blue]| [red, green, blue, 7])
        .collect();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("grey.tiff", &tiff(size, 1, &grey, 1));
    put("alpha.tiff", &tiff(size, 4, &opaque, 1));
    put("plain.tiff", &turned(&image, 1));
    put("pixel.ppm", b"P6 1 1 255\n\xff\0\0");
    put("broken.png", b"\x89PNG\r\n\x1a\n");
    let output = explain(folder.path(), &[".", "missing.jpg", "--format", "csv"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let out = folder.path().join("explained");
    assert_eq!(
        names_in(&out),
        ["alpha.png", "grey.png", "pixel.png", "plain.png"]
    );
    // Alpha is dropped, as everywhere.
    assert!(fs::read(out.join("alpha.png")).unwrap() == fs::read(out.join("plain.png")).unwrap());
    assert_eq!(Image::open(out.join("pixel.png")).unwrap().width(), 320);
    let rows = text(&output.stdout);
    assert_eq!(rows.lines().count(), 7, "{rows}");
    assert!(rows.contains("missing.jpg,,,,,,,"), "{rows}");
    let output = explain(folder.path(), &["missing.jpg"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_cannot_be_drawn_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| fs::write(folder.path().join(name), turned(&photo(), 1)).unwrap();
    put("a.tiff");
    put("b.png");
    fs::create_dir(folder.path().join("done")).unwrap();
    fs::write(folder.path().join("done/a.png"), "old").unwrap();
    for (arguments, expected) in [
        (
            &["a.tiff", "--class", "shipp"][..],
            "--class shipp: no such class; the nearest names are `ship`",
        ),
        (&["a.tiff", "--class", "10"], "a number from 0 to 9"),
        (&["a.tiff", "--class", "cat", "-k", "2"], "cannot be used with"),
        (&["a.tiff", "-k", "0"], "expected a whole number from 1 to 16"),
        (
            &["a.tiff", "--layer", "3", "--method", "occlusion"],
            "--method occlusion does not use activations",
        ),
        (
            &["a.tiff", "--layer", "top"],
            "expected head, stem, stage1 and so on, or the number of a block",
        ),
        (
            &["a.tiff", "--layer", "stage8", "--method", "scorecam"],
            "--layer stage8: no such stage; expected stage1 to stage7",
        ),
        (
            &["a.tiff", "--layer", "16", "--method", "scorecam"],
            "--layer 16: no such block; expected 0 to 15",
        ),
        (
            &["a.tiff", "-o", "done"],
            "done/a.png: already exists; pass --force",
        ),
        (&["b.png", "-o", ".", "--force"], "b.png: the output is an input"),
        (
            &["a.tiff", "b.png", "-o", "x.png"],
            "--output x.png: one file cannot hold the overlays of 2 images",
        ),
        (
            &["a.tiff", "-o", "x.jpg"],
            "--output x.jpg: cannot write .jpg, expected .png or a folder",
        ),
        (
            &["a.tiff", "-o", "b.png/x"],
            "--output b.png/x: cannot create this folder",
        ),
        (
            &["a.tiff", "-o", "-", "--raw", "npy"],
            "--output -: the overlay goes to standard output",
        ),
    ] {
        let output = explain(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    // `explained` is made only once the network is known to fit; a block that does not exist comes later.
    let found = names_in(folder.path());
    let found: Vec<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "explained")
        .collect();
    assert_eq!(found, ["a.tiff", "b.png", "done"]);
    assert_eq!(fs::read(folder.path().join("done/a.png")).unwrap(), b"old");
}

#[test]
fn the_overlay_can_go_to_a_pipe_and_a_full_disk_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tiff"), turned(&photo(), 1)).unwrap();
    let output = explain(folder.path(), &["a.tiff", "-o", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let overlay = Image::decode(&output.stdout, "overlay").unwrap();
    assert!(overlay.width() >= 320);
    assert_eq!(names_in(folder.path()), ["a.tiff"]);
    for arguments in [&["a.tiff", "-o", "-"][..], &["a.tiff", "--force"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(folder.path(), arguments)
            .stdout(Stdio::from(full))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output.stderr).contains("No space left"),
            "{}",
            text(&output.stderr)
        );
    }
}
