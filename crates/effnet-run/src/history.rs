//! The curves of a run.

use effnet_data::{Curve, Panel};

use crate::record::{EpochRecord, StepRecord, Validation, best_epoch};

/// Loss, accuracy and learning rate over the epochs of a run with this number of classes. `steps` are its step records;
/// they show how the learning rate changes within an epoch.
pub fn history_panels(epochs: &[EpochRecord], steps: &[StepRecord], classes: usize) -> Vec<Panel> {
    let points = |value: &dyn Fn(&EpochRecord) -> Option<f64>| {
        let point = |epoch: &EpochRecord| Some((epoch.epoch as f64, value(epoch)?));
        epochs.iter().filter_map(point).collect::<Vec<_>>()
    };
    let validation = |value: &dyn Fn(&Validation) -> Option<f64>| {
        points(&|epoch: &EpochRecord| epoch.validation.as_ref().and_then(value))
    };
    let mut loss = Panel::new("loss").with_curve(Curve::new(
        "training, with augmentation",
        training_losses(epochs, steps),
    ));
    // Of numbers, the training loss is that of standardised values, and the validation loss that of the values.
    let losses = validation(&|found| match found {
        Validation::Values(_) => None,
        _ => Some(found.score().loss),
    });
    if !losses.is_empty() {
        loss = loss.with_curve(Curve::new("validation", losses));
    }
    let best = best_epoch(epochs).map(|epoch| epoch.epoch as f64);
    let [(title, unit), first, second] = quantities(epochs);
    let mut quality = Panel::new(title)
        .with_unit(unit)
        .with_curve(Curve::new(
            first.0,
            validation(&|found| quantity(found, first.0, classes)),
        ))
        .with_best(best);
    let others = validation(&|found| quantity(found, second.0, classes));
    if !others.is_empty() {
        quality = quality.with_curve(Curve::new(second.0, others));
    }
    let rate = Panel::new("learning rate").with_curve(Curve::new("of the classifier", rates(epochs, steps)));
    vec![loss, quality, rate]
}

/// Returns the title and the unit of the panel for the quality of the network, and the names of its two curves.
fn quantities(epochs: &[EpochRecord]) -> [(&'static str, &'static str); 3] {
    match epochs.iter().find_map(|epoch| epoch.validation) {
        Some(Validation::Labels(_)) => [("validation mAP and F1", "%"), ("mAP", ""), ("micro F1", "")],
        Some(Validation::Values(_)) => [("validation error", ""), ("MAE", ""), ("RMSE", "")],
        _ => [("validation accuracy", "%"), ("top-1", ""), ("top-5", "")],
    }
}

fn quantity(validation: &Validation, name: &str, classes: usize) -> Option<f64> {
    let percent = |part: f64| 100.0 * part;
    match (validation, name) {
        (Validation::Classes(summary), "top-1") => Some(percent(summary.top1)),
        (Validation::Classes(summary), _) => summary.top5_of(classes).map(percent),
        (Validation::Labels(summary), "mAP") => summary.mean_average_precision.map(percent),
        (Validation::Labels(summary), _) => summary.micro_f1.map(percent),
        (Validation::Values(summary), "MAE") => Some(summary.mae),
        (Validation::Values(summary), _) => Some(summary.mse.sqrt()),
    }
}

/// The largest number of points of a curve by step. Of more, neighbours are averaged: the losses of single steps scatter
/// so widely that the validation curve would drown in them.
const MOST_POINTS: usize = 300;

/// The training loss by step: the mean over the steps between two records. Records hold the mean of their epoch so far.
fn training_losses(epochs: &[EpochRecord], steps: &[StepRecord]) -> Vec<(f64, f64)> {
    let mut points = Vec::with_capacity(epochs.len() + steps.len());
    for epoch in by_epoch(epochs, steps) {
        let end = (epoch.last, epoch.record.train_loss);
        let means = epoch
            .records
            .iter()
            .map(|step| (step.step, step.loss))
            .chain([end]);
        let mut before = (epoch.first, 0.0);
        for (step, mean) in means {
            let since_start = |step: u64| (step - epoch.first) as f64;
            let sum = mean * since_start(step) - before.1 * since_start(before.0);
            points.push((epoch.place(step), sum / (step - before.0).max(1) as f64));
            before = (step, mean);
        }
    }
    averaged(&points)
}

/// Averages neighbouring points, so that at most [`MOST_POINTS`] remain.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let length = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len() as f64;
        let sum = part
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(length).map(mean).collect()
}

/// The learning rate by step, at fractions of epochs: step 15 of 10 per epoch is at 1.5.
fn rates(epochs: &[EpochRecord], steps: &[StepRecord]) -> Vec<(f64, f64)> {
    let mut points = Vec::with_capacity(epochs.len() + steps.len());
    for epoch in by_epoch(epochs, steps) {
        points.extend(epoch.records.iter().map(|step| (epoch.place(step.step), step.lr)));
        points.push((epoch.record.epoch as f64, epoch.record.lr));
    }
    points
}

/// An epoch, and the records of its steps but the last.
struct Steps<'a> {
    record: &'a EpochRecord,
    /// The number of steps before the epoch, and after it.
    first: u64,
    last: u64,
    records: &'a [StepRecord],
}

impl Steps<'_> {
    /// Returns where a step is on the axis of epochs.
    fn place(&self, step: u64) -> f64 {
        let length = (self.last - self.first).max(1) as f64;
        self.record.epoch as f64 - 1.0 + (step - self.first) as f64 / length
    }
}

