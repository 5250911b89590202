//! Lets what is linked here find libtorch at run time.

include!("../../scripts/libtorch/rpath.rs");
