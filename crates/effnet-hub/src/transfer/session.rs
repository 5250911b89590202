//! One file from one URL: attempts, pauses, and the check at the end.

use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::answer::Answer;
use super::client::Client;
use super::failure::{Failure, reason};
use super::folder::Folder;
use super::part::Part;
use crate::verified::Verified;
use crate::{Digest, Error, HubConfig, Progress, Transfer, TransferError, Warning, WeightFile};

/// An attempt that brought this many bytes does not count as a failure.
const HEADWAY: u64 = 1 << 20;
/// Attempts after the first one when there is no connection at all.
const RETRIES_TO_CONNECT: u32 = 2;
/// The largest file that is accepted when nothing says how large it should be.
const LARGEST: u64 = 16 << 30;

/// What ends a body before its time.
enum Stop {
    /// The connection failed.
    Cut(io::Error),
    /// The body is longer than the file.
    TooLong,
    /// The bytes could not be kept.
    Local(Error),
}

pub(super) struct Session<'a> {
    pub(super) client: &'a Client,
    pub(super) config: &'a HubConfig,
    pub(super) file: &'a WeightFile,
    pub(super) url: &'a str,
    pub(super) folder: &'a Folder,
    pub(super) verified: &'a Verified,
}

impl Session<'_> {
    /// Fetches the file, verifies it and puts it under its name. The caller holds the file's lock.
    pub(super) fn run(&self, progress: &mut dyn Progress) -> Result<PathBuf, Failure> {
        let mut part = Part::open(self.folder, self.file)?;
        // A process that died between the last byte and the rename left the whole file.
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
            // The pieces may be of two versions of the file, or the disk lost one; a whole one decides.
            self.restart(
                &mut part,
                "what was kept and what came do not belong together",
                progress,
            )?;
        }
    }

    /// Attempts until the part is whole.
    fn complete(&self, part: &mut Part, progress: &mut dyn Progress) -> Result<(), Failure> {
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
                reason: error.to_string(),
                delay,
            });
            thread::sleep(delay);
        }
        Ok(())
    }

    /// One request and its body.
    fn attempt(&self, part: &mut Part, progress: &mut dyn Progress) -> Result<(), Failure> {
        let resume = part.resume(self.file.sha256.is_some());
        let answer = match self.client.get(self.url, resume) {
            Err(Failure::Remote(error @ TransferError::Range { .. })) if part.len() > 0 => {
                self.restart(part, "the server refuses to go on where it stopped", progress)?;
                return Err(error.into());
            }
            other => other?,
        };
        if part.len() > 0 && answer.start == 0 {
            self.restart(part, "the server sends the whole file", progress)?;
        } else if part.len() > 0 && !part.continues(&answer) {
            self.restart(part, "the server's file has changed", progress)?;
            let content_range = String::from("a part of another file");
            return Err(TransferError::Range {
                url: self.url.to_owned(),
                content_range,
            }
            .into());
        }
        let limit = self.limit(&answer)?;
        part.note(&answer)?;
        progress.started(&Transfer {
            file: self.file.name.as_str(),
            url: self.url,
            from: part.len(),
            total: answer.total,
        });
        self.receive(answer, part, limit, progress)
    }

    /// Bytes after which the body is not this file any more.
    fn limit(&self, answer: &Answer) -> Result<u64, TransferError> {
        match (self.file.bytes, answer.total) {
            (Some(expected), Some(found)) if expected != found => Err(TransferError::Size {
                url: self.url.to_owned(),
                expected,
                found,
            }),
            (known, total) => Ok(known.or(total).unwrap_or(LARGEST)),
        }
    }

    fn receive(
        &self,
        mut answer: Answer,
        part: &mut Part,
        limit: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let stop = part.appending(|end| {
            loop {
                let mut block = end.block();
                let count = match answer.response.read(&mut block) {
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
            }
        })?;
        match stop {
            Ok(()) => Ok(()),
            Err(Stop::Cut(error)) => Err(self.interrupted(&error, part).into()),
            Err(Stop::Local(error)) => Err(error.into()),
            Err(Stop::TooLong) => {
                let found = part.len();
                part.reset()?;
                Err(TransferError::Size {
                    url: self.url.to_owned(),
                    expected: limit,
                    found,
                }
                .into())
            }
        }
    }

    fn interrupted(&self, error: &io::Error, part: &Part) -> TransferError {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
        let url = self.url.to_owned();
        if inner.is_some_and(reqwest::Error::is_timeout) {
            return TransferError::Stalled {
                url,
                seconds: self.config.stall_timeout,
            };
        }
        let reason = inner.map_or_else(|| error.to_string(), reason);
        TransferError::Cut {
            url,
            received: part.len(),
            expected: part.total(),
            reason,
        }
    }

    /// What is wrong with a whole part, if anything.
    fn wrong(&self, part: &mut Part, found: &str) -> Option<TransferError> {
        let url = self.url.to_owned();
        let expected = self.expected(part).cloned();
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

    fn expected<'p>(&'p self, part: &'p Part) -> Option<&'p Digest> {
        self.file.sha256.as_ref().or(part.announced())
    }

    fn publish(&self, part: Part, digest: &str, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        let verified = self.expected(&part).is_some();
        let path = self.folder.publish(&part.seal()?, self.file)?;
        self.verified.remember(&path, digest);
        if !verified {
            progress.warned(&Warning::Unverified { path: path.clone() });
        }
        progress.finished();
        Ok(path)
    }

    fn restart(
        &self,
        part: &mut Part,
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
