//! `--batch-size auto`: chooses a batch size that suits the data set and the memory.

use effnet::available_memory;
use effnet_core::{BlockKind, Config};
use effnet_train::{Batch, Error, Targets};
use tch::{Device, Kind, Tensor};

use super::data::TrainingData;
use super::networks::{self, Networks};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;
use effnet_cli::{Printer, counted};

/// Beyond these sizes, larger batches train no faster on most CPUs and hardly faster on most GPUs.
const MOST_ON_CPU: u32 = 32;
const MOST_ON_CUDA: u32 = 128;
/// Minimum number of steps per epoch: a handful of steps is not enough to learn a small data set.
const LEAST_STEPS: usize = 16;
/// Minimum number of images that batch normalisation needs for its statistics.
const LEAST: u32 = 8;

/// Resolves `batch_size`. An explicit batch size is only limited to the number of images.
pub(super) fn settle(
    settings: &mut Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<()> {
    let images = u32::try_from(data.training_images_of_rank()).unwrap_or(u32::MAX);
    if let Auto::Value(asked) = settings.batch_size {
        if asked > images {
            printer.warning(format!(
                "batch size reduced from {asked} to {images}: the data set has only {}{}",
                counted(images as usize, "training image"),
                if data.ranks() > 1 { " per process" } else { "" }
            ));
            settings.batch_size = Auto::Value(images);
        }
        return Ok(());
    }
    let most = if device.is_cuda() {
        MOST_ON_CUDA
    } else {
        MOST_ON_CPU
    };
    let wanted = power_of_two((data.training_images_of_rank() / LEAST_STEPS) as u32);
    let mut size = wanted.clamp(LEAST, most).min(images).max(1);
    if let (Device::Cpu, Some(available)) = (device, available_memory()) {
        let fitting = available / 2 / bytes_per_image(networks.model.config()).max(1);
        size = size.min(power_of_two(fitting as u32)).max(1);
    }
    settings.batch_size = Auto::Value(size);
    while device.is_cuda() && size > 1 && !fits(settings, networks, data, device, size)? {
        size /= 2;
        settings.batch_size = Auto::Value(size);
    }
    printer.note(format!("batch size {size} (--batch-size auto)"));
    Ok(())
}

/// Returns the largest power of two that is at most `number`; 1 for 0.
fn power_of_two(number: u32) -> u32 {
    1 << number.max(1).ilog2()
}

/// Returns the bytes of activations that a step keeps per image for the backward pass, as 32-bit floats: the
/// normalised and activated output of each convolution.
fn bytes_per_image(config: &Config) -> u64 {
    let [mut height, mut width] = config.image_size.map(|side| side.div_ceil(2));
    let mut values = 3 * height * width * config.stem_channels();
    for block in config.blocks() {
        let (before, expanded) = (height * width, block.expanded_channels());
        (height, width) = (height.div_ceil(block.stride), width.div_ceil(block.stride));
        let after = height * width;
        values += match block.kind {
            BlockKind::MbConv if block.has_expansion() => 3 * before * expanded + 4 * after * expanded,
            BlockKind::MbConv => 4 * after * expanded,
            BlockKind::FusedMbConv => 3 * after * expanded,
            _ => after * block.output_channels,
        };
        values += 2 * after * block.output_channels;
    }
    values += 3 * height * width * config.head_channels();
    4 * values as u64
}

/// Returns whether a step on `size` images fits into memory.
fn fits(
    settings: &Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    size: u32,
) -> anyhow::Result<bool> {
    let mut settings = settings.clone();
    settings.lr = Auto::Value(settings.lr.value().unwrap_or(1e-3));
    // The last phase needs the most memory.
    settings.head_epochs = 0;
    let mut trainer = networks::trainer(&settings, data, networks, device)?;
    let [height, width] = networks.model.config().image_size.map(|side| side as i64);
    let step = || -> Result<(), Error> {
        let images = Tensor::f_rand([i64::from(size), 3, height, width], (Kind::Float, device))?;
        let targets = Targets::Classes(Tensor::f_zeros([i64::from(size)], (Kind::Int64, device))?);
        trainer.step(&[Batch::new(images, targets)])?;
        Ok(())
    };
    match { step }() {
        Ok(()) => Ok(true),
        Err(error) if error.is_out_of_memory() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_core::Variant;

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(
            [0, 1, 2, 3, 31, 32, 100].map(power_of_two),
            [1, 1, 2, 2, 16, 32, 64]
        );
    }

    #[test]
    fn a_step_of_b0_keeps_about_eighty_megabytes_of_an_image() {
        // PyTorch's own profiles show 70 to 90 MB for 224 pixels.
        let bytes = bytes_per_image(&Config::new(Variant::B0));
        assert!((60_000_000..110_000_000).contains(&bytes), "{bytes}");
    }
}
