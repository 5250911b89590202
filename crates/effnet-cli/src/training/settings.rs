//! Every training setting, defined once for flags, `--config` files, recipes and the run's config.json.
//!
//! If a setting were defined separately in each of these places, its names, ranges or defaults would sooner or later
//! differ. The macro `settings!` makes two structs from one list. [`PartialSettings`], in which any setting may be
//! missing, holds what a single source sets. [`Settings`] holds the resolved values that a run trains with and records.
//! To add a setting, add an entry to the list; runs by earlier versions get its default for `train`.
#![allow(missing_docs)] // the doc comments are the help of the flags

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use effnet::Task;
use effnet_data::DataOptions;
use serde::{Deserialize, Serialize};

use super::time_budget::TimeBudget;
use super::values::{
    Auto, CacheFeatures, ClassWeights, DecodeMode, FreezeName, HeadFreeze, InitName, LossName, OptimizerName,
    PositiveWeights, PrecisionName, ProfileName, Ranged, Recipe, ScheduleName, TaskName, number,
};
use crate::label_column::label_columns;

/// Defines each setting as `name: type = default of train, default of finetune, range;`, with its help in the doc
/// comment and its flag in `#[arg]`.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        #[arg($($arg:tt)*)]
        $name:ident: $type:ty = $train:expr, $finetune:expr $(, $range:expr)?;
    )+) => {
        /// The settings from one source: the command line, a file or a recipe.
        #[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct PartialSettings {$(
            $(#[doc = $doc])+
            #[arg($($arg)*)]
            $(#[arg(value_parser = number::<$type>($range))])?
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $name: Option<$type>,
        )+}

        /// The value of each setting.
        // The config.json of an earlier version has no values for settings that were added later.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default = "Settings::of_train")]
        pub struct Settings {$(
            $(#[doc = $doc])+
            pub $name: $type,
        )+}

        impl PartialSettings {
            /// The names of all settings, as spelled in files.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Returns these settings, with missing ones taken from `other`.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {$($name: self.$name.or(other.$name)),+}
            }

            /// Returns these settings, with missing ones taken from `defaults`.
            pub fn or_defaults(self, defaults: Settings) -> Settings {
                Settings {$($name: self.$name.unwrap_or(defaults.$name)),+}
            }
        }

        impl Settings {
            /// Returns the defaults of `effnet train`.
            pub fn of_train() -> Self {
                Self {$($name: $train),+}
            }

            /// Returns the defaults of `effnet finetune`.
            pub fn of_finetune() -> Self {
                Self {$($name: $finetune),+}
            }

            fn check_ranges(&self) -> anyhow::Result<()> {
                $($(
                    if let Some(expected) = self.$name.out_of(&$range) {
                        let flag = stringify!($name).replace('_', "-");
                        bail!("--{flag} {}: expected {expected}", self.$name);
                    }
                )?)+
                Ok(())
            }
        }
    };
}

/// The value of `--model` that leaves the choice to the weights.
pub const AUTO: &str = "auto";

