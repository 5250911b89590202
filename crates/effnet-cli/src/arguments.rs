//! The command line: every flag of every command, with its help.
//!
//! Both programs parse their arguments into these types, and shell completions are generated from them. The doc comment
//! on a field is the help text of its flag, so it is written for users. Keep it to one paragraph; otherwise `--help`
//! and `-h` print different texts. Each flag outside "Options" names its `help_heading` itself: clap's
//! `next_help_heading` would also apply to the flags of any struct flattened after it.
#![allow(missing_docs)]

mod average;
mod check;
mod evaluate;
mod examples;
mod execution;
mod explain;
mod export;
mod features;
mod images;
mod numbers;
mod report;
mod runs;
mod serve;
mod short_help;
mod similar;
mod training;
mod zoo;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use effnet::{ModelName, PreprocessingOverrides, Profile, Scheme};
use effnet_architecture::Interpolation;

pub use average::AverageArguments;
pub use check::CheckArguments;
pub use evaluate::{EvaluateArguments, TableFormat, TestTimeAugmentation};
pub use execution::{DeviceChoice, EngineChoice, ExecutionArguments};
pub use explain::{ExplainArguments, LayerChoice, MethodChoice, RawFormat};
pub use export::{ExportArguments, ExportType};
pub use features::{FeaturesArguments, FeaturesFormat};
pub use images::{ClassifyArguments, Format, InputArguments, SortingArguments};
pub use numbers::Triple;
pub use report::ReportArguments;
pub use runs::RunsArguments;
pub use serve::ServeArguments;
pub use similar::{SimilarArguments, SimilarFormat};
pub use training::TrainingArguments;
pub use zoo::{CacheArguments, CacheCommand, DownloadArguments, ModelsArguments, ZooArguments};

use crate::ColorChoice;
use crate::training::settings::Settings;
use numbers::{count, fraction, positive_triple, triple};
use short_help::common_flags_only;
use training::with_defaults;

/// EfficientNet: classify images, fine-tune on your own data, convert checkpoints.
#[derive(Debug, Parser)]
#[command(
    name = "effnet",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = examples::EFFNET
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct GlobalArguments {
    /// Print only results and errors
    #[arg(
        long,
        short,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global"
    )]
    pub quiet: bool,
    /// Print details: weights, engine, precision, batch size
    #[arg(long, short, global = true, help_heading = "Global")]
    pub verbose: bool,
    /// When to use colours: auto, always or never
    // Listing the help of each value would make `effnet --help` twice as long.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Global"
    )]
    pub color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Classify images
    #[command(visible_alias = "predict", alias = "infer", after_help = examples::CLASSIFY)]
    Classify(Box<ClassifyArguments>),
    /// Fine-tune published weights on your own images (needs libtorch)
    #[command(after_help = examples::FINETUNE)]
    Finetune(Box<TrainingArguments>),
    /// Train a network from scratch (needs libtorch)
    #[command(after_help = examples::TRAIN)]
    Train(Box<TrainingArguments>),
    /// Measure accuracy, loss and calibration on labelled images
    #[command(after_help = examples::EVALUATE)]
    Evaluate(Box<EvaluateArguments>),
    /// Write web pages that explain a training run
    #[command(after_help = examples::REPORT)]
    Report(Box<ReportArguments>),
    /// Compare training runs
    #[command(after_help = examples::RUNS)]
    Runs(RunsArguments),
    /// Find wrong labels, duplicates and damaged files in a data set
    #[command(after_help = examples::CHECK)]
    Check(Box<CheckArguments>),
    /// Extract feature vectors (embeddings) from images
    #[command(after_help = examples::FEATURES)]
    Features(Box<FeaturesArguments>),
    /// Show which parts of an image support a class (Grad-CAM)
    #[command(after_help = examples::EXPLAIN)]
    Explain(Box<ExplainArguments>),
    /// Find the images that are most similar to an image
    #[command(after_help = examples::SIMILAR)]
    Similar(Box<SimilarArguments>),
    /// Describe a checkpoint: container, scheme, variant, tensors
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArguments),
    /// Convert a checkpoint: parameter names, container, data type
    #[command(after_help = examples::CONVERT)]
    Convert(ConvertArguments),
    /// Average the weights of several runs
    #[command(after_help = examples::AVERAGE)]
    Average(AverageArguments),
    /// Export a network as an ONNX file
    #[command(after_help = examples::EXPORT)]
    Export(Box<ExportArguments>),
    /// Serve networks over HTTP, with a page to drop an image on
    #[command(after_help = examples::SERVE)]
    Serve(Box<ServeArguments>),
    /// List the published weights
    #[command(after_help = examples::MODELS)]
    Models(ModelsArguments),
    /// Download published weights in advance
    #[command(after_help = examples::DOWNLOAD)]
    Download(DownloadArguments),
    /// Manage the cache of downloaded weights
    #[command(after_help = examples::CACHE)]
    Cache(CacheArguments),
    /// Benchmark a network on this machine
    #[command(after_help = examples::BENCH)]
    Bench(Box<BenchArguments>),
    /// Print versions, processor features and devices, for bug reports
    #[command(after_help = examples::ENV)]
    Env(EnvArguments),
    /// Generate a shell completion script
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArguments),
    /// Print the manual pages
    #[command(after_help = examples::MAN)]
    Man(ManArguments),
}

