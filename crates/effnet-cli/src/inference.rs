//! A network for images, as `classify` and `evaluate` are told of it.

use effnet_image::EvalTransform;

use crate::arguments::{InferenceArguments, NetworkArguments};
use crate::execution::Execution;
use crate::labels::Labels;
use crate::model::{Model, ModelFile};
use crate::preprocessing;
use crate::printer::Printer;
use crate::zoo::{Weights, Zoo};

/// Settles where to compute, and finds the weights, which are fetched if need be. To be called before anything else
/// touches libtorch.
pub(crate) fn locate(
    arguments: &NetworkArguments,
    printer: &Printer,
) -> anyhow::Result<(Execution, Zoo, Weights)> {
    let execution = Execution::prepare(&arguments.execution, printer)?;
    let model = &arguments.model;
    let zoo = Zoo::open(&model.zoo)?;
    let weights = zoo.locate(model.model.as_ref(), model.weights.as_deref(), printer)?;
    Ok((execution, zoo, weights))
}

/// What the arguments come to before any tensor is made.
pub(crate) struct Inference {
    pub(crate) execution: Execution,
    /// From an image to the network's input.
    pub(crate) transform: EvalTransform,
    file: ModelFile,
    labels: Option<Labels>,
}

impl Inference {
    /// To be called before anything else touches libtorch.
    pub(crate) fn prepare(arguments: &InferenceArguments, printer: &Printer) -> anyhow::Result<Self> {
        let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
        let (execution, zoo, weights) = locate(&arguments.network, printer)?;
        let NetworkArguments {
            model, preprocessing, ..
        } = &arguments.network;
        let num_classes = arguments.classes.num_classes;
        let file =
            ModelFile::open(weights, model, num_classes, labels.as_ref()).map_err(
                |error| match &arguments.labels {
                    Some(path) => error.context(format!("with the labels of {}", path.display())),
                    None => error,
                },
            )?;
        let transform = preprocessing::transform(preprocessing, &file, &zoo.manifest)?;
        Ok(Self {
            execution,
            transform,
            file,
            labels,
        })
    }

    /// Makes the network.
    pub(crate) fn load(self, printer: &Printer) -> anyhow::Result<(Model, Execution)> {
        let model = self.file.load(self.labels, &self.execution, printer)?;
        Ok((model, self.execution))
    }
}
