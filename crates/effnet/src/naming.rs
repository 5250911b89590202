//! Naming schemes of state dicts.
//!
//! effnet-checkpoint reads the files of any network, and effnet-architecture knows EfficientNet's names but
//! handles no tensors; this module connects the two.

use effnet_architecture::{NamingError, Renaming, Scheme, Signature, TensorShapes};
use effnet_checkpoint::StateDict;

/// Renames and recognises the state dict of an EfficientNet.
pub trait EfficientNetNames: Sized {
    /// Returns the names and shapes of the tensors, in order.
    fn shapes(&self) -> TensorShapes<'_>;

    /// Returns the same tensors under the names of another scheme. Unknown names are kept, so that strict
    /// loading reports them. `repeats` is the number of blocks per stage, for networks whose stages cannot be
    /// distinguished by shape (see [`Renaming::read`]).
    ///
    /// # Errors
    /// [`NamingError`] when a block is missing, two tensors would get the same name, or `repeats` does not
    /// match the tensors.
    fn to_scheme(&self, from: Scheme, to: Scheme, repeats: Option<&[usize]>) -> Result<Self, NamingError>;

    /// Returns the same tensors under their lukemelas names, from any scheme.
    ///
    /// # Errors
    /// [`NamingError::NotEfficientNet`] when no scheme matches; otherwise the same as [`Self::to_scheme`].
    fn to_canonical(&self) -> Result<Self, NamingError> {
        self.to_scheme(Scheme::of(&self.shapes())?, Scheme::Lukemelas, None)
    }

    /// Reads the dimensions of the network from these tensors, which may use any scheme.
    ///
    /// # Errors
    /// [`NamingError`] when the network is not an EfficientNet, or a tensor that defines a dimension is
    /// missing.
    fn signature(&self) -> Result<Signature, NamingError> {
        Signature::read(&self.shapes())
    }
}

impl EfficientNetNames for StateDict {
    fn shapes(&self) -> TensorShapes<'_> {
        self.iter().map(|(name, tensor)| (name, tensor.shape())).collect()
    }

    fn to_scheme(&self, from: Scheme, to: Scheme, repeats: Option<&[usize]>) -> Result<Self, NamingError> {
        if from == to {
            return Ok(self.clone());
        }
        let names = Renaming::read(&self.shapes(), from, repeats)?.names(self.names(), to)?;
        let tensors = self.iter().map(|(_, tensor)| tensor.clone());
        Ok(names.into_iter().zip(tensors).collect())
    }
}