impl Arguments {
    /// Returns the definition of the command line. The help of each training setting shows its default, which clap
    /// itself does not know.
    pub fn definition() -> clap::Command {
        Self::command()
            .mut_subcommand("train", |command| with_defaults(command, &Settings::of_train()))
            .mut_subcommand("finetune", |command| {
                with_defaults(command, &Settings::of_finetune())
            })
            .mut_subcommands(common_flags_only)
            .mut_subcommands(numbers::may_be_negative)
    }
}

/// A network, the preprocessing of its images, and how to run it.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub preprocessing: PreprocessingArguments,
    #[command(flatten)]
    pub execution: ExecutionArguments,
    /// Images per batch; auto picks a fast size that fits in free memory
    #[arg(
        long,
        short,
        value_name = "N|auto",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub batch_size: BatchSize,
}

/// A network with a classifier, and the names of its classes.
#[derive(Debug, Args)]
pub struct InferenceArguments {
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub classes: ClassesArguments,
    /// Class names: a text file with one name per line, or JSON [default: from the weights]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Test-time augmentation: average the outputs for each image and its mirror image (flip), in twice the time
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "none",
        help_heading = "Preprocessing"
    )]
    pub tta: TestTimeAugmentation,
}

#[derive(Debug, Args)]
pub struct ModelArguments {
    /// Network: b0, lite0, v2-s or another of `effnet models`, or an id such as b3.advprop [default: the network in the
    /// weights file, or b0]
    #[arg(long, short, value_name = "NAME")]
    pub model: Option<ModelName>,
    /// Weights: a .pth, .pt, .safetensors, .h5 or .keras file, a run or hub folder, `hf-hub:OWNER/NAME[@REVISION]`,
    /// or an id from `effnet models` [default: the published weights of the model]
    #[arg(long, short, value_name = "ID|FILE|RUN")]
    pub weights: Option<String>,
    /// Key of the network in a file that holds several, such as `state_dict_ema`, `model` or `state_dict.student`
    /// [default: the first of the common keys, EMA weights first]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Padding and batch-norm epsilon the weights were trained with: tf, timm or torchvision [default: inferred
    /// from the weights]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct ClassesArguments {
    /// Expected number of classes of the weights [default: any]
    #[arg(long, value_name = "N", value_parser = count(1..=1 << 24))]
    pub num_classes: Option<usize>,
}

#[derive(Debug, Default, Args)]
pub struct PreprocessingArguments {
    /// Input height and width in pixels [default: from the weights]
    #[arg(long, value_name = "N", value_parser = count(1..=8192), help_heading = "Preprocessing")]
    pub image_size: Option<usize>,
    /// Crop ratio: side of the centre crop as a fraction of the short side of the resized image [default:
    /// from the weights]
    #[arg(long, value_name = "F", value_parser = fraction, help_heading = "Preprocessing")]
    pub crop_pct: Option<f64>,
    /// Resize filter: bilinear, bicubic or nearest [default: from the weights]
    #[arg(long, value_name = "FILTER", value_parser = interpolation, help_heading = "Preprocessing")]
    pub interpolation: Option<Interpolation>,
    /// Mean of each channel, for pixel values from 0 to 1; ImageNet's is 0.485,0.456,0.406 [default: from the
    /// weights]
    #[arg(long, value_name = "R,G,B", value_parser = triple, help_heading = "Preprocessing")]
    pub mean: Option<Triple>,
    /// Standard deviation of each channel; ImageNet's is 0.229,0.224,0.225 [default: from the weights]
    #[arg(long, value_name = "R,G,B", value_parser = positive_triple, help_heading = "Preprocessing")]
    pub std: Option<Triple>,
}

/// The value of `--batch-size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    Auto,
    Images(usize),
}

impl BatchSize {
    /// Returns the number of images, or `None` if it is chosen automatically.
    pub fn images(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Images(images) => Some(images),
        }
    }
}

