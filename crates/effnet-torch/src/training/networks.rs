//! The networks of a training and the trainer that is made with them, for the training itself and for the short
//! tests that settle its batch size and its learning rate.

use anyhow::Context;
use effnet_cli::training::settings::Settings;
use effnet_train::Trainer;
use tch::Device;

use super::data::TrainingData;
use super::origin::Origin;
use super::plan;
use super::teacher::TeacherFile;

/// The network that is trained, and the one that it learns from.
#[derive(Clone, Copy)]
pub(super) struct Networks<'a> {
    pub(super) origin: &'a Origin,
    pub(super) teacher: Option<&'a TeacherFile>,
}

/// A trainer at the beginning; batch size and learning rate are known by now.
pub(super) fn trainer(
    settings: &Settings,
    data: &TrainingData,
    Networks { origin, teacher }: Networks<'_>,
    device: Device,
) -> anyhow::Result<Trainer> {
    let lr = settings
        .lr
        .value()
        .context("the learning rate is not known yet")?;
    let phases = plan::phases(settings, lr, data.steps_per_epoch(settings), data.ranks())?;
    let mut options = plan::options(settings, &data.support(), device)?;
    if let Some(teacher) = teacher {
        options.distillation = Some(teacher.distillation(settings, &origin.transform, device)?);
    }
    let network = origin.network(device, settings)?;
    Ok(Trainer::new(network, options, phases)?)
}
