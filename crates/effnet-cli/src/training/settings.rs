//! Every setting of a training: one definition for flags, files, recipes, and the folder of a run.
#![allow(missing_docs)] // what these types document is the help of their flags

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::values::{
    Auto, ClassWeights, FreezeName, OptimizerName, PrecisionName, ProfileName, Ranged, Recipe, ScheduleName,
};

/// Defines settings as `name: type = default of train, default of finetune, range`, with the
/// documentation that becomes the help.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        #[arg($($arg:tt)*)]
        $name:ident: $type:ty = $train:expr, $finetune:expr $(, $range:expr)?;
    )+) => {
        /// The settings that a source gives: the command line, a file or a recipe.
        #[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Given {$(
            $(#[doc = $doc])+
            #[arg($($arg)*)]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $name: Option<$type>,
        )+}

        /// The value of each setting.
        // The runs of earlier versions lack the settings that have come since.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default = "Settings::of_train")]
        pub struct Settings {$(
            $(#[doc = $doc])+
            pub $name: $type,
        )+}

        impl Given {
            /// The names in files.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// These settings, and those of `other` that are not among them.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {$($name: self.$name.or(other.$name)),+}
            }

            /// These settings, and `defaults` for the others.
            pub fn or_defaults(self, defaults: Settings) -> Settings {
                Settings {$($name: self.$name.unwrap_or(defaults.$name)),+}
            }
        }

        impl Settings {
            /// What `effnet train` does without flags.
            pub fn of_train() -> Self {
                Self {$($name: $train),+}
            }

            /// What `effnet finetune` does without flags.
            pub fn of_finetune() -> Self {
                Self {$($name: $finetune),+}
            }

            fn check_ranges(&self) -> anyhow::Result<()> {
                $($(
                    if let Some(expected) = self.$name.out_of(&$range) {
                        let found = serde_json::json!(self.$name);
                        bail!("`{}` is {found}, expected {expected}", stringify!($name));
                    }
                )?)+
                Ok(())
            }
        }
    };
}

