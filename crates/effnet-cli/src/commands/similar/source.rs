//! The index to search: a file, or the one that is kept in a folder, which may have to be made first.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail, ensure};
use effnet::{FeatureIndex, IndexError, IndexSource};

use crate::arguments::{InputArguments, SimilarArguments};
use crate::index_file::IndexFile;
use crate::input::Input;
use crate::inputs;
use crate::printer::{Printer, counted};
use crate::sharding::digest;

/// The name of the index that is kept in a folder.
const NAME: &str = "effnet-features.npy";

/// The index of a search.
pub(super) struct Source {
    path: PathBuf,
    /// The folder that names are relative to, if the index is kept in it.
    folder: Option<PathBuf>,
    state: State,
}

enum State {
    Ready(FeatureIndex),
    /// The features of the folder's images are being computed.
    Missing(IndexFile),
}

impl Source {
    /// Opens the index, or starts a new one and returns the images to compute. Refuses the index of another network.
    pub(super) fn prepare(
        arguments: &SimilarArguments,
        (network, width): (&IndexSource, usize),
        printer: &Printer,
    ) -> anyhow::Result<(Self, Vec<Input>)> {
        let index = &arguments.index;
        if !index.is_dir() {
            ensure!(
                !arguments.rebuild,
                "--rebuild: {} is not a folder; `effnet features --output FILE.npy` makes the index of a file",
                index.display()
            );
            let opened = FeatureIndex::open(index).and_then(|opened| {
                opened.check_source(network)?;
                Ok(opened)
            });
            let source = Self {
                path: index.clone(),
                folder: None,
                state: State::Ready(opened.context("--index")?),
            };
            return Ok((source, Vec::new()));
        }
        let path = index.join(NAME);
        let (images, listing) = list(index, printer)?;
        if !arguments.rebuild
            && let Some(opened) = kept(&path, network, &listing, printer)?
        {
            let source = Self {
                path,
                folder: Some(index.clone()),
                state: State::Ready(opened),
            };
            return Ok((source, Vec::new()));
        }
        let network = network.clone().with_listing(listing).with_normalized(true);
        let file = IndexFile::create(&path, width, &network)
            .context("--index: a folder keeps its index; to write it elsewhere, use `effnet features`")?;
        let source = Self {
            path,
            folder: Some(index.clone()),
            state: State::Missing(file),
        };
        Ok((source, images))
    }

    /// Returns the index that is being written.
    pub(super) fn missing(&mut self) -> Option<&mut IndexFile> {
        match &mut self.state {
            State::Missing(file) => Some(file),
            State::Ready(_) => None,
        }
    }

    /// Returns the name of an image in the index.
    pub(super) fn name_of(&self, input: &Input) -> String {
        let file = input.file().zip(self.folder.as_ref());
        let relative = file.and_then(|(file, folder)| file.strip_prefix(folder).ok());
        relative.map_or_else(|| input.name.clone(), |path| path.display().to_string())
    }

    /// Completes the index that was being written, and opens it.
    pub(super) fn complete(self, printer: &Printer) -> anyhow::Result<Self> {
        let State::Missing(file) = self.state else {
            return Ok(self);
        };
        let tally = file.tally();
        ensure!(
            tally.done > 0,
            "--index {}: none of its images can be read",
            self.folder.unwrap_or_default().display()
        );
        file.commit()?;
        let count = counted(tally.done, "image");
        printer.note(format!("index of {count} -> {}", self.path.display()));
        let state = State::Ready(FeatureIndex::open(&self.path)?);
        Ok(Self { state, ..self })
    }

    /// Returns the complete index.
    pub(super) fn ready(&self) -> anyhow::Result<&FeatureIndex> {
        match &self.state {
            State::Ready(index) => Ok(index),
            State::Missing(_) => bail!("{}: the index is not complete", self.path.display()),
        }
    }

    /// Returns the path of a named image.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        match &self.folder {
            Some(folder) => folder.join(name),
            None => PathBuf::from(name),
        }
    }
}

/// Lists the images of a folder: their inputs, and a digest that changes if an image is added, removed or written.
fn list(folder: &Path, printer: &Printer) -> anyhow::Result<(Vec<Input>, String)> {
    let arguments = InputArguments {
        inputs: vec![folder.to_owned()],
        list: Vec::new(),
    };
    let images = inputs::expand(&arguments, true, printer)?.images;
    if let [input] = &images[..]
        && let Some(failure) = input.failure()
    {
        bail!("--index {}: {}", folder.display(), failure.reason);
    }
    let described = images.iter().map(|input| {
        let path = input.file().unwrap_or(Path::new(""));
        let (length, written) = path.metadata().map_or((0, 0), |metadata| {
            let written = metadata.modified().ok();
            let written = written.and_then(|written| written.duration_since(UNIX_EPOCH).ok());
            (metadata.len(), written.map_or(0, |written| written.as_nanos()))
        });
        let name = path.strip_prefix(folder).unwrap_or(path);
        format!("{} {length} {written}", name.display())
    });
    let listing = digest(described);
    Ok((images, listing))
}

/// Opens the index that is kept in a folder. Returns `None` if there is none, or if the images have changed.
fn kept(
    path: &Path,
    network: &IndexSource,
    listing: &str,
    printer: &Printer,
) -> anyhow::Result<Option<FeatureIndex>> {
    let opened = match FeatureIndex::open(path) {
        Err(IndexError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        opened => opened.context("--index: pass --rebuild to make it again")?,
    };
    opened
        .check_source(network)
        .context("--index: pass --rebuild to replace the index of this folder")?;
    if opened.source().listing == listing {
        return Ok(Some(opened));
    }
    printer.note(format!(
        "{}: the images of this folder have changed, making its index again",
        path.display()
    ));
    Ok(None)
}
