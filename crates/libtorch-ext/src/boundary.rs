//! The Rust side of the C boundary, for crates with their own C++ code on libtorch.
//!
//! Their C++ includes `boundary.h` and `torch_boundary.h`, which catch exceptions on the C++ side and turn them into
//! a status and a message. cargo passes the folder of these headers to the build scripts of crates that depend on
//! this one, in `DEP_LIBTORCH_EXT_INCLUDE`. Their Rust receives the status and the message as a [`RawResult`], and
//! asserts the layouts that both sides share with [`assert_layout!`].

pub use crate::cuda::device_index;
pub use crate::cuda_library::CudaLibrary;
pub use effnet_kernels::assert_layout;
pub use effnet_kernels::boundary::{Failure, RawResult, enumerators};
