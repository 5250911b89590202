//! The types of settings: numbers or `auto`, ranges, and named choices.
//!
//! Each type reads and writes the same text on the command line, in `--config` files and in the config.json of a run.
//! The names here are those that users see; effnet-torch converts them to the trainer's types.
#![allow(missing_docs)] // the doc comments are the help of the flags

use std::fmt::{Debug, Display, Formatter};
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

use clap::ValueEnum;
use effnet::Task;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number, or `auto` to let the program choose the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    Auto,
    Value(T),
}

impl<T: Copy> Auto<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T: FromStr> FromStr for Auto<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Value),
        }
    }
}

impl<T: Display> Display for Auto<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number or \"auto\"")]
        enum Text<T> {
            Value(T),
            Auto(Word),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            Auto,
        }
        Ok(match Text::deserialize(deserializer)? {
            Text::Value(value) => Self::Value(value),
            Text::Auto(Word::Auto) => Self::Auto,
        })
    }
}

/// A value that can be checked against a range.
pub trait Ranged {
    type Number: PartialOrd + Display;

    /// What messages call such a value.
    const NOUN: &str;
    /// What messages add if it may also be a word.
    const OR: &str = "";

    /// Returns the number to check, or `None` for `auto`.
    fn number(&self) -> Option<Self::Number>;

    /// Returns a description of the range if the number is outside it.
    fn out_of(&self, range: &impl RangeBounds<Self::Number>) -> Option<String> {
        let number = self.number()?;
        (!range.contains(&number)).then(|| describe(range))
    }
}

macro_rules! ranged {
    ($($number:ty: $noun:literal),+) => {$(
        impl Ranged for $number {
            type Number = $number;

            const NOUN: &str = $noun;

            fn number(&self) -> Option<$number> {
                Some(*self)
            }
        }
    )+};
}
ranged!(u32: "a whole number", u64: "a whole number", f64: "a number");

impl<T: Ranged> Ranged for Auto<T> {
    type Number = T::Number;

    const NOUN: &str = T::NOUN;
    const OR: &str = ", or auto";

    fn number(&self) -> Option<T::Number> {
        match self {
            Self::Auto => None,
            Self::Value(value) => value.number(),
        }
    }
}

/// Returns the parser of a setting's flag. What is not such a number at all, as `-1` is not a whole one, is told the
/// range; a number outside it is refused by [`Settings::check`](super::settings::Settings::check), as in a file.
pub(super) fn number<T: Ranged + FromStr>(
    range: impl RangeBounds<T::Number> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let expected = |_| format!("expected {}, {}{}", T::NOUN, describe(&range), T::OR);
        text.parse().map_err(expected)
    }
}

fn describe<T: Display>(range: &impl RangeBounds<T>) -> String {
    let low = match range.start_bound() {
        Bound::Included(low) => format!("at least {low}"),
        Bound::Excluded(low) => format!("more than {low}"),
        Bound::Unbounded => String::new(),
    };
    let high = match range.end_bound() {
        Bound::Included(high) => format!("at most {high}"),
        Bound::Excluded(high) => format!("less than {high}"),
        Bound::Unbounded => String::new(),
    };
    let parts = [low, high].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" and ")
}

/// Defines settings with named values, which are the same on the command line and in files.
macro_rules! names {
    ($($(#[doc = $doc:literal])+ $type:ident { $($(#[doc = $item:literal])+ $name:ident),+ $(,)? })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $type {
            $($(#[doc = $item])+ $name),+
        }
    )+};
}

names! {
    /// The optimizer.
    OptimizerName {
        /// SGD with momentum
        Sgd,
        /// AdamW with PyTorch's betas and epsilon
        Adamw,
        /// RMSProp as in TensorFlow and in the paper
        RmspropTf,
    }
    /// The learning-rate schedule after the warm-up.
    ScheduleName {
        /// Cosine up to the peak, then cosine down to near zero
        OneCycle,
        /// Cosine decay to zero
        Cosine,
        /// Step decay by --decay-rate every --decay-epochs
        Staircase,
        /// Constant learning rate
        Constant,
    }
    /// How the weights are drawn when training from scratch.
    InitName {
        /// As in the TensorFlow implementation, timm and torchvision: normal, by the fan-out
        Tensorflow,
        /// As PyTorch and efficientnet_pytorch do: uniform, by the fan-in
        Pytorch,
    }
    /// The layers to freeze.
    FreezeName {
        /// Train all layers
        Nothing,
        /// Freeze the convolutions below the classifier, train batch norm and the classifier
        Convolutions,
        /// Freeze everything below the classifier
        Features,
    }
    /// The layers that the first epochs freeze.
    HeadFreeze {
        /// Freeze the convolutions, train batch norm and the classifier
        Convolutions,
        /// Freeze everything below the classifier, which is several times as fast
        Features,
    }
    /// How much of a JPEG is decoded for training.
    DecodeMode {
        /// All of it
        Exact,
        /// The random crop, at a lower resolution if it is scaled down by 4 or more; faster for large photos
        Fast,
    }
    /// The images of epochs that train only the classifier.
    CacheFeatures {
        /// New augmentation in each epoch
        None,
        /// Augment as in the first epoch
        Repeat,
        /// Do not augment: resize and crop as in validation
        Plain,
    }
    /// The numeric precision of a training step.
    PrecisionName {
        /// The fastest that trains as well as fp32 on the device
        Auto,
        /// 32-bit floats
        Fp32,
        /// bfloat16 in convolutions and the classifier
        Bf16,
        /// 16-bit floats in convolutions and the classifier, with loss scaling; CUDA only
        Fp16,
    }
    /// Padding and batch-norm constants.
    ProfileName {
        /// Those of the weights, or tf when training from scratch
        Auto,
        /// TensorFlow: SAME padding, epsilon 1e-3
        Tf,
        /// timm: symmetric padding, epsilon 1e-5
        Timm,
        /// torchvision B5 to B7: symmetric padding, epsilon 1e-3
        Torchvision,
    }
    /// What the network learns.
    TaskName {
        /// As described above
        Auto,
        /// One class per image
        Classify,
        /// Any number of labels per image
        Multilabel,
        /// Numbers
        Regression,
    }
    /// The loss.
    LossName {
        /// cross-entropy, bce or mse, by the task
        Auto,
        /// Cross-entropy (classify)
        CrossEntropy,
        /// Binary cross-entropy (multilabel)
        Bce,
        /// Asymmetric loss, for rare labels (multilabel)
        Asymmetric,
        /// Focal loss, for rare labels (multilabel)
        Focal,
        /// Mean squared error (regression)
        Mse,
        /// Huber loss, for outliers (regression)
        Huber,
    }
    /// How binary cross-entropy accounts for rare labels.
    PositiveWeights {
        /// Every label counts the same
        None,
        /// Labels weigh as many times more as there are more images without them, up to 20 times
        Auto,
    }
    /// How the loss accounts for class imbalance.
    ClassWeights {
        /// Every image counts the same
        None,
        /// Every class counts the same: images of small classes weigh more
        Balanced,
    }
}

impl TaskName {
    /// Returns the task; `None` for `auto`.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Auto => None,
            Self::Classify => Some(Task::Classify),
            Self::Multilabel => Some(Task::MultiLabel),
            Self::Regression => Some(Task::Regression),
        }
    }
}

