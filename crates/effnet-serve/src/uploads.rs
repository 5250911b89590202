//! The images and settings in a request: a raw image, multipart with several, or JSON with base64.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use crate::body::{self, Charge};
use crate::problem::Problem;
use crate::state::State;
use crate::work::{Content, Upload};

/// The name of an image without one: as on the command line, where it comes from standard input.
const UNNAMED: &str = "-";

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const WHOLE_NUMBER: &str = "a whole number from 0";
const TRUE_OR_FALSE: &str = "true or false";

/// What a request asks for. Each setting is a query parameter, or a field of the form or of the JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) model: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) top_k: Option<usize>,
    pub(crate) class: Option<String>,
    pub(crate) method: Option<String>,
    #[serde(default, deserialize_with = "switch")]
    pub(crate) normalize: Option<bool>,
}

/// A value in JSON, or as text in a query or a form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose<T> {
    Value(T),
    Text(String),
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    loose(deserializer, WHOLE_NUMBER)
}

fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    loose(deserializer, TRUE_OR_FALSE)
}

fn loose<'de, T, D>(deserializer: D, expected: &str) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + std::str::FromStr,
    D: Deserializer<'de>,
{
    let wrong = || serde::de::Error::custom(format!("expected {expected}"));
    match Option::<Loose<T>>::deserialize(deserializer).map_err(|_| wrong())? {
        None => Ok(None),
        Some(Loose::Value(value)) => Ok(Some(value)),
        Some(Loose::Text(text)) => text.parse().map(Some).map_err(|_| wrong()),
    }
}

impl Settings {
    /// Reads the query parameters.
    pub(crate) fn of_query(query: Option<&str>) -> Result<Self, Problem> {
        let uri = axum::http::Uri::builder().path_and_query(format!("/?{}", query.unwrap_or_default()));
        let uri = uri
            .build()
            .map_err(|error| Problem::malformed(error.to_string()))?;
        let parsed = axum::extract::Query::try_from_uri(&uri);
        let axum::extract::Query(settings) = parsed.map_err(|error| {
            let error = error.body_text();
            let error = error
                .strip_prefix("Failed to deserialize query string: ")
                .unwrap_or(&error);
            Problem::invalid(format!("query: {error}"))
        })?;
        Ok(settings)
    }

    /// Refuses settings that do nothing for a route.
    pub(crate) fn refuse(&self, names: &[&str]) -> Result<(), Problem> {
        let is_set = |name: &str| match name {
            "top_k" => self.top_k.is_some(),
            "class" => self.class.is_some(),
            "method" => self.method.is_some(),
            "normalize" => self.normalize.is_some(),
            _ => false,
        };
        match names.iter().find(|name| is_set(name)) {
            Some(name) => Err(Problem::invalid(format!("{name} has no effect here; omit it"))),
            None => Ok(()),
        }
    }

    /// Sets the field of a form.
    fn set(&mut self, name: &str, text: String) -> Result<(), Problem> {
        let wrong = |expected: &str| Problem::invalid(format!("{name}: expected {expected}"));
        match name {
            "model" => self.model = Some(text),
            "class" => self.class = Some(text),
            "method" => self.method = Some(text),
            "top_k" => {
                let number = text.parse().map_err(|_| wrong(WHOLE_NUMBER))?;
                self.top_k = Some(number);
            }
            "normalize" => {
                let switch = text.parse().map_err(|_| wrong(TRUE_OR_FALSE))?;
                self.normalize = Some(switch);
            }
            _ => {
                let name: String = name.chars().take(100).collect();
                return Err(Problem::invalid(format!(
                    "unknown field {name:?}; expected files, model, top_k, class, method or normalize"
                )));
            }
        }
        Ok(())
    }

    /// Fills what is not set with what `others` set.
    fn or(self, others: Self) -> Self {
        Self {
            model: self.model.or(others.model),
            top_k: self.top_k.or(others.top_k),
            class: self.class.or(others.class),
            method: self.method.or(others.method),
            normalize: self.normalize.or(others.normalize),
        }
    }
}

/// The images of a request and what to do with them.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) images: Vec<Upload>,
    pub(crate) settings: Settings,
    /// Whether the answer is the record of the only image, rather than a list.
    pub(crate) is_single: bool,
}

