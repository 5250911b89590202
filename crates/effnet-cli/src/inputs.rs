//! Expands INPUT arguments into a list of image files.
//!
//! `classify` and `features` list their inputs here, before any network is loaded. The order is the same on every
//! run: the parts of a sharded output are numbered by it.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;
use effnet_image::{EXTENSIONS, is_hidden, is_image_path};
use walkdir::WalkDir;

use crate::input::Input;

/// Expands files, folders, glob patterns and `-`. An input that is not found becomes a failed [`Input`], which is
/// reported in its place while the others are processed.
pub(crate) fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            for line in std::io::stdin().lock().split(b'\n') {
                let mut line = line.context("cannot read the list of paths from standard input")?;
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                if !line.is_empty() {
                    expand_one(&path_of(line), &mut inputs);
                }
            }
        } else {
            expand_one(argument, &mut inputs);
        }
    }
    Ok(inputs)
}

/// A path in the bytes of the system, which need not be UTF-8.
#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

fn expand_one(argument: &Path, inputs: &mut Vec<Input>) {
    match std::fs::metadata(argument) {
        Ok(metadata) if metadata.is_dir() => expand_folder(argument, inputs),
        Ok(_) => inputs.push(Input::file(argument.to_owned())),
        Err(error) => match argument.to_str() {
            Some(pattern) if pattern.contains(['*', '?', '[']) => expand_glob(pattern, inputs),
            _ => inputs.push(Input::failed(argument.display().to_string(), error.to_string())),
        },
    }
}

fn expand_folder(folder: &Path, inputs: &mut Vec<Input>) {
    let before = inputs.len();
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(visible) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && is_image_path(entry.path()) => {
                inputs.push(Input::file(entry.into_path()));
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).display().to_string();
                let reason = error
                    .io_error()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                inputs.push(Input::failed(path, reason));
            }
        }
    }
    if inputs.len() == before {
        let reason = format!(
            "no images in this folder, expected files with the extensions {}",
            EXTENSIONS.join(", ")
        );
        inputs.push(Input::failed(folder.display().to_string(), reason));
    }
}

fn expand_glob(pattern: &str, inputs: &mut Vec<Input>) {
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => return inputs.push(Input::failed(pattern, error.to_string())),
    };
    let before = inputs.len();
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => expand_folder(&path, inputs),
            Ok(path) => inputs.push(Input::file(path)),
            Err(error) => {
                inputs.push(Input::failed(
                    error.path().display().to_string(),
                    error.error().to_string(),
                ));
            }
        }
    }
    if inputs.len() == before {
        inputs.push(Input::failed(pattern, "no file matches this pattern"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_recursively_in_order_and_for_images_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in [
            "c.JPG",
            "a.png",
            "b/x.webp",
            "d.jfif",
            ".hidden.png",
            "._a.png",
            "notes.txt",
        ] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let inputs = expand(&[folder.path().to_owned()]).unwrap();
        let found: Vec<_> = inputs.iter().map(|input| input.source.clone().unwrap()).collect();
        assert_eq!(
            found,
            ["a.png", "b/x.webp", "c.JPG", "d.jfif"].map(|name| folder.path().join(name))
        );
    }

    #[test]
    fn an_empty_folder_and_a_pattern_without_match_are_failures_that_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = expand(&[folder.path().to_owned(), folder.path().join("*.jpg")]).unwrap();
        let reasons: Vec<_> = inputs
            .into_iter()
            .map(|input| input.source.unwrap_err())
            .collect();
        assert!(reasons[0].starts_with("no images in this folder"), "{reasons:?}");
        assert_eq!(reasons[1], "no file matches this pattern");
    }
}
