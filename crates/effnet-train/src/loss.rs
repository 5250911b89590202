//! [`Loss`]: what a step minimises. There are losses for one class per image, for several labels per image, and for
//! regression.

mod cross_entropy;
mod labels;
mod values;

use std::fmt::Debug;

use tch::{Kind, Tensor};

pub use cross_entropy::CrossEntropy;
pub use labels::{AsymmetricLoss, BinaryCrossEntropy, FocalLoss};
pub use values::{Huber, SquaredError};

use crate::{Error, Targets};

/// A loss function.
pub trait Loss: Debug + Send {
    /// Computes the loss of a batch, a scalar on the device of `outputs`, averaged over the images. `outputs` is what
    /// the network returned, of any floating-point kind; `targets` is on the same device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the targets do not match the outputs, [`Error::Torch`].
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error>;
}

/// Returns outputs `[N, outputs]` and their targets, [`Targets::Values`] of the same shape, both in 32 bits.
fn values(outputs: &Tensor, targets: &Targets) -> Result<(Tensor, Tensor), Error> {
    let size = outputs.size();
    let found = targets.tensor().size();
    match targets {
        Targets::Values(values) if size.len() == 2 && found == size => {
            Ok((outputs.f_to_kind(Kind::Float)?, values.f_to_kind(Kind::Float)?))
        }
        Targets::Values(_) => Err(shape("the batch of targets", format!("{size:?}"), found)),
        Targets::Classes(_) | Targets::Probabilities(_) => {
            let expected = format!("values {size:?}, rather than classes");
            Err(shape("the batch of targets", expected, found))
        }
    }
}

fn shape(what: &'static str, expected: String, found: Vec<i64>) -> Error {
    Error::Shape {
        what,
        expected,
        found,
    }
}
