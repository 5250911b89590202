//! Reads images from the web.

use std::sync::OnceLock;

use effnet_hub::{HubConfig, WebClient, WebError};

use crate::failure::{Failure, FailureKind};

/// Returns whether an argument is a web address.
pub(crate) fn is_address(argument: &str) -> bool {
    let scheme = |scheme: &str| {
        argument
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    scheme("http://") || scheme("https://")
}

/// Downloads images into memory. It opens connections only when the first image is needed.
#[derive(Debug)]
pub(crate) struct Web {
    client: OnceLock<WebClient>,
    config: HubConfig,
}

impl Web {
    /// Uses the proxies and certificates from the environment. Downloads nothing if `offline` is set or the environment
    /// says so.
    pub(crate) fn new(offline: bool) -> Self {
        let mut config = HubConfig::from_environment(|name| std::env::var_os(name));
        config.offline |= offline;
        config.user_agent = format!("effnet/{}", env!("CARGO_PKG_VERSION"));
        Self {
            client: OnceLock::new(),
            config,
        }
    }

    /// Downloads a file of at most `limit` bytes.
    pub(crate) fn read(&self, address: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        if self.config.offline {
            return Err(Failure::new(
                FailureKind::Download,
                "not downloaded because --offline or EFFNET_OFFLINE is set",
            ));
        }
        let client = self.client.get_or_init(|| WebClient::new(&self.config));
        client.read(address, limit).map_err(|error| {
            let kind = match error {
                WebError::TooLarge { .. } => FailureKind::TooLarge,
                _ => FailureKind::Download,
            };
            let reason = error.to_string();
            let reason = reason.strip_prefix(&format!("{address}: ")).unwrap_or(&reason);
            Failure::new(kind, reason)
        })
    }
}
