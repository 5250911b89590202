//! Lets in only clients with an API key, if the server has any.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Problem;
use crate::state::State as Shared;

pub(crate) async fn check(
    State(state): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let keys = &state.options.api_keys;
    if keys.is_required() {
        let sent = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let key = sent.and_then(|sent| match sent.split_at_checked("Bearer ".len())? {
            (scheme, key) if scheme.eq_ignore_ascii_case(b"Bearer ") => Some(key),
            _ => None,
        });
        if !key.is_some_and(|key| keys.has(key)) {
            return Err(Problem::unauthorized());
        }
    }
    Ok(next.run(request).await)
}
