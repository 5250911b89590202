//! [`Measure`]: what a network is validated with. Lets effnet-data's metrics, which take slices, count tensors too.

use effnet_data::metrics::{Metrics, MetricsError, MultiLabelMetrics, RegressionMetrics};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};

use crate::run::Score;
use crate::{Error, Targets};

/// Metrics on validation images.
///
/// The processes of a group measure their own images, and send their metrics to each other as JSON, so the result of
/// merging must not depend on how the images were divided.
pub trait Measure: Serialize + DeserializeOwned {
    /// Adds the outputs of a network, 32-bit floats on any device, and their targets.
    ///
    /// # Errors
    /// [`Error::Metrics`] if they do not match or are not finite, [`Error::Torch`].
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), Error>;

    /// Merges the metrics of other images into these.
    ///
    /// # Errors
    /// [`Error::Metrics`] if the metrics do not match.
    fn merge(&mut self, other: &Self) -> Result<(), Error>;

    /// Returns the score by which epochs are compared; `None` before the first image.
    fn score(&self) -> Option<Score>;
}

/// Classification: the top-1 accuracy counts.
impl Measure for Metrics {
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), Error> {
        measure(self, outputs, targets.tensor())
    }

    fn merge(&mut self, other: &Self) -> Result<(), Error> {
        Ok(self.merge(other)?)
    }

    fn score(&self) -> Option<Score> {
        let summary = self.summary()?;
        Some(Score {
            value: summary.top1,
            loss: summary.loss,
        })
    }
}

/// Several labels per image, with [`Targets::Values`] of 0 and 1: the mean average precision counts.
impl Measure for MultiLabelMetrics {
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), Error> {
        let columns = self.num_labels();
        let (logits, labels) = values(outputs, targets, columns)?;
        let expected = "0 or 1, whether a label applies";
        if let Some(&found) = labels.iter().find(|&&label| label != 0.0 && label != 1.0) {
            return Err(MetricsError::Target { found, expected }.into());
        }
        let labels: Vec<bool> = labels.iter().map(|&label| label == 1.0).collect();
        let width = columns.max(1);
        for (logits, labels) in logits.chunks_exact(width).zip(labels.chunks_exact(width)) {
            self.push(logits, labels)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<(), Error> {
        Ok(self.merge(other)?)
    }

    fn score(&self) -> Option<Score> {
        // The thresholds change neither of the two.
        let summary = self.summary(&vec![0.5; self.num_labels()])?;
        Some(Score {
            value: summary.mean_average_precision.unwrap_or(0.0),
            loss: summary.loss,
        })
    }
}

/// Regression, with [`Targets::Values`]: the mean absolute error counts, and the mean squared error decides between equal
/// ones.
impl Measure for RegressionMetrics {
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), Error> {
        let columns = self.num_outputs();
        let (predicted, values) = values(outputs, targets, columns)?;
        let width = columns.max(1);
        for (predicted, values) in predicted.chunks_exact(width).zip(values.chunks_exact(width)) {
            self.push(predicted, values)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<(), Error> {
        Ok(self.merge(other)?)
    }

    fn score(&self) -> Option<Score> {
        let summary = self.summary()?;
        Some(Score {
            value: -summary.mae,
            loss: summary.mse,
        })
    }
}

/// Adds a batch to `metrics`: logits `[N, num_classes]` of any floating-point kind and integer labels `[N]`, on
/// any device.
///
/// # Errors
/// [`Error::Metrics`] for any other shapes, for a label that is not a class and for logits that are not finite, in
/// which case the rows before the bad row have been added; [`Error::Torch`].
pub fn measure(metrics: &mut Metrics, logits: &Tensor, labels: &Tensor) -> Result<(), Error> {
    let classes = metrics.num_classes();
    let rows = match (logits.size().as_slice(), labels.size().as_slice()) {
        (&[rows, columns], &[labels]) if columns as usize == classes && rows == labels => rows as usize,
        _ => {
            return Err(MetricsError::Shapes {
                classes,
                logits: logits.size(),
                labels: labels.size(),
            }
            .into());
        }
    };
    let values = floats(logits)?;
    let mut targets = vec![0i64; rows];
    on_cpu(labels, Kind::Int64)?.f_copy_data(&mut targets, rows)?;
    for (row, &label) in values.chunks_exact(classes.max(1)).zip(&targets) {
        let label = usize::try_from(label).map_err(|_| MetricsError::Label { label, classes })?;
        metrics.push(row, label)?;
    }
    Ok(())
}

/// Returns outputs and targets, both `[N, columns]`, row by row.
fn values(outputs: &Tensor, targets: &Targets, columns: usize) -> Result<(Vec<f32>, Vec<f32>), Error> {
    let expected = [outputs.size().first().copied().unwrap_or(0), columns as i64];
    match targets {
        Targets::Values(values) if outputs.size() == expected && values.size() == expected => {
            Ok((floats(outputs)?, floats(values)?))
        }
        _ => Err(MetricsError::Columns {
            columns,
            outputs: outputs.size(),
            targets: targets.tensor().size(),
        }
        .into()),
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let count = tensor.numel();
    let mut values = vec![0f32; count];
    on_cpu(tensor, Kind::Float)?.f_copy_data(&mut values, count)?;
    Ok(values)
}

fn on_cpu(tensor: &Tensor, kind: Kind) -> Result<Tensor, tch::TchError> {
    tensor
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_to_kind(kind)?
        .f_contiguous()
}
