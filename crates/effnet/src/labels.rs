//! Class names: from a file, from weights, or those of ImageNet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use effnet_architecture::Task;

use crate::Error;

/// Maximum size of a labels file; a larger file is something else. ImageNet-21k has 21,843 names, under 1 MB.
const MAX_BYTES: u64 = 16 << 20;

/// Errors from reading class names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The file cannot be read, or is not text.
    #[error("{}: cannot read class names, expected UTF-8 text or JSON", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is too large to be a list of names.
    #[error("{}: larger than {} MiB, expected a list of class names", path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no names.
    #[error("{}: no class names, expected one per line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The JSON in the file does not contain class names.
    #[error(
        "{}: expected JSON with class names: a list, an object that maps class numbers to names or names \
         to class numbers, or `id2label`",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<LabelsError>,
    },
    /// The text is not JSON, or not in the expected form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A JSON object has no name for a class.
    #[error("class {0} is missing")]
    Missing(usize),
    /// A key of a JSON object is not a class number.
    #[error("expected a class number as the key, found `{0}`")]
    Number(String),
    /// Two names in a JSON object have the same class number.
    #[error("two names have the same class number")]
    Twice,
}

/// Class names by index, and how the outputs are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    names: Vec<String>,
    task: Task,
    thresholds: Option<Vec<f64>>,
}

/// A class as described in a file: its name; an object with its name; or its WordNet ID and its name, as in
/// Keras's `imagenet_class_index.json`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    Class {
        #[serde(alias = "name")]
        label: String,
    },
    Pair((IgnoredAny, String)),
}

/// A JSON object with class names. Class numbers are read as text, since serde cannot read numbers from keys
/// inside an untagged enum.
#[derive(Deserialize)]
#[serde(untagged)]
enum Object {
    /// A Hugging Face configuration.
    Config {
        id2label: BTreeMap<String, Entry>,
    },
    /// A timm configuration.
    Timm {
        label_names: Vec<String>,
    },
    /// torchvision's `class_to_idx` nested in other settings, as it is often saved.
    Wrapped {
        class_to_idx: BTreeMap<String, usize>,
    },
    Classes(BTreeMap<String, Entry>),
    /// torchvision's `class_to_idx`, Hugging Face's `label2id`, Keras's `class_indices`.
    Indices(BTreeMap<String, usize>),
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
            Self::Name(label) | Self::Class { label } | Self::Pair((_, label)) => label,
        }
    }
}

/// Parses the class numbers.
fn numbered(classes: BTreeMap<String, Entry>) -> Result<BTreeMap<usize, Entry>, LabelsError> {
    let count = classes.len();
    let classes: BTreeMap<usize, Entry> = classes
        .into_iter()
        .map(|(class, entry)| match class.trim().parse() {
            Ok(class) => Ok((class, entry)),
            Err(_) => Err(LabelsError::Number(class)),
        })
        .collect::<Result<_, _>>()?;
    if classes.len() < count {
        return Err(LabelsError::Twice);
    }
    Ok(classes)
}

impl Labels {
    /// The probability from which a label applies, unless the network has a threshold of its own for it.
    pub const THRESHOLD: f64 = 0.5;

    /// Sets the task of the network: classification by default.
    #[must_use]
    pub fn with_task(mut self, task: Task) -> Self {
        self.task = task;
        self
    }

    /// Sets the probability from which each label applies, for several labels per image; one per class.
    #[must_use]
    pub fn with_thresholds(mut self, thresholds: impl Into<Option<Vec<f64>>>) -> Self {
        self.thresholds = thresholds.into();
        self
    }

    /// The task of the network.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Returns the probability from which a class applies, for several labels per image.
    pub fn threshold(&self, class: usize) -> f64 {
        let own = self
            .thresholds
            .as_ref()
            .and_then(|thresholds| thresholds.get(class));
        own.copied().unwrap_or(Self::THRESHOLD)
    }

    /// The 1000 classes of ImageNet.
    ///
    /// # Errors
    /// Never in practice: the names are embedded, and tests read them.
    pub fn imagenet() -> Result<Self, LabelsError> {
        Self::from_json(effnet_weights::IMAGENET_CLASSES)
    }

    /// Returns the labels `class 0`, `class 1`, ..., for weights without class names.
    pub fn numbered(count: usize) -> Self {
        Self::from_names((0..count).map(|class| format!("class {class}")))
    }

