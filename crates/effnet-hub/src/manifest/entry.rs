//! What is known about one set of weights.

use effnet_architecture::{Preprocessing, Profile, Scheme, Variant};
use serde::{Deserialize, Serialize};

use super::FileName;
use crate::Digest;

/// One set of published weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `<variant>.<tag>`, as in `b5.tf-ns_jft_in1k`.
    pub id: String,
    /// The network: `b0` to `b8`, or `l2`.
    pub variant: Variant,
    /// Who named the parameters.
    pub scheme: Scheme,
    /// Padding and batch normalisation that the weights were trained with.
    pub profile: Profile,
    /// Files with these weights, any of which will do, the preferred one first.
    pub files: Vec<WeightFile>,
    /// Classes of the classifier.
    pub classes: u32,
    /// How an image becomes the input.
    pub preprocessing: Preprocessing,
    /// Published accuracies, the one for `preprocessing` first.
    #[serde(default)]
    pub published: Vec<Published>,
    /// SPDX name of the licence that the publisher states.
    pub licence: String,
}

/// One file with an entry's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightFile {
    /// Its name in the hub's cache and in PyTorch's.
    pub name: FileName,
    /// Names that the same bytes had before. A copy under one of them is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_names: Vec<FileName>,
    /// Where the same bytes can be fetched, in order.
    pub urls: Vec<String>,
    /// SHA-256, full or the published prefix. Hugging Face announces it with the file, so it may be absent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Size in bytes, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether a program may carry the bytes in itself ([`Bundled`](crate::Bundled)); such a file needs no URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bundled: bool,
}

/// Where a file stands on Hugging Face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HuggingFaceFile<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// Path in the repository.
    pub path: &'a str,
}

/// An accuracy that somebody published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// What it was measured on; ImageNet-1k's validation images where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Input size that it was measured at, when it was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<u32>,
    /// crop_pct that it was measured with, when it was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// Top-1 accuracy in percent.
    pub top1: f64,
    /// Top-5 accuracy in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Who published it, and where.
    pub source: String,
}

impl WeightFile {
    /// The current name, then the former ones.
    pub fn names(&self) -> impl Iterator<Item = &FileName> {
        std::iter::once(&self.name).chain(&self.former_names)
    }

    /// Where the file stands on Hugging Face, if it does.
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