settings! {
    /// Training images: a folder with one subfolder per class (or train/ and val/ containing such folders), a CSV or JSON
    /// Lines file with one path and label per line, or a tar or zip archive of such a folder
    #[arg(value_name = "DATA")]
    data: PathBuf = PathBuf::new(), PathBuf::new();
    /// What the network learns; auto = told from the labels: several labels for one image (`cat;dog`, several columns, or
    /// several ones in one-hot columns) are multilabel, numbers with fractions are regression
    #[arg(long, value_name = "TASK", help_heading = "Data")]
    task: TaskName = TaskName::Auto, TaskName::Auto;
    /// Columns of a table with the labels or the numbers, such as `dx` or `width,height`, where the table does not tell them
    /// or has more than are meant
    #[arg(long, value_name = "NAME,...", value_parser = NonEmptyStringValueParser::new(), help_heading = "Data")]
    label_column: String = String::new(), String::new();
    /// Fraction of each class to hold out for validation if there is no val/ (0 = none)
    #[arg(long, value_name = "F", help_heading = "Data")]
    val_split: f64 = 0.2, 0.2, 0.0..1.0;
    /// Validate with the images of this folder, table or archive, which has the classes of DATA, instead of holding out some
    /// of DATA
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    val: PathBuf = PathBuf::new(), PathBuf::new();
    /// Keep images with the same value in this column of a table together, for training or for validation, such as those
    /// of a patient
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    group_column: String = String::new(), String::new();
    /// Cross-validation: split the images into K folds and hold out one of them, --fold (0 = off)
    #[arg(long, value_name = "K", help_heading = "Data")]
    folds: u32 = 0, 0, 0..=1000;
    /// Fold to hold out, from 1 to --folds
    #[arg(long, value_name = "I", help_heading = "Data")]
    fold: u32 = 0, 0, 0..=1000;
    /// Seed of the split into training and validation images; auto = that of --seed
    #[arg(long, value_name = "N|auto", help_heading = "Data")]
    split_seed: Auto<u64> = Auto::Auto, Auto::Auto, 0..=i64::MAX as u64;
    /// Stop at the first unreadable image instead of skipping it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Data")]
    strict: bool = false, false;
    /// How much of each JPEG to decode for training
    #[arg(long, value_name = "HOW", help_heading = "Data")]
    decode: DecodeMode = DecodeMode::Exact, DecodeMode::Exact;
    /// Data-loading threads; auto = one per core
    #[arg(long, value_name = "N|auto", help_heading = "Data")]
    workers: Auto<u32> = Auto::Auto, Auto::Auto, 1..=1024;

    /// Network: b0, lite0, v2-s or another of `effnet models`, or an id such as b3.advprop; auto = that of the weights, or
    /// b0
    #[arg(long, short, value_name = "NAME|auto", help_heading = "Network")]
    model: String = AUTO.to_owned(), AUTO.to_owned();
    /// Initial weights: a file, an id from `effnet models`, `pretrained` (the model's published weights), or `none`
    /// (train from scratch)
    #[arg(long, short, value_name = "ID|FILE", help_heading = "Network")]
    weights: String = "none".to_owned(), "pretrained".to_owned();
    /// Initial weights when training from scratch, in the way of one of the implementations
    #[arg(long, value_name = "WHAT", help_heading = "Network")]
    init: InitName = InitName::Pytorch, InitName::Pytorch;
    /// Key of the network in a file that holds several, such as `state_dict_ema` or `state_dict.student`
    #[arg(long, value_name = "KEY", help_heading = "Network")]
    key: String = String::new(), String::new();
    /// Padding and batch-norm constants
    #[arg(long, value_name = "PROFILE", help_heading = "Network")]
    profile: ProfileName = ProfileName::Auto, ProfileName::Auto;
    /// Input height and width in pixels; auto = as the weights expect
    #[arg(long, value_name = "N|auto", help_heading = "Network")]
    image_size: Auto<u32> = Auto::Auto, Auto::Auto, 32..=2048;
    /// Crop ratio in validation: side of the centre crop as a fraction of the short side of the resized image
    /// (saved with the weights); auto = as the weights expect
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    crop_pct: Auto<f64> = Auto::Auto, Auto::Auto, 0.1..=1.0;
    /// Dropout rate before the classifier; auto = the model's
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    dropout: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..1.0;
    /// Drop-connect (stochastic depth) rate of the last block, lower in earlier blocks; auto = the model's
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    drop_connect: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..1.0;
    /// Batch-norm momentum: weight of a batch in the running statistics; auto = the model's, or higher for
    /// short training runs
    #[arg(long, value_name = "F|auto", help_heading = "Network")]
    bn_momentum: Auto<f64> = Auto::Auto, Auto::Auto, 0.0..=1.0;

    /// Preset to start from; prints the settings that it changes
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    recipe: Recipe = Recipe::None, Recipe::None;
    /// Number of epochs. With --resume, a larger number than before trains the run further; from there on, the learning rate
    /// is that of a schedule of so many epochs
    #[arg(long, short, value_name = "N", help_heading = "Training")]
    epochs: u32 = 100, 10, 1..=100_000;
    /// Train for as many epochs as fit into this time, such as 90s, 10m or 1h30m, by the pace of a few steps, in place of
    /// --epochs (none = off)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["epochs", "resume"], help_heading = "Training")]
    time: TimeBudget = TimeBudget(None), TimeBudget(None);
    /// Early stopping: stop after N epochs without improvement (0 = off). With --resume, a larger number than before, or 0,
    /// trains a run further that has stopped
    #[arg(long, value_name = "N", help_heading = "Training")]
    patience: u32 = 0, 5, 0..=100_000;
    /// Images per batch; auto picks a fast size that fits in memory
    #[arg(long, short, value_name = "N|auto", help_heading = "Training")]
    batch_size: Auto<u32> = Auto::Auto, Auto::Auto, 1..=65_536;
    /// Gradient accumulation: batches per optimizer step
    #[arg(long, value_name = "N", help_heading = "Training")]
    accumulate: u32 = 1, 1, 1..=4096;
    /// Layers to freeze
    #[arg(long, value_name = "WHAT", help_heading = "Training")]
    freeze: FreezeName = FreezeName::Nothing, FreezeName::Nothing;
    /// Initial epochs, included in --epochs, that train a new classifier; see --head-freeze
    #[arg(long, value_name = "N", help_heading = "Training")]
    head_epochs: u32 = 0, 1, 0..=100_000;
    /// Layers to freeze in the --head-epochs
    #[arg(long, value_name = "WHAT", help_heading = "Training")]
    head_freeze: HeadFreeze = HeadFreeze::Convolutions, HeadFreeze::Features;
    /// In epochs that freeze the features, show the same images each time, so that each is decoded and computed only once
    #[arg(long, value_name = "HOW", help_heading = "Training")]
    cache_features: CacheFeatures = CacheFeatures::None, CacheFeatures::None;
    /// Numeric precision
    #[arg(long, value_name = "PRECISION", help_heading = "Training")]
    precision: PrecisionName = PrecisionName::Auto, PrecisionName::Auto;
    /// Random seed
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: u64 = 0, 0, 0..=i64::MAX as u64;
    /// Steps between log records (0 = one record per epoch)
    #[arg(long, value_name = "N", help_heading = "Training")]
    log_steps: u32 = 10, 10, 0..=1_000_000;
    /// Steps between checkpoints (0 = one checkpoint per epoch)
    #[arg(long, value_name = "N", help_heading = "Training")]
    save_steps: u32 = 200, 200, 0..=1_000_000;
    /// Write report.html and mistakes.html at the end, which evaluates the best weights once more
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Training")]
    report: bool = true, true;

    /// Optimizer
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    optimizer: OptimizerName = OptimizerName::Adamw, OptimizerName::Adamw;
    /// Peak learning rate; auto = found by a short range test
    #[arg(long, value_name = "F|auto", help_heading = "Optimizer")]
    lr: Auto<f64> = Auto::Value(0.001), Auto::Value(0.002), 1e-12..1e3;
    /// Batch size that --lr is meant for: the learning rate scales linearly with the images per step (0 = no
    /// scaling)
    #[arg(long, value_name = "N", help_heading = "Optimizer")]
    lr_batch: u32 = 0, 0, 0..=1_000_000;
    /// Layer-wise learning-rate decay: learning rate of the first layer relative to the classifier's, geometric in
    /// between
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    stem_rate: f64 = 1.0, 0.1, 1e-9..=1.0;
    /// Learning rate while only the classifier is trained (--head-epochs, --freeze features), relative to --lr
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    head_rate: f64 = 1.0, 2.0, 1e-6..=1e6;
    /// Learning-rate schedule
    #[arg(long, value_name = "NAME", help_heading = "Optimizer")]
    schedule: ScheduleName = ScheduleName::OneCycle, ScheduleName::OneCycle;
    /// One-cycle schedule with adamw: lower AdamW's first beta from 0.95 to 0.85 while the learning rate rises, and raise it
    /// again while the rate falls, as PyTorch's OneCycleLR does; otherwise it stays at 0.9
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Optimizer")]
    cycle_momentum: bool = false, false;
    /// Linear warm-up, in epochs
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    warmup_epochs: f64 = 0.0, 0.0, 0.0..1e5;
    /// Learning rate at the start of the warm-up
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    warmup_lr: f64 = 0.0, 0.0, 0.0..1e3;
    /// Epochs between decays (staircase schedule)
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    decay_epochs: f64 = 2.4, 2.4, 1e-3..1e5;
    /// Learning-rate decay factor (staircase schedule)
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    decay_rate: f64 = 0.97, 0.97, 1e-6..=1.0;
    /// Weight decay of the convolutions and the classifier; none for batch norm and biases
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    weight_decay: f64 = 0.01, 0.01, 0.0..10.0;
    /// Momentum (sgd, rmsprop-tf)
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    momentum: f64 = 0.9, 0.9, 0.0..1.0;
    /// Gradient clipping: largest global norm of the gradients (0 = off)
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    clip: f64 = 0.0, 1.0, 0.0..1e9;
    /// Decay of the exponential moving average (EMA) of the weights, e.g. 0.999 (0 = off)
    #[arg(long, value_name = "F", help_heading = "Optimizer")]
    ema: f64 = 0.0, 0.0, 0.0..1.0;

    /// Smallest area of a random resized crop, as a fraction of the image
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    crop_scale: f64 = 0.08, 0.35, 0.01..=1.0;
    /// Probability of a horizontal flip
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    flip: f64 = 0.5, 0.5, 0.0..=1.0;
    /// Additional augmentation policy: none, imagenet (AutoAugment), randaugment, or a timm policy such as
    /// rand-m9-mstd0.5
    #[arg(long, value_name = "POLICY", help_heading = "Augmentation")]
    augment: String = "none".to_owned(), "none".to_owned();
    /// Colour jitter: strength for brightness, contrast and saturation (0 = off)
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    color_jitter: f64 = 0.0, 0.2, 0.0..=1.0;
    /// Probability of random erasing
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    erasing: f64 = 0.0, 0.0, 0.0..=1.0;
    /// Mixup alpha (0 = off)
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    mixup: f64 = 0.0, 0.0, 0.0..=10.0;
    /// CutMix alpha (0 = off)
    #[arg(long, value_name = "F", help_heading = "Augmentation")]
    cutmix: f64 = 0.0, 0.0, 0.0..=10.0;
    /// Loss; auto = cross-entropy, bce or mse, by the task
    #[arg(long, value_name = "LOSS", help_heading = "Loss")]
    loss: LossName = LossName::Auto, LossName::Auto;
    /// Weights of the labels that apply, in binary cross-entropy
    #[arg(long, value_name = "WHAT", help_heading = "Loss")]
    positive_weights: PositiveWeights = PositiveWeights::None, PositiveWeights::None;
    /// Label smoothing (classify): share of the target probability spread evenly over all classes
    #[arg(long, value_name = "F", help_heading = "Loss")]
    label_smoothing: f64 = 0.1, 0.1, 0.0..1.0;
    /// Class weights in the loss, to compensate for class imbalance
    #[arg(long, value_name = "WHAT", help_heading = "Loss")]
    class_weights: ClassWeights = ClassWeights::None, ClassWeights::None;

    /// Teacher for knowledge distillation: weights for the same classes (a file, an id, a run folder), a TorchScript
    /// file, or none. It sees the same images as the student, at the student's image size; a TorchScript teacher
    /// receives them normalised as for the student. TorchScript files can execute code: use only files that you trust.
    /// With --resume, use this flag to give the new path of a teacher that has moved
    #[arg(long, value_name = "ID|FILE|RUN", help_heading = "Distillation")]
    teacher: String = "none".to_owned(), "none".to_owned();
    /// Weight of the teacher in the loss; the labels get the rest
    #[arg(long, value_name = "F", help_heading = "Distillation")]
    distillation_alpha: f64 = 0.5, 0.5, 0.0..=1.0;
    /// Softmax temperature of teacher and student
    #[arg(long, value_name = "F", help_heading = "Distillation")]
    distillation_tau: f64 = 1.0, 1.0, 0.01..=100.0;
}

