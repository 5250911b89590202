//! `/classify`, `/features` and `/explain`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use effnet::{
    ExplainMethod, ExplainedClasses, ExplainedRecord, Explanation, FeaturesRecord, MOST_EXPLAINED_CLASSES,
    Record, above_threshold, check_finite, estimate, normalize, rank,
};
use effnet_data::DisplayedPhoto;

use crate::ServedModel;
use crate::problem::Problem;
use crate::queue::{Answer, Task};
use crate::records::Records;
use crate::state::State as Shared;
use crate::uploads::{self, Settings, Uploads};
use crate::work::{Done, work};
use crate::work_error::WorkError;

/// The default number of classes, as on the command line.
const TOP_K: usize = 5;

pub(crate) async fn classify(
    State(state): State<Arc<Shared>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let call = Call::read(&state, request).await?;
    call.settings.refuse(&["class", "method", "normalize"])?;
    let top_k = call.settings.top_k;
    let (model, is_single) = (Arc::clone(&call.model), call.is_single);
    let labels = model.model().labels();
    let mut records = Records::new(&state.metrics);
    for (name, result) in call.work(&state, Task::Logits).await? {
        let row = result.and_then(Done::row);
        if labels.task() == effnet::Task::Regression {
            let estimated = row
                .and_then(|values| estimate(&values, labels).map_err(|error| WorkError::Image(error.into())));
            match estimated {
                Ok(values) => records.push(&Record::estimated(&name, model.network(), &values))?,
                Err(error) => records.fail(&name, error)?,
            }
            continue;
        }
        let ranked = row.and_then(|logits| {
            let ranked = match (labels.task(), top_k) {
                (effnet::Task::MultiLabel, None) => above_threshold(&logits, labels, None),
                _ => rank(&logits, labels, top_k.unwrap_or(TOP_K)),
            };
            ranked.map_err(|error| WorkError::Image(error.into()))
        });
        match ranked {
            Ok(classes) => records.push(&Record::classified(&name, model.network(), &classes))?,
            Err(error) => records.fail(&name, error)?,
        }
    }
    Ok(records.response(is_single))
}

pub(crate) async fn features(
    State(state): State<Arc<Shared>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let call = Call::read(&state, request).await?;
    call.settings.refuse(&["class", "method", "top_k"])?;
    let unit = call.settings.normalize == Some(true);
    let (model, is_single) = (Arc::clone(&call.model), call.is_single);
    let mut records = Records::new(&state.metrics);
    for (name, result) in call.work(&state, Task::Features).await? {
        let features = result.and_then(Done::row).and_then(|features| {
            check_finite(&features, "feature").map_err(|error| WorkError::Image(error.into()))?;
            Ok(features)
        });
        match features {
            Ok(mut features) => {
                if unit {
                    normalize(&mut features);
                }
                records.push(&FeaturesRecord::new(&name, model.network(), &features))?;
            }
            Err(error) => records.fail(&name, error)?,
        }
    }
    Ok(records.response(is_single))
}

