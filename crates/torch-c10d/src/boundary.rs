//! Errors of this crate's C++ functions as `Result`s.

use libtorch_ext::Error;
use libtorch_ext::boundary::RawResult;

/// Turns what a C++ function of this crate returns into a `Result`.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked to this program.
    unsafe { result.check() }.map_err(Error::from)
}
