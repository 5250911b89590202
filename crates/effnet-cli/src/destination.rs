//! Which inputs are this process's, and where their results go.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::frame::Frame;
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::launcher;
use crate::printer::Printer;
use crate::sharding::{Group, Job, Shard, Share};
use crate::sink::Sink;

/// `--output`, for one process or for a group of them.
pub(crate) struct Destination<'a> {
    output: Option<&'a Path>,
    /// Only with an output.
    group: Option<Group>,
}

impl<'a> Destination<'a> {
    /// The output of a call with these inputs. The processes of a group need a file to write to, and inputs that
    /// each of them can list.
    pub(crate) fn of(inputs: &[PathBuf], output: Option<&'a Path>) -> anyhow::Result<Self> {
        let group = launcher::group_without_address()?.map(|environment| Group {
            rank: environment.rank,
            world_size: environment.world_size,
        });
        if let Some(Group { world_size, .. }) = group
            && world_size > 1
        {
            ensure!(
                output.is_some(),
                "this is one of {world_size} processes (WORLD_SIZE), each with results of its share: name a file for \
                 all of them with --output, or unset RANK and WORLD_SIZE to do everything in this one"
            );
            ensure!(
                inputs.iter().all(|input| input.as_os_str() != "-"),
                "each of the {world_size} processes (WORLD_SIZE) has to list the inputs, and standard input can be \
                 read once: name files, folders or patterns"
            );
        }
        Ok(Self {
            output,
            group: group.filter(|_| output.is_some()),
        })
    }

    /// The printer of this process: one of a group speaks for all.
    pub(crate) fn printer(&self, printer: &Printer) -> Printer {
        printer.of_rank(self.group.map_or(0, |group| group.rank))
    }

    /// Opens the output. Of a group, this process takes its share of the `inputs`, in parts that are whole numbers
    /// of `batch` images; `job` tells what else the results depend on. A process that is left without any completes
    /// the output if it can.
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