pub(crate) async fn explain(
    State(state): State<Arc<Shared>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let wants_png = wants_png(request.headers());
    let call = Call::read(&state, request).await?;
    call.settings.refuse(&["normalize"])?;
    if call.model.model().labels().task() == effnet::Task::Regression {
        return Err(Problem::invalid(format!(
            "model: expected one with classes or labels, found {}, which predicts numbers; use /classify",
            call.model.name()
        )));
    }
    let method = method(call.settings.method.as_deref())?;
    let classes = explained_classes(&call.settings, &call.model)?;
    let (model, is_single) = (Arc::clone(&call.model), call.is_single);
    if wants_png && !is_single {
        return Err(Problem::invalid(
            "image/png holds the overlay of one image; send it as the body, or accept application/json",
        ));
    }
    let mut records = Records::new(&state.metrics);
    for (name, result) in call.work(&state, Task::Explain(classes, method)).await? {
        let (explanation, photo, region) = match result.and_then(Done::explanation) {
            Ok(explained) => explained,
            Err(error) => {
                records.fail(&name, error)?;
                continue;
            }
        };
        let overlay = async {
            let drawn = tokio::task::spawn_blocking(move || {
                let png = explanation.overlay(&photo, method);
                (png, explanation)
            });
            let (png, explanation) = drawn
                .await
                .map_err(|error| Problem::internal(error.to_string()))?;
            Ok::<_, Problem>((
                png.map_err(|error| Problem::internal(error.to_string()))?,
                explanation,
            ))
        };
        let (png, explanation) = overlay.await?;
        if wants_png {
            let mut response = Response::new(Body::from(png));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
            return Ok(response);
        }
        let address = format!("data:image/png;base64,{}", STANDARD.encode(png));
        let how = (method.name(), region);
        let predictions = &explanation.predictions;
        records.push(&ExplainedRecord::new(
            &name,
            model.network(),
            how,
            address,
            predictions,
        ))?;
    }
    Ok(records.response(is_single))
}

/// A request that was read.
struct Call {
    model: Arc<ServedModel>,
    settings: Settings,
    images: Vec<crate::work::Upload>,
    is_single: bool,
    deadline: Instant,
}

impl Call {
    async fn read(state: &Arc<Shared>, request: Request) -> Result<Self, Problem> {
        let deadline = Instant::now() + state.options.timeout;
        let Uploads {
            images,
            settings,
            is_single,
        } = uploads::read(state, request, deadline).await?;
        Ok(Self {
            model: Arc::clone(state.model(settings.model.as_deref())?),
            settings,
            images,
            is_single,
            deadline,
        })
    }

    async fn work(
        self,
        state: &Arc<Shared>,
        task: Task,
    ) -> Result<Vec<(String, Result<Done, WorkError>)>, Problem> {
        work(state, &self.model, task, self.images, self.deadline).await
    }
}

fn wants_png(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(';').next().unwrap_or_default().trim() == "image/png")
}

fn method(name: Option<&str>) -> Result<ExplainMethod, Problem> {
    let methods = [ExplainMethod::Cam, ExplainMethod::LayerCam];
    match name {
        None => Ok(ExplainMethod::default()),
        Some(name) => methods
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| {
                Problem::invalid("method: expected cam or layercam; `effnet explain` has the slower ones")
            }),
    }
}

fn explained_classes(settings: &Settings, model: &ServedModel) -> Result<ExplainedClasses, Problem> {
    match (&settings.class, settings.top_k) {
        (Some(_), Some(_)) => Err(Problem::invalid("class and top_k cannot be used together")),
        (Some(class), None) => {
            let found = model.model().labels().find(class);
            Ok(ExplainedClasses::Class(
                found.map_err(|error| Problem::invalid(format!("class: {error}")))?,
            ))
        }
        (None, top_k) => {
            let count = top_k.unwrap_or(1);
            if !(1..=MOST_EXPLAINED_CLASSES).contains(&count) {
                return Err(Problem::invalid(format!(
                    "top_k: expected 1 to {MOST_EXPLAINED_CLASSES}"
                )));
            }
            Ok(ExplainedClasses::Best(count))
        }
    }
}

impl Done {
    fn row(self) -> Result<Vec<f32>, WorkError> {
        match self.answer {
            Answer::Row(row) => Ok(row),
            Answer::Explanation(_) => Err(WorkError::Network("an unexpected answer".to_owned())),
        }
    }

    fn explanation(self) -> Result<(Box<Explanation>, DisplayedPhoto, effnet_image::Region), WorkError> {
        match (self.answer, self.photo) {
            (Answer::Explanation(explanation), Some((photo, region))) => Ok((explanation, photo, region)),
            _ => Err(WorkError::Network("an unexpected answer".to_owned())),
        }
    }
}
