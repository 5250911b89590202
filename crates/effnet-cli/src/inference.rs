//! A network for images, as `classify` and `evaluate` are told of it.

use effnet_image::EvalTransform;

use crate::arguments::InferenceArguments;
use crate::execution::Execution;
use crate::labels::Labels;
use crate::model::{Model, ModelFile};
use crate::preprocessing;
use crate::printer::Printer;
use crate::zoo::Zoo;

/// What the arguments come to before any tensor is made.
pub(crate) struct Inference {
    pub(crate) execution: Execution,
    /// From an image to the network's input.
    pub(crate) transform: EvalTransform,
    file: ModelFile,
    labels: Option<Labels>,
}

impl Inference {
    /// Finds the weights, and fetches them if need be. To be called before anything else touches
    /// libtorch.
    pub(crate) fn prepare(arguments: &InferenceArguments, printer: &Printer) -> anyhow::Result<Self> {
        let execution = Execution::prepare(&arguments.execution, printer)?;
        let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
        let zoo = Zoo::open(&arguments.model.zoo)?;
        let weights = zoo.locate(
            arguments.model.model.as_ref(),
            arguments.model.weights.as_deref(),
            printer,
        )?;
        let file =
            ModelFile::open(weights, &arguments.model, labels.as_ref()).map_err(|error| match &arguments
                .labels
            {
                Some(path) => error.context(format!("with the labels of {}", path.display())),
                None => error,
            })?;
        let transform = preprocessing::transform(&arguments.preprocessing, &file, &zoo.manifest)?;
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
