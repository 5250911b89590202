//! The images and labels that a table lists, and anything odd about them.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::error::NameList;
use crate::notice::Notice;
use crate::role::Role;

/// Maximum number of labels per image.
const MOST_LABELS: usize = 100;

/// Images and labels in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Listed {
    images: Vec<ListedImage>,
    numbers: HashMap<Arc<Path>, usize>,
    labels: Vec<String>,
    label_numbers: HashMap<String, usize>,
    /// Image, label and part of each row that is used.
    rows: Vec<(usize, usize, Option<Role>)>,
    /// The number of rows that repeat an image with its label, and the first such image.
    repeated: usize,
    first_repeated: Option<usize>,
}

#[derive(Debug)]
struct ListedImage {
    path: Arc<Path>,
    labels: Vec<(usize, Option<Role>)>,
}

impl Listed {
    /// Adds a row, unless it repeats an earlier row. Returns `false` if the image already has too many
    /// labels.
    pub(super) fn add(&mut self, path: Arc<Path>, label: &str, part: Option<Role>) -> bool {
        let label = self.label(label);
        let image = *self.numbers.entry(Arc::clone(&path)).or_insert_with(|| {
            self.images.push(ListedImage {
                path,
                labels: Vec::new(),
            });
            self.images.len() - 1
        });
        let listed = &mut self.images[image];
        if listed.labels.contains(&(label, part)) {
            self.repeated += 1;
            self.first_repeated.get_or_insert(image);
            return true;
        }
        if listed.labels.len() == MOST_LABELS {
            return false;
        }
        listed.labels.push((label, part));
        self.rows.push((image, label, part));
        true
    }

    /// Returns the number of a label, adding the label if it is new.
    fn label(&mut self, label: &str) -> usize {
        if let Some(number) = self.label_numbers.get(label) {
            return *number;
        }
        let number = self.labels.len();
        self.labels.push(label.to_owned());
        self.label_numbers.insert(label.to_owned(), number);
        number
    }

    /// Returns the images and labels of a part, or of all parts.
    pub(super) fn rows(&self, part: Option<Role>) -> impl Iterator<Item = (&Arc<Path>, &String)> {
        let rows = self
            .rows
            .iter()
            .filter(move |row| part.is_none() || row.2 == part);
        rows.map(|(image, label, _)| (&self.images[*image].path, &self.labels[*label]))
    }

    /// Returns whether a label occurs in any row.
    pub(super) fn has_label(&self, label: &str) -> bool {
        self.label_numbers.contains_key(label)
    }

    /// Returns notices about rows that repeat others, images with several labels or in several parts, and
    /// labels that look like several labels.
    pub(super) fn notices(&self) -> Vec<Notice> {
        let name = |image: &ListedImage| image.path.display().to_string();
        let labels = |image: &ListedImage| {
            let labels = image.labels.iter().map(|(label, _)| *label);
            labels.collect::<BTreeSet<usize>>()
        };
        let is_shared =
            |image: &&ListedImage| image.labels.iter().any(|(_, part)| *part != image.labels[0].1);
        let several: Vec<&ListedImage> = self
            .images
            .iter()
            .filter(|image| labels(image).len() > 1)
            .collect();
        let shared: Vec<&ListedImage> = self.images.iter().filter(is_shared).collect();
        let repeated = self.first_repeated.map(|first| Notice::RepeatedRows {
            rows: self.repeated,
            first: name(&self.images[first]),
        });
        let several = several.first().map(|first| Notice::SeveralLabels {
            images: several.len(),
            first: name(first),
            labels: labels(first)
                .iter()
                .map(|label| self.labels[*label].clone())
                .collect(),
        });
        let shared = shared.first().map(|first| Notice::SharedImages {
            images: shared.len(),
            first: name(first),
        });
        [repeated, several, shared, self.combined_labels()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns a notice if the labels are numbers which have fractions, or fewer than five images each on average, as
    /// those of classes hardly ever do.
    pub(super) fn quantities(&self) -> Option<Notice> {
        const MOST_CLASSES: usize = 10;
        const LEAST_IMAGES: usize = 5;
        let labels = self.labels.len();
        let are_many = labels > MOST_CLASSES && labels * LEAST_IMAGES > self.images.len();
        let numbers = self.labels.iter().map(|label| label.parse::<f64>().ok());
        let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
        let have_fractions = numbers.iter().any(|number| number.fract() != 0.0);
        (are_many || have_fractions).then_some(Notice::Quantities { labels })
    }

    /// Finds labels that consist of other labels, or of several numbers.
    fn combined_labels(&self) -> Option<Notice> {
        let is_label = |part: &str| self.has_label(part) || part.parse::<u64>().is_ok();
        let is_combined = |label: &&String| {
            [' ', ',', ';', '|'].iter().any(|separator| {
                let mut parts = label.split(*separator).map(str::trim);
                label.contains(*separator) && parts.all(is_label)
            })
        };
        let labels: NameList = self.labels.iter().filter(is_combined).cloned().collect();
        (!labels.names().is_empty()).then_some(Notice::CombinedLabels { labels })
    }
}
