//! `effnet runs`: compares training runs.

mod folds;
mod summary;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use walkdir::WalkDir;

use crate::Outcome;
use crate::arguments::{Format, RunsArguments};
use crate::frame::Frame;
use crate::sink::Sink;
use folds::Folds;
use std::io::Write as _;
use summary::{Summary, keep_differing};

/// How deep below a folder its runs are looked for: `OUTPUT/fold-1` lies below `runs`.
const DEPTH: usize = 3;

pub(crate) fn run(arguments: &RunsArguments) -> anyhow::Result<Outcome> {
    let mut folders = Vec::new();
    for folder in &arguments.folders {
        let before = folders.len();
        find(folder, &mut folders)?;
        ensure!(
            folders.len() > before,
            "{}: no run folder in it; expected folders that `effnet train` or `effnet finetune` wrote",
            folder.display()
        );
    }
    let mut runs: Vec<Summary> = folders.iter().map(|folder| Summary::read(folder)).collect();
    let folds = Folds::of(&runs);
    keep_differing(&mut runs);
    runs.sort_by(Summary::compare);
    let mut sink = Sink::open(None, &Frame::default())?;
    match arguments.format {
        Format::Json => {
            for run in &runs {
                sink.json(run)?;
            }
        }
        Format::Csv => {
            sink.csv(table::CSV)?;
            for run in &runs {
                sink.csv(table::csv(run))?;
            }
        }
        Format::Text => table::write_text(&mut sink, &runs, &folds)?,
    }
    sink.flush()?;
    Ok(Outcome::Done)
}

/// Adds the run folders at and below `folder`, in the order of their names.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    std::fs::read_dir(folder).with_context(|| {
        format!(
            "{}: cannot read this folder; pass a run folder, or one that has run folders in it",
            folder.display()
        )
    })?;
    let mut walk = WalkDir::new(folder)
        .max_depth(DEPTH)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = walk.next() {
        // A folder that cannot be read is none that training wrote.
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_dir() && is_run(entry.path()) {
            found.push(entry.path().to_owned());
            walk.skip_current_dir();
        }
    }
    Ok(())
}

/// Returns whether a folder is that of a run, whatever its state. A hub folder has a `config.json`, too.
fn is_run(folder: &Path) -> bool {
    folder.join("log.jsonl").is_file()
}
