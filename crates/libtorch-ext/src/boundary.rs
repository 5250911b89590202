//! For crates with C++ of their own on libtorch: what their Rust needs at the C border.
//!
//! Their C++ includes `boundary.h` and `torch_boundary.h`, which keep exceptions on the C++ side and turn them into
//! messages. cargo tells the build script of a crate that depends on this one where the headers lie, in
//! `DEP_LIBTORCH_EXT_INCLUDE`.

pub use crate::cuda::device_index;
pub use crate::cuda_library::CudaLibrary;
pub use crate::error::check_message;
