//! The folds of a cross-validation: runs that differ in nothing but the fold that they hold out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::summary::{Status, Summary};

/// Settings that the folds of one cross-validation may have of their own: those that change no result, and what `auto` makes
/// of the number of images.
const OWN: [&str; 6] = [
    "fold",
    "workers",
    "report",
    "save_steps",
    "log_steps",
    "bn_momentum",
];

/// The scores of the folds that are trained, of two and more.
#[derive(Debug)]
pub(super) struct Folds {
    /// Into how many folds the images are split.
    pub(super) of: u64,
    pub(super) metric: &'static str,
    /// Of each fold's best epoch.
    scores: BTreeMap<u64, f64>,
}

impl Folds {
    /// Groups the finished ones of `runs`, which have all their settings. If a fold was trained twice with the same
    /// settings, the later of `runs` counts.
    pub(super) fn of(runs: &[Summary]) -> Vec<Self> {
        let mut groups: BTreeMap<String, Self> = BTreeMap::new();
        for run in runs {
            let number = |name: &str| run.settings.get(name).and_then(Value::as_u64).unwrap_or(0);
            let (of, fold) = (number("folds"), number("fold"));
            let is_done = matches!(run.status, Status::Finished | Status::StoppedEarly);
            let (Some(metric), Some(value), true) = (run.metric, run.value, is_done && of > 0) else {
                continue;
            };
            let mut others = run.settings.clone();
            others.retain(|name, _| !OWN.contains(&name.as_str()));
            let group = groups.entry(json!(others).to_string()).or_insert_with(|| Self {
                of,
                metric,
                scores: BTreeMap::new(),
            });
            group.scores.insert(fold, value);
        }
        groups.into_values().filter(|folds| folds.count() > 1).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn mean(&self) -> f64 {
        self.scores.values().sum::<f64>() / self.count() as f64
    }

    /// That of a sample: the squares are divided by one less than there are folds.
    pub(super) fn standard_deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.scores.values().map(|score| (score - mean).powi(2)).sum();
        (squares / (self.count() - 1) as f64).sqrt()
    }
}
