//! Splits one job among several processes: `torchrun --no-python --nproc-per-node 2 effnet classify FOLDER --output
//! FILE`.
//!
//! The processes share only a file system, and any of them may be killed and restarted. Each process lists the same
//! inputs; the list is cut into parts, which are [distributed](distribute) over the ranks. A finished part is a file in
//! a folder next to the output. It is renamed into place only after it has been synced to disk, so a restarted process
//! can resume after it. The process that finds all parts finished merges them in order, renames the result to the
//! output, [records](folder::note) that the output is complete and removes the parts. If two processes do this at the
//! same time, both write the same bytes.

mod distribute;
mod folder;
mod job;
mod listing;
mod merge;
mod part;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use effnet_checkpoint::follow_links;

use crate::Outcome;
use crate::frame::Frame;
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::printer::{Printer, counted};
use folder::PartsFolder;
pub(crate) use job::Job;
pub use job::digest;
use listing::Listing;
use merge::Merged;
use part::PartWriter;

/// The rank of a process among those that share a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
}

/// Writes the parts of this process, one after another.
pub(crate) struct Shard {
    folder: PartsFolder,
    frame: Frame,
    newest_input: Option<SystemTime>,
    /// The unfinished parts of this process, in order.
    parts: VecDeque<usize>,
    /// Writes the first unfinished part, once it has been started.
    writer: Option<PartWriter>,
}

/// The work of a process.
pub(crate) enum Share<To> {
    /// The inputs to process, and where their results go.
    Inputs(Vec<Input>, To),
    /// No work, because the job is complete with this outcome.
    Nothing(Outcome),
}

impl Shard {
    /// Joins the group's job on `inputs`, in parts whose size is a multiple of `batch` images, and takes the unfinished
    /// parts of this rank.
    pub(crate) fn join(
        Group { rank, world_size }: Group,
        output: &Path,
        mut job: Job,
        inputs: Vec<Input>,
        batch: usize,
        frame: Frame,
        printer: &Printer,
    ) -> anyhow::Result<Share<Box<Self>>> {
        let shown = output.display();
        // The parts are next to the file itself, which is replaced, and not next to a link to it.
        let output = &follow_links(output).with_context(|| shown.to_string())?;
        ensure!(
            output.is_file() || !output.exists(),
            "{shown}: {world_size} processes (WORLD_SIZE) write parts next to the output, so --output must be a \
             regular file, not a folder, device or pipe"
        );
        let listing = Listing::of(&inputs);
        job.add("inputs", inputs.len());
        job.add("listing", listing.digest);
        let part_size = distribute::part_size(inputs.len(), world_size, batch);
        let joined = PartsFolder::join(output, job.clone(), inputs.len(), part_size, rank);
        let joined = joined.and_then(|folder| Ok((folder.finished()?, folder)));
        // Checked before returning any error: another process removes the parts once the output is complete.
        if let Some(tally) = folder::completed(output, &job, listing.newest)? {
            printer.note(format!("{shown}: already complete; delete it to recompute"));
            return Ok(Share::Nothing(if rank == 0 {
                tally.as_outcome()
            } else {
                Outcome::Done
            }));
        }
        let (finished, folder) = joined?;
        if !finished.is_empty() {
            printer.note(format!(
                "{} of {} parts are already finished: {}",
                finished.len(),
                folder.count(),
                folder.path().display()
            ));
        }
        let bytes = |part| listing.bytes[folder.range(part)].iter().sum();
        let bytes: Vec<u64> = (0..folder.count()).map(bytes).collect();
        let ranks = distribute::distribute(&bytes, world_size);
        let is_to_do = |part| ranks[part] == rank && !finished.contains(&part);
        let parts: VecDeque<usize> = (0..folder.count()).filter(|&part| is_to_do(part)).collect();
        let numbered = inputs.into_iter().enumerate();
        let chosen = numbered.filter(|&(number, _)| is_to_do(folder.part_of(number)));
        let inputs = chosen.map(|(_, input)| input).collect();
        let shard = Self {
            folder,
            frame,
            newest_input: listing.newest,
            parts,
            writer: None,
        };
        Ok(Share::Inputs(inputs, Box::new(shard)))
    }

    /// Returns the separator between two results.
    pub(crate) fn separator(&self) -> &'static str {
        self.frame.separator
    }

    /// Returns whether the current part has no results yet.
    pub(crate) fn is_at_start(&self) -> bool {
        self.writer.as_ref().is_none_or(PartWriter::is_empty)
    }

    /// Ends the results of an input. A complete part is flushed to disk.
    pub(crate) fn end_input(&mut self, is_done: bool) -> anyhow::Result<()> {
        let part = self.part()?;
        let inputs = self.folder.range(part).len();
        let writer = self.writer()?;
        writer.tally.count(is_done);
        if writer.tally.inputs() == inputs
            && let Some(writer) = self.writer.take()
        {
            self.parts.pop_front();
            let shown = || format!("{}: cannot write this file", self.folder.file(part).display());
            writer.commit().with_context(shown)?;
        }
        Ok(())
    }

    /// Completes the output if this process is the last one, and returns the outcome. After an interrupt, tells the
    /// user how to resume.
    pub(crate) fn finish(self, interrupt: &Interrupt, printer: &Printer) -> anyhow::Result<Outcome> {
        let output = self.folder.output.display();
        let merged = merge::merge(&self.folder, &self.frame, self.newest_input, interrupt)?;
        Ok(match merged {
            Merged::Complete(tally) => tally.as_outcome(),
            Merged::ByAnother => Outcome::Done,
            Merged::Missing(missing) => {
                printer.note(format!(
                    "this process is done; other processes are still working on {missing} of {}, and the last to \
                     finish will write {output}",
                    counted(self.folder.count(), "part")
                ));
                Outcome::Done
            }
            Merged::Interrupted => {
                let finished = self.folder.finished().map_or(0, |parts| parts.len());
                printer.warning(format!(
                    "interrupted after {finished} of {}; run the same command to resume, and keep {}",
                    counted(self.folder.count(), "part"),
                    self.folder.path().display()
                ));
                Outcome::Interrupted
            }
        })
    }

    fn part(&self) -> io::Result<usize> {
        let part = self.parts.front().copied();
        part.ok_or_else(|| io::Error::other("more results than inputs"))
    }

    fn writer(&mut self) -> io::Result<&mut PartWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => PartWriter::create(&self.folder.file(self.part()?))?,
        };
        Ok(self.writer.insert(writer))
    }
}

impl Write for Shard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Parts are only read once they are complete.
        Ok(())
    }
}
