//! Calls `effnet` on archives: of images to classify, and of a data set to evaluate.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use zip::write::SimpleFileOptions;

fn ship() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png")).unwrap()
}

fn effnet(command: &str, path: &Path) -> Output {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    let call = call.arg(command).arg(path);
    call.args(["--model", "b0.cifar10", "--format", "json"])
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header
}

/// A tar archive of two images under long names, a sparse file according to its extended header, and what
/// `more` adds.
fn packed(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let image = ship();
    let mut file = header(tar::EntryType::Regular, image.len());
    let long = format!("{}/1.png", "deep".repeat(60));
    tar.append_data(&mut file, &long, &image[..]).unwrap();
    tar.append_pax_extensions([("GNU.sparse.major", &b"1"[..])])
        .unwrap();
    tar.append_data(&mut file, "sparse.png", &image[..]).unwrap();
    tar.append_data(&mut file, "2.png", &image[..]).unwrap();
    more(&mut tar);
    tar.into_inner().unwrap()
}

fn gzip(folder: &Path, plain: &[u8]) -> PathBuf {
    let tar = folder.join("photos.tar");
    fs::write(&tar, plain).unwrap();
    let status = Command::new("gzip").arg("-kf").arg(&tar).status().unwrap();
    assert!(status.success());
    folder.join("photos.tar.gz")
}

#[test]
fn images_of_a_tar_archive_are_classified_compressed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let compressed = gzip(folder.path(), &packed(|_| {}));
    for path in [&folder.path().join("photos.tar"), &compressed] {
        let run = effnet("classify", path);
        assert!(run.status.success(), "{path:?}: {}", stderr(&run));
        let lines = String::from_utf8(run.stdout).unwrap();
        assert_eq!(lines.matches("\"ship\"").count(), 2, "{path:?}: {lines}");
        assert!(
            lines.contains("deep/1.png") && !lines.contains("sparse"),
            "{lines}"
        );
    }
}

#[test]
fn archives_that_cannot_be_read_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, reason: &str| {
        let run = effnet("classify", path);
        assert_ne!(run.status.code(), Some(0), "{path:?}");
        assert!(stderr(&run).contains(reason), "{path:?}: {}", stderr(&run));
    };
    let sparse = packed(|tar| {
        tar.append_data(
            &mut header(tar::EntryType::GNUSparse, 512),
            "old.png",
            &[0; 512][..],
        )
        .unwrap();
    });
    let compressed = gzip(folder.path(), &sparse);
    let tar = folder.path().join("photos.tar");
    for path in [&tar, &compressed] {
        refused(path, "unsupported archive (sparse files); unpack it first");
    }
    let whole = packed(|_| {});
    for (length, reason) in [
        (100, "damaged archive (truncated in a header at byte 0)"),
        (700, "damaged archive (truncated at byte 512)"),
        (2000, "damaged archive (truncated at byte 2000)"),
    ] {
        fs::write(&tar, &whole[..length]).unwrap();
        refused(&tar, reason);
    }
    let compressed = fs::read(gzip(folder.path(), &whole)).unwrap();
    let cut = folder.path().join("cut.tgz");
    fs::write(&cut, &compressed[..compressed.len() / 2]).unwrap();
    refused(&cut, "damaged archive (truncated at byte ");
    fs::write(folder.path().join("text.zip"), "text").unwrap();
    refused(&folder.path().join("text.zip"), "damaged archive (");
}

#[test]
fn a_data_set_in_a_zip_archive_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.zip");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for name in ["photos/cat/1.png", "photos/ship/1.png", "photos/ship/2.png"] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&ship()).unwrap();
    }
    zip.finish().unwrap();
    let run = effnet("evaluate", &path);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(stderr(&run).contains("3 images, 2 classes"), "{}", stderr(&run));
    let classified = effnet("classify", &path);
    assert_eq!(String::from_utf8(classified.stdout).unwrap().lines().count(), 3);
}
