//! What `/metrics` reports.
//!
//! Labels have a bounded number of values: routes, status codes and models, never anything that a client chooses.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the buckets for durations, in seconds.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const BATCH_SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// A part of the work on an image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// Waiting for a thread that decodes.
    DecodeQueue,
    /// Decoding, resizing and normalising.
    Decode,
    /// Waiting for the network.
    Queue,
    /// The network; once per batch.
    Compute,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::DecodeQueue => "decode_queue",
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Compute => "compute",
        }
    }
}

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    stages: Family<StageLabels, Histogram>,
    failures: Family<FailureLabels, Counter>,
    images: Family<ModelLabels, Counter>,
    batches: Family<ModelLabels, Counter>,
    batch_size: Histogram,
    halved: Counter,
    pub(crate) connections: Gauge,
    pub(crate) active_requests: Gauge,
    waiting: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("effnet"),
            requests: Family::default(),
            request_seconds: seconds(),
            stages: Family::new_with_constructor(seconds as fn() -> Histogram),
            failures: Family::default(),
            images: Family::default(),
            batches: Family::default(),
            batch_size: Histogram::new(BATCH_SIZES),
            halved: Counter::default(),
            connections: Gauge::default(),
            active_requests: Gauge::default(),
            waiting: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Answered requests by route and status",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "Time from the head of a request to its answer",
            self.request_seconds.clone(),
        );
        registry.register(
            "stage_duration_seconds",
            "Time per image in each stage; of compute, per batch",
            self.stages.clone(),
        );
        registry.register(
            "image_failures",
            "Images without a result, by kind",
            self.failures.clone(),
        );
        registry.register("inference_count", "Images computed", self.images.clone());
        registry.register("inference_exec_count", "Batches computed", self.batches.clone());
        registry.register("batch_size", "Images per batch", self.batch_size.clone());
        registry.register(
            "batches_halved",
            "How often a batch was halved because memory ran out",
            self.halved.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "active_requests",
            "Requests in progress",
            self.active_requests.clone(),
        );
        registry.register(
            "queue_size",
            "Decoded images that wait for a network",
            self.waiting.clone(),
        );
    }

    pub(crate) fn answered(&self, route: &'static str, status: u16, time: Duration) {
        self.requests
            .get_or_create(&RequestLabels { route, status })
            .inc();
        self.request_seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn observe(&self, stage: Stage, time: Duration) {
        let stage = stage.name();
        let histogram = self.stages.get_or_create(&StageLabels { stage });
        histogram.observe(time.as_secs_f64());
    }

    /// Counts an image that has no result.
    pub(crate) fn failed(&self, kind: &str) {
        let kind = kind.to_owned();
        self.failures.get_or_create(&FailureLabels { kind }).inc();
    }

    /// Counts a batch that `model` ran.
    pub(crate) fn batch(&self, model: &str, images: usize) {
        let labels = ModelLabels {
            model: model.to_owned(),
        };
        self.images.get_or_create(&labels).inc_by(images as u64);
        self.batches.get_or_create(&labels).inc();
        self.batch_size.observe(images as f64);
    }

    pub(crate) fn batch_halved(&self) {
        self.halved.inc();
    }

    /// Returns all metrics in the text format of OpenMetrics, which Prometheus reads. `waiting` is the length of the
    /// queue.
    pub(crate) fn text(&self, waiting: usize) -> Result<String, std::fmt::Error> {
        self.waiting.set(waiting as i64);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
