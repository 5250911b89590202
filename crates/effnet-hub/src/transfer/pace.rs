//! Checks that a transfer is not uselessly slow: a trickle would never end, yet never stall.

use std::time::{Duration, Instant};

use crate::{HubConfig, TransferError};

/// The bytes received in the current window.
pub(super) struct Pace {
    since: Instant,
    received: u64,
    window: Duration,
    slowest: u64,
}

/// The error for a transfer that is too slow: the bytes received, and the time they took.
pub(super) struct TooSlow {
    received: u64,
    seconds: Duration,
}

impl Pace {
    pub(super) fn new(config: &HubConfig) -> Self {
        Self {
            since: Instant::now(),
            received: 0,
            window: config.stall_timeout,
            slowest: config.slowest_rate,
        }
    }

    /// Counts received bytes, and compares the rate with the slowest accepted one at the end of each window.
    pub(super) fn check(&mut self, count: u64) -> Result<(), TooSlow> {
        self.received += count;
        let elapsed = self.since.elapsed();
        if elapsed < self.window {
            return Ok(());
        }
        if (self.received as f64) < self.slowest as f64 * elapsed.as_secs_f64() {
            return Err(TooSlow {
                received: self.received,
                seconds: elapsed,
            });
        }
        (self.since, self.received) = (Instant::now(), 0);
        Ok(())
    }
}

impl TooSlow {
    /// Converts to the error for a transfer from `url`.
    pub(super) fn of(self, url: &str) -> TransferError {
        TransferError::Slow {
            url: url.to_owned(),
            received: self.received,
            seconds: self.seconds,
        }
    }
}
