//! CUDA graphs, through a library of their own that is opened when they are first asked for.

use std::env;
use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use tch::Cuda;

use crate::Error;
use crate::cuda::number;
use crate::error::{check, error_of};

const LIBRARY: &str = "libeffnet_cuda_graphs.so";

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

unsafe extern "C" {
    fn effnet_open_graphs(path: *const c_char, api: *mut *const Api) -> *mut c_char;
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
        Api::get().map(|_| ())
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
        let api = Api::get()?;
        let beside = beside.map_or(ptr::null(), |graph| graph.graph.as_ptr().cast_const());
        let mut graph = ptr::null_mut();
        // SAFETY: `beside` is null or a graph that is alive, `graph` a place to write to.
        api.check(unsafe { (api.begin)(number(device)?, beside, &raw mut graph) })?;
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
    fn get() -> Result<&'static Self, Error> {
        static API: OnceLock<Result<&'static Api, String>> = OnceLock::new();
        // The library's gaps are filled from libtorch_cuda, which must be there first.
        if !Cuda::is_available() {
            return Err(Error::Native(
                "there is no CUDA device, or it was not looked for".to_owned(),
            ));
        }
        API.get_or_init(|| Self::open().map_err(|error| error.to_string()))
            .clone()
            .map_err(Error::Native)
    }

    fn open() -> Result<&'static Self, Error> {
        let Some(path) = places().find(|path| path.exists()) else {
            return Err(Error::Native(format!(
                "{LIBRARY} is not there: expected beside the program (the feature cuda-graphs builds it)"
            )));
        };
        let path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::Native("the program's folder contains a zero byte".to_owned()))?;
        let mut api = ptr::null();
        // SAFETY: a C string that outlives the call, and a place to write to.
        check(unsafe { effnet_open_graphs(path.as_ptr(), &raw mut api) })?;
        // SAFETY: without an error it points to a constant of a library that stays open.
        unsafe { api.as_ref() }.ok_or_else(|| Error::Native(format!("{LIBRARY} has no functions")))
    }

    fn check(&self, message: *mut c_char) -> Result<(), Error> {
        if message.is_null() {
            return Ok(());
        }
        // SAFETY: a message of that library, which takes it back.
        Err(unsafe { error_of(message, self.free_message) })
    }
}

fn places() -> impl Iterator<Item = PathBuf> {
    let program = env::current_exe()
        .ok()
        .and_then(|program| program.canonicalize().ok());
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|folder| folder.join(LIBRARY));
    beside
        .into_iter()
        .chain(option_env!("EFFNET_CUDA_GRAPHS").map(PathBuf::from))
}
