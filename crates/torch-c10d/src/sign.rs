//! What the store holds of each process of a group.

use std::net::IpAddr;

/// How a process fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// It waits in vain, and looks for the reason.
    Stalled,
    /// It knows the reason.
    Informed,
    /// An error of its own ends it.
    Failed(String),
    Left,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sign {
    /// Signs before it.
    pub(crate) beat: u64,
    /// Collective calls so far.
    pub(crate) calls: u64,
    pub(crate) address: Option<IpAddr>,
    pub(crate) state: State,
}

impl Sign {
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
            State::Left => ("left", ""),
        };
        format!("{}\n{}\n{address}\n{state}\n{message}", self.beat, self.calls)
    }

    /// `None` for what no process of this program writes.
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
                "left" => State::Left,
                _ => return None,
            },
        })
    }

    /// Whether the process needs the others no more.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.state, State::Running | State::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_survives_its_way() {
        for state in [
            State::Running,
            State::Left,
            State::Failed("no\nspace left".to_owned()),
        ] {
            let sign = Sign {
                beat: 3,
                calls: 41,
                address: Some(IpAddr::from([10, 0, 0, 1])),
                state,
            };
            assert_eq!(Sign::parse(sign.to_text().as_bytes()), Some(sign));
        }
    }

    #[test]
    fn what_is_no_sign_is_refused() {
        for text in ["", "1\n2", "1\n2\n\nsleeping\n", "x\n2\n\nrunning\n"] {
            assert_eq!(Sign::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
