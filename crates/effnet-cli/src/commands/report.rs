//! `effnet report`.

use std::io::Write;

use crate::arguments::ReportArguments;
use crate::interrupt::Interrupt;
use crate::launcher::refuse_group;
use crate::torch::TorchCommands;
use crate::{Outcome, Printer, REPORT, open_zoo, write_report};

pub(crate) fn run(
    arguments: &ReportArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    refuse_group("report")?;
    let zoo = open_zoo(&arguments.zoo)?;
    let interrupt = Interrupt::listen();
    let run = &arguments.run;
    let outcome = write_report(run, &arguments.execution, &zoo, torch, &interrupt, printer)?;
    if let Outcome::Done = outcome {
        writeln!(std::io::stdout(), "{}", run.join(REPORT).display())?;
    }
    Ok(outcome)
}
