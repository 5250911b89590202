//! `effnet check`.

use std::path::PathBuf;

use clap::Args;

use super::{InspectFormat, NetworkArguments};

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Labelled images: a folder with one subfolder per class (or with train/ and val/ containing such folders), a CSV
    /// or JSON Lines file with one path and label per line, or a tar or zip archive of such a folder
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Column of a table with the class of each image, or columns of 0 and 1, where the table does not tell them
    #[arg(long, value_name = "NAME,...")]
    pub label_column: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: InspectFormat,
    /// Write a web page with thumbnails of the images found
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArguments,
}
