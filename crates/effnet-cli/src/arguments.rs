//! The definition of the command line: every flag of every command, with its help.
//!
//! What these types document is what `--help` prints: a doc comment on a field is the help of its flag.
#![allow(missing_docs)]

mod evaluate;
mod execution;
mod features;
mod training;
mod zoo;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use effnet::{ModelName, PreprocessingOverrides, Profile, Scheme};
use effnet_architecture::Interpolation;

pub use evaluate::EvaluateArguments;
pub use execution::{DeviceChoice, EngineChoice, ExecutionArguments};
pub use features::{FeaturesArguments, FeaturesFormat};
pub use training::TrainingArguments;
pub use zoo::{CacheArguments, CacheCommand, DownloadArguments, ModelsArguments, ZooArguments};

use crate::ColorChoice;
use crate::training::settings::Settings;
use training::with_defaults;

/// EfficientNet: classify images, train networks, inspect and convert checkpoints.
#[derive(Debug, Parser)]
#[command(name = "effnet", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct GlobalArguments {
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print what is chosen and done
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is in images
    Classify(Box<ClassifyArguments>),
    /// Train a network for images of your own, from published weights (needs libtorch)
    Finetune(Box<TrainingArguments>),
    /// Train a network from scratch (needs libtorch)
    Train(Box<TrainingArguments>),
    /// Measure how well a network does on labelled images
    Evaluate(Box<EvaluateArguments>),
    /// Turn images into vectors: what the network knows of them before its classifier
    Features(Box<FeaturesArguments>),
    /// Describe a checkpoint: container, naming scheme, variant, tensors
    Inspect(InspectArguments),
    /// Rewrite a checkpoint in another naming scheme, container or precision
    Convert(ConvertArguments),
    /// List the published weights
    Models(ModelsArguments),
    /// Fetch published weights ahead of their use
    Download(DownloadArguments),
    /// Look after the weights that were fetched
    Cache(CacheArguments),
    /// Measure how fast a network runs on this machine
    Bench(Box<BenchArguments>),
    /// Print versions, processor features and devices, for a bug report
    Env(EnvArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Print the manual pages
    Man(ManArguments),
}

impl Arguments {
    /// The definition of the command line, with the defaults that clap does not know.
    pub fn definition() -> clap::Command {
        Self::command()
            .mut_subcommand("train", |command| with_defaults(command, &Settings::of_train()))
            .mut_subcommand("finetune", |command| {
                with_defaults(command, &Settings::of_finetune())
            })
    }
}

#[derive(Debug, Args)]
pub struct ClassifyArguments {
    /// Image files, folders (searched recursively), glob patterns, or `-` for a list of paths on
    /// standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub inference: InferenceArguments,
    /// How many classes to report for each image, 0 for all
    #[arg(long, short = 'k', value_name = "N", default_value_t = 5)]
    pub top_k: usize,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Write the results to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A network, what is done to images before it, and how it is run on them.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub preprocessing: PreprocessingArguments,
    #[command(flatten)]
    pub execution: ExecutionArguments,
    /// Images in a batch: a number, or auto for as many as are fast and fit into the free memory
    #[arg(
        long,
        short,
        value_name = "N|auto",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub batch_size: BatchSize,
}

/// A network that tells classes apart, and what they are called.
#[derive(Debug, Args)]
pub struct InferenceArguments {
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub classes: ClassesArguments,
    /// Class names of the network: a text file with one name a line, or JSON [default: those of the
    /// weights]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ModelArguments {
    /// The network, b0 to b8 or l2, or an id like b3.advprop [default: the one that the weights are
    /// for, or b0]
    #[arg(long, short, value_name = "NAME")]
    pub model: Option<ModelName>,
    /// The weights: a .pth, .pt or .safetensors file, the folder of a training run, or an id that
    /// `effnet models` lists [default: the published ones of the model]
    #[arg(long, short, value_name = "ID|FILE|RUN")]
    pub weights: Option<String>,
    /// The arithmetic that the weights were trained for: tf, timm or torchvision [default: told
    /// from the weights]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct ClassesArguments {
    /// Number of classes of the weights [default: as many as there are labels, or 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1 << 24))]
    pub num_classes: Option<i64>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Preprocessing")]
pub struct PreprocessingArguments {
    /// Height and width that images are brought to, in pixels [default: the network's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub image_size: Option<u32>,
    /// Fraction of the resized image that the centre crop keeps [default: that of the network]
    #[arg(long, value_name = "F", value_parser = fraction)]
    pub crop_pct: Option<f64>,
    /// Filter of the resize: bilinear or bicubic [default: bicubic]
    #[arg(long, value_name = "FILTER", value_parser = interpolation)]
    pub interpolation: Option<Interpolation>,
    /// Means to subtract, for values of 0 to 1 [default: ImageNet's 0.485,0.456,0.406]
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub mean: Option<Triple>,
    /// Standard deviations to divide by [default: ImageNet's 0.229,0.224,0.225]
    #[arg(long, value_name = "R,G,B", value_parser = positive_triple)]
    pub std: Option<Triple>,
}

/// `--batch-size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    Auto,
    Images(u32),
}

