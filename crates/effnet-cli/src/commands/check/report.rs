//! The report of `effnet check`: what `--format json` prints, and what the text and the page are written from.

use effnet::ModelFile;
use effnet_data::Splits;
use effnet_data::check::{Entry, Findings, Part, SizeOddity};
use serde::Serialize;

use super::Read;
use crate::arguments::CheckArguments;
use crate::failure::{Failure, FailureKind};
use crate::sink::SCHEMA;

/// The object that `--format json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: u32,
    pub(super) data: String,
    pub(super) model: &'static str,
    pub(super) weights: &'a str,
    pub(super) images: usize,
    pub(super) splits: Vec<Split<'a>>,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) unreadable: &'a [Unreadable],
    pub(super) duplicates: Vec<Duplicates<'a>>,
    /// `None` if there are too few images or classes to tell.
    pub(super) doubtful_labels: Option<Vec<Doubtful<'a>>>,
    pub(super) outliers: Vec<Unusual<'a>>,
    pub(super) odd_sizes: Vec<Odd<'a>>,
}

/// A part of the data set with its number of images.
#[derive(Serialize)]
pub(super) struct Split<'a> {
    pub(super) part: Part,
    /// The folder or rows: `train/`, `split = test`. `None` if the data set is not split.
    pub(super) name: Option<&'a str>,
    pub(super) images: usize,
}

/// A class with its numbers of images.
#[derive(Serialize)]
pub(super) struct Class<'a> {
    pub(super) label: &'a str,
    pub(super) train: usize,
    pub(super) val: usize,
    pub(super) test: usize,
}

impl Class<'_> {
    pub(super) fn of(&self, part: Part) -> usize {
        match part {
            Part::Train => self.train,
            Part::Val => self.val,
            Part::Test => self.test,
        }
    }

    pub(super) fn images(&self) -> usize {
        self.train + self.val + self.test
    }
}

#[derive(Serialize)]
pub(super) struct Unreadable {
    pub(super) image: String,
    part: Part,
    kind: FailureKind,
    pub(super) reason: String,
}

impl Unreadable {
    pub(super) fn new(image: String, part: Part, failure: Failure) -> Self {
        Self {
            image,
            part,
            kind: failure.kind,
            reason: failure.reason,
        }
    }
}

/// An image with its label.
#[derive(Serialize)]
pub(super) struct Labelled<'a> {
    pub(super) image: String,
    pub(super) part: Part,
    pub(super) label: &'a str,
    /// The position of the image among those that were read.
    #[serde(skip)]
    pub(super) index: usize,
}

#[derive(Serialize)]
pub(super) struct Duplicates<'a> {
    pub(super) exact: bool,
    pub(super) crosses_parts: bool,
    pub(super) labels_differ: bool,
    pub(super) images: Vec<Labelled<'a>>,
}

#[derive(Serialize)]
pub(super) struct Doubtful<'a> {
    #[serde(flatten)]
    pub(super) image: Labelled<'a>,
    pub(super) probability: f64,
    pub(super) suggested: &'a str,
    pub(super) suggested_probability: f64,
}

#[derive(Serialize)]
pub(super) struct Unusual<'a> {
    #[serde(flatten)]
    pub(super) image: Labelled<'a>,
    pub(super) similarity: f64,
}

#[derive(Serialize)]
pub(super) struct Odd<'a> {
    #[serde(flatten)]
    pub(super) image: Labelled<'a>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) oddity: &'static str,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        arguments: &CheckArguments,
        file: &'a ModelFile,
        splits: &'a Splits,
        (read, findings): (&'a Read, &Findings),
    ) -> Self {
        let classes = splits.train.classes();
        let labelled = |index: usize| {
            let Entry { part, label, .. } = read.entries[index];
            Labelled {
                image: read.images[index].name(),
                part,
                label: &classes[label],
                index,
            }
        };
        let duplicates = findings.duplicates.iter().map(|group| Duplicates {
            exact: group.exact,
            crosses_parts: group.crosses_parts,
            labels_differ: group.labels_differ,
            images: group.images.iter().map(|index| labelled(*index)).collect(),
        });
        let doubtful = findings.labels.as_ref().map(|labels| {
            let labels = labels.iter().map(|label| Doubtful {
                image: labelled(label.image),
                probability: label.probability,
                suggested: &classes[label.suggested],
                suggested_probability: label.suggested_probability,
            });
            labels.collect()
        });
        let outliers = findings.outliers.iter().map(|outlier| Unusual {
            image: labelled(outlier.image),
            similarity: outlier.similarity,
        });
        let odd_sizes = findings.sizes.iter().map(|odd| {
            let fingerprint = &read.entries[odd.image].fingerprint;
            let (width, height) = (fingerprint.width, fingerprint.height);
            Odd {
                image: labelled(odd.image),
                width,
                height,
                oddity: match odd.oddity {
                    SizeOddity::Small => "small",
                    SizeOddity::Large => "large",
                    _ => "narrow",
                },
            }
        });
        Self {
            schema: SCHEMA,
            data: arguments.data.display().to_string(),
            model: file.variant.name(),
            weights: &file.weights().name,
            images: read.entries.len(),
            splits: count_parts(splits, &read.entries),
            classes: count_classes(classes, &read.entries),
            unreadable: &read.unreadable,
            duplicates: duplicates.collect(),
            doubtful_labels: doubtful,
            outliers: outliers.collect(),
            odd_sizes: odd_sizes.collect(),
        }
    }
}

fn count_parts<'a>(splits: &'a Splits, entries: &[Entry]) -> Vec<Split<'a>> {
    let reading = &splits.reading;
    let parts = Part::ALL.into_iter().filter_map(|part| {
        let (exists, name) = match part {
            Part::Train => (true, &reading.train),
            Part::Val => (splits.val.is_some(), &reading.val),
            Part::Test => (splits.test.is_some(), &reading.test),
        };
        let images = entries.iter().filter(|entry| entry.part == part).count();
        let name = name.as_deref();
        exists.then_some(Split { part, name, images })
    });
    parts.collect()
}

fn count_classes<'a>(classes: &'a [String], entries: &[Entry]) -> Vec<Class<'a>> {
    let mut counts: Vec<Class<'a>> = classes
        .iter()
        .map(|label| Class {
            label,
            train: 0,
            val: 0,
            test: 0,
        })
        .collect();
    for entry in entries {
        let count = &mut counts[entry.label];
        match entry.part {
            Part::Train => count.train += 1,
            Part::Val => count.val += 1,
            Part::Test => count.test += 1,
        }
    }
    counts
}
