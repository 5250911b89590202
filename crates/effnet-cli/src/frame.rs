//! The header and separator of an output.

/// The text that an output contains in addition to its results.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// The text before all results.
    pub(crate) header: Vec<u8>,
    /// The text between two results.
    pub(crate) separator: &'static str,
}
