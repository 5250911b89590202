//! Range requests and responses, shared by the client, the session and the partial download.

use reqwest::blocking::Response;

use crate::Digest;

/// A response whose body has not been read yet.
pub(super) struct FileResponse {
    pub(super) body: Response,
    /// Offset of the body in the file.
    pub(super) start: u64,
    /// Size of the whole file, if the server sent it.
    pub(super) total: Option<u64>,
    /// ETag or date, for the If-Range header of a later attempt.
    pub(super) validator: Option<String>,
    /// The digest sent by Hugging Face.
    pub(super) announced: Option<Digest>,
}

/// A request for the rest of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resume<'a> {
    pub(super) from: u64,
    pub(super) validator: Option<&'a str>,
}
