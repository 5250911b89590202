//! State dicts of zeros, for tests of names and shapes.

use std::fs;
use std::path::Path;

use effnet_checkpoint::{DType, StateDict, Tensor};

/// A state dict with the names and shapes of a committed list, such as `b0_timm`, in its order.
pub fn zeros(list: &str, dtype: DType) -> StateDict {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../effnet/tests/fixtures/naming");
    let text = fs::read_to_string(lists.join(format!("{list}.txt"))).expect("read a list of names");
    text.lines()
        .map(|line| {
            let (name, sizes) = line.split_once(' ').expect("a name and a shape");
            let sizes = sizes.split('x').filter(|size| !size.is_empty());
            let shape: Vec<usize> = sizes.map(|size| size.parse().expect("a size")).collect();
            let bytes = vec![0; dtype.size() * shape.iter().product::<usize>()];
            let tensor = Tensor::from_bytes(dtype, shape, bytes).expect("a tensor of zeros");
            (name, tensor)
        })
        .collect()
}
