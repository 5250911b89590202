//! The variables of Keras's layers, as tensors with PyTorch's names and order of dimensions.
//!
//! Keras has three layouts. An older `.h5` has a group for each layer, by name, with variables by name. A
//! `.weights.h5` has a group for each layer by its class and a running number (`conv2d_3`), with numbered variables.
//! A `.keras` is a zip archive with a `model.weights.h5`. Kernels are stored as height, width, input, output; here,
//! they are views with PyTorch's order, and nothing is copied before a tensor is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::hdf5;
use super::zip_directory::{Directory, Method};
use crate::budget::Budget;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::quote::quote;
use crate::storage::inflate;
use crate::{Container, Tensor};

/// Name of the weights in a `.keras` archive.
const WEIGHTS: &[u8] = b"model.weights.h5";
/// Name of the dataset in which this project keeps its metadata, as JSON.
pub(crate) const METADATA: &str = "effnet_metadata";
/// Groups that only hold others.
const HOLDERS: [&str; 3] = ["layers", "_layer_checkpoint_dependencies", "_operations"];
/// Groups with the state of the optimizer.
const OPTIMIZERS: [&str; 3] = ["optimizer", "_optimizer", "optimizer_weights"];

/// The tensors of a file, the datasets that belong to no layer, and the metadata.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) left_out: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Returns whether an HDF5 file begins with these bytes.
pub(crate) fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(hdf5::SIGNATURE)
}

/// Reads an HDF5 file of Keras.
pub(crate) fn read(file: &Arc<MappedFile>, budget: &Budget) -> Result<Contents, ErrorKind> {
    let all = 0..file.bytes().len();
    read_range(file, all, budget)
}

/// Reads the weights in a `.keras` archive; `None` if the archive is another one.
pub(crate) fn read_archive(file: &Arc<MappedFile>, budget: &Budget) -> Result<Option<Contents>, ErrorKind> {
    // Archives of PyTorch are far more common, and their directories are long.
    if memchr_last(file.bytes(), WEIGHTS).is_none() {
        return Ok(None);
    }
    let directory = Directory::read(file, budget)?;
    let Some(entry) = directory.get(WEIGHTS) else {
        return Ok(None);
    };
    match entry.method {
        Method::Stored => read_range(file, entry.stored.clone(), budget).map(Some),
        Method::Deflated => {
            budget.hold(usize::try_from(entry.size).unwrap_or(usize::MAX));
            budget.check()?;
            let packed = file.slice(&entry.stored);
            let bytes = inflate(packed, entry.size as usize, entry.crc, "model.weights.h5")
                .map_err(|what| Container::Keras.damaged(what))?;
            let file = Arc::new(MappedFile::in_memory(&file.path, Cow::Owned(bytes)));
            read(&file, budget).map(Some)
        }
        Method::Other(method) => Err(Container::Keras.damaged(format!(
            "its model.weights.h5 is encrypted or uses compression method {method}, expected stored or deflated"
        ))),
    }
}

/// Searches the end of a file, where the directory of a zip archive is.
fn memchr_last(bytes: &[u8], name: &[u8]) -> Option<usize> {
    const DIRECTORY: usize = 1 << 16;
    let tail = &bytes[bytes.len().saturating_sub(DIRECTORY)..];
    tail.windows(name.len()).rposition(|window| window == name)
}

fn read_range(file: &Arc<MappedFile>, range: Range<usize>, budget: &Budget) -> Result<Contents, ErrorKind> {
    let datasets = hdf5::read(file, range, budget)?;
    let mut contents = Contents {
        left_out: datasets.left_out,
        ..Contents::default()
    };
    let mut taken = HashSet::new();
    for (path, tensor) in datasets.tensors {
        if path == METADATA {
            contents.metadata = metadata(&tensor);
            continue;
        }
        let Some(variable) = Variable::parse(&path, tensor.shape().len()) else {
            contents.left_out.push(path);
            continue;
        };
        budget.name(variable.name.len())?;
        budget.name(variable.name.len())?;
        if !taken.insert(variable.name.clone()) {
            return Err(Container::Hdf5.damaged(format!(
                "it has two variables that would be named `{}`",
                quote(&variable.name)
            )));
        }
        let tensor = match variable.order.axes() {
            Some(axes) => {
                // Reading it will copy it.
                budget.hold(tensor.nbytes());
                budget.check()?;
                tensor.permuted(axes)
            }
            None => tensor,
        };
        contents.tensors.push((variable.name, tensor));
    }
    Ok(contents)
}

fn metadata(tensor: &Tensor) -> BTreeMap<String, String> {
    let bytes = tensor.bytes().unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Order of the dimensions of a variable in Keras.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Height, width, input, output.
    Convolution,
    /// Height, width, input, multiplier.
    Depthwise,
    /// Input, output.
    Dense,
    Same,
}

impl Order {
    /// The axis of Keras at each axis of PyTorch.
    fn axes(self) -> Option<&'static [usize]> {
        match self {
            Order::Convolution => Some(&[3, 2, 0, 1]),
            Order::Depthwise => Some(&[2, 3, 0, 1]),
            Order::Dense => Some(&[1, 0]),
            Order::Same => None,
        }
    }
}

