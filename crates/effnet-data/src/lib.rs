#![doc = include_str!("../README.md")]

#[cfg(feature = "archives")]
mod archive;
#[cfg(feature = "check")]
pub mod check;
mod class_folders;
#[cfg(feature = "plots")]
mod class_maps;
mod classes;
#[cfg(feature = "plots")]
mod confusion_plot;
mod confusion_table;
#[cfg(feature = "plots")]
mod curves;
mod dataset;
#[cfg(feature = "plots")]
mod drawing;
mod error;
mod folder;
mod layout;
pub mod metrics;
mod notice;
mod open;
mod order;
mod plot_error;
mod random;
mod replace;
mod role;
#[cfg(feature = "plots")]
mod samples;
mod split;
mod survey;
mod table;
mod transform;
mod window;

pub use effnet_architecture::Task;
pub use effnet_image::{Image, ImageError, Needed, PartialImage, Region};

#[cfg(feature = "archives")]
pub use archive::{Archive, ArchiveDataset, ArchiveError, Forward, TarKind, TarMember, ZipFile, walk_tar};
#[cfg(feature = "plots")]
pub use class_maps::{ClassPanel, DisplayedPhoto, class_maps_png};
#[cfg(feature = "plots")]
pub use confusion_plot::confusion_png;
pub use confusion_table::write_confusion_csv;
#[cfg(feature = "plots")]
pub use curves::{Axis, Curve, Panel, curves_png};
pub use dataset::{Dataset, Subset};
pub use error::{BoxError, DataError, NameList, chain};
pub use folder::ImageFolder;
pub use notice::{Notice, Reading};
pub use open::{DataOptions, Evaluation, EvaluationOptions, Splits, open_evaluation};
pub use order::{EpochPlan, Order, Shard};
pub use plot_error::PlotError;
pub use random::{Purpose, SampleRng, stream};
pub use replace::{remove_temporaries, replace_file};
#[cfg(feature = "plots")]
pub use samples::{Sample, contact_sheet_png, samples_png};
pub use split::{HoldOut, by_class, folds, split, stratified_split, support};
pub use survey::{Unreadable, survey};
pub use table::CsvDataset;
pub use transform::Transform;
pub use window::{DecodeFailure, DecodeWindow, Decoded};
