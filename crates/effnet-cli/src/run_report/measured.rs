//! What the best weights of a run say about its validation images.

use std::sync::Arc;

use anyhow::Context;
use effnet::{Labels, Output, Pipeline, Prediction, Reader, Task, above_threshold, check_finite, rank};
use effnet_data::Dataset;
use effnet_data::metrics::{Calibration, Metrics, MultiLabelMetrics, RegressionMetrics};
use effnet_image::EvalTransform;
use effnet_run::short;

use super::mistakes::{Mistake, Mistakes};
use crate::arguments::BatchSize;
use crate::commands::evaluate::{Labelled, OutputColumns};
use crate::execution::Execution;
use crate::inference::Network;
use crate::interrupt::Interrupt;
use crate::outputs::for_each_output;
use crate::page::{probability, text};
use crate::printer::Printer;

/// The largest number of labels that a caption names.
const MOST_LABELS: usize = 4;

/// The metrics of a task.
pub(super) enum Quality {
    Classes(Box<Metrics>),
    Labels(MultiLabelMetrics, Box<Calibration>),
    /// Also the predicted and the true values, image by image.
    Values(RegressionMetrics, Vec<[f32; 2]>),
}

/// The results for all validation images.
pub(super) struct Measured {
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) labels: Labels,
    pub(super) quality: Quality,
    pub(super) mistakes: Mistakes,
    /// The number of images that could not be read, or whose outputs were not finite.
    pub(super) failed: usize,
    /// The output of the network for each class or value of the data.
    columns: OutputColumns,
    /// The standard deviation of each value, by which errors of several values are compared.
    deviations: Vec<f64>,
}

impl Measured {
    pub(super) fn new(dataset: &Arc<dyn Dataset>, labels: Labels) -> anyhow::Result<Self> {
        let outputs = labels.len();
        let columns = OutputColumns::of(&**dataset, &labels)?;
        let deviations = match labels.task() {
            Task::Regression => deviations(&**dataset, &columns, outputs),
            Task::Classify | Task::MultiLabel => Vec::new(),
        };
        Ok(Self {
            dataset: Arc::clone(dataset),
            quality: match labels.task() {
                Task::Classify => Quality::Classes(Box::new(Metrics::new(outputs))),
                Task::MultiLabel => Quality::Labels(MultiLabelMetrics::new(outputs), Box::default()),
                Task::Regression => Quality::Values(RegressionMetrics::new(outputs), Vec::new()),
            },
            mistakes: Mistakes::default(),
            failed: 0,
            columns,
            deviations,
            labels,
        })
    }

