//! CUDA graphs, through a separate library that is loaded when a graph is first recorded.
//!
//! libtorch's `CUDAGraph` is in libtorch_cuda: a program linked to it would need that on every machine.

use std::ptr::{self, NonNull};

use effnet_kernels::boundary::RawResult;

use crate::Error;
use crate::cuda::device_index;
use crate::cuda_library::CudaLibrary;
use crate::raw::{RawGraph, RawGraphApi};

// SAFETY: cuda_graphs.h has this table.
static LIBRARY: CudaLibrary<RawGraphApi> = unsafe {
    CudaLibrary::new(
        "libeffnet_cuda_graphs.so",
        option_env!("EFFNET_CUDA_GRAPHS"),
        "cuda-graphs",
        c"effnet_cuda_graphs_2",
    )
};

/// CUDA work that was recorded once and can be replayed with one call.
#[derive(Debug)]
pub struct CudaGraph {
    api: &'static RawGraphApi,
    graph: NonNull<RawGraph>,
}

// SAFETY: replaying and releasing a graph is not bound to a thread, and only one thread at a time has it.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Checks that graphs can be recorded on this machine.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA, or without `libeffnet_cuda_graphs.so`, which the feature
    /// `cuda-graphs` builds. It is searched for in the program's folder, then where it was built.
    pub fn available() -> Result<(), Error> {
        LIBRARY.table().map(|_| ())
    }

    /// Records the work that `work` queues on the device with this index, without running it.
    ///
    /// `work` must only compute with tensors of that device: no transfers, nothing that waits for a
    /// result. Run it once before in this thread, because libraries cannot initialise while recording.
    /// A replay reads the tensors that `work` read, at the same addresses, and writes those that it
    /// created, which are in the graph's memory. A graph recorded with `share_with`, another one of the same
    /// device shares its memory: a replay of either overwrites the results of the other, and the two
    /// must not run at the same time.
    ///
    /// # Errors
    /// Those of `work`, and [`Error`] when CUDA fails, after which the device is as before.
    pub fn record<T, E: From<Error>>(
        device: usize,
        share_with: Option<&Self>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let api = LIBRARY.table()?;
        let share_with = share_with.map_or(ptr::null(), |graph| graph.graph.as_ptr().cast_const());
        let mut graph = ptr::null_mut();
        // SAFETY: `share_with` is null or a live graph, `graph` is valid for writes.
        api.check(unsafe { (api.begin)(device_index(device)?, share_with, &raw mut graph) })?;
        let graph = NonNull::new(graph).ok_or(Error::OutOfMemory)?;
        let recording = Recording { api, graph };
        let result = work()?;
        std::mem::forget(recording);
        // SAFETY: the recording was started in this thread; on an error the callee frees the graph.
        api.check(unsafe { (api.end)(graph.as_ptr()) })?;
        Ok((Self { api, graph }, result))
    }

    /// Queues the recorded work on the device, after the work that this thread queued before, and returns.
    ///
    /// # Errors
    /// [`Error::Native`].
    pub fn replay(&self) -> Result<(), Error> {
        // SAFETY: the graph is alive, and this type is not `Sync`: there is no concurrent call.
        self.api.check(unsafe { (self.api.replay)(self.graph.as_ptr()) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive and freed once; the callee waits for pending replays.
        unsafe { (self.api.release)(self.graph.as_ptr()) }
    }
}

/// A recording in progress, abandoned when the work fails or panics.
struct Recording {
    api: &'static RawGraphApi,
    graph: NonNull<RawGraph>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: started, and neither ended nor abandoned; the callee frees the graph.
        unsafe { (self.api.abandon)(self.graph.as_ptr()) }
    }
}

impl RawGraphApi {
    fn check(&self, result: RawResult) -> Result<(), Error> {
        // SAFETY: a result of that library, which frees its message.
        unsafe { result.check_with(self.free_message) }.map_err(Error::from)
    }
}
