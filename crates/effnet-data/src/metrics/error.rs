//! What cannot be measured.

/// An error of [`Metrics`](super::Metrics).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Tensors of other shapes.
    #[error(
        "logits of the shape {logits:?} and labels of the shape {labels:?}, expected [N, {classes}] and [N]"
    )]
    Shapes {
        /// Classes that are measured.
        classes: usize,
        /// Shape of the logits.
        logits: Vec<i64>,
        /// Shape of the labels.
        labels: Vec<i64>,
    },
    /// A label that is no class.
    #[error("the label {label}, expected a class from 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The label.
        label: i64,
        /// Classes that are measured.
        classes: usize,
    },
    /// The network computed nonsense.
    #[error(
        "the network gave {found} for class {class}, expected a finite number; the weights or the \
         precision do not suit it"
    )]
    NotFinite {
        /// The class of the first such logit.
        class: usize,
        /// The logit.
        found: f32,
    },
    /// Parts of another whole.
    #[error("metrics of {found} classes cannot be added to metrics of {classes} classes")]
    Merge {
        /// Classes that are measured here.
        classes: usize,
        /// Classes of the other.
        found: usize,
    },
}
