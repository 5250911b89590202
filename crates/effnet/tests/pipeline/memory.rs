//! Tests of bounded memory, and of running out of memory.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use effnet::{BackendError, BoxError, Images, Pipeline, Reader, Rows, Source};
use effnet_image::Image;

use crate::{Call, TestImage, assert_grey, greys, pipeline, solid, transform};

const BATCH: usize = 6;
const THREADS: usize = 3;

/// The number of images that are decoded or being decoded and have not yet been through the network, now and
/// at most.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Counted(Arc<Gauge>);

impl Source for Counted {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        Ok(Cow::Owned(solid(1, 16)?))
    }
}

#[test]
fn two_batches_and_an_image_for_each_thread_are_decoded_at_once_and_no_more() {
    let gauge = Arc::new(Gauge::default());
    let of_inputs = Arc::clone(&gauge);
    let of_runner = Arc::clone(&gauge);
    let inputs = std::iter::repeat_with(move || Counted(Arc::clone(&of_inputs)));
    let over = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&over);
    let run = move |images: Images<'_>| {
        // While the network runs, a batch is decoded ahead. Wait for it, then leave time for more images to
        // be decoded, which would be an error. Nothing more is decoded once the pipeline is dropped.
        while of_runner.now.load(Ordering::SeqCst) < 2 * BATCH && !waits.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(2));
        of_runner.now.fetch_sub(images.count(), Ordering::SeqCst);
        Ok(greys(images))
    };
    let reader = Reader::start(inputs, transform(), THREADS, Arc::default()).unwrap();
    let mut outputs = Pipeline::new(reader, Call(run), BATCH).unwrap();
    assert_eq!(outputs.by_ref().take(30 * BATCH).count(), 30 * BATCH);
    over.store(true, Ordering::SeqCst);
    drop(outputs);
    let most = gauge.most.load(Ordering::SeqCst);
    assert!(
        (2 * BATCH..=2 * BATCH + THREADS).contains(&most),
        "{most} images at once"
    );
}

#[test]
fn inputs_are_not_pulled_ahead_of_a_caller_who_takes_nothing() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let of_inputs = Arc::clone(&pulled);
    let endless = std::iter::repeat_with(move || {
        of_inputs.fetch_add(1, Ordering::SeqCst);
        TestImage::Grey(5)
    });
    let reader = Reader::start(endless, transform(), THREADS, Arc::default()).unwrap();
    let mut pipeline = Pipeline::new(reader, Call(|images: Images<'_>| Ok(greys(images))), BATCH).unwrap();
    assert_grey(&pipeline.next().unwrap().unwrap());
    std::thread::sleep(Duration::from_millis(300));
    // The batches: handed out, waiting, computed but not yet accepted, gathered, decoded ahead.
    let bound = 5 * BATCH + THREADS;
    let pulled = pulled.load(Ordering::SeqCst);
    assert!(
        pulled <= bound,
        "{pulled} inputs pulled, expected at most {bound}"
    );
}

fn out_of_memory_above(
    limit: usize,
) -> impl Fn(Images<'_>) -> Result<Rows, BackendError> + Send + Sync + 'static {
    move |images| {
        if images.count() > limit {
            return Err(effnet_kernels::Error::OutOfMemory.into());
        }
        Ok(greys(images))
    }
}

#[test]
fn memory_that_runs_out_halves_the_batch_and_loses_nothing() {
    let mut pipeline = pipeline((0..50).map(TestImage::Grey).collect(), 16, out_of_memory_above(3));
    assert_eq!(pipeline.reduced_batch_size(), None);
    for number in 0..50 {
        let output = pipeline.next().unwrap().unwrap();
        assert_eq!(output.input.number(), number);
        assert_grey(&output);
    }
    assert!(pipeline.next().is_none());
    assert_eq!(pipeline.reduced_batch_size(), Some(2));
}

#[test]
fn failed_images_among_them_do_not_keep_a_batch_from_shrinking() {
    let inputs = (0..30)
        .map(|number| match number % 3 {
            0 => TestImage::Damaged(number),
            _ => TestImage::Grey(number),
        })
        .collect();
    let outputs: Vec<_> = pipeline(inputs, 12, out_of_memory_above(1))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(outputs.len(), 30);
    assert_eq!(outputs.iter().filter(|output| output.result.is_ok()).count(), 20);
}

#[test]
fn one_image_that_does_not_fit_ends_it_with_that_error() {
    let mut pipeline = pipeline((0..9).map(TestImage::Grey).collect(), 4, out_of_memory_above(0));
    let error = pipeline.next().unwrap().unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    assert!(pipeline.next().is_none());
}
