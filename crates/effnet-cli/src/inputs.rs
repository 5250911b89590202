//! Expands INPUT arguments into a list of images.
//!
//! `classify` and `features` list their inputs here, before any network is loaded. The order is the same in every run,
//! because the parts of a sharded output are numbered by it.

mod list;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use effnet_image::{EXTENSIONS, is_hidden, is_image_path, unsupported_kind};
use walkdir::WalkDir;

use crate::archive::ImageArchive;
use crate::arguments::InputArguments;
use crate::failure::{Failure, FailureKind};
use crate::input::Input;
use crate::printer::{Printer, counted};
use crate::web::{Web, is_address};
use list::{Content, read_list, read_standard_input};

/// The name of the image read from standard input.
const STANDARD_INPUT: &str = "-";

/// The images named by the arguments, and the files that were skipped.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) images: Vec<Input>,
    pub(crate) skipped: Skipped,
    /// `None` until the first web address.
    web: Option<Arc<Web>>,
    is_offline: bool,
}

/// Images of unsupported kinds that were skipped in folders.
#[derive(Debug, Default)]
pub(crate) struct Skipped(BTreeMap<&'static str, usize>);

impl Skipped {
    /// Returns each kind with its number of files.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    fn add(&mut self, other: &Self) {
        for (kind, count) in other.kinds() {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Describes the files: `2 HEIC files and 1 SVG file, which effnet cannot read: convert them to JPEG or PNG`.
    fn explain(&self) -> String {
        let kinds = self
            .kinds()
            .map(|(kind, count)| counted(count, &format!("{kind} file")));
        let kinds = kinds.collect::<Vec<_>>().join(" and ");
        let them = if self.0.values().sum::<usize>() == 1 {
            "it"
        } else {
            "them"
        };
        format!("{kinds}, which effnet cannot read: convert {them} to JPEG or PNG")
    }
}

/// Expands files, folders, glob patterns, archives, web addresses, lists and `-`. An input that is not found becomes
/// a failed [`Input`], which is reported in its place while the others are processed.
///
/// Web addresses are downloaded later, or never if `is_offline` is set.
///
/// # Errors
/// If a list cannot be read, or is not a list of paths.
pub(crate) fn expand(
    arguments: &InputArguments,
    is_offline: bool,
    printer: &Printer,
) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs {
        is_offline,
        ..Inputs::default()
    };
    for argument in &arguments.inputs {
        if argument.as_os_str() == STANDARD_INPUT {
            inputs.add_standard_input()?;
        } else {
            inputs.add(argument);
        }
    }
    for list in &arguments.list {
        if list.as_os_str() == STANDARD_INPUT {
            inputs.add_standard_input()?;
            continue;
        }
        let shown = || format!("--list {}", list.display());
        for path in std::fs::File::open(list)
            .map_err(anyhow::Error::from)
            .and_then(read_list)
            .with_context(shown)?
        {
            inputs.add(&path);
        }
    }
    if !inputs.skipped.0.is_empty() {
        printer.warning(format!("skipping {}", inputs.skipped.explain()));
    }
    Ok(inputs)
}

impl Inputs {
    fn add_standard_input(&mut self) -> anyhow::Result<()> {
        let content = read_standard_input().context("standard input (-)")?;
        match content {
            Content::Image(bytes) => self.images.push(Input::of_bytes(STANDARD_INPUT, bytes)),
            Content::List(paths) => paths.iter().for_each(|path| self.add(path)),
        }
        Ok(())
    }

    fn fail(&mut self, name: impl Into<String>, failure: Failure) {
        self.images.push(Input::of_failure(name, failure));
    }

    fn add(&mut self, argument: &Path) {
        if let Some(address) = argument.to_str().filter(|argument| is_address(argument)) {
            let web = self
                .web
                .get_or_insert_with(|| Arc::new(Web::new(self.is_offline)));
            return self.images.push(Input::of_address(web, address));
        }
        match std::fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => self.add_folder(argument),
            Ok(_) => self.add_file(argument.to_owned()),
            Err(error) => match argument.to_str() {
                Some(pattern) if pattern.contains(['*', '?', '[']) => self.add_pattern(pattern),
                _ => self.fail(argument.display().to_string(), Failure::from_io(&error)),
            },
        }
    }

    /// Adds an image, or the images of an archive.
    fn add_file(&mut self, path: PathBuf) {
        let Some(opened) = ImageArchive::open(&path) else {
            return self.images.push(Input::of_file(path));
        };
        let shown = path.display().to_string();
        match opened {
            Ok(archive) => {
                let mut skipped = Skipped::default();
                for kind in archive.unsupported() {
                    *skipped.0.entry(kind).or_default() += 1;
                }
                if archive.len() == 0 {
                    return self.fail(shown, no_images("archive", &skipped));
                }
                self.skipped.add(&skipped);
                self.images.extend(Input::of_archive(&Arc::new(archive)));
            }
            Err(failure) => self.fail(shown, failure),
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        let before = self.images.len();
        let mut skipped = Skipped::default();
        let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(visible) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    if is_image_path(entry.path()) {
                        self.images.push(Input::of_file(entry.into_path()));
                    } else if let Some(kind) = unsupported_kind(entry.path()) {
                        *skipped.0.entry(kind).or_default() += 1;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(folder).display().to_string();
                    let failure = match error.io_error() {
                        Some(error) => Failure::from_io(error),
                        None => Failure::new(FailureKind::Unreadable, error.to_string()),
                    };
                    self.fail(path, failure);
                }
            }
        }
        if self.images.len() == before {
            self.fail(folder.display().to_string(), no_images("folder", &skipped));
        } else {
            self.skipped.add(&skipped);
        }
    }

    fn add_pattern(&mut self, pattern: &str) {
        let paths = match glob::glob(pattern) {
            Ok(paths) => paths,
            Err(error) => return self.fail(pattern, Failure::new(FailureKind::Missing, error.to_string())),
        };
        let before = self.images.len();
        for path in paths {
            match path {
                Ok(path) if path.is_dir() => self.add_folder(&path),
                Ok(path) => self.add_file(path),
                Err(error) => self.fail(
                    error.path().display().to_string(),
                    Failure::from_io(error.error()),
                ),
            }
        }
        if self.images.len() == before {
            let reason = "no file matches this pattern";
            self.fail(pattern, Failure::new(FailureKind::NoImages, reason));
        }
    }
}

