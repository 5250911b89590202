//! `effnet train` and `effnet finetune`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{DeviceChoice, ZooArguments};
use crate::training::settings::{Given, Settings};

#[derive(Debug, Args)]
pub struct TrainingArguments {
    #[command(flatten)]
    pub settings: Given,
    /// The folder for everything that the training leaves [default: runs/ and a new name]
    #[arg(long, short, value_name = "RUN")]
    pub output: Option<PathBuf>,
    /// Go on with the training in this folder
    #[arg(long, value_name = "RUN", conflicts_with = "output")]
    pub resume: Option<PathBuf>,
    /// Read settings from a file: TOML with the names of the long flags, underscores for dashes, or the
    /// config.json of a run; flags count more
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print all settings in the form of --config, and do nothing
    #[arg(long)]
    pub print_config: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub device: DeviceChoice,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Execution")]
    pub threads: Option<u16>,
    /// Of several processes: normalise each batch by the statistics of all of them, as one process would
    #[arg(long, help_heading = "Several processes")]
    pub sync_bn: bool,
    /// Of several processes: how long one waits for the others before it gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Several processes")]
    pub rank_timeout: u32,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

/// The same command, whose help says what each setting is without a flag.
pub(super) fn with_defaults(command: clap::Command, defaults: &Settings) -> clap::Command {
    let Value::Object(defaults) = json!(defaults) else {
        return command;
    };
    // A script may put its own flags before those of its user.
    command.args_override_self(true).mut_args(|argument| {
        let default = match defaults.get(argument.get_id().as_str()) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::String(_)) | None => return argument,
            Some(number) => number.to_string(),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.help(format!("{help} [default: {default}]"))
    })
}