impl From<Task> for TaskName {
    fn from(task: Task) -> Self {
        match task {
            Task::Classify => Self::Classify,
            Task::MultiLabel => Self::Multilabel,
            Task::Regression => Self::Regression,
        }
    }
}

impl LossName {
    /// Returns the loss that `auto` means for a task; other losses are returned unchanged.
    #[must_use]
    pub fn for_task(self, task: Task) -> Self {
        match (self, task) {
            (Self::Auto, Task::Classify) => Self::CrossEntropy,
            (Self::Auto, Task::MultiLabel) => Self::Bce,
            (Self::Auto, Task::Regression) => Self::Mse,
            (named, _) => named,
        }
    }

    /// Returns the task that a loss is for; `None` for `auto`.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Auto => None,
            Self::CrossEntropy => Some(Task::Classify),
            Self::Bce | Self::Asymmetric | Self::Focal => Some(Task::MultiLabel),
            Self::Mse | Self::Huber => Some(Task::Regression),
        }
    }
}

/// The value of `--recipe`. The settings of each recipe are in the folder `recipes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// The defaults of the command
    None,
    /// The paper's, for ImageNet from scratch, as in the reference implementation
    Paper,
    /// timm's RandAugment recipe for its B0 and B2
    #[value(name = "timm-ra2")]
    #[serde(rename = "timm-ra2")]
    TimmRa2,
    /// Small data sets, and training on a CPU
    Small,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_values_are_written_as_they_are_read() {
        let both: [Auto<f64>; 2] = [Auto::Auto, Auto::Value(0.5)];
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"["auto",0.5]"#);
        assert_eq!(serde_json::from_str::<[Auto<f64>; 2]>(&text).unwrap(), both);
        assert_eq!("auto".parse(), Ok(both[0]));
        assert_eq!("0.5".parse(), Ok(both[1]));
        assert!("fast".parse::<Auto<f64>>().is_err());
        assert!(serde_json::from_str::<Auto<u32>>("-1").is_err());
    }

    #[test]
    fn what_is_no_number_is_told_what_is_expected() {
        let expected = |range: std::ops::RangeInclusive<u32>, text| number::<u32>(range)(text).unwrap_err();
        for text in ["-1", "1.5", "", "auto", "4294967296"] {
            let message = expected(1..=100, text);
            assert_eq!(
                message, "expected a whole number, at least 1 and at most 100",
                "{text}"
            );
        }
        assert_eq!(
            number::<Auto<f64>>(0.0..1.0)("fast").unwrap_err(),
            "expected a number, at least 0 and less than 1, or auto"
        );
        assert_eq!(number::<Auto<u32>>(1..=9)("auto"), Ok(Auto::Auto));
        assert_eq!(number::<Auto<u32>>(1..=9)("7"), Ok(Auto::Value(7)));
    }

    #[test]
    fn a_range_is_described_by_its_bounds() {
        assert_eq!(1.5f64.out_of(&(0.0..1.0)).unwrap(), "at least 0 and less than 1");
        assert_eq!(0u32.out_of(&(1..)).unwrap(), "at least 1");
        assert_eq!(f64::NAN.out_of(&(0.0..=1.0)).unwrap(), "at least 0 and at most 1");
        assert_eq!(Auto::<u32>::Auto.out_of(&(1..)), None);
        assert_eq!(0.5f64.out_of(&(0.0..1.0)), None);
    }
}
