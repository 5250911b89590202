//! CUDA graphs, through a separate library that is loaded when a graph is first recorded.
//!
//! libtorch's `CUDAGraph` is in libtorch_cuda. A program linked against that would need it on every machine.

use std::ptr::{self, NonNull};

use effnet_kernels::boundary::RawResult;

use crate::Error;
use crate::cuda::device_index;
use crate::cuda_library::CudaLibrary;
use crate::raw::{RawGraph, RawGraphApi};

// SAFETY: cuda_graphs.h declares this table.
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

// SAFETY: a graph may be replayed and released on any thread, and only one thread at a time owns it.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Checks that graphs can be recorded on this machine.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA, or without `libeffnet_cuda_graphs.so`, which the feature `cuda-graphs`
    /// builds. The library is looked up in the program's folder, then at the path where it was built.
    pub fn available() -> Result<(), Error> {
        LIBRARY.table().map(|_| ())
    }

    /// Records the operations that `work` queues on the device with index `device`, without running them.
    ///
    /// `work` must only compute with tensors on that device: it must not transfer data or wait for a result. Run
    /// it once on this thread beforehand, because libraries cannot be initialised during a recording. A replay
    /// reads the tensors that `work` read, at the same addresses, and writes those that it created, which are in
    /// the graph's memory. With `share_with`, the new graph shares the memory of that graph, which must be of the
    /// same device: a replay of either overwrites the results of the other, and the two must not run at the same
    /// time.
    ///
    /// # Errors
    /// The errors of `work`, and [`Error`] when CUDA fails. After an error, the device is in its previous state.
    pub fn record<T, E: From<Error>>(
        device: usize,
        share_with: Option<&Self>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let api = LIBRARY.table()?;
        let share_with = share_with.map_or(ptr::null(), |graph| graph.graph.as_ptr().cast_const());
        let mut graph = ptr::null_mut();
        // SAFETY: `share_with` is null or a live graph, and `graph` is valid for writes.
        api.check(unsafe { (api.begin)(device_index(device)?, share_with, &raw mut graph) })?;
        let graph = NonNull::new(graph).ok_or(Error::OutOfMemory)?;
        let recording = Recording { api, graph };
        let result = work()?;
        std::mem::forget(recording);
        // SAFETY: the recording was started on this thread; if there is an error, the callee frees the graph.
        api.check(unsafe { (api.end)(graph.as_ptr()) })?;
        Ok((Self { api, graph }, result))
    }

    /// Queues the recorded work on the device, after the work that this thread has already queued, and returns
    /// immediately.
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

/// A recording in progress, which is abandoned if the work fails or panics.
struct Recording {
    api: &'static RawGraphApi,
    graph: NonNull<RawGraph>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: the recording was started, and neither ended nor abandoned; the callee frees the graph.
        unsafe { (self.api.abandon)(self.graph.as_ptr()) }
    }
}

impl RawGraphApi {
    fn check(&self, result: RawResult) -> Result<(), Error> {
        // SAFETY: the result comes from that library, which frees its message.
        unsafe { result.check_with(self.free_message) }.map_err(Error::from)
    }
}
