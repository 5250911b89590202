//! The names of a file's tensors, in each of the schemes.
//!
//! effnet-checkpoint reads files of any network, and effnet-architecture knows EfficientNet's names without
//! tensors; this joins the two.

use effnet_architecture::{NamingError, Renaming, Scheme, Signature, TensorShapes};
use effnet_checkpoint::StateDict;

/// What the names and shapes of a state dict say, for one of an EfficientNet.
pub trait EfficientNetNames: Sized {
    /// Names and shapes, in order.
    fn shapes(&self) -> TensorShapes<'_>;

    /// The same tensors under the names of another scheme. A name that the scheme does not know is kept,
    /// so that strict loading reports it. With `repeats`, the number of blocks of each stage, for a network
    /// whose stages cannot be told apart by their shapes (see [`Renaming::read`]).
    ///
    /// # Errors
    /// [`NamingError`] when a block is missing, two tensors would get one name, or `repeats` are not those of
    /// the file.
    fn to_scheme(&self, from: Scheme, to: Scheme, repeats: Option<&[usize]>) -> Result<Self, NamingError>;

    /// The same tensors under the lukemelas names, whichever scheme they have now.
    ///
    /// # Errors
    /// [`NamingError::NotEfficientNet`] when it is none of them, otherwise as [`Self::to_scheme`].
    fn to_canonical(&self) -> Result<Self, NamingError> {
        self.to_scheme(Scheme::of(&self.shapes())?, Scheme::Lukemelas, None)
    }

    /// The sizes of the network that these tensors belong to, whichever scheme their names have.
    ///
    /// # Errors
    /// [`NamingError`] when it is not an EfficientNet, or a tensor that tells a size is missing.
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
