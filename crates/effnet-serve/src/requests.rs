//! What happens around every request: its id, its line in the log, its metrics, and headers of every answer.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;

use crate::state::State as Shared;

/// Every endpoint, as metrics and logs name it.
const ROUTES: [&str; 16] = [
    "/",
    "/classify",
    "/explain",
    "/features",
    "/models",
    "/openapi.json",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/models/{model}/versions/{version}/ready",
    "/metrics",
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken from a client.
const LONGEST_ID: usize = 128;

/// A line of the log. Nothing in it but the request id is chosen by the client, and that is checked.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, when the answer was ready.
    time: f64,
    level: &'static str,
    request_id: &'a str,
    method: &'a str,
    route: &'static str,
    status: u16,
    milliseconds: f64,
}

/// Numbers a request, and reports its answer.
pub(crate) async fn observe(State(state): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id(request.headers().get(&REQUEST_ID));
    let route = route(&request);
    let method = request.method().clone();
    let active = state.metrics.active_requests.clone();
    active.inc();
    // The client may go away, which drops this future.
    let active = OnDrop(move || {
        active.dec();
    });
    let mut response = next.run(request).await;
    drop(active);
    let (status, time) = (response.status().as_u16(), start.elapsed());
    state.metrics.answered(route, status, time);
    if state.options.log {
        write(&Line {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            level: if status >= 500 { "error" } else { "info" },
            request_id: id.to_str().unwrap_or_default(),
            method: method.as_str(),
            route,
            status,
            milliseconds: (time.as_secs_f64() * 1e6).round() / 1e3,
        });
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if state.is_draining() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the client's id if it is harmless in logs, or else a new one.
fn request_id(sent: Option<&HeaderValue>) -> HeaderValue {
    let is_fine = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:/+=".contains(byte);
        !bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(fine)
    };
    match sent.filter(is_fine) {
        Some(id) => id.clone(),
        None => HeaderValue::from_str(&format!("{:016x}", fastrand::u64(..)))
            .unwrap_or(HeaderValue::from_static("0")),
    }
}

fn route(request: &Request) -> &'static str {
    let matched = request.extensions().get::<MatchedPath>();
    let known = matched.and_then(|path| ROUTES.into_iter().find(|route| *route == path.as_str()));
    known.unwrap_or("other")
}

/// Writes a line to standard error. If that fails, there is nowhere to report it.
fn write(line: &Line<'_>) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let _ = std::io::stderr().lock().write_all(&text);
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
