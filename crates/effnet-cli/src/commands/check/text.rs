//! The report of `effnet check` as text, and the words that the page shares with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anstyle::Style;
use effnet_data::check::Part;

use super::report::{Class, Duplicates, Report, Split};
use crate::escape;
use crate::printer::counted;

/// The largest number of findings of one kind in the text.
const MOST: usize = 20;
/// The ratio of the largest to the smallest class that is worth a line.
const IMBALANCE: usize = 5;

/// Returns the name of a part in a sentence.
pub(super) fn word(part: Part) -> &'static str {
    match part {
        Part::Train => "training",
        Part::Val => "validation",
        Part::Test => "test",
    }
}

/// Returns `training and test`, or `training, validation and test`.
fn words(parts: &BTreeSet<Part>) -> String {
    let mut words: Vec<&str> = parts.iter().copied().map(word).collect();
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} and {last}", words.join(", ")),
        last => last.unwrap_or_default().to_owned(),
    }
}

impl Report<'_> {
    /// Returns what was found, one row per kind, with a number and an explanation.
    pub(super) fn summary(&self) -> Vec<(&'static str, String)> {
        let images: usize = self.duplicates.iter().map(|group| group.images.len()).sum();
        let groups =
            |fits: fn(&Duplicates<'_>) -> bool| self.duplicates.iter().filter(|group| fits(group)).count();
        let duplicates = match self.duplicates.len() {
            0 => "none".to_owned(),
            count => format!(
                "{} of {images} images: {} exact, {} with different labels, {}",
                counted(count, "group"),
                groups(|group| group.exact),
                groups(|group| group.labels_differ),
                self.leaks()
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
            ("images", self.listed_parts()),
            ("unreadable", self.unreadable.len().to_string()),
            ("duplicates", duplicates),
            ("doubtful labels", doubtful),
            ("outliers", self.outliers.len().to_string()),
            ("odd sizes", self.odd_sizes.len().to_string()),
            ("class balance", self.balance()),
        ]
    }

    /// Returns the number of images of each part: `540: 480 training (train/), 60 test (test/)`.
    fn listed_parts(&self) -> String {
        let of = |split: &Split<'_>| {
            let name = split.name.map(|name| format!(" ({})", escape::line(name)));
            format!(
                "{} {}{}",
                split.images,
                word(split.part),
                name.unwrap_or_default()
            )
        };
        match &self.splits[..] {
            [_] => self.images.to_string(),
            splits => {
                let splits: Vec<String> = splits.iter().map(of).collect();
                format!("{}: {}", self.images, splits.join(", "))
            }
        }
    }

    /// Returns the number of groups of duplicates in each combination of parts.
    fn leaks(&self) -> String {
        let mut leaks: BTreeMap<BTreeSet<Part>, usize> = BTreeMap::new();
        for group in self.duplicates.iter().filter(|group| group.crosses_parts) {
            *leaks.entry(group.parts()).or_default() += 1;
        }
        if leaks.is_empty() {
            return "none in several splits".to_owned();
        }
        let leaks = leaks
            .iter()
            .map(|(parts, count)| format!("{count} in {}", words(parts)));
        leaks.collect::<Vec<_>>().join(", ")
    }

    fn balance(&self) -> String {
        let by_size = |class: &&Class<'_>| class.images();
        let (Some(smallest), Some(largest)) = (
            self.classes.iter().min_by_key(by_size),
            self.classes.iter().max_by_key(by_size),
        ) else {
            return "no classes".to_owned();
        };
        let (least, most) = (by_size(&smallest), by_size(&largest));
        let classes = counted(self.classes.len(), "class");
        if least == most {
            return format!("{classes} of {} each", counted(least, "image"));
        }
        let advice = if most >= IMBALANCE * least.max(1) {
            "; consider --class-weights when training"
        } else {
            ""
        };
        format!(
            "{classes}, from {least} ({}) to {most} ({}) images{advice}",
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
    /// Returns what the images have in common: `same pixels, in training and validation`.
    pub(super) fn kind(&self) -> String {
        let mut kind = if self.exact {
            "same pixels"
        } else {
            "near duplicates"
        }
        .to_owned();
        if self.crosses_parts {
            kind.push_str(", in ");
            kind.push_str(&words(&self.parts()));
        }
        if self.labels_differ {
            kind.push_str(", with different labels");
        }
        kind
    }

    fn parts(&self) -> BTreeSet<Part> {
        self.images.iter().map(|image| image.part).collect()
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
