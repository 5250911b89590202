//! Header and separator of an output.

/// What an output contains in addition to its results.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// Before all results.
    pub(crate) header: Vec<u8>,
    /// Between two results.
    pub(crate) separator: &'static str,
}
