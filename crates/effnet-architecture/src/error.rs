//! Errors about unknown names and invalid configurations.

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No variant has this name.
    #[error(
        "unknown model `{name}`, expected one of b0 to b8, l2, lite0 to lite4, v2-b0 to v2-b3, v2-s, v2-m, v2-l, \
         v2-xl, v2-rw-t, v2-rw-s and v2-rw-m{}",
        nearest_names(nearest)
    )]
    UnknownVariant {
        /// The requested name.
        name: String,
        /// The nearest names by edit distance; empty if none is near.
        nearest: Vec<&'static str>,
    },
    /// One of a few fixed names was expected.
    #[error("unknown {noun} `{name}`, expected one of {}", expected.join(", "))]
    UnknownName {
        /// The kind of name: `profile`, `naming scheme`, `interpolation`, ...
        noun: &'static str,
        /// The requested name.
        name: String,
        /// All valid names.
        expected: &'static [&'static str],
    },
    /// A field of the configuration is out of range.
    #[error("{field} is {found}, expected {expected}")]
    InvalidConfig {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// The valid range.
        expected: &'static str,
        /// The invalid value.
        found: String,
    },
}

fn nearest_names(nearest: &[&'static str]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    format!("; nearest: {}", nearest.join(", "))
}
