//! Sorts images into one folder per class, for `--copy-to` and `--link-to`.
//!
//! Nothing is overwritten. If a name is taken, a number is added to it, unless the same image is already there, so that
//! a command can be repeated. A copy appears under its name only when it is complete.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet::Labels;

use crate::arguments::SortingArguments;
use crate::input::Input;
use crate::printer::Printer;

/// The longest name of a folder or file in bytes, well below what file systems allow.
const LONGEST_NAME: usize = 200;
/// The maximum number of images with the same name in a class; more are an error.
const MOST_NUMBERS: usize = 100_000;

/// Sorts images into folders.
pub(crate) struct Sorting {
    folder: PathBuf,
    is_linking: bool,
    /// The folder name of each class.
    classes: Vec<String>,
    /// The number of images that could not be put into a folder.
    pub(crate) failed: usize,
}

impl Sorting {
    /// Creates the folder. Returns `None` if neither flag is set.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub(crate) fn of(arguments: &SortingArguments) -> anyhow::Result<Option<Self>> {
        let (folder, flag) = match (&arguments.copy_to, &arguments.link_to) {
            (Some(folder), _) => (folder, "--copy-to"),
            (None, Some(folder)) => (folder, "--link-to"),
            (None, None) => return Ok(None),
        };
        ensure!(
            folder.is_dir() || !folder.exists(),
            "{flag} {}: expected a folder, or the name of a new folder",
            folder.display()
        );
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{flag} {}: cannot create this folder", folder.display()))?;
        Ok(Some(Self {
            folder: folder.clone(),
            is_linking: arguments.link_to.is_some(),
            classes: Vec::new(),
            failed: 0,
        }))
    }

    /// Sets the names of the classes.
    pub(crate) fn name_classes(&mut self, labels: &Labels) {
        self.classes = folder_names(labels.names());
    }

    /// Puts an image into the folder of its class. A failure is printed and counted.
    pub(crate) fn place(&mut self, input: &Input, class: usize, printer: &Printer) {
        if let Err(error) = self.try_place(input, class) {
            self.failed += 1;
            printer.failure(&input.name, &format!("{error:#}"));
        }
    }

    fn try_place(&self, input: &Input, class: usize) -> anyhow::Result<()> {
        let class = self.classes.get(class).context("no such class")?;
        let folder = self.folder.join(class);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let name = file_name(input);
        if self.is_linking {
            let Some(source) = input.own_file() else {
                bail!("cannot link to an image that is not a separate file; use --copy-to");
            };
            let source = source.canonicalize()?;
            return link(&source, &folder, &name).with_context(|| folder.join(&name).display().to_string());
        }
        let source = match input.own_file() {
            Some(path) => Source::File(path),
            None => Source::Bytes(&input.bytes().map_err(anyhow::Error::from_boxed)?),
        };
        copy(&source, &folder, &name).with_context(|| folder.join(&name).display().to_string())
    }
}

/// The source of a copy.
enum Source<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

#[cfg(unix)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(source, target)
}

#[cfg(windows)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(source, target)
}

/// Creates a link, unless the same link already exists.
fn link(source: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    for name in numbered(name) {
        let target = folder.join(name);
        match symlink(source, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if std::fs::read_link(&target).is_ok_and(|found| found == source) {
                    return Ok(());
                }
            }
            linked => return Ok(linked?),
        }
    }
    bail!("too many images with this name")
}

