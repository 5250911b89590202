//! The Open Inference Protocol, version 2, over HTTP, with Triton's extensions for binary tensors and classification.
//!
//! KServe, Triton and their clients speak it. A model takes either encoded images (`image`, BYTES), which the server
//! decodes and resizes as the command line does, or a tensor that the client has normalised (`input`, FP32).

mod request;
mod response;
mod tensor;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use crate::ServedModel;
use crate::body::{self, Charge};
use crate::problem::Problem;
use crate::queue::{Answer, Task};
use crate::state::State as Shared;
use crate::work::work;

/// The only version of every model.
const VERSION: &str = "1";
/// The input for encoded images.
const IMAGE: &str = "image";
/// The input for a normalised tensor.
const INPUT: &str = "input";
const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";

/// The parts of a path that name a model.
#[derive(Deserialize)]
pub(crate) struct ModelPath {
    model: String,
    version: Option<String>,
}

impl ModelPath {
    fn find(&self, state: &Shared) -> Result<Arc<ServedModel>, Problem> {
        let model = state.model(Some(&self.model))?;
        match self.version.as_deref() {
            None | Some(VERSION) => Ok(Arc::clone(model)),
            Some(_) => Err(Problem::new(
                axum::http::StatusCode::NOT_FOUND,
                format!("no such version of {}; expected {VERSION}", model.name()),
            )),
        }
    }
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 2],
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: [Described; 2],
    outputs: [Described; 2],
}

/// The name, type and shape of a tensor; -1 stands for any number of images.
#[derive(Serialize)]
struct Described {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<i64>,
}

#[derive(Serialize)]
struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

pub(crate) async fn server() -> impl IntoResponse {
    Json(Server {
        name: "effnet",
        version: env!("CARGO_PKG_VERSION"),
        extensions: ["binary_tensor_data", "classification"],
    })
}

pub(crate) async fn model(
    State(state): State<Arc<Shared>>,
    Path(path): Path<ModelPath>,
) -> Result<impl IntoResponse, Problem> {
    let model = path.find(&state)?;
    let side = model.transform().image_size as i64;
    let rows = |name| Described {
        name,
        datatype: "FP32",
        shape: vec![-1, model.classes() as i64],
    };
    let metadata = Json(Metadata {
        name: model.name(),
        versions: [VERSION],
        platform: "effnet",
        inputs: [
            Described {
                name: IMAGE,
                datatype: "BYTES",
                shape: vec![-1],
            },
            Described {
                name: INPUT,
                datatype: "FP32",
                shape: vec![-1, 3, side, side],
            },
        ],
        outputs: [rows(LOGITS), rows(PROBABILITIES)],
    });
    Ok(metadata.into_response())
}

pub(crate) async fn model_ready(
    State(state): State<Arc<Shared>>,
    Path(path): Path<ModelPath>,
) -> Result<impl IntoResponse, Problem> {
    let model = path.find(&state)?;
    let ready = ModelReady {
        name: model.name(),
        ready: !state.is_draining(),
    };
    Ok((state.ready_status(), Json(ready)).into_response())
}

pub(crate) async fn infer(
    State(state): State<Arc<Shared>>,
    Path(path): Path<ModelPath>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let deadline = Instant::now() + state.options.timeout;
    let model = path.find(&state)?;
    let (parts, body) = request.into_parts();
    let header = request::header_length(&parts.headers)?;
    let (bytes, charge) = body::read(&state, &parts.headers, body, deadline).await?;
    // Numbers take twice the memory of their shortest texts.
    let copy = Charge::new(&state, bytes.len() * 2)?;
    let parsed = {
        let model = Arc::clone(&model);
        tokio::task::spawn_blocking(move || request::parse(&model, &bytes, header, charge)).await
    };
    let parsed = parsed.map_err(|_| Problem::internal("the parser of the body panicked; this is a bug"))?;
    let (uploads, wanted) = parsed?;
    let results = work(&state, &model, Task::Logits, uploads, deadline).await?;
    drop(copy);
    let mut rows = Vec::with_capacity(results.len());
    for (index, (_, result)) in results.into_iter().enumerate() {
        match result.map(|done| done.answer) {
            Ok(Answer::Row(row)) => rows.push(row),
            Ok(Answer::Explanation(_)) => return Err(Problem::internal("an unexpected answer")),
            Err(error) => return Err(Problem::from(error).about(&format!("image {index}"))),
        }
    }
    response::build(&model, &rows, &wanted)
}
