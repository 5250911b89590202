//! The heartbeat that each process of a group publishes in the store, and its text form.

use std::net::IpAddr;

/// The state of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// A call failed, and the process is looking for the cause.
    Stalled,
    /// The process has finished looking for the cause, and no longer needs the store.
    Informed,
    /// The process is failing with this error.
    Failed(String),
    /// The process exited.
    Exited,
}

/// One heartbeat of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// The number of heartbeats before this one.
    pub(crate) beat: u64,
    /// The number of collective calls so far.
    pub(crate) calls: u64,
    pub(crate) address: Option<IpAddr>,
    pub(crate) state: State,
}

impl Heartbeat {
    pub(crate) fn to_text(&self) -> String {
        let address = self
            .address
            .map(|address| address.to_string())
            .unwrap_or_default();
        let (state, message) = match &self.state {
            State::Running => ("running", ""),
            State::Stalled => ("stalled", ""),
            State::Informed => ("informed", ""),
            State::Failed(message) => ("failed", message.as_str()),
            State::Exited => ("left", ""),
        };
        format!("{}\n{}\n{address}\n{state}\n{message}", self.beat, self.calls)
    }

    /// Parses a heartbeat. Returns `None` if `text` is not one.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let lines: Vec<&str> = std::str::from_utf8(text).ok()?.splitn(5, '\n').collect();
        let [beat, calls, address, state, message] = lines[..] else {
            return None;
        };
        Some(Self {
            beat: beat.parse().ok()?,
            calls: calls.parse().ok()?,
            address: address.parse().ok(),
            state: match state {
                "running" => State::Running,
                "stalled" => State::Stalled,
                "informed" => State::Informed,
                "failed" => State::Failed(message.to_owned()),
                "left" => State::Exited,
                _ => return None,
            },
        })
    }

    /// Returns whether the process no longer needs the others.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.state, State::Running | State::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_survives_the_round_trip() {
        for state in [
            State::Running,
            State::Exited,
            State::Failed("no\nspace left".to_owned()),
        ] {
            let heartbeat = Heartbeat {
                beat: 3,
                calls: 41,
                address: Some(IpAddr::from([10, 0, 0, 1])),
                state,
            };
            assert_eq!(Heartbeat::parse(heartbeat.to_text().as_bytes()), Some(heartbeat));
        }
    }

    #[test]
    fn a_text_that_is_not_a_heartbeat_is_refused() {
        for text in ["", "1\n2", "1\n2\n\nsleeping\n", "x\n2\n\nrunning\n"] {
            assert_eq!(Heartbeat::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
