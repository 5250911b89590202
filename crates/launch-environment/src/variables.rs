//! Reads and checks environment variables. The code for each launcher builds on this, so that a missing or invalid
//! variable is reported in the same way for all of them.

use std::ops::RangeInclusive;

/// An error about variables that do not describe a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Some variables of a group are set, but one of them is not.
    #[error("the variable {missing} is not set, although {present} is; {hint}")]
    Missing {
        /// The missing variable.
        missing: &'static str,
        /// A variable that is set and requires the missing one.
        present: &'static str,
        /// Advice on what to do.
        hint: &'static str,
    },
    /// A variable has an invalid value.
    #[error("the variable {name} is `{value}`, expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// A description of the valid values.
        expected: String,
    },
}

/// The largest world size: c10d counts ranks in signed 32-bit integers.
const LARGEST_WORLD: u64 = i32::MAX as u64;

/// The default port of the store, the same as PyTorch's.
pub(crate) const DEFAULT_PORT: u16 = 29500;

/// The environment variables of a process.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Variables<'a> {
    /// Creates a view of the variables that `lookup` returns.
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    /// Returns the value of a variable. An empty value counts as not set.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns whether a variable is set.
    pub(crate) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the value of the variable `missing`, which `present` requires.
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

    /// Parses a whole number in `range`, if the variable is set.
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
                format!("a whole number that is at least {}", range.start())
            } else {
                format!("a whole number from {} to {}", range.start(), range.end())
            },
        };
        number.map(Some).ok_or_else(|| invalid(value))
    }

    /// Returns rank and world size, from the two variables with these names.
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

    /// Returns `MASTER_PORT`, if it is set.
    pub(crate) fn master_port(self) -> Result<Option<u16>, EnvironmentError> {
        let port = self.number("MASTER_PORT", 1..=u64::from(u16::MAX))?;
        Ok(port.map(|port| port as u16))
    }
}
