//! Sets the rpath, so that programs find libtorch at run time.

include!("../../scripts/libtorch/rpath.rs");
