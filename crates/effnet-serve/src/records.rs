//! The answers of the routes for images: the records of the command line.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use effnet::{Failure, FailureKind, Record};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::problem::{JSON, Problem, status_of};
use crate::work_error::WorkError;

/// Collects the records of a request.
pub(crate) struct Records<'a> {
    metrics: &'a Metrics,
    texts: Vec<String>,
    is_any_fine: bool,
    first_failure: Option<FailureKind>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(metrics: &'a Metrics) -> Self {
        Self {
            metrics,
            texts: Vec::new(),
            is_any_fine: false,
            first_failure: None,
        }
    }

    /// Adds the record of an image.
    pub(crate) fn push(&mut self, record: &impl Serialize) -> Result<(), Problem> {
        self.is_any_fine = true;
        self.write(record)
    }

    /// Adds the record of an image without a result. Returns the error if it is not the image's fault.
    pub(crate) fn fail(&mut self, name: &str, error: WorkError) -> Result<(), Problem> {
        match error {
            WorkError::Image(failure) => self.failed(name, &failure),
            error => Err(error.into()),
        }
    }

    fn failed(&mut self, name: &str, failure: &Failure) -> Result<(), Problem> {
        self.first_failure.get_or_insert(failure.kind);
        if let Ok(kind) = serde_json::to_string(&failure.kind) {
            self.metrics.failed(kind.trim_matches('"'));
        }
        self.write(&Record::failed(name, failure))
    }

    fn write(&mut self, record: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string(record);
        self.texts
            .push(text.map_err(|error| Problem::internal(error.to_string()))?);
        Ok(())
    }

    /// Returns the answer: the record itself if `is_single`, and a list of records otherwise. The status is that of a
    /// failure only if all images failed.
    pub(crate) fn response(self, is_single: bool) -> Response<Body> {
        let text = match (is_single, &self.texts[..]) {
            (true, [text]) => format!("{text}\n"),
            _ => format!("[{}]\n", self.texts.join(",\n")),
        };
        let mut response = Response::new(Body::from(text));
        if let (false, Some(kind)) = (self.is_any_fine, self.first_failure) {
            *response.status_mut() = status_of(kind);
        }
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}
