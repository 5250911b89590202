//! A network for images, as `classify` and `evaluate` are told of it.

use effnet_image::EvalTransform;

use crate::arguments::{InferenceArguments, NetworkArguments};
use crate::execution::Execution;
use crate::labels::Labels;
use crate::model::{Model, ModelFile};
use crate::preprocessing;
use crate::printer::Printer;
use crate::zoo::Zoo;

/// Warns each time that memory has made batches smaller.
#[derive(Default)]
pub(crate) struct BatchSizeWatch {
    reduced: Option<usize>,
}

impl BatchSizeWatch {
    pub(crate) fn look(&mut self, reduced: Option<usize>, printer: &Printer) {
        if let (Some(size), true) = (reduced, reduced != self.reduced) {
            self.reduced = reduced;
            printer.warning(format!(
                "memory ran out, batches are of {size} images from here on"
            ));
        }
    }
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
    /// Finds the weights, and fetches them if need be. To be called before anything else touches
    /// libtorch.
    pub(crate) fn prepare(arguments: &InferenceArguments, printer: &Printer) -> anyhow::Result<Self> {
        let NetworkArguments {
            model,
            preprocessing,
            execution,
            ..
        } = &arguments.network;
        let execution = Execution::prepare(execution, printer)?;
        let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
        let zoo = Zoo::open(&model.zoo)?;
        let weights = zoo.locate(model.model.as_ref(), model.weights.as_deref(), printer)?;
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