/// Copies an image, unless the same image is already there.
fn copy(source: &Source<'_>, folder: &Path, name: &str) -> anyhow::Result<()> {
    let temporary = folder.join(format!(".effnet-{}.part", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let copied = write(source, &temporary).and_then(|()| publish(&temporary, folder, name));
    // A published copy has its own name.
    let _ = std::fs::remove_file(&temporary);
    copied
}

fn write(source: &Source<'_>, temporary: &Path) -> anyhow::Result<()> {
    let mut file = File::create_new(temporary)?;
    match source {
        Source::Bytes(bytes) => file.write_all(bytes)?,
        Source::File(path) => {
            let mut source = File::open(path)?;
            io::copy(&mut source, &mut file)?;
            // Photos are often sorted by modification time. Best effort: not all file systems store one.
            if let Ok(modified) = source.metadata().and_then(|metadata| metadata.modified()) {
                let _ = file.set_modified(modified);
            }
        }
    }
    Ok(())
}

/// Gives the temporary file the first free name, unless a file with the same content already has one of the names.
fn publish(temporary: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    for name in numbered(name) {
        let target = folder.join(name);
        // Unlike renaming, linking does not replace an existing file.
        match std::fs::hard_link(temporary, &target) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_same(temporary, &target).unwrap_or(false) {
                    return Ok(());
                }
            }
            // The file system does not support hard links.
            Err(_) if !target.exists() => return Ok(std::fs::rename(temporary, &target)?),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("too many images with this name")
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    if std::fs::metadata(one)?.len() != std::fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

/// Returns the names to try: `a.jpg`, `a-2.jpg`, `a-3.jpg`, ...
fn numbered(name: &str) -> impl Iterator<Item = String> {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    (1..=MOST_NUMBERS).map(move |number| match number {
        1 => format!("{stem}{extension}"),
        _ => format!("{stem}-{number}{extension}"),
    })
}

/// Returns the name of the file: the last part of the input's name.
pub(crate) fn file_name(input: &Input) -> String {
    if let Some(name) = input.own_file().and_then(Path::file_name) {
        // The system's file name need not be UTF-8, but the name of a copy is.
        return name.to_string_lossy().into_owned();
    }
    // A web address may end with a query.
    let path = input.name.split(['?', '#']).next().unwrap_or_default();
    match safe(path.rsplit('/').next().unwrap_or_default()) {
        name if name.is_empty() || name == "-" => "image".to_owned(),
        name => name,
    }
}

/// Returns a folder name for each class: its label, without anything that a file name cannot contain.
fn folder_names(labels: &[String]) -> Vec<String> {
    let mut used = HashSet::new();
    let numbered = labels.iter().enumerate().map(|(class, label)| {
        let name = match safe(label) {
            name if name.is_empty() => format!("class {class}"),
            name => name,
        };
        // Some file systems are case-insensitive.
        if used.insert(name.to_lowercase()) {
            name
        } else {
            format!("{name} (class {class})")
        }
    });
    numbered.collect()
}

/// Turns text into a safe file name, without separators, control characters, leading dots, and trailing dots and
/// spaces.
fn safe(text: &str) -> String {
    let replace = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let name: String = text.chars().map(replace).collect();
    let name = name.trim_start_matches('.').trim();
    let end = name.char_indices().map(|(start, c)| start + c.len_utf8());
    let end = end.take_while(|&end| end <= LONGEST_NAME).last().unwrap_or(0);
    name[..end].trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_label_becomes_a_folder_of_its_own_inside() {
        let labels = [
            "tench, Tinca tinca",
            "../../etc",
            "a/b",
            "A_B",
            "..",
            "",
            "\u{1b}[2J",
            "dot.",
        ];
        let names = folder_names(&labels.map(str::to_owned));
        assert_eq!(
            names,
            [
                "tench, Tinca tinca",
                "_.._etc",
                "a_b",
                "A_B (class 3)",
                "class 4",
                "class 5",
                "_[2J",
                "dot"
            ]
        );
        assert!(safe(&"é".repeat(300)).len() <= LONGEST_NAME);
    }

    #[test]
    fn a_taken_name_gets_a_number_and_the_same_image_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let put = |content: &[u8]| copy(&Source::Bytes(content), folder.path(), "a.jpg").unwrap();
        for content in [b"one", b"two", b"one", b"two"] {
            put(content);
        }
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("a.jpg"), read("a-2.jpg")),
            (b"one".to_vec(), b"two".to_vec())
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
