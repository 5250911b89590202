//! Tests of backends whose results arrive later, like those of a CUDA device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use effnet::{Backend, BackendError, Images, MemoryNeed, Pending, Pipeline, Precision, Reader};

use crate::{TestImage, assert_grey, greys, transform};

/// Something that happened to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Submitted(usize),
    Awaited(usize),
}

/// A backend that numbers its batches and records when they are submitted and awaited.
struct Later {
    calls: AtomicUsize,
    events: Arc<Mutex<Vec<Event>>>,
    /// Returns the result of submitting the call with this number.
    submit: fn(usize) -> Result<(), BackendError>,
}

impl Backend for Later {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (self.submit)(call)?;
        self.events.lock().unwrap().push(Event::Submitted(call));
        let events = Arc::clone(&self.events);
        let rows = greys(images);
        Ok(Pending::later(move || {
            events.lock().unwrap().push(Event::Awaited(call));
            Ok(rows)
        }))
    }

    fn engine(&self) -> &'static str {
        "later"
    }

    fn kernels(&self) -> String {
        "none".to_owned()
    }

    fn precision(&self) -> Precision {
        Precision::Fp32
    }

    fn memory_need(&self, _: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        unreachable!("the batch size is given")
    }
}

fn later(
    inputs: Vec<TestImage>,
    submit: fn(usize) -> Result<(), BackendError>,
) -> (Pipeline<TestImage>, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::default();
    let runner = Later {
        calls: AtomicUsize::new(0),
        events: Arc::clone(&events),
        submit,
    };
    let reader = Reader::start(inputs, transform(), 3, Arc::default()).unwrap();
    (Pipeline::new(reader, runner, 4).unwrap(), events)
}

#[test]
fn the_next_batch_is_submitted_before_the_results_of_one_are_waited_for() {
    use Event::{Awaited, Submitted};
    let (pipeline, events) = later((0..10).map(TestImage::Grey).collect(), |_| Ok(()));
    let outputs: Vec<_> = pipeline.collect::<Result<_, _>>().unwrap();
    assert_eq!(outputs.len(), 10);
    for (position, output) in outputs.iter().enumerate() {
        assert_eq!(usize::from(output.input.number()), position);
        assert_grey(output);
    }
    let expected = [
        Submitted(0),
        Submitted(1),
        Awaited(0),
        Submitted(2),
        Awaited(1),
        Awaited(2),
    ];
    assert_eq!(*events.lock().unwrap(), expected);
}

#[test]
fn the_results_of_a_batch_are_given_before_the_error_of_the_next() {
    let fails_at_once = |call| match call {
        0 => Ok(()),
        _ => Err(BackendError::Device("it is gone".to_owned())),
    };
    let (mut pipeline, _) = later((0..50).map(TestImage::Grey).collect(), fails_at_once);
    for _ in 0..4 {
        assert_grey(&pipeline.next().unwrap().unwrap());
    }
    assert!(matches!(pipeline.next(), Some(Err(BackendError::Device(_)))));
    assert!(pipeline.next().is_none());
}

#[test]
fn memory_that_runs_out_beside_a_batch_halves_the_next_and_loses_nothing() {
    let short_once = |call| match call {
        1 => Err(effnet_kernels::Error::OutOfMemory.into()),
        _ => Ok(()),
    };
    let inputs = (0..11).map(|number| match number {
        2 | 5 => TestImage::Damaged(number),
        _ => TestImage::Grey(number),
    });
    let (mut pipeline, _) = later(inputs.collect(), short_once);
    let outputs: Vec<_> = pipeline.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(pipeline.reduced_batch_size(), Some(2));
    assert_eq!(outputs.len(), 11);
    for (position, output) in outputs.iter().enumerate() {
        assert_eq!(usize::from(output.input.number()), position);
        match output.input {
            TestImage::Grey(_) => assert_grey(output),
            _ => assert!(output.result.is_err()),
        }
    }
}
