//! Test-time augmentation: averages the outputs for each image and its mirror image.
//!
//! A network that was trained with horizontal flips answers slightly differently for the two. Their mean is usually a
//! little more accurate, for twice the time. It is a [`Backend`], so that every command runs it like any other network.

use effnet_architecture::Precision;
use effnet_kernels::Layer;

use crate::{Backend, BackendError, Images, MemoryNeed, Pending, Rows};

/// A network that averages its outputs (logits, values or features) for each image and for its mirror image.
#[derive(Debug, Clone)]
pub struct Mirrored<B>(B);

impl<B: Backend> Mirrored<B> {
    /// Wraps a network.
    pub fn new(backend: B) -> Self {
        Self(backend)
    }
}

impl<B: Backend> Backend for Mirrored<B> {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        let first = self.0.submit(images)?;
        let mirrored = mirrored(images);
        let second = self.0.submit(Images::new(&mirrored, images.shape())?)?;
        if first.is_done() && second.is_done() {
            return Ok(Pending::done(mean(first.wait()?, &second.wait()?)?));
        }
        Ok(Pending::later(move || mean(first.wait()?, &second.wait()?)))
    }

    fn engine(&self) -> &'static str {
        self.0.engine()
    }

    fn kernels(&self) -> String {
        self.0.kernels()
    }

    fn precision(&self) -> Precision {
        self.0.precision()
    }

    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        let mut need = self.0.memory_need(size)?;
        // The mirrored copy.
        need.per_image += 3 * 4 * size.map(|side| side as u64).iter().product::<u64>();
        Ok(need)
    }

    fn device(&self) -> String {
        self.0.device()
    }

    fn free_device_memory(&self) -> Result<Option<u64>, BackendError> {
        self.0.free_device_memory()
    }

    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        self.0.peak_device_memory()
    }

    fn is_asynchronous(&self) -> bool {
        self.0.is_asynchronous()
    }

    fn why_no_graphs(&self) -> Option<String> {
        self.0.why_no_graphs()
    }

    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        self.0.profile(images)
    }
}

/// Returns the pixels with each row reversed.
fn mirrored(images: Images<'_>) -> Vec<f32> {
    let [.., width] = images.shape();
    let mut pixels = images.pixels().to_vec();
    for row in pixels.chunks_exact_mut(width.max(1)) {
        row.reverse();
    }
    pixels
}

fn mean(first: Rows, second: &Rows) -> Result<Rows, BackendError> {
    let count = first.count();
    let mut values = first.into_values();
    if values.len() != second.values().len() {
        return Err(BackendError::Rows {
            images: count,
            found: second.count(),
        });
    }
    for (value, other) in values.iter_mut().zip(second.values()) {
        *value = 0.5 * (*value + other);
    }
    Rows::new(values, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first two pixels of the first row of each image, ready or not.
    struct Corner {
        is_asynchronous: bool,
    }

    impl Backend for Corner {
        fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
            let size = images.pixels().len() / images.count();
            let values = images.pixels().chunks(size).flat_map(|image| image[..2].to_vec());
            let rows = Rows::new(values.collect(), images.count())?;
            Ok(if self.is_asynchronous {
                Pending::later(move || Ok(rows))
            } else {
                Pending::done(rows)
            })
        }

        fn engine(&self) -> &'static str {
            "corner"
        }

        fn kernels(&self) -> String {
            String::new()
        }

        fn precision(&self) -> Precision {
            Precision::Fp32
        }

        fn memory_need(&self, _: [usize; 2]) -> Result<MemoryNeed, BackendError> {
            Ok(MemoryNeed {
                fixed: 7,
                per_image: 10,
            })
        }
    }

    #[test]
    fn outputs_are_the_mean_for_the_image_and_its_mirror_image() {
        // Two images of one channel, 2 x 3 pixels.
        let pixels = [1.0, 2.0, 5.0, 0.0, 0.0, 0.0, 10.0, 20.0, 30.0, 0.0, 0.0, 0.0];
        let images = Images::new(&pixels, [2, 1, 2, 3]).unwrap();
        for is_asynchronous in [false, true] {
            let pending = Mirrored::new(Corner { is_asynchronous }).submit(images).unwrap();
            assert_eq!(pending.is_done(), !is_asynchronous);
            // (1 + 5) / 2, (2 + 2) / 2; (10 + 30) / 2, (20 + 20) / 2.
            assert_eq!(pending.wait().unwrap().values(), [3.0, 2.0, 20.0, 20.0]);
        }
    }

    #[test]
    fn the_mirrored_copy_is_part_of_the_memory() {
        let need = Mirrored::new(Corner {
            is_asynchronous: false,
        })
        .memory_need([4, 5]);
        let need = need.unwrap();
        assert_eq!((need.fixed, need.per_image), (7, 10 + 4 * 3 * 20));
    }
}
