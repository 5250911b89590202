//! The folder beside an output in which its parts are collected, and the note that says that it is whole.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use effnet_checkpoint::FreshFile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::pass::Tally;

/// The description of the job in its folder.
const DESCRIPTION: &str = "job.json";
/// A description longer than this is some other file.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// The parts of an output that are finished, each in a file named by its number.
pub(super) struct PartsFolder {
    pub(super) output: PathBuf,
    path: PathBuf,
    pub(super) job: Job,
    inputs: usize,
    part_size: usize,
    rank: usize,
}

/// [`DESCRIPTION`].
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    job: Job,
    /// Inputs of each part but the last.
    part_size: usize,
}

/// What is written beside an output once it is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Completion {
    job: Job,
    #[serde(flatten)]
    tally: Tally,
    /// Length of the output.
    bytes: u64,
}

impl PartsFolder {
    /// Joins the job whose parts are collected beside `output`, or begins it with this size of parts.
    pub(super) fn join(
        output: &Path,
        job: Job,
        inputs: usize,
        part_size: usize,
        rank: usize,
    ) -> anyhow::Result<Self> {
        let path = beside(output, ".parts");
        let shown = path.display();
        let description = Description { job, part_size };
        if !path.join(DESCRIPTION).exists() {
            begin(&path, &description, rank).with_context(|| format!("{shown}: cannot be made"))?;
        }
        let found: Description = read(&path.join(DESCRIPTION))
            .with_context(|| format!("{shown}: expected the parts of an output; remove what is there"))?;
        let differences = found.job.differences(&description.job);
        ensure!(
            differences.is_empty(),
            "{shown}: these are parts of another job, which differs in: {differences}. Repeat its command to finish \
             it, or remove the folder to begin anew"
        );
        ensure!(
            found.part_size > 0,
            "{shown}: parts of no inputs, remove the folder to begin anew"
        );
        Ok(Self {
            output: output.to_owned(),
            path,
            job: found.job,
            inputs,
            part_size: found.part_size,
            rank,
        })
    }

    /// How many parts the output has.
    pub(super) fn count(&self) -> usize {
        self.inputs.div_ceil(self.part_size)
    }

    /// The inputs of a part.
    pub(super) fn range(&self, part: usize) -> Range<usize> {
        let start = part * self.part_size;
        start..start.saturating_add(self.part_size).min(self.inputs)
    }

    /// The part that an input belongs to.
    pub(super) fn part_of(&self, input: usize) -> usize {
        input / self.part_size
    }

    /// Where a part is, once it is finished.
    pub(super) fn file(&self, part: usize) -> PathBuf {
        self.path.join(format!("{part:06}"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The parts that are finished.
    pub(super) fn finished(&self) -> anyhow::Result<BTreeSet<usize>> {
        let listed = std::fs::read_dir(&self.path).and_then(|entries| {
            let number = |name: OsString| name.to_str()?.parse().ok();
            entries
                .filter_map(|entry| entry.map(|entry| number(entry.file_name())).transpose())
                .collect()
        });
        let mut parts: BTreeSet<usize> =
            listed.with_context(|| format!("{}: cannot be read", self.path.display()))?;
        parts.retain(|&part| part < self.count());
        Ok(parts)
    }

    /// Where this process joins the parts; another that does the same at the time has a place of its own.
    pub(super) fn merged(&self) -> PathBuf {
        self.path.join(format!("merged-{}", self.rank))
    }

    /// Gives what was joined the output's name, says that it is whole, and removes the parts.
    pub(super) fn complete(&self, bytes: u64, tally: Tally) -> io::Result<()> {
        std::fs::rename(self.merged(), &self.output)?;
        let completion = Completion {
            job: self.job.clone(),
            tally,
            bytes,
        };
        write(&note(&self.output), &completion)?;
        // Last, so that whoever finds parts missing finds the note.
        remove(&self.path);
        Ok(())
    }
}

/// The tally of the output if it is this job's and whole, and no input was changed since; removes what is left of
/// its parts.
///
/// A process may start when all others are through: one that has no part, or none left when it is started again. To
/// be called after [`PartsFolder::join`], which would begin the job anew if the parts vanished in between.
pub(super) fn completed(
    output: &Path,
    job: &Job,
    newest_input: Option<SystemTime>,
) -> anyhow::Result<Option<Tally>> {
    let note = note(output);
    let modified = |path: &Path| std::fs::metadata(path)?.modified();
    let (Ok(noted), Ok(written)) = (modified(&note), modified(output)) else {
        return Ok(None);
    };
    let Ok(completion) = read::<Completion>(&note) else {
        return Ok(None);
    };
    let is_unchanged = written <= noted
        && newest_input.is_none_or(|newest| newest <= written)
        && std::fs::metadata(output)?.len() == completion.bytes;
    if completion.job != *job || !is_unchanged {
        return Ok(None);
    }
    remove(&beside(output, ".parts"));
    Ok(Some(completion.tally))
}

/// `out.jsonl.job.json` beside `out.jsonl`.
pub(super) fn note(output: &Path) -> PathBuf {
    beside(output, ".job.json")
}

/// Makes a folder with a description in one step, so that the processes of a job, which start together, agree on
/// one. Nothing happens if another was first.
fn begin(path: &Path, description: &Description, rank: usize) -> anyhow::Result<()> {
    let new = beside(path, &format!(".new-{rank}"));
    std::fs::create_dir_all(&new)?;
    write(&new.join(DESCRIPTION), description)?;
    // A folder takes the place of an empty one only.
    if let Err(error) = std::fs::rename(&new, path) {
        remove(&new);
        if !path.join(DESCRIPTION).exists() {
            bail!(error);
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = FreshFile::create(path)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.commit()
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    serde_json::from_reader(file.take(LONGEST_DESCRIPTION))
        .with_context(|| format!("{}: expected the description of a job", path.display()))
}

/// Removes a folder that nothing is to be read from any more. Where another process is about to read it all the same,
/// or to write a file into it, something is left, which that process removes when it finds the note.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}
