//! Metadata in weight files: variant, profile, class names and preprocessing.
//!
//! Tensors alone do not say how to preprocess images, how to pad, or what the classes are called. `effnet
//! train` and `effnet convert` store this in the file, so that the file alone is enough for `effnet
//! classify`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use effnet_architecture::{CropMode, Interpolation, Preprocessing, Profile, Task, Variant};
use effnet_image::{EvalTransform, ResizeMode};

/// Metadata entries that this project reads and writes in safetensors files. All are optional.
///
/// ```
/// use effnet::{ModelMetadata, Profile, Variant};
///
/// let labels = ["cat", "dog"].map(str::to_owned).to_vec();
/// let metadata = ModelMetadata::default()
///     .with_variant(Variant::B0)
///     .with_profile(Profile::Tf)
///     .with_labels(labels);
/// let entries = metadata.to_entries(); // for `write_safetensors` of effnet-checkpoint
/// assert_eq!(entries["variant"], "b0");
/// assert_eq!(ModelMetadata::from_entries(&entries)?, metadata);
/// # Ok::<(), effnet::MetadataError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelMetadata {
    /// Name of the variant, as [`Variant::name`] returns it. A file may have the name of one that this version does not
    /// know.
    pub variant: Option<String>,
    /// Padding and batch-norm constants that the weights were trained with: `tf`, `timm`, `torchvision`.
    pub profile: Option<Profile>,
    /// What the network was trained for; `None` for classification.
    pub task: Option<Task>,
    /// The probability from which each label applies, for several labels per image.
    pub thresholds: Option<Vec<f64>>,
    /// The mean and the standard deviation of each value of regression: the outputs of the network are the values
    /// minus the mean, divided by the standard deviation.
    pub targets: Option<[Vec<f64>; 2]>,
    /// Class names by index.
    pub labels: Option<Vec<String>>,
    /// Side of the square input in pixels.
    pub image_size: Option<usize>,
    /// Crop ratio: side of the centre crop as a fraction of the short side of the resized image, in `(0, 1]`.
    pub crop_pct: Option<f64>,
    /// Size in pixels that the short side is resized to; overrides `crop_pct`.
    pub resize_size: Option<usize>,
    /// `center` or `squash`.
    pub crop_mode: Option<CropMode>,
    /// `bilinear`, `bicubic` or `nearest`.
    pub interpolation: Option<Interpolation>,
    /// Mean per channel, for values in `[0, 1]`.
    pub mean: Option<[f64; 3]>,
    /// Standard deviation per channel, for values in `[0, 1]`.
    pub std: Option<[f64; 3]>,
}

/// An invalid metadata entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata entry `{key}`: expected {expected}, found `{found}`")]
#[non_exhaustive]
pub struct MetadataError {
    /// Key of the entry.
    pub key: &'static str,
    /// Description of the expected value.
    pub expected: &'static str,
    /// The value found, truncated to 40 characters.
    pub found: String,
}

impl ModelMetadata {
    /// Parses the entries of [`Checkpoint::metadata`](effnet_checkpoint::Checkpoint::metadata), ignoring
    /// unknown ones.
    ///
    /// # Errors
    /// [`MetadataError`] for an entry with an invalid value.
    pub fn from_entries(entries: &BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let text = |key| entries.get(key).cloned();
        Ok(Self {
            variant: text("variant"),
            profile: named(entries, "profile", "tf, timm or torchvision")?,
            task: named(entries, "task", "classify, multilabel or regression")?,
            thresholds: json(entries, "thresholds", "a JSON list of probabilities")?,
            targets: match (
                json(entries, "target_mean", "a JSON list of numbers")?,
                json(entries, "target_std", "a JSON list of numbers")?,
            ) {
                (Some(mean), Some(std)) => Some([mean, std]),
                _ => None,
            },
            labels: json(entries, "labels", "a JSON list of strings")?,
            image_size: number(entries, "image_size", "a number of pixels", |&size| size > 0)?,
            crop_pct: number(entries, "crop_pct", "a number above 0 and up to 1", |&part| {
                part > 0.0 && part <= 1.0
            })?,
            resize_size: number(entries, "resize_size", "a number of pixels", |&size| size > 0)?,
            crop_mode: named(entries, "crop_mode", "center or squash")?,
            interpolation: named(entries, "interpolation", "bilinear, bicubic or nearest")?,
            mean: json(entries, "mean", "a JSON list of three numbers")?,
            std: json(entries, "std", "a JSON list of three numbers")?,
        })
    }

