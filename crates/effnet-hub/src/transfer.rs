//! Downloads: from the URLs of a file to the file under its own name.

mod answer;
mod client;
mod connector;
mod failure;
mod folder;
mod part;
mod session;

use std::path::PathBuf;

pub(crate) use client::Client;
use failure::Failure;
pub(crate) use folder::{Folder, PART, SIDECAR, local, locked_elsewhere, open_plain};
use session::Session;

use crate::verified::Verified;
use crate::{Error, HubConfig, Progress, TransferError, WeightFile};

/// Tries the URLs of `file` in order. `None` when none of them gave it; the reasons are in `failures`.
pub(crate) fn download(
    client: &Client,
    config: &HubConfig,
    file: &WeightFile,
    folder: &Folder,
    verified: &Verified,
    progress: &mut dyn Progress,
    failures: &mut Vec<TransferError>,
) -> Result<Option<PathBuf>, Error> {
    for url in &file.urls {
        match (Session {
            client,
            config,
            file,
            url,
            folder,
            verified,
        })
        .run(progress)
        {
            Ok(path) => return Ok(Some(path)),
            Err(Failure::Remote(failure)) => failures.push(failure),
            Err(Failure::Local(error)) => return Err(error),
        }
    }
    Ok(None)
}
