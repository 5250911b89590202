//! The folder that a training run leaves.
//!
//! | file | what it is |
//! |---|---|
//! | `config.json` | every setting, as it was resolved |
//! | `classes.json` | the class names, in the order of the logits |
//! | `log.jsonl` | one [`Record`] a line, without wall-clock times: equal runs leave equal logs |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `curves.png`, `confusion.png`, `confusion.csv` | the same for people |
//! | `last.safetensors`, `last.state`, `best.safetensors` | what the checkpointer writes |
//!
//! Files appear under their names only when they are whole and on the disk; `log.jsonl` and the events
//! grow line by line.

mod error;
mod events;
mod folder;
mod log;
mod record;

pub use error::RunError;
pub use events::EventWriter;
pub use folder::RunFolder;
pub use log::Log;
pub use record::{EpochRecord, Record, StepRecord, history_panels};
