//! Data embedded in every effnet program: the manifest of published weights, the class names of ImageNet, and a
//! small trained network, so that the first command works without a network connection.
//!
//! The README of this package describes how the bundled network was trained.

/// The manifest of published weights, as JSON; `effnet-hub` parses it.
pub const MANIFEST: &str = include_str!(concat!(env!("OUT_DIR"), "/manifest.json"));

/// The 1000 classes of ImageNet (ILSVRC 2012) in the usual order, as a JSON list of objects with the WordNet ID
/// (`wnid`) and the `label`.
pub const IMAGENET_CLASSES: &str = include_str!(concat!(env!("OUT_DIR"), "/imagenet-classes.json"));

/// Id of the bundled network in the manifest.
pub const BUNDLED_ID: &str = "b0.cifar10";

/// File name of the bundled network.
pub const BUNDLED_NAME: &str = "effnet-b0-cifar10.safetensors";

/// SHA-256 digest of the bundled network.
pub const BUNDLED_SHA256: &str = "244ad650316c89fcc7660fd8c42665a6ea926d4187c6b238969f038df9b5e3e6";

/// The bundled network: a B0 for the ten classes of CIFAR-10, as a safetensors file.
pub const BUNDLED: &[u8] = include_bytes!("../effnet-b0-cifar10.safetensors");
