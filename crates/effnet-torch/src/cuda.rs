//! A network on a CUDA device: transfers beside the computation, batches replayed as CUDA graphs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet_core::channels_last;
use libtorch_ext::{CopyStream, CudaGraph, Download};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::Error;
use crate::operators::OperatorNetwork;
use crate::pending::Pending;

/// Shapes of batches that are recorded; any others run as they come.
const MOST_SHAPES: usize = 8;

/// Calls take turns, and put their work on the current stream of the device, which is the default one
/// unless C++ code of the program changes it: what one call reads is not overwritten by the next
/// before it was read.
#[derive(Debug)]
pub(crate) struct CudaNetwork(Mutex<State>);

#[derive(Debug)]
struct State {
    network: OperatorNetwork,
    device: usize,
    copies: CopyStream,
    shapes: Vec<Shape>,
    /// Smaller batches are filled up to a shape that is there.
    fill_up: bool,
    /// Why nothing is recorded.
    not_recorded: Option<String>,
}

/// Batches of one shape.
#[derive(Debug)]
struct Shape {
    /// Where they are put to be run, in the network's kind and layout.
    input: Tensor,
    has_run: bool,
    /// From the second batch on: what to replay, and where the logits are after it.
    recording: Option<(CudaGraph, Tensor)>,
}

impl CudaNetwork {
    /// With `autotune`, the network's convolutions are timed for each new shape of a batch.
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

    /// Why batches are not recorded, if they are not.
    pub(crate) fn not_recorded(&self) -> Option<String> {
        self.state().not_recorded.clone()
    }

    /// Starts on `images`: the result is on its way to the CPU if they came from there, and on the
    /// device otherwise.
    pub(crate) fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        self.compute(images, State::run)
    }

    pub(crate) fn submit_features(&self, images: &Tensor) -> Result<Pending, Error> {
        self.compute(images, |state, images| Ok(state.network.run_features(images)?))
    }

    /// `compute` is given images on the device, and may keep the memory of its result.
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
        // A call that panicked has left no shape in a state that the next one could not use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The logits, until the next call.
    fn run(&mut self, images: &Tensor) -> Result<Tensor, Error> {
        let size = images.size();
        let result = match self.shape_for(&size) {
            Ok(Some(index)) => self.run_in(index, images),
            Ok(None) => self.network.run(images).map_err(Error::from),
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // Memory may have run out, of which recordings hold much.
            self.shapes.clear();
        }
        Ok(result?.f_narrow(0, 0, size[0])?)
    }

    /// Which shape a batch of this size is run in; none when it runs as it comes.
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
        // Also what a recording needs: libtorch sets up cuDNN for each thread.
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
        // Recordings run one at a time, and their logits are read in between: they share memory.
        let recordings = self.shapes.iter().filter_map(|shape| shape.recording.as_ref());
        let beside = recordings.map(|(graph, _)| graph).next();
        CudaGraph::record(self.device, beside, || Ok(self.network.run(input)?))
    }
}

/// The one of `shapes` `[N, C, H, W]` to run a batch in: its own, or with `fill_up` the one with the
/// fewest images more.
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