    /// Reads one name per line, or JSON as in [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// [`LabelsError`] for a file that cannot be read, is too large, or has no names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LabelsError> {
        let path = path.as_ref();
        let unreadable = |source| LabelsError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        // A device has no length, so the size is limited while reading.
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(LabelsError::TooLarge {
                path: path.to_owned(),
            });
        }
        // Editors on Windows start files with a byte order mark, which is not part of the first name.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let labels = match text.trim_start().chars().next() {
            Some('[' | '{') => Self::from_json(text).map_err(|source| LabelsError::File {
                path: path.to_owned(),
                source: Box::new(source),
            })?,
            _ => Self::from_names(text.lines().map(str::trim).filter(|line| !line.is_empty())),
        };
        if labels.names.is_empty() {
            return Err(LabelsError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(labels)
    }

    /// Reads a JSON list (of names, or of objects with a `label`) or a JSON object. The object may map class
    /// numbers to names or to pairs of WordNet ID and name (Keras), map names to class numbers (torchvision's
    /// `class_to_idx`), or contain `id2label` (Hugging Face) or `label_names` (timm).
    ///
    /// # Errors
    /// [`LabelsError::Json`] for other text, [`LabelsError::Missing`] for an object without a name for a
    /// class.
    pub fn from_json(text: &str) -> Result<Self, LabelsError> {
        if text.trim_start().starts_with('[') {
            let entries: Vec<Entry> = serde_json::from_str(text)?;
            return Ok(Self::from_names(entries.into_iter().map(Entry::into_label)));
        }
        let classes = match serde_json::from_str(text)? {
            Object::Config { id2label: classes } | Object::Classes(classes) => numbered(classes)?,
            Object::Timm { label_names } => return Ok(Self::from_names(label_names)),
            Object::Wrapped {
                class_to_idx: indices,
            }
            | Object::Indices(indices) => {
                let count = indices.len();
                let classes: BTreeMap<usize, Entry> = indices
                    .into_iter()
                    .map(|(name, class)| (class, Entry::Name(name)))
                    .collect();
                if classes.len() < count {
                    return Err(LabelsError::Twice);
                }
                classes
            }
        };
        let mut labels = Vec::with_capacity(classes.len());
        for (class, entry) in classes {
            if class != labels.len() {
                return Err(LabelsError::Missing(labels.len()));
            }
            labels.push(entry.into_label());
        }
        Ok(Self::from_names(labels))
    }

    /// Creates labels from names, ordered by index.
    pub fn from_names(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            task: Task::default(),
            thresholds: None,
        }
    }

    /// The WordNet ID of each class (`n01440764` and so on) if these are the classes of ImageNet.
    ///
    /// # Errors
    /// Never in practice: the names are embedded, and tests read them.
    pub fn wnids(&self) -> Result<Option<Vec<String>>, LabelsError> {
        let classes: Vec<ImagenetClass> = serde_json::from_str(effnet_weights::IMAGENET_CLASSES)?;
        let same = classes.iter().map(|class| &class.label).eq(&self.names);
        Ok(same.then(|| classes.into_iter().map(|class| class.wnid).collect()))
    }

    /// Class names by index.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Checks that there is one label for each of `classes` classes.
    ///
    /// # Errors
    /// [`Error::LabelCount`] with both numbers.
    pub fn check_count(&self, classes: usize) -> Result<(), Error> {
        let found = self.len();
        if found == classes {
            return Ok(());
        }
        Err(Error::LabelCount {
            found,
            expected: classes,
        })
    }

    /// Name of a class; empty if the class does not exist.
    pub fn get(&self, class: usize) -> &str {
        self.names.get(class).map_or("", String::as_str)
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
        assert_eq!(list.names(), object.names());
    }

    #[test]
    fn the_forms_of_other_libraries_give_the_same_labels() {
        let expected = Labels::from_json(r#"["cat", "dog"]"#).unwrap();
        for text in [
            r#"{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"]}"#,
            r#"{"architectures": ["X"], "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}}"#,
            r#"{"dog": 1, "cat": 0}"#,
            r#"{"class_to_idx": {"dog": 1, "cat": 0}}"#,
            r#"{"label_names": ["cat", "dog"], "num_classes": 2}"#,
            r#"[["n02123045", "cat"], ["n02084071", "dog"]]"#,
            r#"[{"name": "cat"}, {"name": "dog"}]"#,
        ] {
            assert_eq!(Labels::from_json(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn two_names_of_one_class_are_refused() {
        let error = Labels::from_json(r#"{"cat": 0, "dog": 0}"#).unwrap_err();
        assert!(matches!(error, LabelsError::Twice), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_refused() {
        let error = Labels::open(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(error, LabelsError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn another_number_of_classes_is_refused_with_both_numbers() {
        let labels = Labels::numbered(1);
        assert!(labels.check_count(1).is_ok());
        let error = labels.check_count(3).unwrap_err();
        assert_eq!(error.to_string(), "found 1 name, but the weights have 3 classes");
    }

    #[test]
    fn a_gap_between_classes_is_named() {
        let error = Labels::from_json(r#"{"0": "cat", "2": "dog"}"#).unwrap_err();
        assert_eq!(error.to_string(), "class 1 is missing");
    }
}
