//! Class names.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// Facts of ImageNet (ILSVRC 2012): the label of each of the 1000 classes, in their usual order.
const IMAGENET: &str = include_str!("../../../weights/imagenet-classes.json");
/// A labels file larger than this is some other file.
const MAX_BYTES: u64 = 64 << 20;

/// The name of each class, by its index.
#[derive(Debug)]
pub(crate) struct Labels(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    Class { label: String },
}

/// A class of ImageNet.
#[derive(Deserialize)]
struct ImagenetClass {
    wnid: String,
    label: String,
}

impl Entry {
    fn into_label(self) -> String {
        match self {
            Self::Name(label) | Self::Class { label } => label,
        }
    }
}

impl Labels {
    /// The 1000 classes of ImageNet.
    pub(crate) fn imagenet() -> anyhow::Result<Self> {
        Self::from_json(IMAGENET).context("the class names in the program are damaged")
    }

    /// `class 0`, `class 1`, ... for weights that come without names.
    pub(crate) fn numbered(count: usize) -> Self {
        Self((0..count).map(|class| format!("class {class}")).collect())
    }

    /// Reads one name a line, a JSON list (of names, or of objects with a `label`), or a JSON
    /// object from class to name.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::metadata(path)
            .with_context(|| format!("{shown}: cannot read labels"))?
            .len();
        ensure!(
            bytes <= MAX_BYTES,
            "{shown}: {bytes} bytes, expected class names, at most {MAX_BYTES} bytes"
        );
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{shown}: expected class names in UTF-8 text or JSON"))?;
        // Windows' editors begin a file with a mark that is no part of the first name.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let labels = match text.trim_start().chars().next() {
            Some('[' | '{') => Self::from_json(text)
                .with_context(|| format!("{shown}: expected a JSON list of class names"))?,
            _ => Self(
                text.lines()
                    .map(|line| line.trim().to_owned())
                    .filter(|l| !l.is_empty())
                    .collect(),
            ),
        };
        ensure!(
            !labels.0.is_empty(),
            "{shown}: no class names, expected one on each line"
        );
        Ok(labels)
    }

    pub(crate) fn from_json(text: &str) -> anyhow::Result<Self> {
        if text.trim_start().starts_with('[') {
            let entries: Vec<Entry> = serde_json::from_str(text)?;
            return Ok(Self(entries.into_iter().map(Entry::into_label).collect()));
        }
        let entries: std::collections::BTreeMap<usize, Entry> = serde_json::from_str(text)?;
        let mut labels = Vec::with_capacity(entries.len());
        for (class, entry) in entries {
            if class != labels.len() {
                bail!("class {} is missing", labels.len());
            }
            labels.push(entry.into_label());
        }
        Ok(Self(labels))
    }

    pub(crate) fn from_names(names: Vec<String>) -> Self {
        Self(names)
    }

    /// WordNet's id of each class, `n01440764` and so on, if these are the classes of ImageNet.
    pub(crate) fn wnids(&self) -> anyhow::Result<Option<Vec<String>>> {
        let classes: Vec<ImagenetClass> =
            serde_json::from_str(IMAGENET).context("the class names in the program are damaged")?;
        let same = classes.iter().map(|class| &class.label).eq(&self.0);
        Ok(same.then(|| classes.into_iter().map(|class| class.wnid).collect()))
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, class: usize) -> &str {
        self.0.get(class).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_has_a_thousand_classes_in_the_usual_order() {
        let labels = Labels::imagenet().unwrap();
        assert_eq!(labels.len(), 1000);
        assert!(labels.get(0).starts_with("tench"));
        assert!(labels.get(388).starts_with("giant panda"));
        assert!(labels.get(999).starts_with("toilet tissue"));
    }

    #[test]
    fn json_lists_and_objects_give_the_same_labels() {
        let list = Labels::from_json(r#"["cat", "dog"]"#).unwrap();
        let object = Labels::from_json(r#"{"1": "dog", "0": {"label": "cat"}}"#).unwrap();
        assert_eq!(list.0, object.0);
    }

    #[test]
    fn a_gap_between_classes_is_named() {
        let error = Labels::from_json(r#"{"0": "cat", "2": "dog"}"#).unwrap_err();
        assert_eq!(error.to_string(), "class 1 is missing");
    }
}