/// Reads a request to its end.
///
/// # Errors
/// Those of [`body::read`]; 400 for a body that is damaged; 422 for unknown or invalid settings and without images.
pub(crate) async fn read(
    state: &Arc<State>,
    request: Request,
    deadline: Instant,
) -> Result<Uploads, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Settings::of_query(parts.uri.query())?;
    let (bytes, charge) = body::read(state, &parts.headers, body, deadline).await?;
    let mut uploads = match media_type(&parts.headers) {
        "multipart/form-data" => multipart(&parts.headers, bytes, charge).await?,
        "application/json" => {
            let state = Arc::clone(state);
            let parsed = tokio::task::spawn_blocking(move || json(&state, &bytes)).await;
            parsed.map_err(|_| Problem::internal("the parser of the body panicked; this is a bug"))??
        }
        _ => Uploads {
            images: vec![upload(None, bytes, Arc::new(charge))],
            settings: Settings::default(),
            is_single: true,
        },
    };
    if uploads.images.is_empty() {
        return Err(Problem::invalid("no image in the request"));
    }
    uploads.settings = uploads.settings.or(asked);
    Ok(uploads)
}

/// Returns the type of the body in lower case where it matters, without parameters.
fn media_type(headers: &HeaderMap) -> &'static str {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let known = ["multipart/form-data", "application/json"];
    known
        .into_iter()
        .find(|known| essence.eq_ignore_ascii_case(known))
        .unwrap_or_default()
}

fn upload(name: Option<String>, bytes: Bytes, charge: Arc<Charge>) -> Upload {
    Upload {
        name: name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| UNNAMED.to_owned()),
        content: Content::File(bytes, charge),
    }
}

async fn multipart(headers: &HeaderMap, bytes: Bytes, charge: Charge) -> Result<Uploads, Problem> {
    let damaged = |error: multer::Error| Problem::malformed(format!("multipart/form-data: {error}"));
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(damaged)?;
    let body = http_body_util::Full::new(bytes);
    let stream = http_body_util::BodyDataStream::new(body);
    let mut parts = multer::Multipart::new(stream, boundary);
    let charge = Arc::new(charge);
    let mut images = Vec::new();
    let mut settings = Settings::default();
    while let Some(part) = parts.next_field().await.map_err(damaged)? {
        let name = part.name().unwrap_or_default().to_owned();
        let file = part.file_name().map(str::to_owned);
        let bytes = part.bytes().await.map_err(damaged)?;
        if file.is_some() {
            images.push(upload(file, bytes, Arc::clone(&charge)));
        } else {
            let text = String::from_utf8(bytes.to_vec());
            let text = text.map_err(|_| Problem::invalid(format!("{name}: expected UTF-8 text")))?;
            settings.set(&name, text)?;
        }
    }
    Ok(Uploads {
        images,
        settings,
        is_single: false,
    })
}

/// The body of a request in JSON. The settings stand here once more: serde cannot refuse unknown fields beside flattened
/// ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json<'a> {
    #[serde(borrow)]
    images: Vec<JsonImage<'a>>,
    model: Option<String>,
    #[serde(default, deserialize_with = "number")]
    top_k: Option<usize>,
    class: Option<String>,
    method: Option<String>,
    #[serde(default, deserialize_with = "switch")]
    normalize: Option<bool>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an image as a base64 string, or an object with name and data"
)]
enum JsonImage<'a> {
    Data(#[serde(borrow)] Cow<'a, str>),
    Named {
        name: Option<String>,
        #[serde(borrow)]
        data: Cow<'a, str>,
    },
}

fn json(state: &State, bytes: &[u8]) -> Result<Uploads, Problem> {
    let parsed: Json<'_> = serde_json::from_slice(bytes).map_err(|error| of_json(&error))?;
    let images = parsed.images.into_iter().map(|image| {
        let (name, data) = match image {
            JsonImage::Data(data) => (None, data),
            JsonImage::Named { name, data } => (name, data),
        };
        let bytes = decode_base64(&data)?;
        let charge = Charge::new(state, bytes.len())?;
        Ok(upload(name, bytes.into(), Arc::new(charge)))
    });
    Ok(Uploads {
        images: images.collect::<Result<_, Problem>>()?,
        settings: Settings {
            model: parsed.model,
            top_k: parsed.top_k,
            class: parsed.class,
            method: parsed.method,
            normalize: parsed.normalize,
        },
        is_single: false,
    })
}

/// Decodes an image in base64, which may be the data URL of a canvas (`data:image/png;base64,...`).
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, Problem> {
    let data = match text.strip_prefix("data:") {
        Some(address) => address.split_once(',').map_or("", |(_, data)| data),
        None => text,
    };
    let decoded = BASE64.decode(data);
    decoded.map_err(|error| Problem::invalid(format!("an image is not valid base64: {error}")))
}

/// Returns the problem of a body that is not the expected JSON.
pub(crate) fn of_json(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        Problem::invalid(format!("unexpected JSON: {error}"))
    } else {
        Problem::malformed(format!("not valid JSON: {error}"))
    }
}
