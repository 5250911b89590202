//! Reads the body of a request within its limits: size, memory of all bodies, time.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::problem::Problem;
use crate::state::State;

/// Memory that a body occupies, given back when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Charge {
    /// Charges `bytes`.
    pub(crate) fn new(state: &State, bytes: usize) -> Result<Self, Problem> {
        let mut charge = Self::default();
        charge.add(state, bytes)?;
        Ok(charge)
    }

    fn add(&mut self, state: &State, bytes: usize) -> Result<(), Problem> {
        // Whole kibibytes are taken, and what is left of the last one serves the next bytes.
        let taken = self.bytes.div_ceil(1024);
        self.bytes += bytes;
        let more = self.bytes.div_ceil(1024) - taken;
        let permit = Arc::clone(&state.body_memory).try_acquire_many_owned(more as u32);
        let permit = permit.map_err(|_| {
            let message = "the memory for request bodies is in use; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        Ok(())
    }
}

/// Reads a body to its end.
///
/// # Errors
/// 408, 413, 415 or 503; 400 if the client's message is damaged.
pub(crate) async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<(Bytes, Charge), Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Problem::media_type(
            "compressed bodies are not supported; omit Content-Encoding (images are compressed already)",
        ));
    }
    let limit = state.options.max_body_size;
    let too_large = || Problem::too_large(format!("the body has more than {limit} bytes (--max-body-mb)"));
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit as u64) {
        return Err(too_large());
    }
    let mut charge = Charge::default();
    let all = async {
        let mut body = body;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::malformed("the body ended early, or is damaged"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            charge.add(state, data.len())?;
            if bytes.is_empty() {
                // Not more than what has come: a client may announce much and send nothing.
                bytes.reserve_exact(declared.map_or(0, |declared| (declared as usize).min(1 << 20)));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Bytes::from(bytes))
    };
    let late = || {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time (--timeout)",
        )
    };
    let bytes = tokio::time::timeout_at(deadline.into(), all).await;
    Ok((bytes.map_err(|_| late())??, charge))
}
