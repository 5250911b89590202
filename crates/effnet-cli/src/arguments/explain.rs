//! The flags of `effnet explain`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use effnet::{Config, Endpoint, ExplainMethod, ExplainOptions};

use super::numbers::count;
use super::{BatchSize, ClassesArguments, Format, InputArguments, ModelArguments, PreprocessingArguments};

#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    pub input: InputArguments,
    /// Class to explain: its name, ImageNet synset id or number [default: the most likely class]
    #[arg(long, value_name = "NAME|N", conflicts_with = "top_k")]
    pub class: Option<String>,
    /// Explain the N most likely classes, side by side
    #[arg(long, short = 'k', value_name = "N", default_value_t = 1, value_parser = count(1..=effnet::MOST_EXPLAINED_CLASSES))]
    pub top_k: usize,
    /// How to compute the maps; each map is scaled by its largest value
    #[arg(long, value_name = "METHOD", default_value = "cam")]
    pub method: MethodChoice,
    /// Layer whose activations make the map: head, stem, stage1 and so on (its last block) or the number of a block; with
    /// cam and layercam, layers before the head need gradients, and thus effnet-torch
    #[arg(long, value_name = "LAYER", default_value = "head")]
    pub layer: LayerChoice,
    /// Folder for the overlays, or a .png file if there is one image (- for standard output)
    #[arg(
        long,
        short,
        value_name = "DIR|FILE",
        default_value = "explained",
        help_heading = "Output"
    )]
    pub output: PathBuf,
    /// Also write the maps as computed, without scaling and enlarging, next to each overlay
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub raw: Option<RawFormat>,
    /// Format of the results on standard output [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
    /// Overwrite overlays that exist
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub classes: ClassesArguments,
    /// Class names: a text file with one name per line, or JSON [default: from the weights]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    #[command(flatten)]
    pub preprocessing: PreprocessingArguments,
    /// Threads for decoding and computing [default: one per core]
    #[arg(long, value_name = "N", value_parser = count(1..=1024), help_heading = "Execution")]
    pub threads: Option<usize>,
    /// Passes per batch of occlusion and scorecam; auto picks a fast size that fits in free memory
    #[arg(
        long,
        short,
        value_name = "N|auto",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub batch_size: BatchSize,
}

impl ExplainArguments {
    /// Returns the library's options, but for the batch size. Without a network, the last block of a stage is not known,
    /// only that it is before the head.
    ///
    /// # Errors
    /// If the network does not have the stage.
    pub fn options(&self, config: Option<&Config>) -> anyhow::Result<ExplainOptions> {
        let layer = match (self.layer, config) {
            (LayerChoice::Endpoint(layer), _) => layer,
            (LayerChoice::Stage(_), None) => Endpoint::Block(0),
            (LayerChoice::Stage(stage), Some(config)) => last_block(stage, config)?,
        };
        Ok(ExplainOptions::default()
            .with_method(self.method.method())
            .with_layer(layer))
    }
}

/// Returns the last block of a stage, counted from 1.
fn last_block(stage: usize, config: &Config) -> anyhow::Result<Endpoint> {
    let stages = config.stages();
    let count = stages.len();
    ensure!(
        (1..=count).contains(&stage),
        "--layer stage{stage}: no such stage; expected stage1 to stage{count}"
    );
    let blocks: usize = stages.iter().take(stage).map(|stage| stage.repeats).sum();
    Ok(Endpoint::Block(blocks.saturating_sub(1)))
}

/// The value of `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodChoice {
    /// Class activation map, equal to Grad-CAM at the final activation; one pass
    #[value(alias = "gradcam")]
    Cam,
    /// LayerCAM: the same without negative contributions; one pass
    Layercam,
    /// Drop in the logit when a square of the image is hidden; 145 passes
    Occlusion,
    /// Score-CAM: activations weighted by the logit of the image masked with each; one pass per channel
    Scorecam,
}

impl MethodChoice {
    /// Returns the library's method.
    pub fn method(self) -> ExplainMethod {
        match self {
            Self::Cam => ExplainMethod::Cam,
            Self::Layercam => ExplainMethod::LayerCam,
            Self::Occlusion => ExplainMethod::Occlusion,
            Self::Scorecam => ExplainMethod::ScoreCam,
        }
    }
}

/// The value of `--layer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerChoice {
    /// The stem, a block or the head.
    Endpoint(Endpoint),
    /// The last block of a stage, counted from 1.
    Stage(usize),
}

impl FromStr for LayerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let stage = text.strip_prefix("stage").and_then(number).map(Self::Stage);
        let block = || number(text).map(|index| Self::Endpoint(Endpoint::Block(index)));
        match text {
            "head" => Ok(Self::Endpoint(Endpoint::Head)),
            "stem" => Ok(Self::Endpoint(Endpoint::Stem)),
            _ => stage.or_else(block).ok_or_else(|| {
                "expected head, stem, stage1 and so on, or the number of a block, from 0".to_owned()
            }),
        }
    }
}

/// The value of `--raw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RawFormat {
    /// NumPy array [classes, rows, columns] of 32-bit floats
    Npy,
    /// JSON with the classes and the region of the image that the maps cover
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet::Variant;

    #[test]
    fn the_layer_of_a_stage_is_its_last_block() {
        for (variant, stage, block) in [
            (Variant::B0, 1, 0),
            (Variant::B0, 3, 4),
            (Variant::B0, 7, 15),
            (Variant::B7, 7, 54),
            (Variant::V2S, 6, 39),
        ] {
            let config = variant.config();
            assert_eq!(last_block(stage, &config).unwrap(), Endpoint::Block(block));
            assert!(block < config.blocks().len());
        }
        assert_eq!("stage3".parse(), Ok(LayerChoice::Stage(3)));
        assert!(last_block(0, &Variant::B0.config()).is_err());
    }
}
