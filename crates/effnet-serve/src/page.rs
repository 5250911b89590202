//! The web page, and the OpenAPI description.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderValue, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::problem::{JSON, Problem};
use crate::state::State as Shared;

const PAGE: &str = include_str!("page/index.html");
const OPENAPI: &str = include_str!("page/openapi.json");

/// The page may run its own script and talk to its own server, nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |start: &str, end: &str| {
        let (_, rest) = PAGE.split_once(start).unwrap_or_default();
        let (content, _) = rest.split_once(end).unwrap_or_default();
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
    };
    format!(
        "default-src 'none'; connect-src 'self'; img-src blob: data:; media-src blob:; script-src {}; style-src {}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("<script>", "</script>"),
        hash("<style>", "</style>"),
    )
});

pub(crate) async fn page() -> Response<Body> {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The description of the addresses. It names the models that are served, unless those are for holders of keys.
pub(crate) async fn openapi(State(state): State<Arc<Shared>>) -> Result<Response<Body>, Problem> {
    let is_open = !state.options.api_keys.is_required();
    let names = state.models.iter().filter(|_| is_open).map(|model| model.name());
    let text = described(names.collect()).map_err(|error| Problem::internal(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

fn described(models: Vec<&str>) -> serde_json::Result<String> {
    let mut description: serde_json::Value = serde_json::from_str(OPENAPI)?;
    if !models.is_empty() {
        description["components"]["schemas"]["Model"]["enum"] = models.into();
    }
    serde_json::to_string_pretty(&description)
}
