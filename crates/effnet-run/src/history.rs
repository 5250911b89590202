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
    let loss = Panel::new("loss")
        .with_curve(Curve::new(
            "training, with augmentation",
            points(&|epoch| Some(epoch.train_loss)),
        ))
        .with_curve(Curve::new(
            "validation",
            validation(&|validation| Some(validation.score().loss)),
        ));
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

/// The learning rate by step, at fractions of epochs: step 15 of 10 per epoch is at 1.5.
fn rates(epochs: &[EpochRecord], steps: &[StepRecord]) -> Vec<(f64, f64)> {
    let mut points = Vec::with_capacity(epochs.len() + steps.len());
    let mut first = 0;
    for epoch in epochs {
        let length = epoch.step.saturating_sub(first).max(1) as f64;
        let within = |step: &&StepRecord| step.step > first && step.step < epoch.step;
        let start = epoch.epoch as f64 - 1.0;
        let place = |step: u64| start + (step - first) as f64 / length;
        points.extend(
            steps
                .iter()
                .filter(within)
                .map(|step| (place(step.step), step.lr)),
        );
        points.push((epoch.epoch as f64, epoch.lr));
        first = epoch.step;
    }
    points
}

#[cfg(test)]
mod tests {
    use effnet_data::metrics::Summary;

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
}
