//! Copies parameters that passed the strict check into a network.
//!
//! The rules of strict loading are those of [`Parameters`], which `effnet`'s CPU engine uses too, so that both
//! accept the same files.

use effnet::{LoadOptions, LoadReport, Parameters};
use effnet_checkpoint::{DType, StateDict};
use tch::nn;

use crate::init::Init;
use crate::tensors::to_torch;
use crate::{Config, EfficientNet, Error};

const COUNTER: &str = "num_batches_tracked";

impl EfficientNet {
    /// Builds a network under `path`, and loads a state dict into it, in any naming scheme. To find out what
    /// loading did in addition to copying, use [`from_parameters`](Self::from_parameters) and the report of
    /// [`Parameters`].
    ///
    /// # Errors
    /// The errors of [`EfficientNet::new`] and [`EfficientNet::load`]. After an error, the variables under `path`
    /// exist but are uninitialised: drop the store.
    pub fn from_state_dict(
        path: &nn::Path<'_>,
        config: &Config,
        state_dict: &StateDict,
        options: LoadOptions,
    ) -> Result<Self, Error> {
        let parameters = Parameters::from_state_dict(config, state_dict, options)?;
        Self::from_parameters(path, &parameters)
    }

    /// Builds a network under `path` with these parameters. If the file's classifier was skipped, a new one is
    /// initialised.
    ///
    /// # Errors
    /// The errors of [`EfficientNet::new`], and [`Error::Tensor`] when the values of a tensor cannot be read.
    /// After an error, the variables under `path` exist but are uninitialised: drop the store.
    pub fn from_parameters(path: &nn::Path<'_>, parameters: &Parameters) -> Result<Self, Error> {
        let mut network = Self::build(path, parameters.config(), Init::Unfilled)?;
        network.fill(parameters)?;
        Ok(network)
    }

    /// Copies a state dict, in any naming scheme, into the network's parameters.
    ///
    /// Loading is strict: nothing is copied unless every tensor fits, and nothing is broadcast. Floating-point
    /// tensors are converted to the network's type.
    ///
    /// # Errors
    /// [`Error::Load`] with all missing, unexpected and wrongly shaped tensors, or when the names do not match a
    /// known scheme; [`Error::Tensor`] when the values of a tensor cannot be read.
    pub fn load(&mut self, state_dict: &StateDict, options: LoadOptions) -> Result<LoadReport, Error> {
        let parameters = Parameters::from_state_dict(self.config(), state_dict, options)?;
        let mut report = parameters.report().clone();
        // Tensors are converted to this network's type, which need not be f32.
        report.converted = self.fill(&parameters)?;
        Ok(report)
    }

    /// Copies the parameters into the network, and returns how many tensors were converted and from which type.
    fn fill(&mut self, parameters: &Parameters) -> Result<Option<(usize, DType)>, Error> {
        let mut converted = None;
        for (name, tensor) in self.named_tensors() {
            let mut target = tensor.shallow_clone();
            match parameters.get(name) {
                Some(source) => {
                    let loaded = to_torch(source)?;
                    if loaded.kind() != target.kind() && loaded.is_floating_point() {
                        let count = converted.map_or(0, |(count, _)| count);
                        converted = Some((count + 1, source.dtype()));
                    }
                    let loaded = loaded.f_to_device(target.device())?.f_to_kind(target.kind())?;
                    // Replace the variable's storage instead of copying once more.
                    target.set_data(&loaded);
                }
                // The network may have counted the batches of an earlier training run.
                None if name.ends_with(COUNTER) => {
                    let _ = target.f_zero_()?;
                }
                None => {}
            }
        }
        if parameters.report().new_classifier {
            self.reset_classifier(self.config().num_classes)?;
        }
        Ok(converted)
    }
}
