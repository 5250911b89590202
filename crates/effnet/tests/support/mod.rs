//! Functions shared by the tests of this crate.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use effnet_checkpoint::{DType, StateDict, Tensor};

/// The path of a committed file that was created by scripts/reference/checkpoint_fixtures.py.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A state dict with the names and shapes of B0 in a scheme, in the scheme's own order. The values are
/// one-byte zeros, because naming looks only at names and shapes.
pub(crate) fn b0(scheme: &str) -> StateDict {
    listed(&format!("b0_{scheme}"))
}

/// A state dict with the names and shapes of a committed list, such as `b0_timm`.
pub(crate) fn listed(name: &str) -> StateDict {
    test_support::zeros(name, DType::U8)
}

pub(crate) fn zeros(shape: &[usize]) -> Tensor {
    Tensor::from_bytes(DType::U8, shape, vec![0; shape.iter().product()]).unwrap()
}
