//! A network on a CUDA device.
//!
//! A GPU that waits for copies, or for kernels launched one by one, is idle in between. So copies to and from
//! the device overlap the computation on a separate stream, and a batch of a known shape is replayed as a
//! CUDA graph with a single launch.

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet_core::channels_last;
use libtorch_ext::{CopyStream, CudaGraph, Download};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::Error;
use crate::operators::OperatorNetwork;
use crate::pending::Pending;

/// Maximum number of batch shapes to record; batches with other shapes run without a graph.
const MOST_SHAPES: usize = 8;

/// A network on a CUDA device. A lock serialises the calls, and all of them enqueue on the current stream of
/// the device (the default stream, unless the program's C++ code changes it), so a call cannot overwrite what
/// the previous call still reads.
#[derive(Debug)]
pub(crate) struct CudaNetwork(Mutex<State>);

#[derive(Debug)]
struct State {
    network: OperatorNetwork,
    device: usize,
    copies: CopyStream,
    shapes: Vec<Shape>,
    /// Whether to pad smaller batches to an existing shape.
    fill_up: bool,
    /// The reason why no graphs are recorded.
    not_recorded: Option<String>,
}

/// The buffers for batches of one shape.
#[derive(Debug)]
struct Shape {
    /// The network's input, with its element type and memory format. Batches are copied into it.
    input: Tensor,
    has_run: bool,
    /// From the second batch on, the graph and the tensor with its logits.
    recording: Option<(CudaGraph, Tensor)>,
}

impl CudaNetwork {
    /// Prepares a network. With `autotune`, cuDNN times the convolutions for each new batch shape, and
    /// smaller batches are padded.
    pub(crate) fn new(network: OperatorNetwork, device: usize, autotune: bool) -> Result<Self, Error> {
        let state = State {
            network,
            device,
            copies: CopyStream::new(device)?,
            shapes: Vec::new(),
            fill_up: autotune,
            not_recorded: CudaGraph::available().err().map(|error| error.to_string()),
        };
        Ok(Self(Mutex::new(state)))
    }

    /// Returns the reason why batches are not recorded; `None` if they are.
    pub(crate) fn not_recorded(&self) -> Option<String> {
        self.state().not_recorded.clone()
    }

    /// Starts computing the logits of `images`. The result is copied to the CPU if the images are on the CPU,
    /// and stays on the device otherwise.
    pub(crate) fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        self.compute(images, State::run)
    }

    pub(crate) fn submit_features(&self, images: &Tensor) -> Result<Pending, Error> {
        self.compute(images, |state, images| Ok(state.network.run_features(images)?))
    }

    /// Runs `compute` on the images on the device. The result is copied, so `compute` may reuse its memory.
    fn compute(
        &self,
        images: &Tensor,
        compute: impl FnOnce(&mut State, &Tensor) -> Result<Tensor, Error>,
    ) -> Result<Pending, Error> {
        let mut state = self.state();
        if images.device() == Device::Cpu {
            let images = state.copies.upload(images)?;
            let download = Download::start(&compute(&mut state, &images)?)?;
            Ok(Pending::later(|| Ok(download.wait()?)))
        } else {
            let device = Device::Cuda(state.device);
            let result = compute(&mut state, &images.f_to_device(device)?)?;
            Ok(Pending::done(result.f_to_device_(
                device,
                Kind::Float,
                false,
                true,
            )?))
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A call that panicked leaves every shape in a usable state, so poisoning is ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Computes the logits, which are valid until the next call.
    fn run(&mut self, images: &Tensor) -> Result<Tensor, Error> {
        let size = images.size();
        let result = match self.shape_for(&size) {
            Ok(Some(index)) => self.run_in(index, images),
            Ok(None) => self.network.run(images).map_err(Error::from),
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // Memory may have run out, and recorded graphs hold much of it.
            self.shapes.clear();
        }
        Ok(result?.f_narrow(0, 0, size[0])?)
    }

    /// Returns the index of the shape in which to run a batch of this size; `None` to run it without a shape.
    fn shape_for(&mut self, size: &[i64]) -> Result<Option<usize>, TchError> {
        let sizes: Vec<Vec<i64>> = self.shapes.iter().map(|shape| shape.input.size()).collect();
        let found = fitting(&sizes, size, self.fill_up);
        let of_use = self.not_recorded.is_none() || self.fill_up;
        if found.is_some() || !of_use || size[0] == 0 || sizes.len() == MOST_SHAPES {
            return Ok(found);
        }
        let options = (self.network.kind(), Device::Cuda(self.device));
        self.shapes.push(Shape {
            input: channels_last(&Tensor::f_zeros(size, options)?)?,
            has_run: false,
            recording: None,
        });
        Ok(Some(sizes.len()))
    }

    fn run_in(&mut self, index: usize, images: &Tensor) -> Result<Tensor, Error> {
        let count = images.size()[0];
        let input = self.shapes[index].input.shallow_clone();
        input.f_narrow(0, 0, count)?.f_copy_(images)?;
        if let Some((graph, logits)) = &self.shapes[index].recording {
            graph.replay()?;
            return Ok(logits.shallow_clone());
        }
        // Recording requires a preceding run, because libtorch sets up cuDNN once per thread.
        let logits = self.network.run(&input)?;
        if self.shapes[index].has_run && self.not_recorded.is_none() {
            match self.record(&input) {
                Ok(recording) => self.shapes[index].recording = Some(recording),
                Err(error) => self.not_recorded = Some(error.to_string()),
            }
        }
        self.shapes[index].has_run = true;
        Ok(logits)
    }

    fn record(&self, input: &Tensor) -> Result<(CudaGraph, Tensor), Error> {
        // Graphs are replayed one at a time, and their logits are read before the next replay, so they can
        // share memory.
        let recordings = self.shapes.iter().filter_map(|shape| shape.recording.as_ref());
        let beside = recordings.map(|(graph, _)| graph).next();
        CudaGraph::record(self.device, beside, || Ok(self.network.run(input)?))
    }
}

/// Returns the index of the shape in `shapes` `[N, C, H, W]` in which to run a batch: its own shape or, with
/// `fill_up`, the smallest shape that it fits into.
fn fitting(shapes: &[Vec<i64>], size: &[i64], fill_up: bool) -> Option<usize> {
    let fits =
        |shape: &[i64]| shape[1..] == size[1..] && (shape[0] == size[0] || fill_up && shape[0] > size[0]);
    (0..shapes.len())
        .filter(|&index| fits(&shapes[index]))
        .min_by_key(|&index| shapes[index][0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_runs_in_its_own_shape_or_is_filled_up_to_the_next() {
        let shapes = [[16, 3, 8, 8], [4, 3, 8, 8], [8, 3, 9, 8], [8, 3, 8, 8]].map(Vec::from);
        for fill_up in [false, true] {
            assert_eq!(fitting(&shapes, &[4, 3, 8, 8], fill_up), Some(1));
            assert_eq!(fitting(&shapes, &[8, 3, 9, 8], fill_up), Some(2));
            assert_eq!(fitting(&shapes, &[17, 3, 8, 8], fill_up), None);
            assert_eq!(fitting(&shapes, &[1, 3, 8, 9], fill_up), None);
        }
        assert_eq!(fitting(&shapes, &[5, 3, 8, 8], true), Some(3));
        assert_eq!(fitting(&shapes, &[5, 3, 8, 8], false), None);
    }
}
