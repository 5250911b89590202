//! Builds the answer to a request for inference.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response};
use effnet::{Prediction, Task, rank};
use serde::Serialize;

use super::request::{HEADER_LENGTH, Wanted, WantedOutput};
use super::tensor::Values;
use super::{LOGITS, VERSION};
use crate::ServedModel;
use crate::problem::{JSON, Problem};
use crate::work_error::WorkError;

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output>,
}

#[derive(Serialize)]
struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Values>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

/// Returns the outputs for these rows of logits.
pub(super) fn build(
    model: &ServedModel,
    rows: &[Vec<f32>],
    wanted: &Wanted,
) -> Result<Response<Body>, Problem> {
    let labels = model.model().labels();
    let ranked = rows.iter().map(|row| rank(row, labels, 0));
    let ranked: Vec<Vec<Prediction>> = ranked
        .collect::<Result<_, _>>()
        .map_err(|error| WorkError::Image(error.into()))?;
    let mut binary = Vec::new();
    let outputs = wanted.outputs.iter().map(|output| {
        let values = values(output, labels.task(), rows, &ranked);
        let (datatype, width) = match &values {
            Values::Numbers(_) => ("FP32", model.classes()),
            Values::Texts(texts) => ("BYTES", texts.len() / rows.len().max(1)),
        };
        let mut described = Output {
            name: output.name,
            datatype,
            shape: [rows.len(), width],
            parameters: None,
            data: None,
        };
        if output.is_binary {
            let bytes = values.to_bytes();
            described.parameters = Some(Parameters {
                binary_data_size: bytes.len(),
            });
            binary.extend(bytes);
        } else {
            described.data = Some(values);
        }
        described
    });
    let answer = Answer {
        model_name: model.name(),
        model_version: VERSION,
        id: wanted.id.as_deref(),
        outputs: outputs.collect(),
    };
    let json = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(respond(json, &binary))
}

fn respond(mut json: Vec<u8>, binary: &[u8]) -> Response<Body> {
    let length = json.len();
    json.extend_from_slice(binary);
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    if binary.is_empty() {
        headers.insert(CONTENT_TYPE, JSON);
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(HeaderName::from_static(HEADER_LENGTH), length.into());
    }
    response
}

fn values(output: &WantedOutput, task: Task, rows: &[Vec<f32>], ranked: &[Vec<Prediction>]) -> Values {
    // Numbers have no probabilities.
    let is_logits = output.name == LOGITS || task == Task::Regression;
    let value = |class: &Prediction| {
        if is_logits {
            class.logit
        } else {
            class.probability as f32
        }
    };
    if let Some(count) = output.classes {
        let best = ranked.iter().flat_map(|classes| classes.iter().take(count));
        let texts = best.map(|class| format!("{}:{}:{}", value(class), class.class, class.label));
        return Values::Texts(texts.collect());
    }
    if is_logits {
        return Values::Numbers(rows.concat());
    }
    let in_order = ranked.iter().flat_map(|classes| {
        let mut row = vec![0.0; classes.len()];
        for class in classes {
            row[class.class] = value(class);
        }
        row
    });
    Values::Numbers(in_order.collect())
}
