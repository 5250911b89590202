//! Prefetches batches to a CUDA device while the device computes the previous step.
//!
//! Uploading in the training loop would leave the device idle during each copy.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use libtorch_ext::CopyStream;

use crate::{Batch, Error};

type Parts = Result<Vec<Batch>, Error>;

/// The steps of an epoch, with their images on the device. A thread mixes and uploads them; it prepares one step while
/// at most one finished step waits.
pub(super) struct Uploads {
    /// `None` once dropped.
    ready: Option<Receiver<Parts>>,
    thread: Option<JoinHandle<()>>,
}

impl Uploads {
    pub(super) fn start(
        steps: impl Iterator<Item = Parts> + Send + 'static,
        device: usize,
    ) -> Result<Self, Error> {
        let stream = CopyStream::new(device)?;
        Self::ahead(steps.map(move |parts| parts?.into_iter().map(|part| upload(&stream, part)).collect()))
    }

    fn ahead(steps: impl Iterator<Item = Parts> + Send + 'static) -> Result<Self, Error> {
        let (sender, ready) = sync_channel(1);
        let thread = Builder::new().name("effnet-upload".to_owned()).spawn(move || {
            for parts in steps {
                if sender.send(parts).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            ready: Some(ready),
            thread: Some(thread.map_err(Error::Thread)?),
        })
    }
}

fn upload(stream: &CopyStream, mut part: Batch) -> Result<Batch, Error> {
    part.images = stream.upload(&part.images)?;
    Ok(part)
}

impl Iterator for Uploads {
    type Item = Parts;

    fn next(&mut self) -> Option<Parts> {
        if let Ok(parts) = self.ready.as_ref()?.recv() {
            return Some(parts);
        }
        // The thread ended after the last step, or because of a panic. After a panic, the epoch must not look
        // complete.
        let ended = self.thread.take()?.join();
        ended.is_err().then(|| Err(Error::Panicked))
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        // Ends the thread at its next step, so that it does not use the device while the process exits.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            // A panic has already printed its message.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Returns an endless iterator of steps that counts how many it has produced.
    fn steps(made: &Arc<AtomicUsize>) -> impl Iterator<Item = Parts> + Send + 'static {
        let made = Arc::clone(made);
        std::iter::repeat_with(move || {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(Vec::new())
        })
    }

    #[test]
    fn every_step_arrives_and_then_nothing() {
        let made = Arc::default();
        let mut uploads = Uploads::ahead(steps(&made).take(5)).unwrap();
        assert_eq!(uploads.by_ref().flatten().count(), 5);
        assert!(uploads.next().is_none());
        assert_eq!(made.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn an_error_arrives_after_the_steps_before_it() {
        let failing = (0..3).map(|index| -> Parts {
            if index < 2 {
                Ok(Vec::new())
            } else {
                Err(Error::Panicked)
            }
        });
        let arrived: Vec<_> = Uploads::ahead(failing)
            .unwrap()
            .map(|parts| parts.is_ok())
            .collect();
        assert_eq!(arrived, [true, true, false]);
    }

    #[test]
    fn a_panic_is_an_error_and_not_the_end_of_the_epoch() {
        let panicking = (0..3).map(|index| {
            assert!(index < 1, "on purpose");
            Ok(Vec::new())
        });
        let mut uploads = Uploads::ahead(panicking).unwrap();
        assert!(uploads.next().unwrap().is_ok());
        let error = uploads.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        assert!(uploads.next().is_none());
    }

    #[test]
    fn dropping_it_ends_the_thread_a_step_or_two_ahead() {
        let made = Arc::default();
        let mut uploads = Uploads::ahead(steps(&made)).unwrap();
        assert!(uploads.next().unwrap().is_ok());
        drop(uploads);
        let steps = made.load(Ordering::SeqCst);
        assert!((1..=4).contains(&steps), "{steps}");
        assert_eq!(Arc::strong_count(&made), 1);
    }
}
