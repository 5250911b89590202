//! What can go wrong when a network is named or configured.

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No variant has this name.
    #[error("unknown model `{name}`, expected one of b0 to b8 or l2; nearest: {}", nearest.join(", "))]
    UnknownVariant {
        /// The name that was asked for.
        name: String,
        /// The names that differ least from it.
        nearest: Vec<&'static str>,
    },
    /// One of a few fixed names was expected.
    #[error("unknown {noun} `{name}`, expected one of {}", expected.join(", "))]
    UnknownName {
        /// What is named: `profile`, `naming scheme`, `interpolation`, ...
        noun: &'static str,
        /// The name that was asked for.
        name: String,
        /// All names that there are.
        expected: &'static [&'static str],
    },
    /// A field of the configuration is out of its range.
    #[error("{field} is {found}, expected {expected}")]
    InvalidConfig {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// The range that it must lie in.
        expected: &'static str,
        /// Its value.
        found: String,
    },
}
