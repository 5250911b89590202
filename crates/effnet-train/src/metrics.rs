//! Lets effnet-data's metrics, which take slices, count tensors too.

use effnet_data::metrics::{Metrics, MetricsError};
use tch::{Device, Kind, Tensor};

use crate::Error;

/// Adds a batch to `metrics`: logits `[N, num_classes]` of any floating-point kind and integer labels `[N]`, on
/// any device.
///
/// # Errors
/// [`Error::Metrics`] for any other shapes, for a label that is not a class and for logits that are not finite, in
/// which case the rows before the bad row have been added; [`Error::Torch`].
pub fn measure(metrics: &mut Metrics, logits: &Tensor, labels: &Tensor) -> Result<(), Error> {
    let classes = metrics.num_classes();
    let (rows, count) = match (logits.size().as_slice(), labels.size().as_slice()) {
        (&[rows, columns], &[labels]) if columns as usize == classes && rows == labels => {
            (rows as usize, rows as usize * classes)
        }
        _ => {
            return Err(MetricsError::Shapes {
                classes,
                logits: logits.size(),
                labels: labels.size(),
            }
            .into());
        }
    };
    let on_cpu = |tensor: &Tensor, kind| -> Result<Tensor, tch::TchError> {
        tensor
            .f_detach()?
            .f_to_device(Device::Cpu)?
            .f_to_kind(kind)?
            .f_contiguous()
    };
    let mut values = vec![0f32; count];
    on_cpu(logits, Kind::Float)?.f_copy_data(&mut values, count)?;
    let mut targets = vec![0i64; rows];
    on_cpu(labels, Kind::Int64)?.f_copy_data(&mut targets, rows)?;
    for (row, &label) in values.chunks_exact(classes.max(1)).zip(&targets) {
        let label = usize::try_from(label).map_err(|_| MetricsError::Label { label, classes })?;
        metrics.push(row, label)?;
    }
    Ok(())
}