impl std::str::FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(images @ 1..=4096)) => Ok(Self::Images(images)),
            _ => Err("expected auto or a whole number from 1 to 4096".to_owned()),
        }
    }
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub classes: ClassesArguments,
    /// Images per batch
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = count(1..=4096))]
    pub batch_size: usize,
    /// Input height and width in pixels [default: the network's own]
    #[arg(long, value_name = "N", value_parser = count(1..=8192))]
    pub image_size: Option<usize>,
    /// Number of batches to time [default: 5 seconds' worth, at least 10]
    #[arg(long, value_name = "N", value_parser = count(1..=1_000_000))]
    pub runs: Option<usize>,
    /// Report the time of each layer (fused engine on a CPU)
    #[arg(long)]
    pub profile_layers: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
    #[command(flatten)]
    pub execution: ExecutionArguments,
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// Checkpoint: a .pth, .pt, .tar, .safetensors, .h5 or .keras file, a run or hub folder,
    /// `hf-hub:OWNER/NAME[@REVISION]`, or an id from `effnet models`
    #[arg(value_name = "FILE|ID")]
    pub file: String,
    /// Key of the network in a file that holds several, such as `state_dict_ema`, `model` or `state_dict.student`
    /// [default: the first of the common keys, EMA weights first]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// List every tensor with its type and shape (JSON always does)
    #[arg(long)]
    pub tensors: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// Checkpoint to read: a .pth, .pt, .tar, .safetensors, .h5 or .keras file, a run or hub folder,
    /// `hf-hub:OWNER/NAME[@REVISION]`, or an id from `effnet models`
    #[arg(value_name = "IN")]
    pub input: String,
    /// File to write; its extension (.pth, .pt, .safetensors, or .weights.h5 for Keras) selects the container. With
    /// --to timm or transformers, a name without an extension is a hub folder to write
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Naming scheme of the tensors: lukemelas, torchvision, timm, transformers or keras
    #[arg(long, value_name = "SCHEME", default_value = "lukemelas", value_parser = scheme)]
    pub to: Scheme,
    /// Data type of the floating-point tensors [default: unchanged]
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<FloatType>,
    /// Key of the network in a file that holds several, such as `state_dict_ema`, `model` or `state_dict.student`
    /// [default: the first of the common keys, EMA weights first]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Profile (padding and batch-norm epsilon) to record in the file: tf, timm or torchvision [default: inferred
    /// from the input]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// Class names to record in the file or folder (not in .pth)
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Overwrite OUT if it exists
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
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Shell to generate the script for
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// Write one page per command into this folder instead of printing effnet(1)
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// Human-readable text
    Text,
    /// JSON
    Json,
}

fn scheme(text: &str) -> Result<Scheme, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}

fn interpolation(text: &str) -> Result<Interpolation, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}

impl PreprocessingArguments {
    /// Converts the flags to the library's type for overrides.
    pub fn overrides(&self) -> PreprocessingOverrides {
        PreprocessingOverrides::default()
            .with_image_size(self.image_size)
            .with_crop_pct(self.crop_pct)
            .with_interpolation(self.interpolation)
            .with_mean(self.mean)
            .with_std(self.std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::definition().debug_assert();
    }

    #[test]
    fn the_help_of_the_program_fits_40_lines_of_80_columns() {
        let call = Arguments::definition()
            .term_width(80)
            .try_get_matches_from(["effnet", "--help"]);
        let help = call.unwrap_err().to_string();
        assert!(help.lines().count() <= 40, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }

    #[test]
    fn every_command_has_examples_and_they_parse() {
        let definition = Arguments::definition();
        for command in definition.get_subcommands() {
            let examples = command.get_after_long_help().or(command.get_after_help());
            let examples = examples.unwrap().to_string();
            let call = |line: &str| {
                let (_, call) = line.rsplit_once("effnet ")?;
                Some(call.split(" > ").next().unwrap_or(call).to_owned())
            };
            let calls: Vec<String> = examples.lines().filter_map(call).collect();
            assert!(calls.len() >= 2, "{examples}");
            for call in calls {
                let words = std::iter::once("effnet").chain(call.split_whitespace());
                let parsed = definition.clone().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{call}: {parsed:?}");
            }
        }
    }

    #[test]
    fn flags_stand_under_the_heading_of_their_group() {
        let definition = Arguments::definition();
        let heading = |command: &str, flag: &str| {
            let command = definition.find_subcommand(command).unwrap();
            let mut arguments = command.get_arguments();
            let argument = arguments
                .find(|argument| argument.get_long() == Some(flag))
                .unwrap();
            argument.get_help_heading().map(str::to_owned)
        };
        for (command, flag, expected) in [
            ("classify", "model", None),
            ("classify", "num-classes", None),
            ("classify", "labels", None),
            ("classify", "top-k", Some("Output")),
            ("classify", "image-size", Some("Preprocessing")),
            ("classify", "batch-size", Some("Execution")),
            ("classify", "offline", Some("Published weights")),
            ("features", "format", Some("Output")),
            ("evaluate", "confusion-png", Some("Output")),
            ("inspect", "format", None),
            ("bench", "num-classes", None),
            ("train", "seed", Some("Training")),
            ("train", "resume", None),
        ] {
            assert_eq!(heading(command, flag).as_deref(), expected, "{command} --{flag}");
        }
    }
}
