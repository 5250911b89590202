//! What a network is trained for, which decides what its outputs mean.

use crate::named_enum::named;

/// The task of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Task {
    /// One class per image: the softmax of the outputs is the probability of each class.
    #[default]
    Classify,
    /// Any number of labels per image: the sigmoid of each output is the probability of its label.
    MultiLabel,
    /// One or more numbers per image: the outputs themselves.
    Regression,
}

named!(Task, "task", { Classify => "classify", MultiLabel => "multilabel", Regression => "regression" });
