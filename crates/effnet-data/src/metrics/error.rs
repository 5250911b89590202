//! Errors from metrics.

/// An error from metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Logits or labels of the wrong shape.
    #[error(
        "expected logits of shape [N, {classes}] and labels of shape [N], found {logits:?} and {labels:?}"
    )]
    Shapes {
        /// Number of classes of the metrics.
        classes: usize,
        /// Shape of the logits.
        logits: Vec<i64>,
        /// Shape of the labels.
        labels: Vec<i64>,
    },
    /// A label that is out of range.
    #[error("label {label} is out of range, expected 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The label.
        label: i64,
        /// Number of classes of the metrics.
        classes: usize,
    },
    /// Outputs or targets with the wrong number of columns.
    #[error("expected outputs and targets of shape [N, {columns}], found {outputs:?} and {targets:?}")]
    Columns {
        /// Number of columns of the metrics.
        columns: usize,
        /// Shape of the outputs.
        outputs: Vec<i64>,
        /// Shape of the targets.
        targets: Vec<i64>,
    },
    /// A target that cannot be measured.
    #[error("found the target {found}, expected {expected}")]
    Target {
        /// The target.
        found: f32,
        /// The valid targets.
        expected: &'static str,
    },
    /// The network returned NaN or infinity.
    #[error(
        "the network returned {found} for class {class}, expected a finite number; check the weights, or use \
         a higher precision"
    )]
    NotFinite {
        /// The class of the first non-finite logit.
        class: usize,
        /// The logit.
        found: f32,
    },
    /// Metrics with different numbers of classes.
    #[error("cannot merge metrics of {found} classes into metrics of {classes} classes")]
    Merge {
        /// Number of classes of these metrics.
        classes: usize,
        /// Number of classes of the other metrics.
        found: usize,
    },
}
