//! [`FeatureCache`]: the features of images that every epoch would compute again.
//!
//! While the layers below the head are frozen, the features of an image depend on its pixels alone. If every epoch shows
//! the same pixels, neither decoding nor the frozen layers have to run more than once per image.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use tch::{Device, Kind, Tensor};

use crate::Error;

/// The features of images, by their indices in the data set. Clones are the same cache.
///
/// A row that is in the cache stays there; once the cache is full, further rows are computed each time.
#[derive(Debug, Clone)]
pub struct FeatureCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number of bytes for values.
    limit: u64,
    rows: RwLock<HashMap<usize, Box<[f32]>>>,
    /// The shape of the features of an image.
    shape: OnceLock<Vec<i64>>,
}

impl FeatureCache {
    /// Creates an empty cache for at most `limit` bytes of values.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit,
            rows: RwLock::default(),
            shape: OnceLock::new(),
        }))
    }

    /// Returns whether the features of an image are known.
    pub fn contains(&self, index: usize) -> bool {
        self.rows().contains_key(&index)
    }

    /// The number of images whose features are known.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether the features of no image are known.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// Returns the features of the images with these indices, a row per image, on `device`. Those that are not known
    /// yet are computed by `compute`, which gets their positions in `indices`, `[M]`, and returns `[M, ...]`.
    pub(crate) fn complete(
        &self,
        indices: &[usize],
        device: Device,
        compute: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let missing: Vec<usize> = {
            let known = self.rows();
            (0..indices.len())
                .filter(|place| !known.contains_key(&indices[*place]))
                .collect()
        };
        let mut computed = Vec::new();
        if !missing.is_empty() {
            let places: Vec<i64> = missing.iter().map(|place| *place as i64).collect();
            let features = compute(&Tensor::f_from_slice(&places)?)?;
            computed = self.split(&features)?;
        }
        let mut computed = missing.into_iter().zip(computed).peekable();
        let mut values = Vec::new();
        let mut new = Vec::new();
        {
            let known = self.rows();
            for (place, index) in indices.iter().enumerate() {
                if let Some((_, row)) = computed.next_if(|(missing, _)| *missing == place) {
                    values.extend_from_slice(&row);
                    new.push((*index, row));
                } else if let Some(row) = known.get(index) {
                    values.extend_from_slice(row);
                }
            }
        }
        self.insert(new);
        let mut shape = vec![indices.len() as i64];
        shape.extend_from_slice(self.0.shape.get().map_or(&[], Vec::as_slice));
        Ok(Tensor::f_from_slice(&values)?
            .f_view(shape.as_slice())?
            .f_to_device(device)?)
    }

    /// Copies the rows of a tensor.
    fn split(&self, features: &Tensor) -> Result<Vec<Box<[f32]>>, Error> {
        let features = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let features = features.f_contiguous()?;
        let size = features.size();
        let shape = self.0.shape.get_or_init(|| size[1..].to_vec());
        if *shape != size[1..] {
            return Err(Error::Shape {
                what: "the features",
                expected: format!("[N, {shape:?}], because images have the same size in every batch"),
                found: size,
            });
        }
        let mut values = vec![0_f32; features.numel()];
        features.f_copy_data(&mut values, features.numel())?;
        let width = values.len() / (size[0] as usize).max(1);
        Ok(values.chunks_exact(width.max(1)).map(Box::from).collect())
    }

    /// Keeps rows as long as there is room.
    fn insert(&self, new: Vec<(usize, Box<[f32]>)>) {
        let mut rows = self.0.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (index, row) in new {
            let bytes = size_of_val(&*row) as u64;
            if (rows.len() as u64 + 1).saturating_mul(bytes) <= self.0.limit {
                rows.insert(index, row);
            }
        }
    }

    fn rows(&self) -> RwLockReadGuard<'_, HashMap<usize, Box<[f32]>>> {
        self.0.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of two values: the position, and its square.
    fn of(places: &Tensor) -> Result<Tensor, Error> {
        let places = places.f_to_kind(Kind::Float)?;
        Ok(Tensor::f_stack(&[places.shallow_clone(), &places * &places], 1)?)
    }

    fn rows(features: &Tensor) -> Vec<f32> {
        Vec::try_from(features.flatten(0, -1)).unwrap()
    }

    #[test]
    fn what_is_known_is_not_computed_again() {
        let cache = FeatureCache::new(1 << 20);
        let found = cache.complete(&[7, 3], Device::Cpu, of).unwrap();
        assert_eq!(found.size(), [2, 2]);
        assert_eq!(rows(&found), [0.0, 0.0, 1.0, 1.0]);
        assert!(cache.contains(3) && !cache.contains(0));
        // Only the second is missing.
        let found = cache.complete(&[3, 5, 7], Device::Cpu, |places| {
            assert_eq!(Vec::<i64>::try_from(places).unwrap(), [1]);
            Ok(Tensor::from_slice(&[8_f32, 9.0]).view([1, 2]))
        });
        assert_eq!(rows(&found.unwrap()), [1.0, 1.0, 8.0, 9.0, 0.0, 0.0]);
        let nothing = |_: &Tensor| -> Result<Tensor, Error> { panic!("all are known") };
        let found = cache.complete(&[5, 3], Device::Cpu, nothing).unwrap();
        assert_eq!(rows(&found), [8.0, 9.0, 1.0, 1.0]);
    }

    #[test]
    fn a_full_cache_computes_the_others_each_time() {
        let cache = FeatureCache::new(2 * 8);
        let mut times = 0;
        for _ in 0..2 {
            let found = cache.complete(&[0, 1, 2], Device::Cpu, |places| {
                times += places.size()[0];
                // Equal for equal images, wherever they are in the batch.
                of(places)
            });
            assert_eq!(rows(&found.unwrap()), [0.0, 0.0, 1.0, 1.0, 2.0, 4.0]);
        }
        assert_eq!((cache.len(), times), (2, 4));
    }

    #[test]
    fn features_of_another_shape_are_an_error() {
        let cache = FeatureCache::new(1 << 20);
        let _ = cache.complete(&[0], Device::Cpu, of).unwrap();
        let other = cache.complete(&[1], Device::Cpu, |_| {
            Ok(Tensor::from_slice(&[1_f32, 2.0, 3.0]).view([1, 3]))
        });
        assert!(other.unwrap_err().to_string().contains("features"));
    }
}
