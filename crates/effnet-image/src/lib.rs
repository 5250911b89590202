#![doc = include_str!("../README.md")]

mod decode;
mod error;
mod format;
mod image;
mod options;
mod orientation;
mod resize;
mod transform;

pub use error::ImageError;
pub use format::Format;
pub use image::Image;
pub use options::{Alpha, DecodeOptions};
pub use resize::Interpolation;
pub use transform::{EvalTransform, IMAGENET_MEAN, IMAGENET_STD, INCEPTION_MEAN, INCEPTION_STD, ResizeMode};
