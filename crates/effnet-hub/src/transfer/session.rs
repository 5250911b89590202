//! The download of one file from one URL: attempts, delays, and verification.

use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::cache_folder::CacheFolder;
use super::client::Client;
use super::failure::{Failure, interrupted};
use super::pace::{Pace, TooSlow};
use super::partial_download::PartialDownload;
use super::response::FileResponse;
use crate::digest_cache::DigestCache;
use crate::{Digest, Error, HubConfig, Progress, Transfer, TransferError, Warning, WeightFile};

/// An attempt that received this many bytes does not count as a failure.
const HEADWAY: u64 = 1 << 20;
/// Maximum retries if no connection can be made at all.
const RETRIES_TO_CONNECT: u32 = 2;

/// The reason why reading a body stopped early.
enum Stop {
    /// The connection failed.
    Cut(io::Error),
    /// The body is longer than the file.
    TooLong,
    /// The body is received too slowly.
    Slow(TooSlow),
    /// The bytes could not be written.
    Local(Error),
}

pub(super) struct DownloadSession<'a> {
    pub(super) client: &'a Client,
    pub(super) config: &'a HubConfig,
    pub(super) file: &'a WeightFile,
    /// Download limit in bytes for a file whose size is not published.
    pub(super) largest: u64,
    pub(super) url: &'a str,
    pub(super) folder: &'a CacheFolder,
    pub(super) digests: &'a DigestCache,
}

