//! Creates a [`Trainer`] from the settings and the networks. It is used by the training itself and by the
//! short trials that resolve `--batch-size auto` and `--lr auto`.

use anyhow::Context;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;
use effnet_train::Trainer;
use tch::Device;

use super::data::TrainingData;
use super::initial_model::InitialModel;
use super::plan;
use super::teacher::TeacherFile;

/// The network to train, and its teacher.
#[derive(Clone, Copy)]
pub(super) struct Networks<'a> {
    pub(super) model: &'a InitialModel,
    pub(super) teacher: Option<&'a TeacherFile>,
}

/// Creates a trainer before its first step. The batch size and the learning rate must already be resolved.
pub(super) fn trainer(
    settings: &Settings,
    data: &TrainingData,
    Networks { model, teacher }: Networks<'_>,
    device: Device,
) -> anyhow::Result<Trainer> {
    let lr = settings
        .lr
        .value()
        .context("the learning rate is not resolved yet")?;
    let phases = plan::phases(settings, lr, data.steps_per_epoch(settings)?, data.ranks())?;
    let mut options = plan::options(
        settings,
        data.task(),
        (data.training_images(), &data.support()),
        device,
    )?;
    if let Some(teacher) = teacher {
        options.distillation = Some(teacher.distillation(settings, &model.transform, device)?);
    }
    let network = model.network(device, settings)?;
    Ok(Trainer::new(network, options, phases)?)
}

/// Like [`trainer`], for a trial that may precede the choice of the learning rate: the schedule needs one, and what is
/// learnt is thrown away.
pub(super) fn trial(
    settings: &Settings,
    data: &TrainingData,
    networks: Networks<'_>,
    device: Device,
) -> anyhow::Result<Trainer> {
    let mut trial = settings.clone();
    trial.lr = Auto::Value(trial.lr.value().unwrap_or(1e-3));
    trainer(&trial, data, networks, device)
}
