//! The records of `log.jsonl`.

use effnet_data::metrics::Summary;
use effnet_data::{Curve, Panel};
use serde::{Deserialize, Serialize};

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// Written every few steps.
    Step(StepRecord),
    /// Written after an epoch and its validation.
    Epoch(EpochRecord),
}

/// The training loss and learning rate at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1.
    pub epoch: u64,
    /// Steps so far.
    pub step: u64,
    /// The learning rate of the last step, of the group with the highest.
    pub lr: f64,
    /// Mean training loss of the epoch so far.
    pub loss: f64,
}

/// The results of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u64,
    /// Steps so far.
    pub step: u64,
    /// The learning rate of the last step, of the group with the highest.
    pub lr: f64,
    /// Mean training loss over the epoch, with augmentation, dropout and label smoothing.
    pub train_loss: f64,
    /// The validation metrics; absent without validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Summary>,
}

/// Loss, accuracy and learning rate per epoch.
pub fn history_panels(epochs: &[EpochRecord]) -> Vec<Panel> {
    let curve = |name: &str, value: &dyn Fn(&EpochRecord) -> Option<f64>| Curve {
        name: name.to_owned(),
        points: epochs
            .iter()
            .filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?)))
            .collect(),
    };
    let of_validation =
        |value: fn(&Summary) -> f64| move |epoch: &EpochRecord| epoch.validation.as_ref().map(value);
    vec![
        Panel {
            title: "loss".to_owned(),
            curves: vec![
                curve("training", &|epoch| Some(epoch.train_loss)),
                curve("validation", &of_validation(|summary| summary.loss)),
            ],
            mark_highest: false,
        },
        Panel {
            title: "validation accuracy (%)".to_owned(),
            curves: vec![
                curve("top-1", &of_validation(|summary| 100.0 * summary.top1)),
                curve("top-5", &of_validation(|summary| 100.0 * summary.top5)),
            ],
            mark_highest: true,
        },
        Panel {
            title: "learning rate".to_owned(),
            curves: vec![curve("highest of all groups", &|epoch| Some(epoch.lr))],
            mark_highest: false,
        },
    ]
}