/// A variable of a layer.
#[derive(Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    order: Order,
}

impl Variable {
    /// Finds the layer and the role of a dataset. `None` for what is not a variable of a known layer.
    fn parse(path: &str, dimensions: usize) -> Option<Self> {
        let mut parts: Vec<&str> = path.split('/').collect();
        if OPTIMIZERS.contains(parts.first()?) {
            return None;
        }
        let last = parts.pop()?;
        let holder = parts.pop()?;
        if holder != "vars" {
            let variable = last.strip_suffix(":0").unwrap_or(last);
            return Self::named(holder, variable, dimensions);
        }
        let layer = parts.pop()?;
        let leaf = *leaves(class(layer))?.get(last.parse::<usize>().ok()?)?;
        parts.retain(|part| !HOLDERS.contains(part));
        parts.push(layer);
        let order = match (leaf, class(layer)) {
            ("weight", "conv2d") => Order::Convolution,
            ("weight", "depthwise_conv2d") => Order::Depthwise,
            ("weight", "dense") => Order::Dense,
            _ => Order::Same,
        };
        Some(Self::of(&parts.join("."), leaf, order, dimensions))
    }

    /// A variable of the older layout.
    fn named(layer: &str, variable: &str, dimensions: usize) -> Option<Self> {
        let is_depthwise = layer.contains("dwconv") || layer.contains("depthwise");
        let (leaf, order) = match variable {
            "depthwise_kernel" => ("weight", Order::Depthwise),
            "kernel" if dimensions == 2 => ("weight", Order::Dense),
            "kernel" if is_depthwise => ("weight", Order::Depthwise),
            "kernel" => ("weight", Order::Convolution),
            "gamma" => ("weight", Order::Same),
            "bias" | "beta" => ("bias", Order::Same),
            "moving_mean" => ("running_mean", Order::Same),
            "moving_variance" => ("running_var", Order::Same),
            "mean" => ("mean", Order::Same),
            "variance" => ("variance", Order::Same),
            "count" => ("count", Order::Same),
            _ => return None,
        };
        Some(Self::of(layer, leaf, order, dimensions))
    }

    fn of(layer: &str, leaf: &str, order: Order, dimensions: usize) -> Self {
        let fits = order.axes().is_none_or(|axes| axes.len() == dimensions);
        Self {
            name: format!("{layer}.{leaf}"),
            order: if fits { order } else { Order::Same },
        }
    }
}

/// The class of a layer: its name without its number.
fn class(layer: &str) -> &str {
    match layer.rsplit_once('_') {
        Some((class, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => class,
        _ => layer,
    }
}

/// The names of the variables of a class, in the order in which Keras numbers them.
pub(crate) fn leaves(class: &str) -> Option<&'static [&'static str]> {
    match class {
        "conv2d" | "depthwise_conv2d" | "dense" => Some(&["weight", "bias"]),
        "batch_normalization" => Some(&["weight", "bias", "running_mean", "running_var"]),
        "normalization" => Some(&["mean", "variance", "count"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_every_layout() {
        for (path, dimensions, name, order) in [
            (
                "stem_conv/stem_conv/kernel:0",
                4,
                "stem_conv.weight",
                Order::Convolution,
            ),
            (
                "model_weights/block1a_dwconv/block1a_dwconv/kernel",
                4,
                "block1a_dwconv.weight",
                Order::Depthwise,
            ),
            (
                "block1a_dwconv/net/block1a_dwconv/depthwise_kernel:0",
                4,
                "block1a_dwconv.weight",
                Order::Depthwise,
            ),
            (
                "top_bn/top_bn/moving_variance:0",
                1,
                "top_bn.running_var",
                Order::Same,
            ),
            (
                "predictions/predictions/kernel:0",
                2,
                "predictions.weight",
                Order::Dense,
            ),
            (
                "layers/conv2d_12/vars/0",
                4,
                "conv2d_12.weight",
                Order::Convolution,
            ),
            ("layers/conv2d/vars/1", 1, "conv2d.bias", Order::Same),
            (
                "layers/functional/layers/depthwise_conv2d/vars/0",
                4,
                "functional.depthwise_conv2d.weight",
                Order::Depthwise,
            ),
            (
                "_layer_checkpoint_dependencies/dense_1/vars/0",
                2,
                "dense_1.weight",
                Order::Dense,
            ),
            (
                "layers/batch_normalization_3/vars/2",
                1,
                "batch_normalization_3.running_mean",
                Order::Same,
            ),
            (
                "layers/normalization/vars/1",
                1,
                "normalization.variance",
                Order::Same,
            ),
        ] {
            let expected = Variable {
                name: name.to_owned(),
                order,
            };
            assert_eq!(Variable::parse(path, dimensions), Some(expected), "{path}");
        }
        for path in [
            "optimizer/vars/3",
            "layers/dropout/seed_generator/vars/0",
            "kernel",
            "layers/dense/vars/x",
            "",
        ] {
            assert_eq!(Variable::parse(path, 1), None, "{path}");
        }
    }
}