    /// Returns the entries to write to a file.
    pub fn to_entries(&self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                entries.insert(key.to_owned(), value);
            }
        };
        let list = |values: [f64; 3]| serde_json::json!(values).to_string();
        put("variant", self.variant.clone());
        put("profile", self.profile.map(|profile| profile.to_string()));
        put("task", self.task.map(|task| task.to_string()));
        let numbers = |values: &Vec<f64>| serde_json::json!(values).to_string();
        put("thresholds", self.thresholds.as_ref().map(numbers));
        put(
            "target_mean",
            self.targets.as_ref().map(|[mean, _]| numbers(mean)),
        );
        put("target_std", self.targets.as_ref().map(|[_, std]| numbers(std)));
        put(
            "num_classes",
            self.labels.as_ref().map(|labels| labels.len().to_string()),
        );
        put(
            "labels",
            self.labels
                .as_ref()
                .map(|labels| serde_json::json!(labels).to_string()),
        );
        put("image_size", self.image_size.map(|size| size.to_string()));
        put("crop_pct", self.crop_pct.map(|part| part.to_string()));
        put("resize_size", self.resize_size.map(|size| size.to_string()));
        put("crop_mode", self.crop_mode.map(|mode| mode.to_string()));
        put(
            "interpolation",
            self.interpolation.map(|interpolation| interpolation.to_string()),
        );
        put("mean", self.mean.map(list));
        put("std", self.std.map(list));
        entries
    }
}

impl ModelMetadata {
    /// Sets [`variant`](Self::variant) to the name of a variant.
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<Option<Variant>>) -> Self {
        self.variant = variant.into().map(|variant| variant.name().to_owned());
        self
    }

    /// Sets [`profile`](Self::profile).
    #[must_use]
    pub fn with_profile(mut self, profile: impl Into<Option<Profile>>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Sets [`task`](Self::task).
    #[must_use]
    pub fn with_task(mut self, task: impl Into<Option<Task>>) -> Self {
        self.task = task.into();
        self
    }

    /// Sets [`thresholds`](Self::thresholds).
    #[must_use]
    pub fn with_thresholds(mut self, thresholds: impl Into<Option<Vec<f64>>>) -> Self {
        self.thresholds = thresholds.into();
        self
    }

    /// Sets [`targets`](Self::targets).
    #[must_use]
    pub fn with_targets(mut self, targets: impl Into<Option<[Vec<f64>; 2]>>) -> Self {
        self.targets = targets.into();
        self
    }

    /// Sets [`labels`](Self::labels).
    #[must_use]
    pub fn with_labels(mut self, labels: impl Into<Option<Vec<String>>>) -> Self {
        self.labels = labels.into();
        self
    }

    /// Sets [`image_size`](Self::image_size).
    #[must_use]
    pub fn with_image_size(mut self, image_size: impl Into<Option<usize>>) -> Self {
        self.image_size = image_size.into();
        self
    }

    /// Sets the preprocessing.
    #[must_use]
    pub fn with_preprocessing(mut self, preprocessing: &Preprocessing) -> Self {
        self.image_size = Some(preprocessing.image_size);
        self.crop_pct = preprocessing.crop_pct;
        self.resize_size = preprocessing.resize_size;
        self.crop_mode = Some(preprocessing.crop_mode);
        self.interpolation = Some(preprocessing.interpolation);
        self.mean = Some(preprocessing.mean);
        self.std = Some(preprocessing.std);
        self
    }

    /// Sets the preprocessing to that of a transform.
    #[must_use]
    pub fn with_transform(mut self, transform: &EvalTransform) -> Self {
        (self.resize_size, self.crop_pct, self.crop_mode) = match transform.resize {
            ResizeMode::ShortSide(size) => (Some(size), None, Some(CropMode::Center)),
            ResizeMode::CropPct(part) => (None, Some(part), Some(CropMode::Center)),
            ResizeMode::Squash(part) => (None, Some(part), Some(CropMode::Squash)),
        };
        self.image_size = Some(transform.image_size);
        self.interpolation = Some(transform.interpolation);
        self.mean = Some(transform.mean.map(shortest));
        self.std = Some(transform.std.map(shortest));
        self
    }
}