/// Returns the failure for a folder or archive without images.
fn no_images(place: &str, skipped: &Skipped) -> Failure {
    let reason = if skipped.0.is_empty() {
        format!(
            "no images in this {place}: expected files with the extensions {}",
            EXTENSIONS.join(", ")
        )
    } else {
        format!("no images in this {place} except {}", skipped.explain())
    };
    Failure::new(FailureKind::NoImages, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColorChoice;

    fn expand(paths: &[PathBuf]) -> Inputs {
        let arguments = InputArguments {
            inputs: paths.to_vec(),
            list: Vec::new(),
        };
        super::expand(&arguments, true, &Printer::new(true, false, ColorChoice::Never)).unwrap()
    }

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
            "p.HEIC",
            "b/q.heic",
        ] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let inputs = expand(&[folder.path().to_owned()]);
        let found: Vec<_> = inputs.images.iter().map(|input| input.file().unwrap()).collect();
        assert_eq!(
            found,
            ["a.png", "b/x.webp", "c.JPG", "d.jfif"].map(|name| folder.path().join(name))
        );
        assert!(inputs.skipped.explain().starts_with("2 HEIC files, which"));
    }

    #[test]
    fn an_empty_folder_and_a_pattern_without_match_are_failures_that_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let phone = folder.path().join("phone");
        std::fs::create_dir(&phone).unwrap();
        std::fs::write(phone.join("a.heic"), b"x").unwrap();
        let inputs = expand(&[phone, folder.path().join("*.jpg"), folder.path().join("missing")]);
        let failures: Vec<_> = inputs.images.iter().filter_map(Input::failure).collect();
        assert_eq!(failures.len(), 3);
        assert_eq!(
            failures[0].reason,
            "no images in this folder except 1 HEIC file, which effnet cannot read: convert it to JPEG or PNG"
        );
        assert_eq!(failures[1].reason, "no file matches this pattern");
        assert_eq!(failures[2].kind, FailureKind::Missing);
        assert!(inputs.skipped.0.is_empty());
    }
}
