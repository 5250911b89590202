//! Why a request as a whole has no result, and the answer that says so.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use effnet::FailureKind;
use serde::Serialize;

use crate::work_error::WorkError;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How many seconds a client should wait before it tries again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A status with its explanation. The body is `{"error": "..."}`, as in the Open Inference Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    message: Cow<'static, str>,
}

#[derive(Serialize)]
struct Content<'a> {
    error: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    /// The request cannot be understood.
    pub(crate) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The request can be understood, but a value in it is wrong.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub(crate) fn media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(crate) fn unknown_model(name: &str, known: &[&str]) -> Self {
        let known = known.join(", ");
        let name: String = name.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            format!("no model is called {name:?}; expected one of: {known}"),
        )
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "this server expects a valid API key in `Authorization: Bearer KEY`";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(crate) fn too_many_requests() -> Self {
        let message = "too many requests at a time (--max-concurrent-requests); try again";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message)
    }

    pub(crate) fn queue_full() -> Self {
        let message = "too many images are waiting (--max-queue-size); try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn late() -> Self {
        let message = "the result was not ready in time (--timeout); try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Says what the problem is about.
    #[must_use]
    pub(crate) fn about(self, what: &str) -> Self {
        Self::new(self.status, format!("{what}: {}", self.message))
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// The status for a request whose images all failed in this way.
pub(crate) fn status_of(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FailureKind::NotAnImage | FailureKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FailureKind::NotFinite | FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl From<WorkError> for Problem {
    fn from(error: WorkError) -> Self {
        let message = error.to_string();
        match error {
            WorkError::Image(failure) => Self::new(status_of(failure.kind), message),
            WorkError::Class(_) => Self::invalid(message),
            WorkError::OutOfMemory(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
            WorkError::Expired => Self::late(),
            WorkError::Network(_) => Self::internal(message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let content = Content { error: &self.message };
        let body = serde_json::to_vec(&content).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
