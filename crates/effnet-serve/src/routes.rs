//! The endpoints of the server.

mod images;
mod information;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::problem::Problem;
use crate::state::State;
use crate::{access, inference_protocol, page, requests};

/// Builds the service that answers all requests. Its endpoints are also listed in `requests.rs`, for metrics and logs.
pub(crate) fn router(state: &Arc<State>) -> Router {
    let protected = Router::new()
        .route("/classify", post(images::classify))
        .route("/features", post(images::features))
        .route("/explain", post(images::explain))
        .route("/models", get(information::models))
        .route("/metrics", get(information::metrics))
        .route("/v2", get(inference_protocol::server))
        .route("/v2/models/{model}", get(inference_protocol::model))
        .route("/v2/models/{model}/ready", get(inference_protocol::model_ready))
        .route("/v2/models/{model}/infer", post(inference_protocol::infer))
        .route(
            "/v2/models/{model}/versions/{version}",
            get(inference_protocol::model),
        )
        .route(
            "/v2/models/{model}/versions/{version}/ready",
            get(inference_protocol::model_ready),
        )
        .route(
            "/v2/models/{model}/versions/{version}/infer",
            post(inference_protocol::infer),
        )
        .route_layer(from_fn_with_state(Arc::clone(state), access::check));
    let open = Router::new()
        .route("/", get(page::page))
        .route("/openapi.json", get(page::openapi))
        .route("/v2/health/live", get(information::live))
        .route("/v2/health/ready", get(information::ready));
    Router::new()
        .merge(protected)
        .merge(open)
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "no such endpoint; /openapi.json lists them",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed; the Allow header lists those that are",
            )
        })
        .layer(from_fn_with_state(Arc::clone(state), requests::observe))
        .with_state(Arc::clone(state))
}
