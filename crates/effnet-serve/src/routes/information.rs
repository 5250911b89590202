//! Health, models and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use effnet::Task;
use serde::Serialize;

use crate::problem::Problem;
use crate::state::State as Shared;

#[derive(Serialize)]
struct Live {
    live: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

/// A network, as `/models` lists it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    model: &'static str,
    weights: &'a str,
    /// Classes, labels or values.
    classes: usize,
    image_size: usize,
    task: Task,
    /// The probability from which each label applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<Vec<f64>>,
}

#[derive(Serialize)]
struct Models<'a> {
    models: Vec<Listed<'a>>,
}

pub(crate) async fn live() -> impl IntoResponse {
    Json(Live { live: true })
}

/// The server listens only once its models are loaded, so it is ready until it is told to stop.
pub(crate) async fn ready(State(state): State<Arc<Shared>>) -> impl IntoResponse {
    let ready = !state.is_draining();
    (state.ready_status(), Json(Ready { ready }))
}

pub(crate) async fn models(State(state): State<Arc<Shared>>) -> impl IntoResponse {
    let listed = state.models.iter().map(|model| {
        let labels = model.model().labels();
        let thresholds = || (0..labels.len()).map(|label| labels.threshold(label)).collect();
        Listed {
            name: model.name(),
            model: model.network().0,
            weights: model.network().1,
            classes: labels.len(),
            image_size: model.transform().image_size,
            task: labels.task(),
            thresholds: (labels.task() == Task::MultiLabel).then(thresholds),
        }
    });
    Json(Models {
        models: listed.collect(),
    })
    .into_response()
}

pub(crate) async fn metrics(State(state): State<Arc<Shared>>) -> Result<impl IntoResponse, Problem> {
    const OPEN_METRICS: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = state.metrics.text(state.queue.len());
    let text = text.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text))
}