    /// Runs the network on all images; `None` if it was interrupted.
    pub(super) fn run(
        mut self,
        execution: &Execution,
        network: Network,
        transform: EvalTransform,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Option<Self>> {
        let count = self.dataset.len();
        let of = (&network.config, &*network.backend);
        let batch_size = execution.batch_size(of, BatchSize::Auto, count, transform.image_size)?;
        let images = Labelled::all(Arc::clone(&self.dataset));
        let reader = Reader::start(images, transform, execution.threads, interrupt.flag())?;
        let outputs = Pipeline::new(reader, network.backend, batch_size)?;
        let progress = printer.progress(count as u64);
        for_each_output(outputs, &progress, interrupt, printer, |output, _| {
            let Output { input, result } = output;
            let finite = result
                .ok()
                .filter(|outputs| check_finite(outputs, "class").is_ok());
            if let Some(outputs) = finite {
                return self.add(&input, &outputs).with_context(|| input.name());
            }
            // Validation has already said why.
            self.failed += 1;
            Ok(())
        })?;
        self.mistakes = self.mistakes.into_sorted();
        Ok((!interrupt.is_set()).then_some(self))
    }

    fn add(&mut self, image: &Labelled, outputs: &[f32]) -> anyhow::Result<()> {
        let mistake = match &mut self.quality {
            Quality::Classes(metrics) => {
                let class = self.columns.output(image.label());
                let class = class.context("the network has no output for a class of the data")?;
                metrics.push(outputs, class)?;
                wrong_class(outputs, class, &self.labels)?
            }
            Quality::Labels(metrics, calibration) => {
                let truths = truths(&*self.dataset, image, &self.columns, outputs.len());
                let truths: Vec<bool> = truths.iter().map(|truth| *truth == 1.0).collect();
                metrics.push(outputs, &truths)?;
                let ranked = rank(outputs, &self.labels, 0)?;
                for label in &ranked {
                    calibration.add(label.probability, truths[label.class]);
                }
                wrong_labels(&ranked, &truths, &self.labels, outputs)?
            }
            Quality::Values(metrics, pairs) => {
                let truths = truths(&*self.dataset, image, &self.columns, outputs.len());
                metrics.push(outputs, &truths)?;
                pairs.extend(
                    outputs
                        .iter()
                        .zip(&truths)
                        .map(|(output, truth)| [*output, *truth]),
                );
                Some(missed_values(outputs, &truths, &self.labels, &self.deviations))
            }
        };
        if let Some(mistake) = mistake {
            self.mistakes.add(Mistake {
                index: image.index(),
                ..mistake
            });
        }
        Ok(())
    }
}

/// Returns the true labels or values of an image, in the order of the network's outputs.
fn truths(dataset: &dyn Dataset, image: &Labelled, columns: &OutputColumns, outputs: usize) -> Vec<f32> {
    let mut row = vec![0.0; dataset.classes().len()];
    image.values(&mut row);
    let mut truths = vec![0.0; outputs];
    columns.assign(&row, &mut truths);
    truths
}

/// Returns the standard deviation of each value over the images, in the order of the network's outputs; 1 if it is 0.
fn deviations(dataset: &dyn Dataset, columns: &OutputColumns, outputs: usize) -> Vec<f64> {
    let mut row = vec![0.0; dataset.classes().len()];
    let mut truths = vec![0.0; outputs];
    let mut values = vec![Vec::with_capacity(dataset.len()); outputs];
    for index in 0..dataset.len() {
        dataset.values(index, &mut row);
        columns.assign(&row, &mut truths);
        for (values, truth) in values.iter_mut().zip(&truths) {
            values.push(f64::from(*truth));
        }
    }
    let deviation = |values: &Vec<f64>| {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some((squares / count).sqrt())
            .filter(|deviation| *deviation > 0.0)
            .unwrap_or(1.0)
    };
    values.iter().map(deviation).collect()
}

/// Returns the mistake if the most likely class is not `class`.
fn wrong_class(logits: &[f32], class: usize, labels: &Labels) -> anyhow::Result<Option<Mistake>> {
    let best = rank(logits, labels, 1)?;
    if best.first().is_none_or(|best| best.class == class) {
        return Ok(None);
    }
    let ranked = rank(logits, labels, 0)?;
    let of_truth = ranked.iter().find(|found| found.class == class);
    let of_truth = of_truth.map_or(0.0, |found| found.probability);
    Ok(ranked.first().map(|best| Mistake {
        index: 0,
        severity: best.probability,
        truth: labels.get(class).to_owned(),
        guess: best.label.clone(),
        detail: format!(
            "{}, {}",
            probability(&best.label, best.probability),
            probability(labels.get(class), of_truth)
        ),
    }))
}

/// Returns the mistake if a label is missed, or predicted where it does not apply. `ranked` are all labels.
fn wrong_labels(
    ranked: &[Prediction],
    truths: &[bool],
    labels: &Labels,
    logits: &[f32],
) -> anyhow::Result<Option<Mistake>> {
    let present = above_threshold(logits, labels, None)?;
    let is_present = |class: usize| present.iter().any(|found| found.class == class);
    let distance = |label: &&Prediction| (label.probability - f64::from(u8::from(truths[label.class]))).abs();
    let mut wrong: Vec<&Prediction> = ranked
        .iter()
        .filter(|label| is_present(label.class) != truths[label.class])
        .collect();
    wrong.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    let Some(worst) = wrong.first() else {
        return Ok(None);
    };
    let name = |label: &&&Prediction| probability(&label.label, label.probability);
    let named: Vec<String> = wrong.iter().take(MOST_LABELS).map(|label| name(&label)).collect();
    let true_names = (0..truths.len()).filter(|class| truths[*class]);
    let true_names: Vec<&str> = true_names.map(|class| labels.get(class)).collect();
    let guessed: Vec<&str> = present.iter().map(|found| found.label.as_str()).collect();
    Ok(Some(Mistake {
        index: 0,
        severity: distance(worst),
        truth: listed(&true_names),
        guess: listed(&guessed),
        detail: format!("wrong: {}", named.join(", ")),
    }))
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => "no label".to_owned(),
        count if count > MOST_LABELS => {
            format!(
                "{} and {} more",
                names[..MOST_LABELS].join(", "),
                count - MOST_LABELS
            )
        }
        _ => names.join(", "),
    }
}

