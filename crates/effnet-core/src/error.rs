//! Errors from building, loading and running a network.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name is unknown, or a field of the configuration is out of range.
    #[error(transparent)]
    Architecture(#[from] effnet_architecture::Error),
    /// The path in the variable store already holds a network.
    #[error("the variable store already contains `{name}`; build each network under its own path")]
    Occupied {
        /// The variable that would have been created twice.
        name: String,
    },
    /// A state dict does not match the network.
    #[error(transparent)]
    Load(#[from] effnet::LoadError),
    /// Weights cannot be found, downloaded or opened.
    #[error(transparent)]
    Open(#[from] effnet::Error),
    /// The values of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] effnet_checkpoint::TensorError),
    /// A libtorch operation failed.
    #[error("libtorch: {}", first_line(&.0.to_string()))]
    Torch(#[from] tch::TchError),
}

/// Drops the C++ backtrace that libtorch appends to its messages, which does not help a user.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