/// Divides the records of steps, which are in order, among their epochs.
fn by_epoch<'a>(epochs: &'a [EpochRecord], steps: &'a [StepRecord]) -> Vec<Steps<'a>> {
    let mut first = 0;
    let of_epoch = |record: &'a EpochRecord| {
        let last = record.step.max(first);
        let begin = steps.partition_point(|step| step.step <= first);
        let end = steps.partition_point(|step| step.step < last);
        let epoch = Steps {
            record,
            first,
            last,
            records: &steps[begin..end.max(begin)],
        };
        first = last;
        epoch
    };
    epochs.iter().map(of_epoch).collect()
}

#[cfg(test)]
mod tests {
    use effnet_data::metrics::{RegressionMetrics, Summary};

    use super::*;

    fn epoch(epoch: u64, top1: f64, loss: f64) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 10 * epoch,
            lr: 0.1 / epoch as f64,
            train_loss: 1.0,
            validation: Some(Validation::Classes(Summary {
                images: 7,
                top1,
                top5: 1.0,
                loss,
                ece: 0.0,
            })),
            best: false,
        }
    }

    #[test]
    fn of_equally_accurate_epochs_the_one_with_the_lowest_loss_is_marked() {
        let epochs = [
            epoch(1, 0.993, 0.5),
            epoch(2, 0.98, 0.1),
            epoch(3, 0.993, 0.4),
            epoch(4, 0.993, 0.4),
        ];
        assert_eq!(best_epoch(&epochs).unwrap().epoch, 3);
        assert_eq!(history_panels(&epochs, &[], 3)[1].mark, Some(3.0));
        let last = EpochRecord {
            validation: None,
            ..epoch(5, 0.0, 0.0)
        };
        assert_eq!(best_epoch(&[last, last]).unwrap(), &last);
        assert_eq!(best_epoch(&[]), None);
    }

    #[test]
    fn the_epoch_that_training_found_the_best_is_marked() {
        // Of standardised values, the second epoch is the best: 0.5 % of a price, 30 % of an age.
        let values = |epoch_number: u64, errors: [f32; 2], best: bool| {
            let mut metrics = RegressionMetrics::new(2);
            metrics.push(&errors, &[0.0, 0.0]).unwrap();
            EpochRecord {
                validation: Some(Validation::Values(metrics.summary().unwrap())),
                best,
                ..epoch(epoch_number, 0.0, 0.0)
            }
        };
        let mut epochs = [
            values(1, [10_000.0, 9.0], true),
            values(2, [10_050.0, 3.0], true),
            values(3, [9_900.0, 9.0], false),
        ];
        assert_eq!(best_epoch(&epochs).unwrap().epoch, 2);
        assert_eq!(history_panels(&epochs, &[], 2)[1].mark, Some(2.0));
        // The log of an earlier version does not say which it was.
        for epoch in &mut epochs {
            epoch.best = false;
        }
        assert_eq!(best_epoch(&epochs).unwrap().epoch, 3);
    }

    #[test]
    fn losses_in_other_units_are_not_drawn_side_by_side() {
        let of_classes = [epoch(1, 0.9, 0.5)];
        let mut metrics = RegressionMetrics::new(1);
        metrics.push(&[12.0], &[10.0]).unwrap();
        let of_values = [EpochRecord {
            validation: Some(Validation::Values(metrics.summary().unwrap())),
            ..of_classes[0]
        }];
        let curves = |epochs: &[EpochRecord]| history_panels(epochs, &[], 1)[0].curves.len();
        assert_eq!((curves(&of_classes), curves(&of_values)), (2, 1));
    }

    #[test]
    fn top_5_is_shown_for_more_than_five_classes_only() {
        let epochs = [epoch(1, 0.9, 0.5)];
        let curves = |classes| history_panels(&epochs, &[], classes)[1].curves.len();
        assert_eq!([2, 5, 6, 1000].map(curves), [1, 1, 2, 2]);
    }

    #[test]
    fn the_learning_rate_is_drawn_by_step() {
        let step = |step: u64| StepRecord {
            epoch: 1 + step / 10,
            step,
            lr: step as f64,
            loss: 1.0,
        };
        let epochs = [epoch(1, 0.9, 0.5), epoch(2, 0.9, 0.5)];
        let found = rates(&epochs, &[step(5), step(10), step(15)]);
        assert_eq!(found, [(0.5, 5.0), (1.0, 0.1), (1.5, 15.0), (2.0, 0.05)]);
    }

    #[test]
    fn the_training_loss_is_drawn_by_step() {
        // The loss of step n is 1 / n in the first epoch, and 0.5 after it.
        let epochs = [
            EpochRecord {
                train_loss: (1..=10).map(|step| 1.0 / f64::from(step)).sum::<f64>() / 10.0,
                ..epoch(1, 0.9, 0.5)
            },
            EpochRecord {
                train_loss: 0.5,
                ..epoch(2, 0.9, 0.5)
            },
        ];
        let step = |step: u64, loss: f64| StepRecord {
            epoch: 1 + (step - 1) / 10,
            step,
            lr: 0.1,
            loss,
        };
        let first_five = [1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0, 1.0 / 5.0]
            .iter()
            .sum::<f64>()
            / 5.0;
        let steps = [step(5, first_five), step(10, epochs[0].train_loss), step(15, 0.5)];
        let found = training_losses(&epochs, &steps);
        let others = (6..=10).map(|step| 1.0 / f64::from(step)).sum::<f64>() / 5.0;
        let expected = [(0.5, first_five), (1.0, others), (1.5, 0.5), (2.0, 0.5)];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-12 && (found.1 - expected.1).abs() < 1e-12,
                "{found:?}"
            );
        }
        assert_eq!(training_losses(&epochs, &[]).len(), 2);
        let many: Vec<_> = (0..1000).map(|x| (f64::from(x), 2.0)).collect();
        assert_eq!(averaged(&many).len(), 250);
        assert!(averaged(&many).iter().all(|point| point.1 == 2.0));
    }
}
