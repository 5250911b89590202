//! Data sets in tar and zip archives: their extended headers, damage and compression.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod counts;
mod images;
mod packing;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use counts::counts;
use effnet_data::{DataError, Dataset as _, Splits};
use images::{bmp, write, write_images};
use packing::tar_of;
use tempfile::tempdir;
use zip::write::SimpleFileOptions;

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
    let root = tempdir().unwrap();
    write_images(root.path(), &["cat/1.bmp", "cat/2.bmp", "dog/1.bmp"]);
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
    assert_eq!(counts(&*train), "cat 2, dog 1");
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
