//! Sets the run path through which this package's binaries find libtorch.

include!("../../scripts/libtorch/rpath.rs");
