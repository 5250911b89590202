//! Finds a batch size that suits the data set and the memory.

use effnet::available_memory;
use effnet_core::{BlockKind, Config};
use tch::{Device, Kind, Tensor};

use crate::{Batch, Error, Network, Targets, Trainer};

/// Beyond these sizes, larger batches train no faster on most CPUs and hardly faster on most GPUs.
const MOST_ON_CPU: usize = 32;
const MOST_ON_CUDA: usize = 128;
/// Minimum number of steps per epoch, unless batches become too small.
const LEAST_STEPS: usize = 16;

/// Finds a batch size, a power of two or all `images`, for a process with `images` training images.
///
/// An epoch should have 16 steps or more, and a batch `least` images or more, which counts more: 8 are enough to train
/// from scratch, where steps are what is missing; to fine-tune, 8 take longer than 16 and are not better
/// (`scripts/bench/FINETUNE.md`).
///
/// On the CPU, half of the available memory has to hold the activations, `bytes_per_image` for each image (see
/// [`activation_bytes`]). On a CUDA device, `fits` tries a step with a batch of this size; see [`step_fits`].
///
/// # Errors
/// The errors of `fits`.
pub fn find_batch_size<E>(
    images: usize,
    least: usize,
    device: Device,
    bytes_per_image: u64,
    mut fits: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let most = if device.is_cuda() {
        MOST_ON_CUDA
    } else {
        MOST_ON_CPU
    };
    let wanted = power_of_two(images / LEAST_STEPS);
    let mut size = wanted.max(least).min(most).min(images).max(1);
    if let (Device::Cpu, Some(available)) = (device, available_memory()) {
        let fitting = available / 2 / bytes_per_image.max(1);
        size = size.min(power_of_two(usize::try_from(fitting).unwrap_or(usize::MAX)));
    }
    while device.is_cuda() && size > 1 && !fits(size)? {
        size /= 2;
    }
    Ok(size)
}

/// Returns the largest power of two that is at most `number`; 1 for 0.
fn power_of_two(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

/// Returns the bytes of activations that a step of an EfficientNet keeps per image for the backward pass, as 32-bit
/// floats: the normalised and activated output of each convolution.
pub fn activation_bytes(config: &Config) -> u64 {
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

/// Takes a step on `size` random images `[height, width]` of class 0 or, for a loss of [`Targets::Values`], with this
/// number of `values`, and returns whether they fit into memory. The
/// trainer must be discarded afterwards.
///
/// # Errors
/// The errors of [`Trainer::step`], except when memory runs out.
pub fn step_fits<N: Network>(
    trainer: &mut Trainer<N>,
    size: usize,
    [height, width]: [usize; 2],
    values: Option<usize>,
) -> Result<bool, Error> {
    let device = trainer.network().device();
    let mut step = || -> Result<(), Error> {
        let shape = [size, 3, height, width].map(|side| side as i64);
        let images = Tensor::f_rand(shape, (Kind::Float, device))?;
        let targets = match values {
            None => Targets::Classes(Tensor::f_zeros([size as i64], (Kind::Int64, device))?),
            Some(values) => Targets::Values(Tensor::f_zeros(
                [size as i64, values as i64],
                (Kind::Float, device),
            )?),
        };
        trainer.step(&[Batch::new(images, targets)])?;
        Ok(())
    };
    match step() {
        Ok(()) => Ok(true),
        Err(error) if error.is_out_of_memory() => Ok(false),
        Err(error) => Err(error),
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
        let bytes = activation_bytes(&Config::new(Variant::B0));
        assert!((60_000_000..110_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_batch_is_halved_until_it_fits_the_device_and_never_more_than_the_images() {
        let search = |images: usize, least: usize, most: usize| {
            let mut tried = Vec::new();
            let found = find_batch_size(images, least, Device::Cuda(0), 1, |size| {
                tried.push(size);
                Ok::<_, Error>(size <= most)
            });
            (found.unwrap(), tried)
        };
        assert_eq!(search(100_000, 8, 50), (32, vec![128, 64, 32]));
        assert_eq!(search(100_000, 8, 0), (1, vec![128, 64, 32, 16, 8, 4, 2]));
        assert_eq!(search(300, 8, 1000), (16, vec![16]));
        assert_eq!(search(200, 8, 1000), (8, vec![8]));
        assert_eq!(search(200, 16, 1000), (16, vec![16]));
        assert_eq!(search(600, 16, 1000), (32, vec![32]));
        assert_eq!(search(10, 16, 1000), (10, vec![10]));
        assert_eq!(search(5, 8, 1000), (5, vec![5]));
        let small = find_batch_size(300, 8, Device::Cpu, u64::MAX, |_| Ok::<_, Error>(false));
        assert_eq!(small.unwrap(), 1);
    }
}
