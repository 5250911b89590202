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
    let path = fixture(&format!("naming/{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let (name, shape) = line.split_once(' ').unwrap();
            let shape: Vec<usize> = shape
                .split('x')
                .filter(|size| !size.is_empty())
                .map(|size| size.parse().unwrap())
                .collect();
            (name, zeros(&shape))
        })
        .collect()
}

pub(crate) fn zeros(shape: &[usize]) -> Tensor {
    Tensor::from_bytes(DType::U8, shape, vec![0; shape.iter().product()]).unwrap()
}
