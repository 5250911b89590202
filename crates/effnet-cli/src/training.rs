//! The settings of `effnet train` and `effnet finetune`: flags, files, recipes, and the config.json of a run.
//!
//! Training itself needs libtorch and is part of effnet-torch. Three things must work without it: the help, the
//! settings (`--print-config`), and the images that a run held out for validation (`effnet evaluate`).

pub mod file;
mod held_out;
pub mod recipe;
pub mod recorded_split;
pub mod resolve;
pub mod settings;
pub mod time_budget;
pub mod values;
