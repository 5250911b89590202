//! The Rust side of the C boundary, for crates with their own C++ code on libtorch.
//!
//! The C++ code of such a crate includes `boundary.h` and `torch_boundary.h`, which catch exceptions on the C++
//! side and turn them into a status and a message. cargo passes the folder of these headers to the build scripts
//! of crates that depend on this one, in `DEP_LIBTORCH_EXT_INCLUDE`. The Rust code receives the status and the
//! message as a [`RawResult`], and uses [`assert_layout!`] to assert the layouts that both sides share.

pub use crate::cuda::device_index;
pub use crate::cuda_library::CudaLibrary;
pub use effnet_kernels::assert_layout;
pub use effnet_kernels::boundary::{Failure, RawResult, enumerators};
