//! Hub folders: a weight file and the JSON files from which timm or transformers build the network around it.
//!
//! The weight file alone does not say how to pad, how to preprocess or what the classes are called. Both libraries
//! keep that beside it, and both imply some of it by the name of the architecture. Reading a folder without these
//! files' statements, or writing one that implies other arithmetic, would give wrong logits without an error; so
//! whatever cannot be represented is an error here.

mod processor;
mod timm;
mod transformers;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use effnet_architecture::{Config, CropMode, Preprocessing, Profile, Scheme, Variant};
use effnet_image::{EvalTransform, ResizeMode};
use serde_json::Value;

pub(crate) use transformers::TransformersFolder;

/// Maximum size of a configuration file next to a weight file.
const MAX_CONFIG: u64 = 4 << 20;

/// A hub folder that cannot be read or written without changing what the network computes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubFolderError {
    /// A file of the folder states something that is not supported.
    #[error("{}: `{key}` is {found}, expected {expected}; {advice}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Key in the file.
        key: &'static str,
        /// Its value, shortened.
        found: String,
        /// The supported values.
        expected: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file of the folder is not JSON of the expected form.
    #[error("{}: cannot be read: {reason}; download or save it again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The receiving library cannot compute what the network computes.
    #[error("{library} cannot run these weights: {reason}")]
    Inexpressible {
        /// The library.
        library: &'static str,
        /// The reason, and what to do.
        reason: String,
    },
}

/// Everything besides its tensors that a hub folder says about a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HubModel {
    /// The variant.
    pub variant: Variant,
    /// Padding and batch-norm constants.
    pub profile: Profile,
    /// Number of classes.
    pub num_classes: usize,
    /// Number of input channels.
    pub in_channels: usize,
    /// Class names.
    pub labels: Option<Vec<String>>,
    /// Preprocessing of images.
    pub preprocessing: Preprocessing,
}

impl HubModel {
    /// Describes a network with an input of three channels and without class names.
    pub fn new(variant: Variant, profile: Profile, num_classes: usize, transform: &EvalTransform) -> Self {
        Self {
            variant,
            profile,
            num_classes,
            in_channels: 3,
            labels: None,
            preprocessing: preprocessing(transform),
        }
    }

    /// Sets [`labels`](Self::labels).
    #[must_use]
    pub fn with_labels(mut self, labels: impl Into<Option<Vec<String>>>) -> Self {
        self.labels = labels.into();
        self
    }

    /// Sets [`in_channels`](Self::in_channels).
    #[must_use]
    pub fn with_in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    /// Returns the names and contents of the JSON files for a folder in which the tensors have the names of `scheme`.
    ///
    /// # Errors
    /// [`HubFolderError::Inexpressible`] for weights that the library would load and run with other constants, and
    /// for a scheme whose library has no folders.
    pub fn files(&self, scheme: Scheme) -> Result<Vec<(&'static str, String)>, HubFolderError> {
        let files = match scheme {
            Scheme::Timm => vec![("config.json", timm::config(self)?)],
            Scheme::Transformers => vec![
                ("config.json", transformers::config(self)?),
                ("preprocessor_config.json", processor::write(&self.preprocessing)),
            ],
            _ => {
                return Err(HubFolderError::Inexpressible {
                    library: scheme.name(),
                    reason: "it has no hub folders; write a file, or pass --to timm or --to transformers"
                        .to_owned(),
                });
            }
        };
        let text = |value: &Value| format!("{value:#}\n");
        Ok(files.iter().map(|(name, value)| (*name, text(value))).collect())
    }

    fn config(&self) -> Config {
        Config::new(self.variant).with_profile(self.profile)
    }
}

/// Returns the preprocessing of a transform. Numbers that were rounded to 32 bits get their shortest decimals back.
fn preprocessing(transform: &EvalTransform) -> Preprocessing {
    let shortest = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
    let (crop_mode, crop_pct, resize_size) = match transform.resize {
        ResizeMode::Squash(fraction) => (CropMode::Squash, Some(fraction), None),
        ResizeMode::CropPct(fraction) => (CropMode::Center, Some(fraction), None),
        ResizeMode::ShortSide(size) => (CropMode::Center, None, Some(size)),
    };
    Preprocessing {
        image_size: transform.image_size,
        crop_pct,
        resize_size,
        crop_mode,
        interpolation: transform.interpolation,
        mean: transform.mean.map(shortest),
        std: transform.std.map(shortest),
    }
}

/// Returns the fraction for which `floor(size / fraction)` is `resized`, which rounding may prevent `size / resized`
/// from being.
fn fraction(size: usize, resized: usize) -> f64 {
    let plain = size as f64 / resized as f64;
    if (size as f64 / plain).floor() as usize == resized {
        plain
    } else {
        size as f64 / (resized as f64 + 0.5)
    }
}

/// Reads the text of a small regular file.
pub(crate) fn read_text(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_CONFIG).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Reads a JSON object; `None` if the file does not exist.
fn read_object(path: &Path) -> Result<Option<serde_json::Map<String, Value>>, HubFolderError> {
    let Some(text) = read_text(path) else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| HubFolderError::Invalid {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}

/// A value for a message.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_leads_back_to_its_size() {
        for size in [224, 240, 260, 300, 380, 456, 528, 600] {
            for resized in size..size + 200 {
                let found = (size as f64 / fraction(size, resized)).floor() as usize;
                assert_eq!(found, resized, "{size}");
            }
        }
    }
}
