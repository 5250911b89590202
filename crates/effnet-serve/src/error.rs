//! Errors from starting a server.

use std::path::PathBuf;

/// An error that keeps a [`Server`](crate::Server) from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no network to serve.
    #[error("no model to serve")]
    NoModels,
    /// Two networks have one name.
    #[error("two models are called {name}; give one of them another name, as in --weights NAME=FILE")]
    SameName {
        /// The name.
        name: String,
    },
    /// The name of a network cannot be part of an address.
    #[error(
        "{name}: expected a model name of letters, digits, `.`, `_` and `-`; give it another name, as in \
         --weights NAME=FILE"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address, as requested.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file of keys cannot be used.
    #[error("--api-key-file {}: {reason}", path.display())]
    ApiKeys {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The batch size of a network cannot be chosen.
    #[error(transparent)]
    Backend(#[from] effnet::BackendError),
    /// The network cannot explain its classifications.
    #[error(transparent)]
    Explain(#[from] effnet::ExplainError),
    /// The operating system refuses a thread or an event queue.
    #[error("cannot start the server")]
    Start(#[source] std::io::Error),
}