settings! {
    /// A folder with a folder of images for each class (or train/ and val/ with such), a CSV file with
    /// a path and a label a line, or a tar archive of such a folder
    #[arg(value_name = "DATA")]
    data: PathBuf = PathBuf::new(), PathBuf::new();
    /// The part of each class that is kept for validation where there is no val/, 0 for none
    #[arg(long, value_name = "F", help_heading = "Data")]
    val_split: f64 = 0.2, 0.2, 0.0..1.0;
    /// Stop at the first image that cannot be read, rather than leave it out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Data")]
    strict: bool = false, false;
    /// Threads that decode and augment, auto for one a core
    #[arg(long, value_name = "N|auto", help_heading = "Data")]
    workers: Auto<u32> = Auto::Auto, Auto::Auto, 1..=1024;

    /// The network, b0 to b8 or l2, or an id like b3.advprop
    #[arg(long, short, value_name = "NAME", help_heading = "Network")]
    model: String = "b0".to_owned(), "b0".to_owned();
    /// The weights to begin with: a file, an id that `effnet models` lists, pretrained for the published
    /// ones of the model, or none
    #[arg(long, short, value_name = "ID|FILE", help_heading = "Network")]
    weights: String = "none".to_owned(), "pretrained".to_owned();
    /// The arithmetic of the network
    #[arg(long, value_name = "PROFILE", help_heading = "Network")]
    profile: ProfileName = ProfileName::Auto, ProfileName::Auto;
    /// Height and width of the network's input in pixels, auto for the one that the weights expect
    #[arg(long, value_name = "N|auto", help_heading = "Network")]
    image_size: Auto<u32> = Auto::Auto, Auto::Auto, 32..=2048;
    /// The part of the height and width of a validation image that its centre crop keeps, recorded in the
    /// weights, auto for the one that the weights expect
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    crop_pct: Auto<f64> = Auto::Auto, Auto::Auto, 0.1..=1.0;
    /// Probability of dropping a feature before the classifier, auto for the model's
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    dropout: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..1.0;
    /// Probability of dropping the branch of the last block, less in blocks before it, auto for the
    /// model's
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    drop_connect: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..1.0;
    /// Weight of a batch in the statistics of batch normalisation, auto for the model's, or more where
    /// there are too few steps for that
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    bn_momentum: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..=1.0;

    /// A preset to begin with; what it sets is printed
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    recipe: Recipe = Recipe::None, Recipe::None;
    /// Passes over the training images
    #[arg(long, short, value_name = "N", help_heading = "Training")]
    epochs: u32 = 100, 10, 1..=100_000;
    /// Stop when validation has not become better for so many epochs, 0 for never
    #[arg(long, value_name = "N", help_heading = "Training")]
    patience: u32 = 0, 5, 0..=100_000;
    /// Images in a batch, auto for as many as are fast and fit into memory
    #[arg(long, short, value_name = "N|auto", help_heading = "Training")]
    batch_size: Auto<u32> = Auto::Auto, Auto::Auto, 1..=65_536;
    /// Batches that make one step together
    #[arg(long, value_name = "N", help_heading = "Training")]
    accumulate: u32 = 1, 1, 1..=4096;
    /// What is not trained
    #[arg(long, value_name = "WHAT", help_heading = "Training")]
    freeze: FreezeName = FreezeName::Nothing, FreezeName::Nothing;
    /// Epochs, of all, that train the classifier and batch normalisation alone before everything is
    /// trained
    #[arg(long, value_name = "N", help_heading = "Training")]
    head_epochs: u32 = 0, 1, 0..=100_000;
    /// Numbers to compute with
    #[arg(long, value_name = "PRECISION", help_heading = "Training")]
    precision: PrecisionName = PrecisionName::Auto, PrecisionName::Auto;
    /// Decides everything that is random
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: u64 = 0, 0, 0..=i64::MAX as u64;
    /// Steps between two records in the log, 0 for a record an epoch
    #[arg(long, value_name = "N", help_heading = "Training")]
    log_steps: u32 = 10, 10, 0..=1_000_000;
    /// Steps between two checkpoints, 0 for a checkpoint an epoch
    #[arg(long, value_name = "N", help_heading = "Training")]
    save_steps: u32 = 200, 200, 0..=1_000_000;

    /// The rule that moves the parameters
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    optimizer: OptimizerName = OptimizerName::Adamw, OptimizerName::Adamw;
    /// The highest learning rate, auto for one that a short test finds
    #[arg(long, value_name = "F|auto", help_heading = "Optimizer")]
    lr: Auto<f64> = Auto::Value(0.001), Auto::Value(0.002), 1e-12..1e3;
    /// The batch that the learning rate is meant for: for others, it is scaled in proportion; 0 takes it
    /// as it is
    #[arg(long, value_name = "N", help_heading = "Optimizer")]
    lr_batch: u32 = 0, 0, 0..=1_000_000;
    /// Learning rate of the stem over that of the classifier; layers between them follow by equal ratios
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    stem_rate: f64 = 1.0, 0.01, 1e-9..=1.0;
    /// The course of the learning rate
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    schedule: ScheduleName = ScheduleName::OneCycle, ScheduleName::OneCycle;
    /// Epochs in which the learning rate rises in a straight line
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    warmup_epochs: f64 = 0.0, 0.0, 0.0..1e5;
    /// The learning rate that this line begins with
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    warmup_lr: f64 = 0.0, 0.0, 0.0..1e3;
    /// Epochs on one stair of the staircase
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    decay_epochs: f64 = 2.4, 2.4, 1e-3..1e5;
    /// The learning rate of a stair over that of the one before
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    decay_rate: f64 = 0.97, 0.97, 1e-6..=1.0;
    /// Weight decay of convolutions and the classifier; batch normalisation and biases have none
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    weight_decay: f64 = 0.01, 0.01, 0.0..10.0;
    /// Weight of the past steps in sgd and rmsprop-tf
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    momentum: f64 = 0.9, 0.9, 0.0..1.0;
    /// The largest norm of the gradients, larger ones are scaled down; 0 for any
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    clip: f64 = 0.0, 1.0, 0.0..1e9;
    /// What remains of the average of the weights at a step, 0 for no average
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    ema: f64 = 0.0, 0.0, 0.0..1.0;

    /// The least part of an image's area that a random crop keeps
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    crop_scale: f64 = 0.08, 0.35, 0.01..=1.0;
    /// The part of the images that is mirrored
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    flip: f64 = 0.5, 0.5, 0.0..=1.0;
    /// What is done to images beside: none, imagenet (AutoAugment), randaugment, or timm's
    /// rand-m9-mstd0.5 and the like
    #[arg(long, value_name = "POLICY", help_heading = "Regularisation")]
    augment: String = "none".to_owned(), "none".to_owned();
    /// How far brightness, contrast and saturation are changed
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    color_jitter: f64 = 0.0, 0.2, 0.0..=1.0;
    /// The part of the images that a rectangle is erased of
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    erasing: f64 = 0.0, 0.0, 0.0..=1.0;
    /// How much two images are mixed: alpha of mixup, 0 for none
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    mixup: f64 = 0.0, 0.0, 0.0..=10.0;
    /// How much of an image is replaced by another: alpha of cutmix, 0 for none
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    cutmix: f64 = 0.0, 0.0, 0.0..=10.0;
    /// The probability that is taken from the right class and spread over all
    #[arg(long, value_name = "F", help_heading = "Regularisation")]
    label_smoothing: f64 = 0.1, 0.1, 0.0..1.0;
    /// How classes of different sizes count
    #[arg(long, value_name = "WHAT", help_heading = "Regularisation")]
    class_weights: ClassWeights = ClassWeights::None, ClassWeights::None;

    /// A trained network to learn from, beside the labels: weights for the same classes (a file, an id, a run),
    /// a TorchScript file, or none. It is given the images of each step, at their size; TorchScript gets them
    /// normalised as the weights in training are. TorchScript is a program: use none that you do not trust. May
    /// be given again with --resume, for a file that has moved
    #[arg(long, value_name = "ID|FILE|RUN", help_heading = "Distillation")]
    teacher: String = "none".to_owned(), "none".to_owned();
    /// The weight of the teacher's answers in the loss; the labels have the rest
    #[arg(long, value_name = "F", help_heading = "Distillation")]
    distillation_alpha: f64 = 0.5, 0.5, 0.0..=1.0;
    /// The temperature that softens the answers of both
    #[arg(long, value_name = "F", help_heading = "Distillation")]
    distillation_tau: f64 = 1.0, 1.0, 0.01..=100.0;
}

impl Settings {
    /// The network to learn from, if there is one.
    pub fn teacher(&self) -> Option<&str> {
        Some(self.teacher.as_str()).filter(|teacher| *teacher != "none")
    }

    /// Finds numbers out of their ranges, and settings that contradict each other.
    ///
    /// # Errors
    /// The first setting that is out of its range, with what was expected.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_ranges()?;
        if self.data.as_os_str().is_empty() {
            bail!("no training images: name a folder, a CSV file or a tar archive");
        }
        if self.data.to_str().is_none() {
            let shown = self.data.display();
            bail!("`data` is {shown}, expected a path in UTF-8, which the settings of a run can keep");
        }
        Ok(())
    }
}
