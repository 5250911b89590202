//! Converts errors from this crate's C++ functions into `Result`s.

use libtorch_ext::Error;
use libtorch_ext::boundary::RawResult;

/// Converts the return value of one of this crate's C++ functions into a `Result`.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked into this program.
    unsafe { result.check() }.map_err(Error::from)
}
