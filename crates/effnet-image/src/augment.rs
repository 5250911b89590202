//! Training augmentation, as torchvision and timm define it for PIL images.
//!
//! [`TrainTransform`] is the entry point. It first samples random parameters, from a random number generator
//! seeded by the caller, and then applies them: a [`Rectangle`](crate::Rectangle) to crop, [`Operation`]s on 8-bit
//! RGB, and [`Erasure`]s of the normalised image. This makes each part testable: the results of operations equal
//! Pillow's byte for byte, and samples have the same distributions as in torchvision and timm, but come from a
//! different random number generator.

mod affine;
mod auto_augment;
mod color;
mod crop;
mod draw;
mod erasing;
mod jitter;
mod magnitudes;
mod operation;
mod policy;
mod rand_augment;
mod sharpness;
mod timm;
mod tone;
mod transform;

pub use rand::Rng;

pub use affine::{Kernel, Sampling};
pub use auto_augment::AutoAugment;
pub use crop::{InterpolationChoice, RandomResizedCrop};
pub use erasing::{ErasedContent, ErasingMode, Erasure, RandomErasing};
pub use jitter::ColorJitter;
pub use operation::Operation;
pub use policy::Policy;
pub use rand_augment::RandAugment;
pub use timm::TimmRandAugment;
pub use transform::{AugmentParams, TrainTransform};
