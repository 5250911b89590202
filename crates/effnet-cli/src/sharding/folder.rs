//! Manages the folder next to an output that collects its parts, and the record that the output is complete.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use effnet_checkpoint::AtomicFile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::outputs::Tally;

/// The name of the file that describes the job.
const DESCRIPTION: &str = "job.json";
/// The longest description in bytes; a longer file is not a description.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// The finished parts of an output, each in a file named after its number.
pub(super) struct PartsFolder {
    pub(super) output: PathBuf,
    path: PathBuf,
    pub(super) job: Job,
    inputs: usize,
    part_size: usize,
    rank: usize,
}

/// The content of [`DESCRIPTION`].
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    job: Job,
    /// Inputs per part; the last part may have fewer.
    part_size: usize,
}

/// The record written next to a complete output.
#[derive(Debug, Serialize, Deserialize)]
struct Completion {
    job: Job,
    #[serde(flatten)]
    tally: Tally,
    /// The length of the output in bytes.
    bytes: u64,
}

impl PartsFolder {
    /// Joins the job whose parts are collected next to `output`, or starts it with this part size.
    pub(super) fn join(
        output: &Path,
        job: Job,
        inputs: usize,
        part_size: usize,
        rank: usize,
    ) -> anyhow::Result<Self> {
        let path = sibling(output, ".parts");
        let shown = path.display();
        let description = Description { job, part_size };
        if !path.join(DESCRIPTION).exists() {
            create(&path, &description, rank)
                .with_context(|| format!("{shown}: cannot create this folder"))?;
        }
        let found: Description = read(&path.join(DESCRIPTION)).with_context(|| {
            format!("{shown}: expected a folder with the parts of an output; delete it to start over")
        })?;
        let differences = found.job.differences(&description.job);
        ensure!(
            differences.is_empty(),
            "{shown}: found the parts of a different job, which differs in: {differences}. Repeat that job's command \
             to finish it, or delete the folder to start over"
        );
        ensure!(
            found.part_size > 0,
            "{shown}: corrupt job description (part size 0); delete the folder to start over"
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

    /// Returns the number of parts of the output.
    pub(super) fn count(&self) -> usize {
        self.inputs.div_ceil(self.part_size)
    }

    /// Returns the indices of a part's inputs.
    pub(super) fn range(&self, part: usize) -> Range<usize> {
        let start = part * self.part_size;
        start..start.saturating_add(self.part_size).min(self.inputs)
    }

    /// Returns the part that an input belongs to.
    pub(super) fn part_of(&self, input: usize) -> usize {
        input / self.part_size
    }

    /// Returns the path of a part, which exists once the part is finished.
    pub(super) fn file(&self, part: usize) -> PathBuf {
        self.path.join(format!("{part:06}"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the numbers of the finished parts.
    pub(super) fn finished(&self) -> anyhow::Result<BTreeSet<usize>> {
        let listed = std::fs::read_dir(&self.path).and_then(|entries| {
            let number = |name: OsString| name.to_str()?.parse().ok();
            entries
                .filter_map(|entry| entry.map(|entry| number(entry.file_name())).transpose())
                .collect()
        });
        let mut parts: BTreeSet<usize> =
            listed.with_context(|| format!("{}: cannot read this folder", self.path.display()))?;
        parts.retain(|&part| part < self.count());
        Ok(parts)
    }

    /// Returns the path of the file into which this process merges the parts. Each rank has its own.
    pub(super) fn merged(&self) -> PathBuf {
        self.path.join(format!("merged-{}", self.rank))
    }

    /// Renames the merged file to the output, records that it is complete, and removes the parts.
    pub(super) fn complete(&self, bytes: u64, tally: Tally) -> io::Result<()> {
        if let Ok(replaced) = std::fs::metadata(&self.output) {
            std::fs::set_permissions(self.merged(), replaced.permissions())?;
        }
        std::fs::rename(self.merged(), &self.output)?;
        let completion = Completion {
            job: self.job.clone(),
            tally,
            bytes,
        };
        write(&note(&self.output), &completion)?;
        // Removed last, so that a process that finds parts missing also finds the record.
        remove(&self.path);
        Ok(())
    }
}

/// Returns the tally of the output if it is complete, belongs to this job, and is newer than all inputs. Removes
/// leftover parts.
///
/// A process may start after all others are done, if it has no parts or was restarted. Must be called after
/// [`PartsFolder::join`], which would start the job over if another process removed the parts in between.
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
    remove(&sibling(output, ".parts"));
    Ok(Some(completion.tally))
}

/// Returns whether an output of this job was once complete. It may have been replaced since.
pub(super) fn is_recorded(output: &Path, job: &Job) -> bool {
    read::<Completion>(&note(output)).is_ok_and(|completion| completion.job == *job)
}

/// Returns the path of the record: `out.jsonl.job.json` next to `out.jsonl`.
pub(super) fn note(output: &Path) -> PathBuf {
    sibling(output, ".job.json")
}

/// Creates a folder with a description in one step, so that processes that start at the same time agree on one. Does
/// nothing if another process was first.
fn create(path: &Path, description: &Description, rank: usize) -> anyhow::Result<()> {
    let new = sibling(path, &format!(".new-{rank}"));
    std::fs::create_dir_all(&new)?;
    write(&new.join(DESCRIPTION), description)?;
    // Renaming a folder can only replace an empty folder.
    if let Err(error) = std::fs::rename(&new, path) {
        remove(&new);
        if !path.join(DESCRIPTION).exists() {
            bail!(error);
        }
    }
    Ok(())
}

fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.commit()
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    serde_json::from_reader(file.take(LONGEST_DESCRIPTION))
        .with_context(|| format!("{}: expected a job description", path.display()))
}

/// Removes a folder that is no longer needed. If another process is still writing into it, some files remain, and that
/// process removes them when it finds the record.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}
