//! Determines the inputs of this process and where their results go.
//!
//! A single process writes to standard output or a file. If a launcher such as torchrun starts several processes, each
//! takes a share of the inputs and writes parts of one output. The flags and commands are the same in both cases.

use std::path::Path;

use anyhow::ensure;

use crate::arguments::InputArguments;
use crate::frame::Frame;
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::launcher;
use crate::printer::Printer;
use crate::sharding::{Group, Job, Shard, Share};
use crate::sink::Sink;

/// Returns the file named by an output flag, or `None` for standard output, which `-` stands for in every flag.
pub(crate) fn named_file(output: Option<&Path>) -> Option<&Path> {
    output.filter(|output| output.as_os_str() != "-")
}

/// Returns the file named by an output flag that does not default to standard output. `-` still stands for standard
/// output.
pub(crate) fn file_or_stdout(output: &Path) -> &Path {
    named_file(Some(output)).unwrap_or(Path::new("/dev/stdout"))
}

/// The destination named by `--output`, for a single process or a group of processes.
pub(crate) struct Destination<'a> {
    output: Option<&'a Path>,
    /// `None` for a single process, or if no output is named.
    group: Option<Group>,
}

impl<'a> Destination<'a> {
    /// Creates the destination for the results of these inputs. A group of processes needs a file to write to, and
    /// inputs that every process can list.
    pub(crate) fn of(inputs: &InputArguments, output: Option<&'a Path>) -> anyhow::Result<Self> {
        let group = launcher::group_without_address()?.map(|environment| Group {
            rank: environment.rank,
            world_size: environment.world_size,
        });
        if let Some(Group { world_size, .. }) = group
            && world_size > 1
        {
            ensure!(
                output.is_some(),
                "{world_size} processes (WORLD_SIZE) cannot share standard output: name a file with --output, or unset \
                 RANK and WORLD_SIZE to do everything in one process"
            );
            ensure!(
                inputs
                    .inputs
                    .iter()
                    .chain(&inputs.list)
                    .all(|input| input.as_os_str() != "-"),
                "{world_size} processes (WORLD_SIZE) cannot share standard input (-): name files, folders or glob \
                 patterns, or --list FILE"
            );
        }
        Ok(Self {
            output,
            group: group.filter(|_| output.is_some()),
        })
    }

    /// Returns whether this process does all the work.
    pub(crate) fn is_single(&self) -> bool {
        self.group.is_none()
    }

    /// Returns the printer for this process: rank 0 prints for the group.
    pub(crate) fn printer(&self, printer: &Printer) -> Printer {
        printer.of_rank(self.group.map_or(0, |group| group.rank))
    }

    /// Opens the output. In a group, this process takes its share of `inputs`, in parts whose size is a multiple of
    /// `batch` images; `job` returns everything else that the results depend on. A process with no parts left to
    /// compute completes the output if all parts are finished.
    pub(crate) fn open(
        self,
        inputs: Vec<Input>,
        frame: Frame,
        batch: usize,
        job: impl FnOnce() -> anyhow::Result<Job>,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Share<Sink>> {
        let (Some(group), Some(output)) = (self.group, self.output) else {
            return Ok(Share::Inputs(inputs, Sink::open(self.output, &frame)?));
        };
        let share = Shard::join(group, output, job()?, inputs, batch, frame, printer)?;
        Ok(match share {
            Share::Inputs(inputs, shard) if inputs.is_empty() => {
                Share::Nothing(shard.finish(interrupt, printer)?)
            }
            Share::Inputs(inputs, shard) => Share::Inputs(inputs, Sink::of_shard(shard)),
            Share::Nothing(outcome) => Share::Nothing(outcome),
        })
    }
}