impl Settings {
    /// Returns the columns of labels or numbers; none if the table tells them.
    pub fn label_columns(&self) -> Vec<String> {
        label_columns(&self.label_column)
    }

    /// Returns how a run with these settings opens its images, for this task or for the one that their labels tell.
    pub fn data_options(&self, task: Option<Task>) -> DataOptions {
        DataOptions::default()
            .with_task(task)
            .with_label_columns(self.label_columns())
            .with_group_column(self.grouping().map(str::to_owned))
    }

    /// Returns the teacher for knowledge distillation, if there is one.
    pub fn teacher(&self) -> Option<&str> {
        Some(self.teacher.as_str()).filter(|teacher| *teacher != "none")
    }

    /// Checks that each number is in its range, and that settings do not contradict each other.
    ///
    /// # Errors
    /// If a setting is out of range or contradicts another. The error names the first such setting, and what was expected.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_ranges()?;
        self.check_held_out()?;
        self.check_cache()
    }

    /// Checks that the features of an image depend on that image alone, if they are cached.
    fn check_cache(&self) -> anyhow::Result<()> {
        let mixes = [("mixup", self.mixup), ("cutmix", self.cutmix)];
        if self.cache_features == CacheFeatures::None {
            return Ok(());
        }
        if let Some((flag, alpha)) = mixes.into_iter().find(|(_, alpha)| *alpha > 0.0) {
            bail!(
                "--{flag} {alpha}: expected 0 with --cache-features, because other images are mixed in each epoch"
            );
        }
        if self.teacher().is_some() {
            bail!(
                "--teacher: expected none with --cache-features, because a teacher sees every image in each epoch"
            );
        }
        Ok(())
    }

    /// Checks that the loss and its weights are for this task.
    ///
    /// # Errors
    /// If a setting is for another task. The error names it, and what to pass instead.
    pub fn check_task(&self, task: Task) -> anyhow::Result<()> {
        if let Some(other) = self.loss.task().filter(|other| *other != task) {
            bail!(
                "--loss: a loss for --task {other}, but the task is {task}; omit --loss, or pass --task {other}"
            );
        }
        let is_bce = self.loss.for_task(task) == LossName::Bce;
        if self.positive_weights == PositiveWeights::Auto && !is_bce {
            bail!("--positive-weights auto: expected --loss bce, which is for --task multilabel");
        }
        if self.class_weights != ClassWeights::None && task != Task::Classify {
            bail!(
                "--class-weights balanced: expected --task classify, found {task}; for multilabel, pass \
                 --positive-weights auto"
            );
        }
        if self.teacher().is_some() && task != Task::Classify {
            bail!("--teacher: expected --task classify, found {task}; omit --teacher");
        }
        Ok(())
    }

    /// Checks that the data is named, by a path that config.json can hold. `--print-config` does not need it.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_data(&self) -> anyhow::Result<()> {
        if self.data.as_os_str().is_empty() {
            bail!("no training images: expected DATA, a folder, a CSV file, or a tar or zip archive");
        }
        if self.data.to_str().is_none() {
            let shown = self.data.display();
            bail!("DATA {shown}: expected a UTF-8 path, because config.json cannot hold any other");
        }
        if self.val.to_str().is_none() {
            let shown = self.val.display();
            bail!("--val {shown}: expected a UTF-8 path, because config.json cannot hold any other");
        }
        Ok(())
    }
}
