//! Sets the run path by which the binaries linked here find libtorch.

include!("../../scripts/libtorch/rpath.rs");
