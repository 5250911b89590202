//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::queue::Queue;
use crate::{ServeOptions, ServedModel};

/// The models, limits and counters of a server.
#[derive(Debug)]
pub(crate) struct State {
    /// At least one; the first is the default.
    pub(crate) models: Vec<Arc<ServedModel>>,
    pub(crate) options: ServeOptions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) queue: Arc<Queue>,
    requests: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// Kibibytes of bodies.
    pub(crate) body_memory: Arc<Semaphore>,
    is_draining: AtomicBool,
}

impl State {
    pub(crate) fn new(
        models: Vec<Arc<ServedModel>>,
        options: ServeOptions,
        metrics: Arc<Metrics>,
        queue: Arc<Queue>,
    ) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            requests: semaphore(options.max_concurrent_requests),
            places: semaphore(options.max_queue_size),
            body_memory: semaphore(options.max_body_memory >> 10),
            models,
            options,
            metrics,
            queue,
            is_draining: AtomicBool::new(false),
        }
    }

    /// Returns the model with this name, or the first if none is asked for.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<&Arc<ServedModel>, Problem> {
        let found = match name {
            None => self.models.first(),
            Some(name) => self.models.iter().find(|model| model.name() == name),
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|model| model.name()).collect();
            Problem::unknown_model(name.unwrap_or_default(), &known)
        })
    }

    /// Takes the slot of a request, until it is dropped.
    pub(crate) fn request_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let slot = Arc::clone(&self.requests).try_acquire_owned();
        slot.map_err(|_| Problem::too_many_requests())
    }

    /// Takes places for this many images, until they are dropped.
    pub(crate) fn places(&self, images: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let most = self.options.max_queue_size;
        if images > most {
            return Err(Problem::too_large(format!(
                "{images} images in one request; send at most {most} (--max-queue-size)"
            )));
        }
        let places = Arc::clone(&self.places).try_acquire_many_owned(images as u32);
        places.map_err(|_| Problem::queue_full())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// The status that says whether requests are welcome.
    pub(crate) fn ready_status(&self) -> StatusCode {
        if self.is_draining() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    }

    /// Makes `ready` answer 503, and every answer close its connection.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}
