//! The index to search: a file, or the one that is kept in a folder, which may have to be made or updated first.

mod update;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use effnet::{FeatureIndex, IndexError, IndexSource};

use crate::arguments::SimilarArguments;
use crate::failure::Failure;
use crate::index_file::IndexFile;
use crate::input::Input;
use crate::printer::{Printer, counted};
use update::{Update, list};

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
    Ready(Box<FeatureIndex>),
    /// The features of images of the folder are being computed.
    Incomplete(Box<Update>),
}

impl Source {
    /// Opens the index, or starts a new one and returns the images to compute: those that the index of the folder does
    /// not have, or that have changed. Refuses the index of another network.
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
                state: State::Ready(Box::new(opened.context("--index")?)),
            };
            return Ok((source, Vec::new()));
        }
        let path = index.join(NAME);
        let listing = list(index, printer)?;
        let old = if arguments.rebuild {
            None
        } else {
            kept(&path, network)?
        };
        let (state, images) = match old {
            Some(old) if old.source().listing == listing.digest => (State::Ready(Box::new(old)), Vec::new()),
            old => {
                let network = network
                    .clone()
                    .with_listing(&listing.digest)
                    .with_normalized(true);
                let file = IndexFile::create(&path, width, &network).context(
                    "--index: a folder keeps its index; to write it elsewhere, use `effnet features`",
                )?;
                let (update, images) = Update::new(file, old, listing);
                update.announce(&path, images.len(), printer);
                (State::Incomplete(Box::new(update)), images)
            }
        };
        let folder = Some(index.clone());
        Ok((Self { path, folder, state }, images))
    }

    /// Adds the features of the next image to the index that is being written.
    pub(super) fn push(&mut self, input: &Input, features: Result<&[f32], &Failure>) -> anyhow::Result<()> {
        let State::Incomplete(update) = &mut self.state else {
            return Ok(());
        };
        let file = input.file().zip(self.folder.as_ref());
        let relative = file.and_then(|(file, folder)| file.strip_prefix(folder).ok());
        let name = relative.map_or_else(|| input.name.clone(), |path| path.display().to_string());
        update.push(&name, features)
    }

    /// Completes the index that was being written, and opens it.
    pub(super) fn complete(self, printer: &Printer) -> anyhow::Result<Self> {
        let State::Incomplete(update) = self.state else {
            return Ok(self);
        };
        let file = update.finish()?;
        let tally = file.tally();
        ensure!(
            tally.done > 0,
            "--index {}: none of its images can be read",
            self.folder.unwrap_or_default().display()
        );
        file.commit()?;
        let count = counted(tally.done, "image");
        printer.note(format!("index of {count} -> {}", self.path.display()));
        let state = State::Ready(Box::new(FeatureIndex::open(&self.path)?));
        Ok(Self { state, ..self })
    }

    /// Returns the complete index.
    pub(super) fn ready(&self) -> anyhow::Result<&FeatureIndex> {
        match &self.state {
            State::Ready(index) => Ok(index),
            State::Incomplete(_) => bail!("{}: the index is not complete", self.path.display()),
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

/// Opens the index that is kept in a folder, if there is one. Refuses the index of another network.
fn kept(path: &Path, network: &IndexSource) -> anyhow::Result<Option<FeatureIndex>> {
    let opened = match FeatureIndex::open(path) {
        Err(IndexError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        opened => opened.context("--index: pass --rebuild to make it again")?,
    };
    opened
        .check_source(network)
        .context("--index: pass --rebuild to replace the index of this folder")?;
    Ok(Some(opened))
}