impl BatchSize {
    /// The number of images that was asked for.
    pub fn asked(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Images(images) => Some(images as usize),
        }
    }
}

impl std::str::FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(images @ 1..=4096)) => Ok(Self::Images(images)),
            _ => Err("expected auto or a number from 1 to 4096".to_owned()),
        }
    }
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub classes: ClassesArguments,
    #[command(flatten)]
    pub execution: ExecutionArguments,
    /// Images in a batch
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Height and width of the images, in pixels [default: the network's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub image_size: Option<u32>,
    /// Batches to measure [default: as many as take 5 seconds, at least 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub runs: Option<u32>,
    /// Tell the time of each layer (fused engine on a CPU)
    #[arg(long)]
    pub profile_layers: bool,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A .pth, .pt, .tar or .safetensors file, or an id that `effnet models` lists
    #[arg(value_name = "FILE|ID")]
    pub file: String,
    #[command(flatten)]
    pub zoo: ZooArguments,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}

#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// What to read: a .pth, .pt, .tar or .safetensors file, or an id that `effnet models` lists
    #[arg(value_name = "IN")]
    pub input: String,
    /// What to write: its extension, .pth, .pt or .safetensors, says the container
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Whose names the tensors get
    #[arg(long, value_name = "SCHEME", default_value = "lukemelas", value_parser = scheme)]
    pub to: Scheme,
    /// Type of the floating-point tensors [default: as they are]
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<FloatType>,
    /// Which of several sets of parameters to take, by its key in the file: `state_dict_ema`,
    /// `model` and so on [default: the first that is usual, averages before plain ones]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// The arithmetic to record in the file: tf, timm or torchvision [default: told from the input]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// Class names to record in the file (.safetensors only)
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloatType {
    F32,
    F16,
    Bf16,
}

#[derive(Debug, Args)]
pub struct EnvArguments {
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// Write one page per command into this folder, instead of effnet(1) to standard output
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Text,
    /// One JSON object a line
    Json,
    /// Comma-separated values with a header
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// A table for people
    Text,
    /// One JSON object
    Json,
}

/// Three numbers, one for each channel.
pub type Triple = [f32; 3];

fn scheme(text: &str) -> Result<Scheme, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}

fn interpolation(text: &str) -> Result<Interpolation, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}

impl PreprocessingArguments {
    /// What the library is told.
    pub fn overrides(&self) -> PreprocessingOverrides {
        PreprocessingOverrides::default()
            .with_image_size(self.image_size)
            .with_crop_pct(self.crop_pct)
            .with_interpolation(self.interpolation)
            .with_normalisation(self.mean, self.std)
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("expected a number above 0 and up to 1".to_owned()),
    }
}

fn triple(text: &str) -> Result<Triple, String> {
    let parsed: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse::<f32>()).collect();
    match parsed.as_deref() {
        Ok(&[r, g, b]) if [r, g, b].iter().all(|value| value.is_finite()) => Ok([r, g, b]),
        // One number stands for all three channels.
        Ok(&[value]) if value.is_finite() => Ok([value; 3]),
        _ => Err("expected three numbers like 0.5,0.5,0.5".to_owned()),
    }
}

fn positive_triple(text: &str) -> Result<Triple, String> {
    match triple(text)? {
        values if values.iter().all(|&value| value > 0.0) => Ok(values),
        _ => Err("expected numbers above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::definition().debug_assert();
    }
}
