//! Augmentation for training, as torchvision and timm define it on PIL images.
//!
//! [`TrainTransform`] is the whole of it. Everything random is drawn first, from a generator that the
//! caller seeds, and is then a value that can be looked at and applied: a [`Rectangle`](crate::Rectangle)
//! to crop, [`Operation`]s on 8-bit RGB, [`Erasure`]s of the normalised image. The operations equal
//! Pillow's to the byte; the draws have torchvision's and timm's distributions, not their generators.

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

pub use affine::{Kernel, Sampling};
pub use auto_augment::AutoAugment;
pub use crop::{InterpolationChoice, RandomResizedCrop};
pub use erasing::{ErasedContent, ErasingMode, Erasure, RandomErasing};
pub use jitter::ColorJitter;
pub use operation::Operation;
pub use policy::Policy;
pub use rand_augment::RandAugment;
pub use timm::TimmRandAugment;
pub use transform::{Drawn, TrainTransform};
