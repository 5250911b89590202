//! Which calls of a pickle are worth a mention.
//!
//! Nothing in a file is ever called here, but whoever loads the same file in Python runs whatever it calls. Every
//! checkpoint calls a few functions that rebuild tensors and containers; any other call is named to the user.

use crate::pickle::Graph;

/// Functions that unpickling calls in ordinary checkpoints.
const ORDINARY_CALLS: [&str; 16] = [
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "builtins.set",
    "__builtin__.set",
    "argparse.Namespace",
    "pathlib.PosixPath",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
];

/// Prefixes of the names in `torch` that ordinary checkpoints call.
const TORCH_PARTS: [&str; 7] = [
    "_utils._rebuild_",
    "_tensor._rebuild_",
    "nn.",
    "optim.",
    "Size",
    "device",
    "dtype",
];

/// Returns what unpickling in Python would call, except for what ordinary checkpoints call.
pub(crate) fn unusual(graph: &Graph<'_>) -> Vec<String> {
    let called = graph.called().into_iter();
    called.filter(|name| !is_ordinary(name)).collect()
}

/// Functions and classes of torch that describe tensors, modules and optimizers. Others, such as `torch.load`
/// or `torch.hub.load`, run code.
fn is_ordinary(name: &str) -> bool {
    match name.strip_prefix("torch.") {
        Some(rest) => {
            rest.ends_with("Tensor")
                || rest.ends_with("Storage")
                || TORCH_PARTS.iter().any(|part| rest.starts_with(part))
        }
        None => ORDINARY_CALLS.contains(&name),
    }
}
