//! `effnet finetune`.

use crate::Outcome;
use crate::arguments::TrainingArguments;
use crate::printer::Printer;
use crate::training;
use crate::training::settings::Settings;

pub(crate) fn run(arguments: &TrainingArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    training::run("finetune", arguments, Settings::of_finetune(), printer)
}
