//! Reads a request for inference.

use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;

use super::tensor::{Elements, floats, split};
use super::{IMAGE, INPUT, LOGITS, PROBABILITIES};
use crate::ServedModel;
use crate::body::Charge;
use crate::problem::Problem;
use crate::uploads::{decode_base64, of_json};
use crate::work::{Content, Upload};

/// The length of the JSON before binary data.
pub(super) const HEADER_LENGTH: &str = "inference-header-content-length";

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<usize>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Elements>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// An output to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedOutput {
    pub(super) name: &'static str,
    pub(super) is_binary: bool,
    /// The number of classes to return as text instead of all values.
    pub(super) classes: Option<usize>,
}

/// What to return.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: Option<String>,
    pub(super) outputs: Vec<WantedOutput>,
}

/// Returns the length of the JSON, if binary data follow it.
pub(super) fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(length) = headers.get(HEADER_LENGTH) else {
        return Ok(None);
    };
    let number = length.to_str().ok().and_then(|length| length.parse().ok());
    let wrong = || Problem::malformed("Inference-Header-Content-Length: expected a number of bytes");
    number.map(Some).ok_or_else(wrong)
}

/// Reads the images and the outputs that a body asks for; `header` is the length of its JSON.
pub(super) fn parse(
    model: &ServedModel,
    bytes: &Bytes,
    header: Option<usize>,
    charge: Charge,
) -> Result<(Vec<Upload>, Wanted), Problem> {
    let header = header.unwrap_or(bytes.len());
    if header > bytes.len() {
        return Err(Problem::malformed(
            "Inference-Header-Content-Length: larger than the body",
        ));
    }
    let (json, binary) = (bytes.slice(..header), bytes.slice(header..));
    let request: Request = serde_json::from_slice(&json).map_err(|error| of_json(&error))?;
    let wanted = Wanted {
        outputs: outputs(&request, model.classes())?,
        id: request.id,
    };
    let [input] = <[Input; 1]>::try_from(request.inputs).map_err(|inputs| {
        let count = inputs.len();
        Problem::invalid(format!("expected one input, {IMAGE} or {INPUT}; found {count}"))
    })?;
    let data = match (input.parameters.binary_data_size, input.data) {
        (Some(size), None) if size == binary.len() => Data::Binary(binary),
        (Some(size), None) => {
            return Err(Problem::invalid(format!(
                "binary_data_size: expected the {} bytes after the JSON, found {size}",
                binary.len()
            )));
        }
        (None, Some(elements)) if binary.is_empty() => Data::Json(elements),
        _ => {
            return Err(Problem::invalid(
                "expected either data or binary_data_size of the input",
            ));
        }
    };
    let uploads = match (input.name.as_str(), input.datatype.as_str()) {
        (IMAGE, "BYTES") => images(&input.shape, data, charge)?,
        (INPUT, "FP32") => tensors(&input.shape, data, model.transform().image_size)?,
        _ => {
            return Err(Problem::invalid(format!(
                "expected an input {IMAGE} of datatype BYTES, or {INPUT} of datatype FP32"
            )));
        }
    };
    if uploads.is_empty() {
        return Err(Problem::invalid("the input has no images"));
    }
    Ok((uploads, wanted))
}

enum Data {
    Binary(Bytes),
    Json(Elements),
}

fn images(shape: &[usize], data: Data, charge: Charge) -> Result<Vec<Upload>, Problem> {
    let files: Vec<Bytes> = match data {
        Data::Binary(bytes) => split(&bytes)?
            .into_iter()
            .map(|range| bytes.slice(range))
            .collect(),
        Data::Json(elements) if elements.numbers.is_empty() => {
            let decoded = elements.texts.iter().map(|text| Ok(decode_base64(text)?.into()));
            decoded.collect::<Result<_, Problem>>()?
        }
        Data::Json(_) => return Err(Problem::invalid(format!("{IMAGE}: expected base64 strings"))),
    };
    let is_fine = match shape {
        [count] | [count, 1] => *count == files.len(),
        _ => false,
    };
    if !is_fine {
        return Err(Problem::invalid(format!(
            "{IMAGE}: expected the shape [{}], found {shape:?}",
            files.len()
        )));
    }
    let charge = Arc::new(charge);
    let uploads = files.into_iter().zip(0..).map(|(bytes, index)| Upload {
        name: index.to_string(),
        content: Content::File(bytes, Arc::clone(&charge)),
    });
    Ok(uploads.collect())
}

fn tensors(shape: &[usize], data: Data, side: usize) -> Result<Vec<Upload>, Problem> {
    let numbers = match data {
        Data::Binary(bytes) => floats(&bytes)?,
        Data::Json(elements) if elements.texts.is_empty() => elements.numbers,
        Data::Json(_) => return Err(Problem::invalid(format!("{INPUT}: expected numbers"))),
    };
    let each = 3 * side * side;
    let count = numbers.len() / each;
    if !numbers.len().is_multiple_of(each) || shape != [count, 3, side, side] {
        let found = numbers.len();
        return Err(Problem::invalid(format!(
            "{INPUT}: expected numbers of the shape [N, 3, {side}, {side}], found {found} numbers of the shape {shape:?}"
        )));
    }
    if numbers.iter().any(|number| !number.is_finite()) {
        return Err(Problem::invalid(format!("{INPUT}: expected finite numbers")));
    }
    let uploads = numbers.chunks_exact(each).zip(0..).map(|(pixels, index)| Upload {
        name: i32::to_string(&index),
        content: Content::Pixels(pixels.to_vec()),
    });
    Ok(uploads.collect())
}

fn outputs(request: &Request, classes: usize) -> Result<Vec<WantedOutput>, Problem> {
    let binary = request.parameters.binary_data_output.unwrap_or(false);
    if request.outputs.is_empty() {
        let all = [LOGITS, PROBABILITIES].map(|name| WantedOutput {
            name,
            is_binary: binary,
            classes: None,
        });
        return Ok(all.into());
    }
    let wanted = request.outputs.iter().map(|output| {
        let name = [LOGITS, PROBABILITIES]
            .into_iter()
            .find(|name| *name == output.name);
        let unknown = || Problem::invalid(format!("outputs: expected {LOGITS} or {PROBABILITIES}"));
        Ok(WantedOutput {
            name: name.ok_or_else(unknown)?,
            is_binary: output.parameters.binary_data.unwrap_or(binary),
            // 0 asks for the values themselves, as in Triton.
            classes: output
                .parameters
                .classification
                .filter(|&count| count > 0)
                .map(|count| count.min(classes)),
        })
    });
    let wanted: Vec<WantedOutput> = wanted.collect::<Result<_, Problem>>()?;
    if wanted.len() > 2 || (wanted.len() == 2 && wanted[0].name == wanted[1].name) {
        return Err(Problem::invalid("outputs: an output is named twice"));
    }
    Ok(wanted)
}
