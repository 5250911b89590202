//! A network for images, as `classify` and `evaluate` are told of it.

use anyhow::Context;
use effnet_hub::sha256_of_file;
use effnet_image::EvalTransform;

use crate::arguments::{InferenceArguments, NetworkArguments};
use crate::execution::Execution;
use crate::labels::Labels;
use crate::model::{Model, ModelFile};
use crate::preprocessing;
use crate::printer::Printer;
use crate::sharding::{Job, digest};
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

/// A job of this subcommand, with all that decides what a network gives for an image.
pub(crate) fn job(
    command: &str,
    file: &ModelFile,
    transform: &EvalTransform,
    execution: &Execution,
) -> anyhow::Result<Job> {
    let path = file.path();
    let digest = sha256_of_file(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut job = Job::new(command);
    job.add("model", file.variant.name());
    job.add("weights", file.weights());
    job.add("weights_sha256", digest);
    job.add("profile", file.profile.to_string());
    job.add("transform", format!("{transform:?}"));
    execution.describe(&mut job);
    Ok(job)
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

    /// A job of this subcommand with this network.
    pub(crate) fn job(&self, command: &str) -> anyhow::Result<Job> {
        let mut job = job(command, &self.file, &self.transform, &self.execution)?;
        if let Some(labels) = &self.labels {
            let names = labels.names().iter().map(String::as_bytes);
            job.add("labels", digest(names));
        }
        Ok(job)
    }

    /// Makes the network.
    pub(crate) fn load(self, printer: &Printer) -> anyhow::Result<(Model, Execution)> {
        let model = self.file.load(self.labels, &self.execution, printer)?;
        Ok((model, self.execution))
    }
}
