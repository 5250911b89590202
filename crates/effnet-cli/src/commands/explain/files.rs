//! The names of the overlays, and how they are written.
//!
//! All names are determined before any image is read, so that an existing overlay is reported at once and not after an
//! hour.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet_checkpoint::{PARTIAL_SUFFIX, follow_links};

use crate::arguments::RawFormat;
use crate::destination::named_file;
use crate::input::Input;
use crate::printer::counted;
use crate::sorting::file_name;
use crate::written_file::check_kind;

/// Where the overlay of an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Overlay {
    Stdout,
    File(PathBuf),
}

impl Overlay {
    /// Returns the path of the overlay, if it is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::File(path) => Some(path),
        }
    }

    /// Returns the path of the raw maps next to the overlay.
    pub(super) fn raw_path(&self, format: RawFormat) -> Option<PathBuf> {
        let extension = match format {
            RawFormat::Npy => "npy",
            RawFormat::Json => "json",
        };
        Some(self.path()?.with_extension(extension))
    }

    /// Writes the overlay. A file appears under its name only when it is complete.
    pub(super) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes)?;
                Ok(stdout.flush()?)
            }
            Self::File(path) => write(path, bytes),
        }
    }
}

/// Writes a file, which appears under its name only when it is complete. It is not synced to disk, which can take
/// longer than everything else: an overlay that a power failure takes away is made again.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let replace = |target: PathBuf| {
        let name = format!(".effnet-{}{PARTIAL_SUFFIX}", std::process::id());
        let temporary = target.with_file_name(name);
        let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &target));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    };
    let written = follow_links(path).and_then(replace);
    written.with_context(|| format!("{}: cannot write this file", path.display()))
}

/// Returns the overlay of each input. `is_forced` allows overwriting.
///
/// # Errors
/// If `output` is one file for several images, or an overlay or its raw maps exist.
pub(super) fn plan(
    output: &Path,
    inputs: &[Input],
    raw: Option<RawFormat>,
    is_forced: bool,
) -> anyhow::Result<Vec<Overlay>> {
    let overlays = name(output, inputs)?;
    let raw_path = |overlay: &Overlay| overlay.raw_path(raw?);
    let paths = overlays.iter().filter_map(Overlay::path).map(Path::to_owned);
    let mut existing = paths
        .chain(overlays.iter().filter_map(raw_path))
        .filter(|path| path.exists())
        .peekable();
    if let (Some(path), false) = (existing.peek(), is_forced) {
        bail!(
            "{}: already exists; pass --force to overwrite it, or another --output",
            path.display()
        );
    }
    if existing.peek().is_some() {
        let sources = inputs.iter().filter_map(Input::file);
        let sources: HashSet<PathBuf> = sources.filter_map(|path| path.canonicalize().ok()).collect();
        for path in existing {
            check_kind(&path)?;
            ensure!(
                !path.is_dir(),
                "{}: is a folder; pass another --output",
                path.display()
            );
            ensure!(
                !path.canonicalize().is_ok_and(|path| sources.contains(&path)),
                "{}: the output is an input; pass another --output",
                path.display()
            );
        }
    }
    Ok(overlays)
}

/// Creates the folder for the overlays, if they do not go to one file.
pub(super) fn create_folder(output: &Path, overlays: &[Overlay]) -> anyhow::Result<()> {
    if overlays
        .iter()
        .any(|overlay| overlay.path().is_some_and(|path| path != output))
    {
        std::fs::create_dir_all(output)
            .with_context(|| format!("--output {}: cannot create this folder", output.display()))?;
    }
    Ok(())
}

fn name(output: &Path, inputs: &[Input]) -> anyhow::Result<Vec<Overlay>> {
    let shown = output.display();
    let one = |overlay: Overlay| {
        ensure!(
            inputs.len() == 1,
            "--output {shown}: one file cannot hold the overlays of {}; pass a folder",
            counted(inputs.len(), "image")
        );
        Ok(vec![overlay])
    };
    if named_file(Some(output)).is_none() {
        return one(Overlay::Stdout);
    }
    let extension = output.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    if !output.is_dir() {
        match extension {
            Some(extension) if extension == "png" => return one(Overlay::File(output.to_owned())),
            Some(extension) if is_file_type(&extension.to_string_lossy()) => {
                bail!(
                    "--output {shown}: cannot write .{}, expected .png or a folder",
                    extension.display()
                )
            }
            _ => ensure!(
                !output.exists(),
                "--output {shown}: expected a folder, the name of a new folder, or a .png file"
            ),
        }
    }
    let mut used = HashMap::new();
    let overlays = inputs.iter().map(|input| {
        let name = file_name(input);
        let stem = match name.rfind('.') {
            Some(dot) if dot > 0 => &name[..dot],
            _ => &name,
        };
        Overlay::File(output.join(format!("{}.png", unused(stem, &mut used))))
    });
    Ok(overlays.collect())
}

/// Returns whether the extension is that of a kind of file that people expect here. Other names with a dot are folders.
fn is_file_type(extension: &str) -> bool {
    let image = effnet_image::EXTENSIONS.contains(&extension);
    image || ["svg", "pdf", "npy", "json", "jsonl", "csv", "txt", "html"].contains(&extension)
}

/// Returns the stem itself the first time, and then with a number: `a`, `a-2`, `a-3`. Some file systems are
/// case-insensitive.
fn unused(stem: &str, used: &mut HashMap<String, usize>) -> String {
    let mut number = used.get(&stem.to_lowercase()).map_or(1, |last| last + 1);
    loop {
        let name = match number {
            1 => stem.to_owned(),
            _ => format!("{stem}-{number}"),
        };
        used.insert(stem.to_lowercase(), number);
        // `a-2` may be the name of another image.
        if number == 1 || !used.contains_key(&name.to_lowercase()) {
            used.entry(name.to_lowercase()).or_insert(1);
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_numbered_in_the_order_of_the_images() {
        let mut used = HashMap::new();
        let mut next = |stem: &str| unused(stem, &mut used);
        assert_eq!(
            ["a", "a-2", "A", "a", "b", "a-2", "a"].map(&mut next),
            ["a", "a-2", "A-3", "a-4", "b", "a-2-2", "a-5"]
        );
        let names: HashSet<String> = (0..20_000).map(|_| next("c")).collect();
        assert_eq!(names.len(), 20_000);
    }
}
