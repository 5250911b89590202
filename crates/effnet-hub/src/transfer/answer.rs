//! What is asked of a server, and what it answers: the ground that requests, attempts and parts share.

use reqwest::blocking::Response;

use crate::Digest;

/// A body that is about to arrive.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Offset of its first byte in the file.
    pub(super) start: u64,
    /// Size of the whole file.
    pub(super) total: Option<u64>,
    /// For If-Range at a later attempt.
    pub(super) validator: Option<String>,
    /// The digest that Hugging Face announces.
    pub(super) announced: Option<Digest>,
}

/// The part of a file that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resume<'a> {
    pub(super) from: u64,
    pub(super) validator: Option<&'a str>,
}
