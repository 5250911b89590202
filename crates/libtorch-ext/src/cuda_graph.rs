//! CUDA graphs, through a library of their own that is opened when they are first asked for.

use std::ffi::c_char;
use std::ptr::{self, NonNull};

use crate::Error;
use crate::cuda::device_index;
use crate::cuda_library::CudaLibrary;
use crate::error::check_message;

// SAFETY: cuda_graphs.h has this table.
static LIBRARY: CudaLibrary<Api> = unsafe {
    CudaLibrary::new(
        "libeffnet_cuda_graphs.so",
        option_env!("EFFNET_CUDA_GRAPHS"),
        "cuda-graphs",
        c"effnet_cuda_graphs",
    )
};

#[repr(C)]
struct RawGraph {
    _opaque: [u8; 0],
}

/// As in cuda_graphs.h.
#[derive(Debug)]
#[repr(C)]
struct Api {
    begin: unsafe extern "C" fn(i32, *const RawGraph, *mut *mut RawGraph) -> *mut c_char,
    end: unsafe extern "C" fn(*mut RawGraph) -> *mut c_char,
    abandon: unsafe extern "C" fn(*mut RawGraph),
    replay: unsafe extern "C" fn(*mut RawGraph) -> *mut c_char,
    release: unsafe extern "C" fn(*mut RawGraph),
    free_message: unsafe extern "C" fn(*mut c_char),
}

/// Work of a CUDA device that was recorded once, to be put on it again and again with one call.
#[derive(Debug)]
pub struct CudaGraph {
    api: &'static Api,
    graph: NonNull<RawGraph>,
}

// SAFETY: replaying and releasing a graph is bound to no thread, and one thread at a time has it.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Whether graphs can be recorded here, or why not.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA, or without `libeffnet_cuda_graphs.so`, which the feature
    /// `cuda-graphs` builds. It is looked for beside the program, then where it was built.
    pub fn available() -> Result<(), Error> {
        LIBRARY.table().map(|_| ())
    }

    /// Records what `work` puts on the device with this number, without running it.
    ///
    /// `work` must do nothing but compute with tensors of that device: no transfers, nothing that
    /// waits for a result. It should have been run before in this thread, which sets up what cannot
    /// be set up while recording. A replay reads the tensors that `work` has read, where they lie,
    /// and writes those that it has made, which lie in memory of the graph. A graph made `beside`
    /// another one of the same device shares its memory, so that a replay of either one overwrites
    /// what the other has made, and those two must not run at a time.
    ///
    /// # Errors
    /// That of `work`; of this crate when CUDA refuses, after which the device is as before.
    pub fn record<T, E: From<Error>>(
        device: usize,
        beside: Option<&Self>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let api = LIBRARY.table()?;
        let beside = beside.map_or(ptr::null(), |graph| graph.graph.as_ptr().cast_const());
        let mut graph = ptr::null_mut();
        // SAFETY: `beside` is null or a graph that is alive, `graph` a place to write to.
        api.check(unsafe { (api.begin)(device_index(device)?, beside, &raw mut graph) })?;
        let graph = NonNull::new(graph).ok_or(Error::OutOfMemory)?;
        let recording = Recording { api, graph };
        let result = work()?;
        std::mem::forget(recording);
        // SAFETY: the recording that was begun in this thread; on an error the graph is freed there.
        api.check(unsafe { (api.end)(graph.as_ptr()) })?;
        Ok((Self { api, graph }, result))
    }

    /// Puts the work on the device, after what it was given before in this thread, and returns.
    ///
    /// # Errors
    /// [`Error::Native`].
    pub fn replay(&self) -> Result<(), Error> {
        // SAFETY: the graph is alive, and this type is not `Sync`: no other call goes on.
        self.api.check(unsafe { (self.api.replay)(self.graph.as_ptr()) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive and freed once; it waits for what is under way.
        unsafe { (self.api.release)(self.graph.as_ptr()) }
    }
}

/// A recording that is under way: given up when the work fails or panics.
struct Recording {
    api: &'static Api,
    graph: NonNull<RawGraph>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: begun, neither ended nor given up; frees the graph.
        unsafe { (self.api.abandon)(self.graph.as_ptr()) }
    }
}

impl Api {
    fn check(&self, message: *mut c_char) -> Result<(), Error> {
        // SAFETY: a message of that library, which takes it back.
        unsafe { check_message(message, self.free_message) }
    }
}
