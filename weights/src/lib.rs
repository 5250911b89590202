//! The data that every effnet program carries: what is published, what ImageNet's classes are called, and
//! one small network, so that the first command works on a machine without a network connection.
//!
//! The files stand beside this package's README, which tells how the bundled network was trained.

/// The manifest of published weights, as JSON; `effnet-hub` reads it.
pub const MANIFEST: &str = include_str!("../manifest.json");

/// The 1000 classes of ImageNet (ILSVRC 2012) in their usual order, as a JSON list of objects with the
/// WordNet id (`wnid`) and the `label` of each.
pub const IMAGENET_CLASSES: &str = include_str!("../imagenet-classes.json");

/// The id of the bundled network in the manifest.
pub const BUNDLED_ID: &str = "b0.cifar10";

/// The file name of the bundled network.
pub const BUNDLED_NAME: &str = "effnet-b0-cifar10.safetensors";

/// The SHA-256 of the bundled network.
pub const BUNDLED_SHA256: &str = "244ad650316c89fcc7660fd8c42665a6ea926d4187c6b238969f038df9b5e3e6";

/// The bundled network: a B0 for the ten classes of CIFAR-10, in safetensors.
pub const BUNDLED: &[u8] = include_bytes!("../effnet-b0-cifar10.safetensors");
