//! The inputs of this process, and where their results go.
//!
//! One process writes to standard output or a file. Of several, started by a launcher such as torchrun, each takes a
//! share of the inputs and writes parts of one output; the flags and commands are the same.

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

/// The file of an output flag; `None` for standard output, which `-` means in every flag.
pub(crate) fn named_file(output: Option<&Path>) -> Option<&Path> {
    output.filter(|output| output.as_os_str() != "-")
}

/// The file of an output flag that standard output is not the default of: `-` names it.
pub(crate) fn file_or_stdout(output: &Path) -> &Path {
    named_file(Some(output)).unwrap_or(Path::new("/dev/stdout"))
}

/// `--output`, for one process or for a group of them.
pub(crate) struct Destination<'a> {
    output: Option<&'a Path>,
    /// `None` without an output.
    group: Option<Group>,
}

impl<'a> Destination<'a> {
    /// The output for these inputs. Several processes need a file to write to, and inputs that each of them
    /// can list.
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

    /// Whether this process does all the work.
    pub(crate) fn is_single(&self) -> bool {
        self.group.is_none()
    }

    /// The printer of this process: rank 0 prints for the group.
    pub(crate) fn printer(&self, printer: &Printer) -> Printer {
        printer.of_rank(self.group.map_or(0, |group| group.rank))
    }

    /// Opens the output. In a group, this process takes its share of `inputs`, in parts of a multiple of `batch`
    /// images; `job` returns what else the results depend on. A process that finds no part left
    /// to compute completes the output if all parts are finished.
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