/// The 64-bit float that reads like this 32-bit one: 0.485 rather than 0.48500001430511475.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn named<T: FromStr>(
    entries: &BTreeMap<String, String>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, MetadataError> {
    let Some(text) = entries.get(key) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| wrong(key, expected, text))
}

pub(crate) fn wrong(key: &'static str, expected: &'static str, found: &str) -> MetadataError {
    let found = found.chars().take(40).collect();
    MetadataError { key, expected, found }
}

fn number<T: FromStr + Display>(
    entries: &BTreeMap<String, String>,
    key: &'static str,
    expected: &'static str,
    accept: impl Fn(&T) -> bool,
) -> Result<Option<T>, MetadataError> {
    let Some(text) = entries.get(key) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(value) if accept(&value) => Ok(Some(value)),
        _ => Err(wrong(key, expected, text)),
    }
}

fn json<T: serde::de::DeserializeOwned>(
    entries: &BTreeMap<String, String>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, MetadataError> {
    let Some(text) = entries.get(key) else {
        return Ok(None);
    };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| wrong(key, expected, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_being_written_and_read() {
        let metadata = ModelMetadata {
            variant: Some("b3".to_owned()),
            profile: Some(Profile::Tf),
            task: Some(Task::Regression),
            thresholds: Some(vec![0.25, 0.5]),
            targets: Some([vec![1.5, -2.0], vec![0.1, 3e10]]),
            labels: Some(vec!["a \"quoted\" cat".to_owned(), "Hündchen".to_owned()]),
            image_size: Some(300),
            crop_pct: Some(0.904),
            resize_size: None,
            crop_mode: Some(CropMode::Center),
            interpolation: Some(Interpolation::Bicubic),
            mean: Some([0.485, 0.456, 0.406]),
            std: Some([0.229, 0.224, 0.225]),
        };
        assert_eq!(ModelMetadata::from_entries(&metadata.to_entries()), Ok(metadata));
    }

    #[test]
    fn a_transform_is_recorded_in_the_numbers_that_people_write() {
        let mut transform = EvalTransform::new(300).with_crop_pct(0.904);
        let metadata = ModelMetadata::default().with_transform(&transform);
        let entries = metadata.to_entries();
        assert_eq!(entries["mean"], "[0.485,0.456,0.406]");
        assert_eq!(entries["std"], "[0.229,0.224,0.225]");
        assert_eq!(
            (&*entries["crop_pct"], &*entries["crop_mode"]),
            ("0.904", "center")
        );
        transform.resize = ResizeMode::ShortSide(320);
        let entries = metadata.with_transform(&transform).to_entries();
        assert_eq!(entries["resize_size"], "320");
        assert!(!entries.contains_key("crop_pct"));
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        let entries = BTreeMap::from([("crop_pct".to_owned(), "7".to_owned())]);
        let error = ModelMetadata::from_entries(&entries).unwrap_err();
        assert_eq!(
            error.to_string(),
            "metadata entry `crop_pct`: expected a number above 0 and up to 1, found `7`"
        );
    }
}
