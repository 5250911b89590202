//! Copies saved tensors into existing ones.
//!
//! The optimizer, the EMA and the gradient buckets refer to the tensors of the network, so restoring must write
//! into those tensors and not replace them.

use effnet_checkpoint::StateDict;
use effnet_core::to_torch;
use tch::Tensor;

use crate::Error;

/// Copies saved tensors bit for bit into the tensors with the same names, but only if all of them match. `what`
/// describes the saved tensors in the error.
pub(crate) fn restore_tensors<'a, N: AsRef<str>>(
    own: impl Iterator<Item = (N, &'a Tensor)>,
    saved: &StateDict,
    what: &'static str,
) -> Result<(), Error> {
    let refuse = |difference| Err(Error::StateMismatch { what, difference });
    let mut pairs = Vec::with_capacity(saved.len());
    for (name, own) in own {
        let name = name.as_ref();
        let Some(saved) = saved.get(name) else {
            return refuse(format!("`{name}` is missing"));
        };
        let saved = to_torch(saved)?;
        if (saved.size(), saved.kind()) != (own.size(), own.kind()) {
            let (expected, found) = (own.size(), saved.size());
            return refuse(format!("`{name}` has the shape {found:?}, expected {expected:?}"));
        }
        pairs.push((own.shallow_clone(), saved));
    }
    if pairs.len() != saved.len() {
        let (found, expected) = (saved.len(), pairs.len());
        return refuse(format!("it has {found} tensors, expected {expected}"));
    }
    tch::no_grad(|| {
        for (mut own, saved) in pairs {
            own.f_copy_(&saved)?;
        }
        Ok(())
    })
}
