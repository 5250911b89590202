//! Tests of the stop flag, and of dropping a pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use effnet::{BackendError, Images, Pipeline, Reader, Rows};

use crate::{Call, TestImage, assert_grey, greys, pipeline, transform};

/// Far longer than any of these tests takes even on a busy machine; only a pipeline that hangs takes longer.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn stopped_it_gives_what_is_finished_and_does_not_wait_for_the_call_under_way() {
    let stop = Arc::new(AtomicBool::new(false));
    let (entered, calls) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let run = move |images: Images<'_>| {
        entered.send(()).unwrap();
        if images.pixels()[0] >= 4.0 {
            // Take as long as a call of a large network: until the test has seen the end.
            let _ = released.lock().unwrap().recv_timeout(LONG);
        }
        Ok(greys(images))
    };
    let inputs: Vec<TestImage> = (0..100).map(TestImage::Grey).collect();
    let reader = Reader::start(inputs, transform(), 2, Arc::clone(&stop)).unwrap();
    let mut pipeline = Pipeline::new(reader, Call(run), 4).unwrap();
    // The first batch is finished when the second is in the network.
    calls.recv_timeout(LONG).unwrap();
    calls.recv_timeout(LONG).unwrap();
    stop.store(true, Ordering::SeqCst);
    let start = Instant::now();
    for number in 0..4 {
        let output = pipeline.next().unwrap().unwrap();
        assert_eq!(output.input.number(), number);
        assert_grey(&output);
    }
    assert!(pipeline.next().is_none());
    drop(pipeline);
    // A tenth of a second is promised; a busy machine may take longer.
    assert!(start.elapsed() < LONG / 12, "{:?}", start.elapsed());
    release.send(()).unwrap();
    // The thread has ended, and no further call was started.
    assert_eq!(calls.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn dropped_it_ends_its_threads() {
    let (alive, ended) = channel::<()>();
    let endless = std::iter::repeat_with(move || {
        let _ = &alive;
        TestImage::Grey(7)
    });
    let reader = Reader::start(endless, transform(), 3, Arc::default()).unwrap();
    let mut pipeline = Pipeline::new(reader, Call(|images: Images<'_>| Ok(greys(images))), 4).unwrap();
    assert_grey(&pipeline.next().unwrap().unwrap());
    drop(pipeline);
    // The inputs are dropped with the last decoder.
    assert_eq!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_reader_that_nobody_takes_from_ends_when_dropped() {
    let (alive, ended) = channel::<()>();
    let endless = std::iter::repeat_with(move || {
        let _ = &alive;
        TestImage::Grey(7)
    });
    drop(Reader::start(endless, transform(), 3, Arc::default()).unwrap());
    assert_eq!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn inputs_whose_iterator_panics_end_the_results_instead_of_hanging() {
    let inputs = (0..10u8).map(|number| {
        assert!(number < 8, "the list of inputs has a bug");
        TestImage::Grey(number)
    });
    let reader = Reader::start(inputs, transform(), 1, Arc::default()).unwrap();
    let outputs = Pipeline::new(reader, Call(|images: Images<'_>| Ok(greys(images))), 3).unwrap();
    assert_eq!(outputs.count(), 8);
}

#[test]
fn stopped_before_it_began_it_gives_nothing() {
    let stop = Arc::new(AtomicBool::new(true));
    let inputs: Vec<TestImage> = (0..10).map(TestImage::Grey).collect();
    let reader = Reader::start(inputs, transform(), 2, stop).unwrap();
    let run = |_: Images<'_>| -> Result<Rows, BackendError> { unreachable!("a call after the stop") };
    assert!(Pipeline::new(reader, Call(run), 4).unwrap().next().is_none());
    // Without the stop flag, the same inputs give results.
    let inputs = (0..10).map(TestImage::Grey).collect();
    assert_eq!(pipeline(inputs, 4, |images| Ok(greys(images))).count(), 10);
}
