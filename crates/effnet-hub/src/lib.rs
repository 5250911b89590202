#![doc = include_str!("../README.md")]

mod bundled;
mod cache;
mod commit;
mod config;
mod digest;
mod digest_cache;
mod error;
mod hub;
mod manifest;
mod progress;
mod repository;
mod search_path;
mod transfer;

pub use effnet_architecture::{Preprocessing, Profile, Scheme, Variant};

pub use cache::{CachedFile, PruneOptions, Pruned, Verification};
pub use config::{Backoff, Bundled, Certificates, HubConfig, Proxies};
pub use digest::{Digest, DigestError, sha256_of_bytes, sha256_of_file};
pub use error::{Error, Missing, TransferError};
pub use hub::Hub;
pub use manifest::{Entry, FileName, FileNameError, HuggingFaceFile, Manifest, Published, WeightFile, Wheel};
pub use progress::{Progress, Transfer, Warning};
pub use repository::{RepositoryName, RepositoryNameError};
pub use transfer::{WebClient, WebError};
