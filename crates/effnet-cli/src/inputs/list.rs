//! Reads lists of paths, and standard input, which holds either such a list or an image.
//!
//! `cat photo.jpg | effnet classify -` is as natural as `find . | effnet classify -`. An image that is read as a list
//! of paths gives hundreds of errors, so the first bytes decide.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use effnet_image::{DecodeOptions, Format};

/// The longest path in bytes; no system opens a longer one.
const LONGEST_PATH: usize = 1 << 16;
/// The longest list in bytes. Anything longer is not a list: a device may never end.
const LONGEST_LIST: u64 = 1 << 30;
/// The most empty paths in a list. `/dev/zero` would be an endless list of empty paths.
const MOST_BLANK: usize = 1 << 16;
/// How many bytes to inspect to distinguish a list from an image.
const HEAD: usize = 4096;

/// The content of standard input.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// The bytes of an image, or of anything else that is not a list.
    Image(Vec<u8>),
    List(Vec<PathBuf>),
}

/// Reads standard input to the end.
pub(super) fn read_standard_input() -> anyhow::Result<Content> {
    read(std::io::stdin().lock())
}

fn read(mut input: impl Read) -> anyhow::Result<Content> {
    let mut head = Vec::new();
    input
        .by_ref()
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .context("cannot be read")?;
    if is_list(&head) {
        return Ok(Content::List(read_list(head.chain(input))?));
    }
    let limit = DecodeOptions::default().max_memory;
    let mut bytes = head;
    input
        .take(limit)
        .read_to_end(&mut bytes)
        .context("cannot be read")?;
    ensure!(
        bytes.len() as u64 <= limit,
        "expected an image of at most {} MiB, found a larger file",
        limit >> 20
    );
    Ok(Content::Image(bytes))
}

/// Returns whether a file that starts with these bytes is a list of paths: text, or text with NUL between the paths.
fn is_list(head: &[u8]) -> bool {
    // A file name may also start with "BM", but the header of a bitmap has empty fields, which a list does not.
    let is_binary = head.windows(2).any(|pair| pair == [0, 0])
        || head
            .iter()
            .any(|byte| matches!(byte, 1..=8 | 11 | 12 | 14..=26 | 28..=31));
    match Format::of(head) {
        Some(Format::Bmp) | None => !is_binary && !head.starts_with(b"<") && !head.starts_with(b"%PDF-"),
        Some(_) => false,
    }
}

/// Reads a list of paths, one per line, or separated by NUL as `find -print0` prints them. Empty lines are ignored.
///
/// # Errors
/// If the list cannot be read, or does not look like a list.
pub(super) fn read_list(list: impl Read) -> anyhow::Result<Vec<PathBuf>> {
    let mut list = BufReader::new(list.take(LONGEST_LIST));
    let mut paths = Vec::new();
    let mut separator = None;
    let mut blank = 0;
    loop {
        // A NUL among the bytes read so far shows how the rest is separated.
        let head = list.fill_buf().context("cannot be read")?;
        let separator = *separator.get_or_insert(if head.contains(&0) { 0 } else { b'\n' });
        let mut path = Vec::new();
        let count = list
            .by_ref()
            .take(LONGEST_PATH as u64)
            .read_until(separator, &mut path)
            .context("cannot be read")?;
        if count == 0 {
            break;
        }
        if path.last() == Some(&separator) {
            path.pop();
        } else if count == LONGEST_PATH {
            bail!("expected a list of paths, found a path of more than {LONGEST_PATH} bytes");
        }
        if separator == b'\n' && path.last() == Some(&b'\r') {
            path.pop();
        }
        // Editors on Windows start a file with this byte order mark.
        let path = path
            .strip_prefix("\u{feff}".as_bytes())
            .filter(|_| paths.is_empty())
            .unwrap_or(&path);
        if path.is_empty() {
            blank += 1;
            ensure!(
                blank <= MOST_BLANK,
                "expected a list of paths, found more than {MOST_BLANK} empty paths"
            );
        } else {
            paths.push(path_of(path.to_vec()));
        }
    }
    ensure!(
        list.get_ref().limit() > 0,
        "expected a list of paths of at most {} MiB, found more",
        LONGEST_LIST >> 20
    );
    Ok(paths)
}

/// Converts the system's bytes, which need not be UTF-8, to a path.
#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        let paths = read_list(text.as_bytes()).unwrap();
        paths
            .into_iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn lines_and_nul_separate_paths() {
        assert_eq!(list("a b.jpg\r\n\nc.jpg"), ["a b.jpg", "c.jpg"]);
        assert_eq!(list("a\nb.jpg\0c\r\0"), ["a\nb.jpg", "c\r"]);
        assert_eq!(list("\u{feff}a.jpg\n"), ["a.jpg"]);
        assert!(list("").is_empty());
        assert!(list("\n\n").is_empty());
        let long = "x".repeat(LONGEST_PATH + 1);
        assert!(read_list(long.as_bytes()).is_err());
    }

    #[test]
    fn images_and_lists_on_standard_input_are_told_apart() {
        for image in [
            &b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"[..],
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            b"RIFF\x10\x00\x00\x00WEBPVP8 ",
            b"BM\x36\x10\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00",
            b"GIF89a\x10\x00",
            b"II*\x00\x08\x00\x00\x00",
            b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
            b"PK\x03\x04\x14\x00\x00\x00",
            b"<!DOCTYPE html>",
        ] {
            assert_eq!(read(image).unwrap(), Content::Image(image.to_vec()));
        }
        for (text, count) in [
            ("BMW.jpg\nGIF.jpg", 2),
            ("BMW.jpg\0b.jpg\0", 2),
            ("\u{1b}[31m.jpg\n", 1),
            ("", 0),
        ] {
            match read(text.as_bytes()).unwrap() {
                Content::List(paths) => assert_eq!(paths.len(), count, "{text:?}"),
                Content::Image(_) => panic!("{text:?}"),
            }
        }
        let long = format!("{}\n", "p/q.jpg\n".repeat(2000));
        assert_eq!(
            read(long.as_bytes()).unwrap(),
            Content::List(vec!["p/q.jpg".into(); 2000])
        );
    }
}
