//! `--batch-size auto`: chooses a batch size that suits the data set and the memory.

use effnet::Task;
use effnet_train::{activation_bytes, find_batch_size, step_fits};
use tch::Device;

use super::data::TrainingData;
use super::networks::{self, Networks};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;
use effnet_cli::{Printer, counted};

/// Resolves `batch_size`. An explicit batch size is only limited to the number of images.
pub(super) fn settle(
    settings: &mut Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<()> {
    let images = data.training_images_of_rank();
    if let Auto::Value(asked) = settings.batch_size {
        let most = u32::try_from(images).unwrap_or(u32::MAX);
        if asked > most {
            printer.warning(format!(
                "batch size reduced from {asked} to {most}: the data set has only {}{}",
                counted(images, "training image"),
                if data.ranks() > 1 { " per process" } else { "" }
            ));
            settings.batch_size = Auto::Value(most);
        }
        return Ok(());
    }
    let config = networks.model.config();
    let values = (data.task() != Task::Classify).then(|| data.classes().len());
    let least = if settings.weights == "none" { 8 } else { 16 };
    let size = find_batch_size(images, least, device, activation_bytes(config), |size| {
        let mut trial = settings.clone();
        trial.batch_size = Auto::Value(size as u32);
        // The last phase needs the most memory.
        trial.head_epochs = 0;
        let mut trainer = networks::trial(&trial, data, networks, device)?;
        anyhow::Ok(step_fits(&mut trainer, size, config.image_size, values)?)
    })?;
    settings.batch_size = Auto::Value(size as u32);
    printer.note(format!("batch size {size} (--batch-size auto)"));
    Ok(())
}
