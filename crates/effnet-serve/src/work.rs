//! What happens to the images of a request: a thread decodes each, the network runs it with others, and its answer comes
//! back here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use effnet::Failure;
use effnet_data::{BoxError, DisplayedPhoto};
use effnet_image::{DecodeOptions, EvalTransform, Image, ImageError, Region};
use tokio::sync::oneshot;

use crate::ServedModel;
use crate::body::Charge;
use crate::metrics::Stage;
use crate::problem::Problem;
use crate::queue::{Answer, Job, Task, Ticket};
use crate::state::State;
use crate::work_error::WorkError;

/// An image that a client sent.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The name in results: that of the client's file, or `-`.
    pub(crate) name: String,
    pub(crate) content: Content,
}

/// The content of an upload.
#[derive(Debug)]
pub(crate) enum Content {
    /// A file: JPEG, PNG and so on, with the memory that it is charged to.
    File(Bytes, Arc<Charge>),
    /// Normalised pixels in the size of the network.
    Pixels(Vec<f32>),
}

/// The result of an image.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    /// The photo, if the task was to explain it.
    pub(crate) photo: Option<(DisplayedPhoto, Region)>,
}

/// Works on all images of a request at once. Dropping the future cancels what was not started.
///
/// # Errors
/// [`Problem`] when there is no room, and when the time is over.
pub(crate) async fn work(
    state: &Arc<State>,
    model: &Arc<ServedModel>,
    task: Task,
    uploads: Vec<Upload>,
    deadline: Instant,
) -> Result<Vec<(String, Result<Done, WorkError>)>, Problem> {
    let _request = state.request_slot()?;
    let mut places = state.places(uploads.len())?;
    let mut waiting = Vec::with_capacity(uploads.len());
    for Upload { name, content } in uploads {
        let (reply, answer) = oneshot::channel();
        let (photo, photo_later) = oneshot::channel();
        let ticket = Ticket {
            reply,
            deadline,
            place: places.split(1).ok_or_else(Problem::queue_full)?,
        };
        let shown = name.clone();
        let (state, model) = (Arc::clone(state), Arc::clone(model));
        let queued = Instant::now();
        tokio::task::spawn_blocking(move || {
            state.metrics.observe(Stage::DecodeQueue, queued.elapsed());
            let image = Pending {
                name: shown,
                content,
                photo,
                ticket,
            };
            image.start(&state, model, task);
        });
        waiting.push((name, answer, photo_later));
    }
    let all = async {
        let mut done = Vec::with_capacity(waiting.len());
        for (name, answer, photo) in waiting {
            // A sender that is dropped belonged to a thread that panicked, or to an image that was too late.
            let answer = answer.await.unwrap_or_else(|_| Err(lost(deadline)));
            let photo = photo.await.ok();
            done.push((name, answer.map(|answer| Done { answer, photo })));
        }
        done
    };
    let done = tokio::time::timeout_at(deadline.into(), all).await;
    let done = done.map_err(|_| Problem::late())?;
    if done
        .iter()
        .any(|(_, result)| matches!(result, Err(WorkError::Expired)))
    {
        return Err(Problem::late());
    }
    Ok(done)
}

fn lost(deadline: Instant) -> WorkError {
    if Instant::now() >= deadline {
        WorkError::Expired
    } else {
        WorkError::of_panic()
    }
}

/// An image that waited for a thread.
struct Pending {
    name: String,
    content: Content,
    photo: oneshot::Sender<(DisplayedPhoto, Region)>,
    ticket: Ticket,
}

impl Pending {
    /// Decodes the image and hands it to the network.
    fn start(self, state: &State, model: Arc<ServedModel>, task: Task) {
        if self.ticket.is_void() {
            return;
        }
        let pixels = match self.content {
            Content::Pixels(pixels) => pixels,
            Content::File(bytes, charge) => {
                let start = Instant::now();
                let transform = model.transform();
                let explain = matches!(task, Task::Explain(..));
                let read = || prepare(&bytes, &self.name, &state.options.decode, transform, explain);
                let prepared = catch_unwind(AssertUnwindSafe(read));
                drop((bytes, charge));
                state.metrics.observe(Stage::Decode, start.elapsed());
                match prepared {
                    Ok(Ok((pixels, photo))) => {
                        if let Some(photo) = photo {
                            let _ = self.photo.send(photo);
                        }
                        pixels
                    }
                    Ok(Err(error)) => {
                        let error: BoxError = error.into();
                        let failure = Failure::from_error(&self.name, &error);
                        return self.ticket.answer(Err(failure.into()));
                    }
                    Err(_) => return self.ticket.answer(Err(WorkError::of_panic())),
                }
            }
        };
        state.queue.push(Job {
            model,
            task,
            pixels,
            queued: Instant::now(),
            ticket: self.ticket,
        });
    }
}

type Prepared = (Vec<f32>, Option<(DisplayedPhoto, Region)>);

fn prepare(
    bytes: &[u8],
    name: &str,
    options: &DecodeOptions,
    transform: &EvalTransform,
    explain: bool,
) -> Result<Prepared, ImageError> {
    let image = Image::decode_with(bytes, name, options)?;
    let photo = if explain {
        let region = transform.visible_region(image.width(), image.height())?;
        Some((DisplayedPhoto::new(&image, region)?, region))
    } else {
        None
    };
    Ok((transform.apply(&image)?, photo))
}
