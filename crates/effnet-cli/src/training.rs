//! The settings of `effnet train` and `effnet finetune`: flags, files, recipes, and what a run keeps of them.
//!
//! Training itself needs libtorch and is in effnet-torch; its help, its settings and the images that a run kept
//! back for validation are needed without.

pub mod file;
pub mod recipe;
pub mod resolve;
pub mod run_images;
pub mod settings;
pub mod values;