fn missed_values(outputs: &[f32], truths: &[f32], labels: &Labels, deviations: &[f64]) -> Mistake {
    let errors: Vec<f64> = outputs
        .iter()
        .zip(truths)
        .map(|(output, truth)| f64::from(*output) - f64::from(*truth))
        .collect();
    let mut parts: Vec<(f64, usize)> = errors
        .iter()
        .zip(deviations)
        .enumerate()
        .map(|(output, (error, deviation))| (error.abs() / deviation, output))
        .collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown = parts.iter().take(MOST_LABELS);
    let value = |number: f32, output: usize| match labels.len() {
        1 => short(number.into()),
        _ => format!("{} {}", labels.get(output), short(number.into())),
    };
    let of = |numbers: &[f32]| {
        let values: Vec<String> = shown
            .clone()
            .map(|(_, output)| value(numbers[*output], *output))
            .collect();
        values.join(", ")
    };
    let error = parts.first().map_or(0.0, |(_, output)| errors[*output]);
    Mistake {
        index: 0,
        severity: parts.iter().map(|part| part.0).sum(),
        truth: of(truths),
        guess: of(outputs),
        detail: text(&format!(
            "error {}{}",
            if error < 0.0 { "" } else { "+" },
            short(error)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(task: Task) -> Labels {
        Labels::from_names(["cat", "<script>", "owl"]).with_task(task)
    }

    #[test]
    fn a_wrong_class_is_a_mistake_with_both_probabilities() {
        let labels = labels(Task::Classify);
        assert_eq!(wrong_class(&[3.0, 1.0, 0.0], 0, &labels).unwrap(), None);
        let mistake = wrong_class(&[0.0, 3.0, 1.0], 0, &labels).unwrap().unwrap();
        assert_eq!(
            (mistake.truth.as_str(), mistake.guess.as_str()),
            ("cat", "<script>")
        );
        assert_eq!(mistake.detail, "&lt;script&gt;\u{a0}84\u{a0}%, cat\u{a0}4\u{a0}%");
        assert!((mistake.severity - 0.8437).abs() < 1e-3);
    }

    #[test]
    fn wrong_labels_are_ranked_by_the_worst_of_them() {
        let labels = labels(Task::MultiLabel);
        let mistake = |logits: &[f32], truths: &[bool]| {
            let ranked = rank(logits, &labels, 0).unwrap();
            wrong_labels(&ranked, truths, &labels, logits).unwrap()
        };
        assert_eq!(mistake(&[2.0, -2.0, -2.0], &[true, false, false]), None);
        let found = mistake(&[-0.5, 4.0, -2.0], &[true, false, false]).unwrap();
        assert_eq!((found.truth.as_str(), found.guess.as_str()), ("cat", "<script>"));
        assert!(found.severity > 0.98, "{found:?}");
        assert_eq!(
            found.detail,
            "wrong: &lt;script&gt;\u{a0}98\u{a0}%, cat\u{a0}38\u{a0}%"
        );
        assert_eq!(
            mistake(&[-1.0; 3], &[false, true, false]).unwrap().guess,
            "no label"
        );
    }

    #[test]
    fn errors_of_several_values_are_compared_by_their_deviations() {
        let labels = labels(Task::Regression);
        let found = missed_values(
            &[1.0, 200.0, 3.0],
            &[2.0, 100.0, 3.0],
            &labels,
            &[0.5, 100.0, 1.0],
        );
        assert_eq!(found.severity, 3.0);
        assert_eq!(found.truth, "cat 2.000, <script> 100.0, owl 3.000");
        assert_eq!(found.detail, "error -1.000");
    }
}
