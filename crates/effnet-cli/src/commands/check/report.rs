//! The report of `effnet check`, as text and as JSON.

use std::io::{self, Write};

use anstyle::Style;
use effnet::ModelFile;
use effnet_data::check::{Entry, Findings, Part, SizeOddity};
use serde::Serialize;

use super::Read;
use crate::arguments::CheckArguments;
use crate::escape;
use crate::failure::{Failure, FailureKind};
use crate::printer::counted;
use crate::sink::SCHEMA;

/// The largest number of findings of one kind in the text.
const MOST: usize = 20;
/// The ratio of the largest to the smallest class that is worth a line.
const IMBALANCE: usize = 5;

/// The object that `--format json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: u32,
    pub(super) data: String,
    model: &'static str,
    weights: &'a str,
    images: usize,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) unreadable: &'a [Unreadable],
    pub(super) duplicates: Vec<Duplicates<'a>>,
    /// `None` if there are too few images or classes to tell.
    pub(super) doubtful_labels: Option<Vec<Doubtful<'a>>>,
    pub(super) outliers: Vec<Unusual<'a>>,
    pub(super) odd_sizes: Vec<Odd<'a>>,
}

/// A class with its numbers of images.
#[derive(Serialize)]
pub(super) struct Class<'a> {
    pub(super) label: &'a str,
    pub(super) train: usize,
    pub(super) val: usize,
}

#[derive(Serialize)]
pub(super) struct Unreadable {
    pub(super) image: String,
    part: &'static str,
    kind: FailureKind,
    pub(super) reason: String,
}

impl Unreadable {
    pub(super) fn new(image: String, part: Part, failure: Failure) -> Self {
        Self {
            image,
            part: name_of(part),
            kind: failure.kind,
            reason: failure.reason,
        }
    }
}

/// An image with its label.
#[derive(Serialize)]
pub(super) struct Labelled<'a> {
    pub(super) image: String,
    pub(super) part: &'static str,
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

fn name_of(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Val => "val",
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(
        arguments: &CheckArguments,
        (file, classes): (&'a ModelFile, &'a [String]),
        read: &'a Read,
        findings: &Findings,
    ) -> Self {
        let labelled = |index: usize| {
            let Entry { part, label, .. } = read.entries[index];
            Labelled {
                image: read.images[index].name(),
                part: name_of(part),
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
            let [width, height] = read.entries[odd.image].fingerprint.size;
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
            classes: count_classes(classes, &read.entries),
            unreadable: &read.unreadable,
            duplicates: duplicates.collect(),
            doubtful_labels: doubtful,
            outliers: outliers.collect(),
            odd_sizes: odd_sizes.collect(),
        }
    }

    /// Returns what was found, one row per kind, with a number and an explanation.
    pub(super) fn summary(&self) -> Vec<(&'static str, String)> {
        let images: usize = self.duplicates.iter().map(|group| group.images.len()).sum();
        let groups =
            |fits: fn(&Duplicates<'_>) -> bool| self.duplicates.iter().filter(|group| fits(group)).count();
        let duplicates = match self.duplicates.len() {
            0 => "none".to_owned(),
            count => format!(
                "{} of {images} images: {} exact, {} in both training and validation, {} with different labels",
                counted(count, "group"),
                groups(|group| group.exact),
                groups(|group| group.crosses_parts),
                groups(|group| group.labels_differ)
            ),
        };
        let doubtful = match &self.doubtful_labels {
            None => "not checked: too few images or classes".to_owned(),
            Some(found) => {
                let percent = 100.0 * found.len() as f64 / self.images.max(1) as f64;
                format!("{} ({percent:.1} %)", found.len())
            }
        };
        vec![
            ("images", self.images.to_string()),
            ("unreadable", self.unreadable.len().to_string()),
            ("duplicates", duplicates),
            ("doubtful labels", doubtful),
            ("outliers", self.outliers.len().to_string()),
            ("odd sizes", self.odd_sizes.len().to_string()),
            ("class balance", self.balance()),
        ]
    }

    fn balance(&self) -> String {
        let by_size = |class: &&Class<'_>| class.train + class.val;
        let (Some(smallest), Some(largest)) = (
            self.classes.iter().min_by_key(by_size),
            self.classes.iter().max_by_key(by_size),
        ) else {
            return "no classes".to_owned();
        };
        let (least, most) = (by_size(&smallest), by_size(&largest));
        let advice = if most >= IMBALANCE * least.max(1) {
            "; consider --class-weights when training"
        } else {
            ""
        };
        format!(
            "{}, from {least} ({}) to {most} ({}) images{advice}",
            counted(self.classes.len(), "class"),
            escape::line(smallest.label),
            escape::line(largest.label)
        )
    }

    /// Writes a human-readable report.
    pub(super) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{}, by the features of {}",
            escape::line(&self.data),
            self.model
        )?;
        for (kind, found) in self.summary() {
            writeln!(out, "{kind:<16} {found}")?;
        }
        let unreadable = self.unreadable.iter();
        let unreadable =
            unreadable.map(|file| format!("{}: {}", escape::line(&file.image), escape::line(&file.reason)));
        list(out, "unreadable", unreadable)?;
        list(out, "duplicates", self.duplicates.iter().map(Duplicates::line))?;
        let doubtful = self.doubtful_labels.iter().flatten().map(|doubtful| {
            format!(
                "{}: {} ({:.3}), probably {} ({:.3})",
                escape::line(&doubtful.image.image),
                escape::line(doubtful.image.label),
                doubtful.probability,
                escape::line(doubtful.suggested),
                doubtful.suggested_probability
            )
        });
        list(out, "doubtful labels, the most doubtful first", doubtful)?;
        let outliers = self.outliers.iter().map(|outlier| {
            let image = escape::line(&outlier.image.image);
            format!("{image}: similarity {:.3}", outlier.similarity)
        });
        list(out, "outliers, the most unusual first", outliers)?;
        let odd = self.odd_sizes.iter().map(|odd| {
            let image = escape::line(&odd.image.image);
            format!("{image}: {} x {}, {}", odd.width, odd.height, odd.oddity)
        });
        list(out, "odd sizes", odd)
    }
}

impl Duplicates<'_> {
    /// Returns what the images have in common: `same pixels, in both training and validation`.
    pub(super) fn kind(&self) -> String {
        let mut parts = vec![if self.exact {
            "same pixels"
        } else {
            "near duplicates"
        }];
        if self.crosses_parts {
            parts.push("in both training and validation");
        }
        if self.labels_differ {
            parts.push("with different labels");
        }
        parts.join(", ")
    }

    fn line(&self) -> String {
        let images = self.images.iter().take(MOST);
        let images: Vec<String> = images
            .map(|image| escape::line(&image.image).into_owned())
            .collect();
        let more = match self.images.len() - images.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {}{more}", self.kind(), images.join(", "))
    }
}

fn count_classes<'a>(classes: &'a [String], entries: &[Entry]) -> Vec<Class<'a>> {
    let mut counts: Vec<Class<'a>> = classes
        .iter()
        .map(|label| Class {
            label,
            train: 0,
            val: 0,
        })
        .collect();
    for entry in entries {
        let count = &mut counts[entry.label];
        match entry.part {
            Part::Train => count.train += 1,
            Part::Val => count.val += 1,
        }
    }
    counts
}

fn list(out: &mut impl Write, heading: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let bold = Style::new().bold();
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "\n{bold}{heading}{bold:#}")?;
    for line in lines.by_ref().take(MOST) {
        writeln!(out, "  {line}")?;
    }
    match lines.count() {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more (--format json lists all)"),
    }
}
