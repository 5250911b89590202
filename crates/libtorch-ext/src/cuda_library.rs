//! Libraries of what is built on libtorch_cuda, which are opened when they are first asked for.

use std::env;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use tch::Cuda;

use crate::Error;
use crate::error::check;

unsafe extern "C" {
    fn effnet_open_library(
        path: *const c_char,
        function: *const c_char,
        table: *mut *const c_void,
    ) -> *mut c_char;
}

/// A library of a crate's shim that one of its features builds, with a table `T` of its functions.
#[derive(Debug)]
pub struct CudaLibrary<T: 'static> {
    file: &'static str,
    built: Option<&'static str>,
    feature: &'static str,
    function: &'static CStr,
    table: OnceLock<Result<&'static T, String>>,
}

impl<T> CudaLibrary<T> {
    /// The library with the name `file`, which was `built` there by `feature`, if it was.
    ///
    /// # Safety
    /// Its `function` takes nothing and returns null or a constant that is a `T`.
    pub const unsafe fn new(
        file: &'static str,
        built: Option<&'static str>,
        feature: &'static str,
        function: &'static CStr,
    ) -> Self {
        Self {
            file,
            built,
            feature,
            function,
            table: OnceLock::new(),
        }
    }

    /// The table of functions, after the first call without another search for the library: beside the
    /// program, then where it was built.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA or without the library.
    pub fn table(&'static self) -> Result<&'static T, Error> {
        // The library's gaps are filled from libtorch_cuda, which must be there first.
        if !Cuda::is_available() {
            return Err(Error::Native(
                "there is no CUDA device, or it was not looked for".to_owned(),
            ));
        }
        self.table
            .get_or_init(|| self.open().map_err(|error| error.to_string()))
            .clone()
            .map_err(Error::Native)
    }

    fn open(&self) -> Result<&'static T, Error> {
        let Some(path) = self.places().find(|path| path.exists()) else {
            return Err(Error::Native(format!(
                "{} is not there: expected beside the program (the feature {} builds it)",
                self.file, self.feature
            )));
        };
        let path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::Native("the program's folder contains a zero byte".to_owned()))?;
        let mut table = ptr::null();
        // SAFETY: C strings that outlive the call, and a place to write to.
        check(unsafe { effnet_open_library(path.as_ptr(), self.function.as_ptr(), &raw mut table) })?;
        // SAFETY: as `new` has it; the library stays open.
        unsafe { table.cast::<T>().as_ref() }
            .ok_or_else(|| Error::Native(format!("{} has no functions", self.file)))
    }

    fn places(&self) -> impl Iterator<Item = PathBuf> {
        let program = env::current_exe()
            .ok()
            .and_then(|program| program.canonicalize().ok());
        let beside = program
            .as_deref()
            .and_then(Path::parent)
            .map(|folder| folder.join(self.file));
        beside.into_iter().chain(self.built.map(PathBuf::from))
    }
}
