//! The report of `effnet evaluate`.

use std::io::{self, Write};

use anstyle::Style;
use effnet::Labels;
use effnet_data::metrics::{ClassReport, Metrics, Summary};
use serde::Serialize;

use super::calibration::Calibration;
use crate::escape;

/// The largest number of classes that all get a row. If there are more, only the worst classes are printed.
const MOST_CLASSES: usize = 60;
const WORST: usize = 20;
/// The maximum length of a class name in the table, in characters.
const NAME: usize = 40;

/// The object that `--format json` prints. Rates are fractions.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) schema: u32,
    pub(super) model: &'static str,
    pub(super) weights: &'a str,
    pub(super) data: String,
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// The mean probability of the predicted classes.
    #[serde(skip)]
    pub(super) confidence: f64,
    /// What `--calibrate` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) calibrated: Option<Calibration>,
    /// The number of images that could not be read, or whose logits were not finite.
    pub(super) failed: u64,
    pub(super) images_per_second: f64,
    pub(super) classes: Vec<Class>,
}

/// A class that has images in the data, or that was predicted for some image.
#[derive(Serialize)]
pub(super) struct Class {
    #[serde(rename = "class")]
    index: usize,
    label: String,
    #[serde(flatten)]
    report: ClassReport,
}

/// Returns the classes that occur in the labels or predictions, in the order of the network.
pub(super) fn of_classes(metrics: &Metrics, labels: &Labels) -> Vec<Class> {
    let reports = metrics.confusion().classes().into_iter().enumerate();
    let occurring = reports.filter(|(_, report)| report.f1.is_some());
    occurring
        .map(|(index, report)| Class {
            index,
            label: labels.get(index).to_owned(),
            report,
        })
        .collect()
}

impl Report<'_> {
    /// Writes a human-readable report on a network with `num_classes` classes.
    pub(super) fn write_text(&self, out: &mut impl Write, num_classes: usize) -> io::Result<()> {
        let Summary {
            images,
            top1,
            top5,
            loss,
            ece,
        } = self.summary;
        let subject = Subject {
            model: self.model,
            weights: self.weights,
            data: &self.data,
        };
        subject.write(out, images, self.failed)?;
        writeln!(out, "top-1              {:.2} %", 100.0 * top1)?;
        // With five classes or fewer, every class is among the top five.
        if num_classes > 5 {
            writeln!(out, "top-5              {:.2} %", 100.0 * top5)?;
        }
        writeln!(out, "loss               {loss:.4}")?;
        // Which of the two is higher tells whether the probabilities are too high or too low.
        let confidence = 100.0 * self.confidence;
        writeln!(
            out,
            "calibration error  {:.2} % (mean probability of the answers: {confidence:.2} %)",
            100.0 * ece
        )?;
        if let Some(Calibration {
            temperature,
            loss,
            ece,
        }) = self.calibrated
        {
            writeln!(
                out,
                "temperature        {temperature:.3} (loss {loss:.4}, calibration error {:.2} %)",
                100.0 * ece
            )?;
        }
        writeln!(out, "speed              {:.1} images/s", self.images_per_second)?;
        self.write_classes(out)
    }

    fn write_classes(&self, out: &mut impl Write) -> io::Result<()> {
        let bold = Style::new().bold();
        let mut classes: Vec<&Class> = self.classes.iter().collect();
        if classes.len() > MOST_CLASSES {
            // A class without images has no recall and comes last.
            classes.sort_by(|a, b| {
                let recall = |class: &Class| class.report.recall.unwrap_or(f64::INFINITY);
                recall(a).total_cmp(&recall(b))
            });
            classes.truncate(WORST);
            writeln!(
                out,
                "\nThe {WORST} of {} classes with the lowest recall (--format json lists all):",
                self.classes.len()
            )?;
        } else {
            writeln!(out)?;
        }
        let width = classes
            .iter()
            .map(|class| shown(&class.label, NAME).chars().count());
        let width = width.max().unwrap_or(0).max("class".len());
        writeln!(
            out,
            "{bold}{:<width$}  {:>7}  {:>9}  {:>7}  {:>7}{bold:#}",
            "class", "images", "precision", "recall", "F1"
        )?;
        for Class { label, report, .. } in classes {
            writeln!(
                out,
                "{:<width$}  {:>7}  {:>9}  {:>7}  {:>7}",
                shown(label, NAME),
                report.support,
                percent(report.precision),
                percent(report.recall),
                percent(report.f1)
            )?;
        }
        Ok(())
    }
}

/// What was evaluated.
pub(super) struct Subject<'a> {
    pub(super) model: &'static str,
    pub(super) weights: &'a str,
    pub(super) data: &'a str,
}

impl Subject<'_> {
    /// Writes the first lines of a report, with the number of images that were measured and of those that failed.
    pub(super) fn write(&self, out: &mut impl Write, images: u64, failed: u64) -> io::Result<()> {
        let (weights, data) = (escape::line(self.weights), escape::line(self.data));
        writeln!(out, "{}, {weights}, on {data}", self.model)?;
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} more failed"),
        };
        writeln!(out, "images             {images}{failed}")
    }
}

/// Formats a fraction as a percentage; `-` where there is none.
pub(super) fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", 100.0 * part))
}

/// Returns a name on one line, truncated to `longest` characters.
pub(super) fn shown(label: &str, longest: usize) -> String {
    let line = escape::line(label);
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", line[..end].trim_end()),
        None => line.into_owned(),
    }
}
