//! [`TaskMetrics`]: the validation metrics of the task at hand, whichever it is.

use effnet::Task;
use effnet_data::metrics::{Metrics, MultiLabelMetrics, RegressionMetrics};
use effnet_train::run::Validation;
use effnet_train::{Error, Measure, Score, Targets};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Metrics of one class per image, of several labels per image, or of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum TaskMetrics {
    Classes(Box<Metrics>),
    Labels(MultiLabelMetrics),
    /// Metrics of standardised values, and all predicted and true values.
    Values(RegressionMetrics, Vec<[f32; 2]>),
}

impl TaskMetrics {
    pub(super) fn new(task: Task, outputs: usize) -> Self {
        match task {
            Task::Classify => Self::Classes(Box::new(Metrics::new(outputs))),
            Task::MultiLabel => Self::Labels(MultiLabelMetrics::new(outputs)),
            Task::Regression => Self::Values(RegressionMetrics::new(outputs), Vec::new()),
        }
    }

    /// Returns what is reported; `scale` is the mean and the standard deviation of each value.
    pub(super) fn validation(&self, scale: Option<&[Vec<f64>; 2]>) -> Option<Validation> {
        Some(match self {
            Self::Classes(metrics) => Validation::Classes(metrics.summary()?),
            Self::Labels(metrics) => Validation::Labels(metrics.summary(&metrics.best_thresholds())?),
            Self::Values(metrics, _) => Validation::Values(match scale {
                Some([_, std]) => metrics.scaled(std).summary()?,
                None => metrics.summary()?,
            }),
        })
    }

    /// Returns the probability from which each label applies, chosen on these images.
    pub(super) fn thresholds(&self) -> Option<Vec<f64>> {
        match self {
            Self::Labels(metrics) => Some(metrics.best_thresholds()),
            _ => None,
        }
    }
}

impl Measure for TaskMetrics {
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), Error> {
        match self {
            Self::Classes(metrics) => Measure::add(&mut **metrics, outputs, targets),
            Self::Labels(metrics) => metrics.add(outputs, targets),
            Self::Values(metrics, pairs) => {
                metrics.add(outputs, targets)?;
                let [predicted, values] = [outputs, targets.tensor()].map(floats);
                pairs.extend(predicted?.into_iter().zip(values?).map(<[f32; 2]>::from));
                Ok(())
            }
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Error> {
        match (self, other) {
            (Self::Classes(own), Self::Classes(other)) => Measure::merge(&mut **own, other),
            (Self::Labels(own), Self::Labels(other)) => Measure::merge(own, other),
            (Self::Values(own, pairs), Self::Values(other, others)) => {
                pairs.extend_from_slice(others);
                Measure::merge(own, other)
            }
            _ => Err(Error::StateMismatch {
                what: "the metrics of another rank",
                difference: "they are of another task".to_owned(),
            }),
        }
    }

    fn score(&self) -> Option<Score> {
        match self {
            Self::Classes(metrics) => metrics.score(),
            Self::Labels(metrics) => metrics.score(),
            Self::Values(metrics, _) => metrics.score(),
        }
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?;
    let tensor = tensor.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}
