//! Writes `samples.png` in the run folder: the first training images as the network receives them, augmented
//! and mixed, with their labels. It reveals at a glance wrong labels, channels in the wrong order, and
//! augmentation that hides the object.

use anyhow::Context;
use effnet_data::{Sample, samples_png};
use effnet_train::data::{FitData as _, ImageBatches};
use effnet_train::run::RunFolder;
use effnet_train::{Batch, Targets};
use tch::{Device, Kind, Tensor};

use super::data::TrainingData;
use super::targets::short;
use super::task_metrics::TaskMetrics;

/// The name of the file in the run folder.
const SAMPLES: &str = "samples.png";
/// Maximum number of images to draw.
const MOST: i64 = 16;

/// Draws the first images of the first epoch of `batches`, in the order in which the network is trained on them.
pub(super) fn write(
    folder: &RunFolder,
    data: &TrainingData,
    batches: &ImageBatches<TaskMetrics>,
) -> anyhow::Result<()> {
    let mut steps = batches.steps(0, 0)?;
    let parts = steps.next().context("an epoch has no step")??;
    let mut samples = Vec::new();
    for part in &parts {
        let wanted = MOST - samples.len() as i64;
        if wanted > 0 {
            samples.extend(of_batch(part, data, wanted)?);
        }
    }
    let png = samples_png("training images of the first step, augmented", &samples)?;
    Ok(folder.write_file(SAMPLES, &png)?)
}

fn of_batch(batch: &Batch, data: &TrainingData, most: i64) -> anyhow::Result<Vec<Sample>> {
    let images = batch.images.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    let (count, _, height, width) = images.size4()?;
    let ([mean, std], count) = (data.normalisation(), count.min(most));
    let area = (height * width) as usize;
    let mut samples = Vec::new();
    for index in 0..count {
        let mut values = vec![0f32; 3 * area];
        let image = images.f_get(index)?.f_contiguous()?;
        image.f_copy_data(&mut values, 3 * area)?;
        let byte = |channel: usize, at: usize| {
            let value = values[channel * area + at] * std[channel] + mean[channel];
            (255.0 * value).round().clamp(0.0, 255.0) as u8
        };
        let pixels = (0..area).map(|at| [0, 1, 2].map(|channel| byte(channel, at)));
        let caption = caption(&batch.targets, index, data.classes(), data.scale())?;
        samples.push(Sample::new(
            (width as usize, height as usize),
            pixels.collect(),
            caption,
        ));
    }
    Ok(samples)
}

/// Returns the class of an image, or the shares of its two classes if images are mixed.
fn caption(
    targets: &Targets,
    index: i64,
    classes: &[String],
    scale: Option<&[Vec<f64>; 2]>,
) -> anyhow::Result<String> {
    let name = |class: i64| usize::try_from(class).ok().and_then(|class| classes.get(class));
    let name = |class: i64| name(class).cloned().unwrap_or_default();
    let row: Tensor = targets.tensor().f_get(index)?;
    if let Targets::Classes(_) = targets {
        return Ok(name(row.f_int64_value(&[])?));
    }
    if let (Targets::Values(_), Some([mean, std])) = (targets, scale) {
        let value = |column: usize| -> anyhow::Result<String> {
            let value = row.f_double_value(&[column as i64])? * std[column] + mean[column];
            Ok(format!("{} {}", classes[column], short(value)))
        };
        let values = (0..classes.len()).map(value).collect::<Result<Vec<_>, _>>()?;
        return Ok(values.join(", "));
    }
    if let Targets::Values(_) = targets {
        let label = |class: usize| -> anyhow::Result<Option<String>> {
            let share = row.f_double_value(&[class as i64])?;
            let percent = 100.0 * share;
            Ok(match percent {
                ..1.0 => None,
                99.5.. => Some(classes[class].clone()),
                _ => Some(format!("{percent:.0} % {}", classes[class])),
            })
        };
        let labels = (0..classes.len()).map(label).collect::<Result<Vec<_>, _>>()?;
        let labels: Vec<String> = labels.into_iter().flatten().collect();
        return Ok(if labels.is_empty() {
            "-".to_owned()
        } else {
            labels.join(", ")
        });
    }
    let (shares, found) = row.f_topk(classes.len().min(2) as i64, 0, true, true)?;
    let mut parts = Vec::new();
    for rank in 0..shares.size1()? {
        let percent = 100.0 * shares.f_double_value(&[rank])?;
        if percent >= 1.0 {
            parts.push((name(found.f_int64_value(&[rank])?), percent));
        }
    }
    Ok(match parts.as_slice() {
        [(only, _)] => only.clone(),
        parts => {
            let part = |(name, percent): &(String, f64)| format!("{percent:.0} % {name}");
            parts.iter().map(part).collect::<Vec<_>>().join(", ")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_images_are_captioned_with_their_shares() {
        let classes = ["cat", "dog", "owl"].map(str::to_owned);
        let mixed = Targets::Probabilities(Tensor::from_slice2(&[[0.0f32, 0.3, 0.7], [0.0, 1.0, 0.0]]));
        assert_eq!(caption(&mixed, 0, &classes, None).unwrap(), "70 % owl, 30 % dog");
        assert_eq!(caption(&mixed, 1, &classes, None).unwrap(), "dog");
        let plain = Targets::Classes(Tensor::from_slice(&[2i64, 0]));
        let labels = Targets::Values(Tensor::from_slice2(&[
            [1.0f32, 0.0, 1.0],
            [0.3, 1.0, 0.0],
            [0.0; 3],
        ]));
        for (index, expected) in ["cat, owl", "30 % cat, dog", "-"].iter().enumerate() {
            assert_eq!(caption(&labels, index as i64, &classes, None).unwrap(), *expected);
        }
        let value = Targets::Values(Tensor::from_slice2(&[[2.0f32]]));
        let scale = [vec![10.0], vec![0.5]];
        assert_eq!(
            caption(&value, 0, &classes[..1], Some(&scale)).unwrap(),
            "cat 11.00"
        );
        assert_eq!(caption(&plain, 0, &classes, None).unwrap(), "owl");
    }
}