impl DownloadSession<'_> {
    /// Downloads the file, verifies it and renames it to its final name. The caller holds the file's lock.
    pub(super) fn run(&self, progress: &mut dyn Progress) -> Result<PathBuf, Failure> {
        let mut part = PartialDownload::open(self.folder, self.file)?;
        // A process killed between the last byte and the rename leaves a complete file.
        let found = part.digest();
        if part.len() > 0
            && self
                .expected(&part)
                .is_some_and(|expected| expected.matches(&found))
        {
            return Ok(self.publish(part, &found, progress)?);
        }
        loop {
            if let Err(failure) = self.complete(&mut part, progress) {
                part.discard_if_empty();
                return Err(failure);
            }
            let found = part.digest();
            let Some(wrong) = self.wrong(&mut part, &found) else {
                return Ok(self.publish(part, &found, progress)?);
            };
            if !part.is_mixed() {
                part.discard();
                return Err(wrong.into());
            }
            // The pieces may come from two versions of the file, or the disk lost data: download all of it
            // again.
            self.restart(
                &mut part,
                "the partial download and the new data do not belong together",
                progress,
            )?;
        }
    }

    /// Retries until the download is complete.
    fn complete(&self, part: &mut PartialDownload, progress: &mut dyn Progress) -> Result<(), Failure> {
        let mut failures = 0;
        while !part.is_whole() {
            let before = part.len();
            let error = match self.attempt(part, progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Remote(error)) if error.is_transient() => error,
                Err(failure) => return Err(failure),
            };
            failures = if part.len() >= before + HEADWAY {
                1
            } else {
                failures + 1
            };
            let connected = !matches!(error, TransferError::Connect { .. });
            let allowed = if connected {
                self.config.retries
            } else {
                self.config.retries.min(RETRIES_TO_CONNECT)
            };
            if failures > allowed {
                return Err(error.into());
            }
            let delay = asked_pause(&error).unwrap_or_else(|| self.config.backoff.pause(failures));
            progress.warned(&Warning::Retrying {
                reason: error.summary(),
                delay,
            });
            thread::sleep(delay);
        }
        Ok(())
    }

    /// Makes one request and receives its body.
    fn attempt(&self, part: &mut PartialDownload, progress: &mut dyn Progress) -> Result<(), Failure> {
        let resume = part.resume(self.file.sha256.is_some());
        let response = match self.client.get(self.url, resume) {
            Err(Failure::Remote(error @ TransferError::Range { .. })) if part.len() > 0 => {
                self.restart(part, "the server cannot resume it", progress)?;
                return Err(error.into());
            }
            other => other?,
        };
        if part.len() > 0 && response.start == 0 {
            self.restart(part, "the server sent the whole file", progress)?;
        } else if part.len() > 0 && !part.continues(&response) {
            self.restart(part, "the server's file has changed", progress)?;
            let content_range = String::from("part of a different file");
            return Err(TransferError::Range {
                url: self.url.to_owned(),
                content_range,
            }
            .into());
        }
        let limit = self.limit(&response)?;
        part.record(&response)?;
        progress.started(&Transfer {
            file: self.file.name.as_str(),
            url: self.url,
            from: part.len(),
            total: response.total,
        });
        self.receive(response, part, limit, progress)
    }

    /// Returns the maximum size of the file in bytes.
    fn limit(&self, response: &FileResponse) -> Result<u64, TransferError> {
        match (self.file.bytes, response.total) {
            (Some(expected), Some(found)) if expected != found => Err(TransferError::Size {
                url: self.url.to_owned(),
                expected,
                found,
            }),
            (None, Some(total)) if total > self.largest => Err(self.too_large()),
            (known, total) => Ok(known.or(total).unwrap_or(self.largest)),
        }
    }

    fn too_large(&self) -> TransferError {
        TransferError::TooLarge {
            url: self.url.to_owned(),
            limit: self.largest,
        }
    }

    fn receive(
        &self,
        mut response: FileResponse,
        part: &mut PartialDownload,
        limit: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let mut pace = Pace::new(self.config);
        let stop = part.appending(|end| {
            loop {
                let mut block = end.block();
                let count = match response.body.read(&mut block) {
                    Ok(0) => return Ok(()),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Stop::Cut(error)),
                };
                let len = end.append(block, count).map_err(Stop::Local)?;
                progress.advanced(count as u64);
                if len > limit {
                    return Err(Stop::TooLong);
                }
                pace.check(count as u64).map_err(Stop::Slow)?;
            }
        })?;
        match stop {
            Ok(()) => Ok(()),
            Err(Stop::Cut(error)) => {
                let (received, expected) = (part.len(), part.total());
                Err(interrupted(self.url, received, expected, &error, self.config).into())
            }
            Err(Stop::Local(error)) => Err(error.into()),
            Err(Stop::Slow(pace)) => Err(pace.of(self.url).into()),
            Err(Stop::TooLong) => {
                let (found, announced) = (part.len(), part.total());
                part.reset()?;
                if self.file.bytes.or(announced).is_none() {
                    return Err(self.too_large().into());
                }
                Err(TransferError::Size {
                    url: self.url.to_owned(),
                    expected: limit,
                    found,
                }
                .into())
            }
        }
    }

    /// Returns the problem with a complete download, if there is one.
    fn wrong(&self, part: &mut PartialDownload, found: &str) -> Option<TransferError> {
        let url = self.url.to_owned();
        let expected = self.expected(part);
        if expected.as_ref().is_some_and(|expected| expected.matches(found)) {
            return None;
        }
        if let Some(start) = part.web_page() {
            return Some(TransferError::WebPage { url, start });
        }
        let (found, size) = (found.to_owned(), part.len());
        expected.map(|expected| TransferError::Digest {
            url,
            expected,
            found,
            size,
        })
    }

    /// Returns the published digest, completed from an earlier verified download, or else the announced one.
    fn expected(&self, part: &PartialDownload) -> Option<Digest> {
        let path = self.folder.path_of(self.file, "");
        self.digests
            .expected(&path, self.file.sha256.as_ref())
            .or_else(|| part.announced().cloned())
    }

    fn publish(
        &self,
        part: PartialDownload,
        digest: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let verified = self.expected(&part).is_some();
        let path = self.folder.publish(&part.seal()?, self.file)?;
        self.digests.remember(&path, digest);
        if !verified {
            progress.warned(&Warning::Unverified { path: path.clone() });
        }
        progress.finished();
        Ok(path)
    }

    fn restart(
        &self,
        part: &mut PartialDownload,
        reason: &'static str,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        progress.warned(&Warning::Restarted {
            file: self.file.name.to_string(),
            reason,
        });
        part.reset()
    }
}

fn asked_pause(error: &TransferError) -> Option<Duration> {
    match error {
        TransferError::Status { retry_after, .. } => *retry_after,
        _ => None,
    }
}
