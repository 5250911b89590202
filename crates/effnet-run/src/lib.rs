#![doc = include_str!("../README.md")]
//!
//! # The files
//!
//! - `config.json`: all settings, with their resolved values
//! - `classes.json`: the class names, in the order of the logits
//! - `log.jsonl`: one [`Record`] per line, without wall-clock times, so that equal runs write equal logs
//! - `results.csv`: the results of each epoch, with its time
//! - `run.json`: the environment of the run (device, precision, versions), and the wall-clock time of each epoch
//! - `events.out.tfevents.*`: the same records for TensorBoard (feature `tensorboard`)
//! - `curves.png`, `confusion.png`, `confusion.csv`: loss and accuracy curves, and the confusion matrix of the best
//!   epoch (feature `plots`)
//! - `precision-recall.png`, `roc.png`, `scatter.png`: curves of labels, or values beside their predictions, of the best
//!   epoch (feature `plots`)
//! - `images.json`, `unreadable.json`: the number of training images with the names of those held out, and the
//!   images that were skipped
//! - `report.html`, `mistakes.html`: the run as pages, written at its end by effnet-cli
//! - `samples.png`: the first training images, augmented
//! - `lr-finder.png`: the range test of `--lr auto`
//! - `last.safetensors`, `last.state`, `best.safetensors`: the files of effnet-train's `Checkpointer`
//!
//! Files are renamed into place once they are complete and synced, so a killed run never leaves a partial file.
//! `log.jsonl` and the event files are appended to.

mod error;
#[cfg(feature = "tensorboard")]
mod events;
mod facts;
mod folder;
#[cfg(feature = "plots")]
mod history;
mod log;
mod number;
#[cfg(feature = "plots")]
mod plots;
mod record;
mod results;
mod score;

pub use error::RunError;
#[cfg(feature = "tensorboard")]
pub use events::EventWriter;
pub use facts::{EpochTime, RunFacts, RunStart};
pub use folder::RunFolder;
#[cfg(feature = "plots")]
pub use history::history_panels;
pub use log::Log;
pub use number::short;
#[cfg(feature = "plots")]
pub use plots::{ranking_panels, scatter_panels};
pub use record::{EpochRecord, Record, StepRecord, Validation, best_epoch};
pub use results::results_csv;
pub use score::Score;
