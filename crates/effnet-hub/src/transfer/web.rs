//! Reads files from the web into memory: images that a command receives as URLs.
//!
//! They use the same kind of connections, proxies and certificates as the weights, but not the mirror or the
//! access token, which are for published weights only.

use std::io::Read;
use std::thread;

use super::client::Client;
use super::failure::{Failure, interrupted};
use super::pace::Pace;
use crate::{Error, HubConfig, TransferError};

/// Number of attempts per file.
const ATTEMPTS: u32 = 2;
const BLOCK: usize = 1 << 16;

/// Errors from reading a file from the web.
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

/// Reads files from the web into memory. Can be shared between threads; the connections are set up on the
/// first request.
///
/// Public for the other crates of this workspace.
#[derive(Debug)]
pub struct WebClient {
    client: Client,
    config: HubConfig,
}

impl WebClient {
    /// Creates a client with the proxies, certificates and time limits of this configuration.
    pub fn new(config: &HubConfig) -> Self {
        let mut config = config.clone();
        config.mirror = None;
        config.hf_token = None;
        Self {
            client: Client::new(&config),
            config,
        }
    }

    /// Reads the file at `url`, which may have at most `limit` bytes.
    ///
    /// # Errors
    /// [`WebError`]; a transient failure is retried once.
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
        let (mut pace, mut body) = (Pace::new(&self.config), response.body);
        let (mut bytes, mut block) = (Vec::new(), vec![0; BLOCK]);
        loop {
            let count = match body.read(&mut block) {
                Ok(0) => return Ok(bytes),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let received = bytes.len() as u64;
                    return Err(interrupted(url, received, response.total, &error, &self.config).into());
                }
            };
            bytes.extend_from_slice(&block[..count]);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
            pace.check(count as u64).map_err(|pace| pace.of(url))?;
        }
    }
}
