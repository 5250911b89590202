//! One job for several processes: `torchrun --no-python --nproc-per-node 2 effnet classify FOLDER --output FILE`.
//!
//! The processes meet in the file system alone. Each lists the same inputs, whose list is cut into parts; the ranks
//! are [dealt](deal) the parts. A finished part is a file in a folder beside the output, which appears under its
//! name only when it is on the disk, so that whoever is started again goes on after it. The process that finds all
//! parts there joins them in order, gives the output its name, [notes](folder::note) that it is whole and removes
//! them. Two that find them at the same time both do that, and write the same.

mod deal;
mod folder;
mod job;
mod listing;
mod merge;
mod part;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use crate::Outcome;
use crate::frame::{Frame, check_output};
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use folder::PartsFolder;
pub(crate) use job::Job;
pub use job::digest;
use listing::Listing;
use merge::Merged;
use part::PartWriter;

/// The place of a process among those that share a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
}

/// The parts that this process makes: what is written to it goes to one after the other.
pub(crate) struct Shard {
    folder: PartsFolder,
    frame: Frame,
    newest_input: Option<SystemTime>,
    /// Those that are not finished, in order.
    parts: VecDeque<usize>,
    /// The first of them, once it is begun.
    writer: Option<PartWriter>,
}

/// What there is to do for a process.
pub(crate) enum Share<To> {
    /// These inputs, whose results go there.
    Inputs(Vec<Input>, To),
    /// Nothing: the job is done, and went like this.
    Nothing(Outcome),
}

impl Shard {
    /// Joins the job of the group on `inputs`, in parts that are whole numbers of `batch` images, and takes what
    /// falls to this process and is not finished.
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
        check_output(output)?;
        let listing = Listing::of(&inputs);
        job.add("inputs", inputs.len());
        job.add("listing", listing.digest);
        let part_size = deal::part_size(inputs.len(), world_size, batch);
        let joined = PartsFolder::join(output, job.clone(), inputs.len(), part_size, rank);
        let joined = joined.and_then(|folder| Ok((folder.finished()?, folder)));
        // Before any complaint: parts vanish when the output is whole.
        if let Some(tally) = folder::completed(output, &job, listing.newest)? {
            printer.note(format!(
                "{shown}: is there and whole, nothing to do; remove it to do it again"
            ));
            return Ok(Share::Nothing(if rank == 0 {
                tally.as_outcome()
            } else {
                Outcome::Done
            }));
        }
        let (finished, folder) = joined?;
        if !finished.is_empty() {
            printer.note(format!(
                "{} of {} parts are finished: {}",
                finished.len(),
                folder.count(),
                folder.path().display()
            ));
        }
        let bytes = |part| listing.bytes[folder.range(part)].iter().sum();
        let bytes: Vec<u64> = (0..folder.count()).map(bytes).collect();
        let ranks = deal::deal(&bytes, world_size);
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

    /// What stands between two results.
    pub(crate) fn separator(&self) -> &'static str {
        self.frame.separator
    }

    /// Whether there is no result yet in the part that is being made.
    pub(crate) fn is_at_start(&self) -> bool {
        self.writer.as_ref().is_none_or(PartWriter::is_empty)
    }

    /// Ends the results of an input; those of a whole part are brought to the disk.
    pub(crate) fn end_input(&mut self, is_done: bool) -> anyhow::Result<()> {
        let part = self.part()?;
        let inputs = self.folder.range(part).len();
        let writer = self.writer()?;
        writer.tally.count(is_done);
        if writer.tally.inputs() == inputs
            && let Some(writer) = self.writer.take()
        {
            self.parts.pop_front();
            let shown = || format!("{}: cannot be written", self.folder.file(part).display());
            writer.commit().with_context(shown)?;
        }
        Ok(())
    }

    /// Completes the output if this process is the last, and tells how the job went; of an interrupt, how to go on.
    pub(crate) fn finish(self, interrupt: &Interrupt, printer: &Printer) -> anyhow::Result<Outcome> {
        let output = self.folder.output.display();
        let merged = merge::merge(&self.folder, &self.frame, self.newest_input, interrupt)?;
        Ok(match merged {
            Merged::Whole(tally) => tally.as_outcome(),
            Merged::ByAnother => Outcome::Done,
            Merged::Missing(missing) => {
                printer.note(format!(
                    "this process is through; {missing} of {} parts come from others, the last of which writes {output}",
                    self.folder.count()
                ));
                Outcome::Done
            }
            Merged::Interrupted => {
                let finished = self.folder.finished().map_or(0, |parts| parts.len());
                printer.warning(format!(
                    "interrupted: {finished} of {} parts are finished; the same command goes on after them, as long as \
                     {} is there",
                    self.folder.count(),
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
        // A part is read when it is whole.
        Ok(())
    }
}
