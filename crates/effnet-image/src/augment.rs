//! Augmentation for training, as torchvision and timm define it on PIL images.
//!
//! An [`Operation`] has a fixed strength and works on 8-bit RGB, where it equals Pillow's to the byte.

mod affine;
mod color;
mod operation;
mod sharpness;
mod tone;

pub use affine::{Kernel, Sampling};
pub use operation::Operation;
