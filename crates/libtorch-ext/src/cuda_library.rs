//! Libraries that are linked against libtorch_cuda, and loaded on first use.
//!
//! Code that calls CUDA through libtorch cannot be linked into the program itself, which must start on machines
//! without CUDA. It is built as a separate library, and called through a table of functions.

use std::env;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use tch::Cuda;

use crate::Error;
use crate::error::check;
use crate::raw::effnet_open_library;

/// A library that a crate's feature builds. `T` is the table of its functions.
#[derive(Debug)]
pub struct CudaLibrary<T: 'static> {
    file: &'static str,
    built: Option<&'static str>,
    feature: &'static str,
    function: &'static CStr,
    table: OnceLock<Result<&'static T, String>>,
}

impl<T> CudaLibrary<T> {
    /// Describes the library with the file name `file`, which `feature` builds; `built` is its path if it was
    /// built.
    ///
    /// # Safety
    /// The library's `function` must take no arguments and return null or a pointer to a constant `T`.
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

    /// Returns the table of functions. The first call looks for the library in the program's folder, then at the
    /// path where it was built.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA or without the library.
    pub fn table(&'static self) -> Result<&'static T, Error> {
        // The library's undefined symbols are resolved from libtorch_cuda, which must be loaded first.
        if !Cuda::is_available() {
            return Err(Error::Native(
                "no CUDA device (load_cuda must be called before the first tensor)".to_owned(),
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
                "{} not found in the program's folder; build it with the feature {}",
                self.file, self.feature
            )));
        };
        let path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::Native("the program's path contains a zero byte".to_owned()))?;
        let mut table = ptr::null();
        // SAFETY: the C strings outlive the call, and the last argument is valid for writes.
        check(unsafe { effnet_open_library(path.as_ptr(), self.function.as_ptr(), &raw mut table) })?;
        // SAFETY: by the contract of `new`; the library stays loaded.
        unsafe { table.cast::<T>().as_ref() }
            .ok_or_else(|| Error::Native(format!("{} exports no functions", self.file)))
    }

    fn places(&self) -> impl Iterator<Item = PathBuf> {
        let program = env::current_exe()
            .ok()
            .and_then(|program| program.canonicalize().ok());
        let in_program_folder = program
            .as_deref()
            .and_then(Path::parent)
            .map(|folder| folder.join(self.file));
        in_program_folder.into_iter().chain(self.built.map(PathBuf::from))
    }
}
