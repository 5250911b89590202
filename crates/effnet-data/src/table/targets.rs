//! The images of a table with several labels or with numbers each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::records::LIST;
use crate::error::NameList;
use crate::role::Role;

/// Separators that are hardly ever part of a label.
pub(super) const CERTAIN: [char; 3] = [LIST, ';', '|'];
/// All separators, in order of preference.
pub(super) const ANY: [char; 4] = [LIST, ';', '|', ','];

/// Returns the separator of the labels in these fields; `None` if every field is one label.
pub(super) fn separator<'a>(fields: impl Iterator<Item = &'a str>, separators: &[char]) -> Option<char> {
    let found = |(index, field): (usize, &str)| field.contains(separators[index]).then_some(index);
    let indices =
        fields.flat_map(|field| (0..separators.len()).filter_map(move |index| found((index, field))));
    indices.min().map(|index| separators[index])
}

/// Returns the labels in a field.
pub(super) fn parts(field: &str, separator: Option<char>) -> impl Iterator<Item = &str> {
    let parts = field.split(move |c| Some(c) == separator);
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// What a row says about its image.
pub(super) enum Target {
    Labels(Vec<String>),
    Values(Vec<f32>),
}

/// Images with their labels or values, in the order of their first rows.
#[derive(Debug, Default)]
pub(super) struct TargetList {
    images: Vec<Listed>,
    numbers: HashMap<(Arc<Path>, Option<Role>), usize>,
    labels: Vec<String>,
    label_numbers: HashMap<String, u32>,
    pub(super) repeated: usize,
    pub(super) first_repeated: Option<usize>,
    /// Whether a separator other than a space was found.
    pub(super) is_separated: bool,
}

#[derive(Debug)]
struct Listed {
    path: Arc<Path>,
    part: Option<Role>,
    labels: Vec<u32>,
    values: Vec<f32>,
}

impl TargetList {
    /// Adds a row. Rows of one image add up their labels; its values must be the same. Returns what is wrong with the
    /// row otherwise.
    pub(super) fn add(
        &mut self,
        path: Arc<Path>,
        part: Option<Role>,
        target: Target,
    ) -> Result<(), &'static str> {
        let (names, values) = match target {
            Target::Labels(names) => (names, Vec::new()),
            Target::Values(values) => (Vec::new(), values),
        };
        let mut labels: Vec<u32> = names.iter().map(|name| self.label(name)).collect();
        labels.sort_unstable();
        labels.dedup();
        let key = (path, part);
        if let Some(&number) = self.numbers.get(&key) {
            let image = &mut self.images[number];
            if image.values != values {
                return Err("different values for an image that is listed twice");
            }
            if labels.iter().all(|label| image.labels.contains(label)) {
                self.repeated += 1;
                self.first_repeated.get_or_insert(number);
            }
            labels.retain(|label| !image.labels.contains(label));
            image.labels.extend(labels);
            image.labels.sort_unstable();
            return check(&image.labels);
        }
        check(&labels)?;
        self.numbers.insert(key.clone(), self.images.len());
        let (path, part) = key;
        self.images.push(Listed {
            path,
            part,
            labels,
            values,
        });
        Ok(())
    }

    fn label(&mut self, name: &str) -> u32 {
        if let Some(number) = self.label_numbers.get(name) {
            return *number;
        }
        let number = self.labels.len() as u32;
        self.labels.push(name.to_owned());
        self.label_numbers.insert(name.to_owned(), number);
        number
    }

    /// Returns the labels that consist of several words if each word is also the label of another image, as `haze primary`
    /// where there are `haze` and `primary`, and if nothing else separates labels.
    pub(super) fn joined(&self) -> Option<NameList> {
        let has_separator = |label: &String| label.contains(&ANY[..]);
        if self.is_separated || self.labels.iter().any(has_separator) {
            return None;
        }
        let joined: NameList = self.phrases().cloned().collect();
        let are_labels = |label: &String| {
            label
                .split_whitespace()
                .all(|word| self.label_numbers.contains_key(word))
        };
        (!joined.names().is_empty() && joined.names().iter().all(are_labels)).then_some(joined)
    }

    /// Returns whether spaces separate labels. The classes of a network, if `known`, take precedence over the other labels.
    pub(super) fn separates_at_spaces(&self, known: Option<&[String]>) -> bool {
        let known: HashSet<&str> = known.into_iter().flatten().map(String::as_str).collect();
        let is_known = |label: &String| known.contains(label.as_str());
        let has_known_words = |label: &String| label.split_whitespace().all(|word| known.contains(word));
        if known.is_empty() || self.is_separated {
            return self.joined().is_some();
        }
        !self.phrases().all(is_known) && (self.phrases().all(has_known_words) || self.joined().is_some())
    }

    /// The labels of several words.
    fn phrases(&self) -> impl Iterator<Item = &String> {
        let labels = self.labels.iter();
        labels.filter(|label| label.split_whitespace().nth(1).is_some())
    }

    /// Returns the labels of the images of a part, or of all parts.
    pub(super) fn found(&self, part: Option<Role>, at_spaces: bool) -> BTreeSet<String> {
        let labels: BTreeSet<u32> = self
            .of(part)
            .flat_map(|image| image.labels.iter().copied())
            .collect();
        let labels = labels
            .into_iter()
            .map(|label| self.labels[label as usize].as_str());
        labels
            .flat_map(|label| words(label, at_spaces))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the paths of the images of a part, or of all parts.
    pub(super) fn paths(&self, part: Option<Role>) -> impl Iterator<Item = &Arc<Path>> {
        self.of(part).map(|image| &image.path)
    }

    /// Returns the labels of each image, as indices into `classes`.
    pub(super) fn labels(
        &self,
        part: Option<Role>,
        at_spaces: bool,
        class: impl Fn(&str) -> Option<usize>,
    ) -> Vec<Box<[u32]>> {
        let class = |name: &str| class(name).and_then(|class| u32::try_from(class).ok());
        let classes: Vec<Vec<u32>> = self
            .labels
            .iter()
            .map(|label| words(label, at_spaces).filter_map(class).collect())
            .collect();
        let labels = |image: &Listed| {
            let numbers = image.labels.iter();
            let mut labels: Vec<u32> = numbers
                .flat_map(|label| &classes[*label as usize])
                .copied()
                .collect();
            if at_spaces {
                labels.sort_unstable();
                labels.dedup();
            }
            labels.into()
        };
        self.of(part).map(labels).collect()
    }

    /// Returns the values of all images, image by image, in this order of the columns.
    pub(super) fn values(&self, part: Option<Role>, order: &[usize]) -> Vec<f32> {
        let value = |image: &Listed, column: usize| image.values.get(column).copied().unwrap_or_default();
        let images = self.of(part);
        images
            .flat_map(|image| order.iter().map(move |column| value(image, *column)))
            .collect()
    }

    /// The number of images without a label, and the path of the first.
    pub(super) fn without_labels(&self) -> (usize, Option<String>) {
        let mut without = self
            .images
            .iter()
            .filter(|image| image.labels.is_empty() && image.values.is_empty());
        let first = without.next().map(|image| image.path.display().to_string());
        (usize::from(first.is_some()) + without.count(), first)
    }

    /// The number of images that are in several parts, and the path of the first.
    pub(super) fn shared(&self) -> (usize, Option<String>) {
        let mut parts: HashMap<&Arc<Path>, usize> = HashMap::new();
        for image in &self.images {
            *parts.entry(&image.path).or_default() += 1;
        }
        let is_first = |image: &&Listed| parts.get(&image.path).is_some_and(|count| *count > 1);
        let first = self.images.iter().find(is_first);
        let count = parts.values().filter(|count| **count > 1).count();
        (count, first.map(|image| image.path.display().to_string()))
    }

    /// The path of an image.
    pub(super) fn path(&self, image: usize) -> String {
        self.images[image].path.display().to_string()
    }

    fn of(&self, part: Option<Role>) -> impl Iterator<Item = &Listed> {
        self.images
            .iter()
            .filter(move |image| part.is_none() || image.part == part)
    }
}

/// Returns the words of a label, or the label.
fn words(label: &str, at_spaces: bool) -> impl Iterator<Item = &str> {
    label
        .split(move |c: char| at_spaces && c.is_whitespace())
        .filter(|word| !word.is_empty())
}

fn check(labels: &[u32]) -> Result<(), &'static str> {
    /// Maximum number of labels per image.
    const MOST: usize = 10_000;
    if labels.len() > MOST {
        return Err("more than 10,000 labels");
    }
    Ok(())
}
