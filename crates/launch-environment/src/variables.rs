//! Reads and checks environment variables. The readers of all launchers build on it, so that a missing or invalid
//! variable is reported in the same way whoever should have set it.

use std::ops::RangeInclusive;

/// Variables that do not describe a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Some of the variables of a group are set, and one is not.
    #[error("the variable {missing} is not set, but {present} is: {hint}")]
    Missing {
        /// The missing variable.
        missing: &'static str,
        /// A variable that requires it.
        present: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A variable has an invalid value.
    #[error("the variable {name} is `{value}`, expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: String,
    },
}

/// c10d counts ranks in signed 32-bit integers.
const LARGEST_WORLD: u64 = i32::MAX as u64;

/// The default port of the store, the same as PyTorch's.
pub(crate) const DEFAULT_PORT: u16 = 29500;

/// The variables of a process.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Variables<'a> {
    /// The variables that `lookup` returns.
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    /// The value of a variable; an empty one counts as not set.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Whether a variable is set.
    pub(crate) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of the variable `missing`, which `present` requires.
    pub(crate) fn require(
        self,
        missing: &'static str,
        present: &'static str,
        hint: &'static str,
    ) -> Result<String, EnvironmentError> {
        self.get(missing).ok_or(EnvironmentError::Missing {
            missing,
            present,
            hint,
        })
    }

    /// A whole number in `range`, if the variable is set.
    pub(crate) fn number(
        self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, EnvironmentError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.parse().ok().filter(|number| range.contains(number));
        let invalid = |value| EnvironmentError::Invalid {
            name,
            value,
            expected: if *range.end() == u64::MAX {
                format!("a whole number of {} or more", range.start())
            } else {
                format!("a whole number from {} to {}", range.start(), range.end())
            },
        };
        number.map(Some).ok_or_else(|| invalid(value))
    }

    /// Rank and world size, from the two variables with these names.
    pub(crate) fn place(
        self,
        rank_name: &'static str,
        size_name: &'static str,
        hint: &'static str,
    ) -> Result<(usize, usize), EnvironmentError> {
        self.require(size_name, rank_name, hint)?;
        self.require(rank_name, size_name, hint)?;
        let world_size = self.number(size_name, 1..=LARGEST_WORLD)?.unwrap_or(1);
        let rank = self.number(rank_name, 0..=world_size - 1)?.unwrap_or(0);
        Ok((rank as usize, world_size as usize))
    }

    /// `MASTER_PORT`, if it is set.
    pub(crate) fn master_port(self) -> Result<Option<u16>, EnvironmentError> {
        let port = self.number("MASTER_PORT", 1..=u64::from(u16::MAX))?;
        Ok(port.map(|port| port as u16))
    }
}
