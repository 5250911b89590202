//! `effnet average`.

use std::path::PathBuf;

use clap::Args;
use effnet::Profile;

use super::ZooArguments;

#[derive(Debug, Args)]
pub struct AverageArguments {
    /// Run folders, weight files or ids from `effnet models`: two or more, for the same classes and fine-tuned from the
    /// same weights
    #[arg(value_name = "RUN|FILE|ID", required = true, num_args = 2..)]
    pub inputs: Vec<String>,
    /// File to write (.safetensors). In a run folder, `evaluate` knows which images were held out
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Key of the network in files that hold several, such as `state_dict_ema`, `model` or `state_dict.student`
    /// [default: the first of the common keys, EMA weights first]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Padding and batch-norm epsilon the weights were trained with: tf, timm or torchvision [default: inferred
    /// from the weights]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// Overwrite the output if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub zoo: ZooArguments,
}
