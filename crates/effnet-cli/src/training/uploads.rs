//! Batches on their way to a CUDA device, beside the step that is under way there.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::Context;
use effnet_train::Batch;
use libtorch_ext::CopyStream;

use super::data::Steps;

type Parts = anyhow::Result<Vec<Batch>>;

/// The steps of an epoch, with their images on the device. A thread of its own mixes and uploads them, and is
/// at most one step and the one that it works on ahead.
pub(super) struct Uploads {
    /// `None` once nobody listens any more.
    ready: Option<Receiver<Parts>>,
    thread: Option<JoinHandle<()>>,
}

impl Uploads {
    pub(super) fn start(steps: Steps, device: usize) -> anyhow::Result<Self> {
        let stream = CopyStream::new(device)?;
        let (sender, ready) = sync_channel(1);
        let thread = Builder::new().name("effnet-upload".to_owned()).spawn(move || {
            for parts in steps {
                let parts = parts.map_err(anyhow::Error::from);
                let uploaded =
                    parts.and_then(|parts| parts.into_iter().map(|part| upload(&stream, part)).collect());
                if sender.send(uploaded).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            ready: Some(ready),
            thread: Some(thread.context("no thread can be started for the uploads")?),
        })
    }
}

fn upload(stream: &CopyStream, part: Batch) -> anyhow::Result<Batch> {
    Ok(Batch {
        images: stream.upload(&part.images)?,
        targets: part.targets,
    })
}

impl Iterator for Uploads {
    type Item = Parts;

    fn next(&mut self) -> Option<Parts> {
        self.ready.as_ref()?.recv().ok()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        // Ends the thread at its next step; it must not use the device while the process goes down.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
