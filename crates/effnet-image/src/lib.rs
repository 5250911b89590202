#![doc = include_str!("../README.md")]

pub mod augment;
mod decode;
mod error;
mod file_name;
mod format;
mod image;
mod normalize;
mod options;
mod orientation;
mod partial;
mod rectangle;
mod resize;
mod signature;
mod transform;
mod warning;

pub use effnet_architecture::Interpolation;
pub use error::ImageError;
pub use file_name::{EXTENSIONS, is_hidden, is_image_path, unsupported_kind};
pub use format::Format;
pub use image::Image;
pub use normalize::{IMAGENET_MEAN, IMAGENET_STD, INCEPTION_MEAN, INCEPTION_STD};
pub use options::{Alpha, DecodeOptions};
pub use partial::{Needed, PartialImage};
pub use rectangle::{Rectangle, Region};
pub use transform::{EvalTransform, ResizeMode};
pub use warning::ImageWarning;
