//! `effnet train`.

use crate::Outcome;
use crate::arguments::TrainingArguments;
use crate::printer::Printer;
use crate::training;
use crate::training::settings::Settings;

pub(crate) fn run(arguments: &TrainingArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    training::run("train", arguments, Settings::of_train(), printer)
}
