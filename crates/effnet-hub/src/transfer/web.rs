//! Files of the web that are read into memory: images that a command is given as addresses.
//!
//! They share connections, proxies and certificates with the weights, and neither the mirror nor the access token,
//! which are for published weights only.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::failure::{Failure, reason};
use crate::{Error, HubConfig, TransferError};

/// How often a file is tried.
const ATTEMPTS: u32 = 2;
/// After this time, a server has to have sent at least [`SLOWEST`] bytes per second.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 1024;
const BLOCK: usize = 1 << 16;

/// Why a file of the web was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address is invalid, or the server or the connection failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A proxy or the certificates are invalid.
    #[error(transparent)]
    Setting(#[from] Error),
    /// The file is larger than the limit.
    #[error("{url}: expected a file of at most {limit} bytes, found a larger one")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        limit: u64,
    },
}

/// Reads files of the web into memory. Can be shared between threads; the connections are set up on the first
/// request.
#[derive(Debug)]
pub struct WebClient {
    client: Client,
    config: HubConfig,
}

impl WebClient {
    /// With the proxies, certificates and time limits of this configuration.
    pub fn new(config: &HubConfig) -> Self {
        let mut config = config.clone();
        config.mirror = None;
        config.hf_token = None;
        Self {
            client: Client::new(&config),
            config,
        }
    }

    /// The bytes of the file at `url`, at most `limit`.
    ///
    /// # Errors
    /// [`WebError`]; a failed connection is tried twice.
    pub fn read(&self, url: &str, limit: u64) -> Result<Vec<u8>, WebError> {
        let mut attempt = 1;
        loop {
            match self.attempt(url, limit) {
                Err(WebError::Transfer(error)) if attempt < ATTEMPTS && error.is_transient() => {
                    thread::sleep(self.config.backoff.pause(attempt));
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(&self, url: &str, limit: u64) -> Result<Vec<u8>, WebError> {
        let response = self.client.get(url, None).map_err(|failure| match failure {
            Failure::Remote(error) => WebError::Transfer(error),
            Failure::Local(error) => WebError::Setting(error),
        })?;
        let too_large = || WebError::TooLarge {
            url: url.to_owned(),
            limit,
        };
        if response.total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        let (start, mut body) = (Instant::now(), response.body);
        let (mut bytes, mut block) = (Vec::new(), vec![0; BLOCK]);
        loop {
            let count = match body.read(&mut block) {
                Ok(0) => return Ok(bytes),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut(url, bytes.len() as u64, response.total, &error).into()),
            };
            bytes.extend_from_slice(&block[..count]);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
            let elapsed = start.elapsed();
            if elapsed > PATIENCE && (bytes.len() as u64) < SLOWEST * elapsed.as_secs() {
                let url = url.to_owned();
                return Err(TransferError::Stalled {
                    url,
                    seconds: self.config.stall_timeout,
                }
                .into());
            }
        }
    }
}

/// The error of a connection that ended early.
fn cut(url: &str, received: u64, expected: Option<u64>, error: &std::io::Error) -> TransferError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    TransferError::Cut {
        url: url.to_owned(),
        received,
        expected,
        reason: inner.map_or_else(|| error.to_string(), reason),
    }
}
