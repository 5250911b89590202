//! Turns arguments into a network and its transform, for `classify`, `features`, `evaluate` and `bench`.
//!
//! Weights, profile, labels and preprocessing must match: a wrong combination silently gives wrong results. The crate
//! `effnet` determines them; this module only passes on the flags, in the same way for all commands.

use std::path::Path;

use anyhow::anyhow;
use effnet::{
    Backend, Config, Error, Labels, LoadOptions, Mirrored, ModelFile, ModelOptions, Task, Weights, Zoo,
    transform,
};
use effnet_checkpoint::quote_list;
use effnet_image::EvalTransform;

use crate::arguments::{InferenceArguments, ModelArguments, NetworkArguments, TestTimeAugmentation};
use crate::execution::Execution;
use crate::overview::counted_targets;
use crate::printer::counted;
use crate::sharding::{Job, digest};
use crate::torch::TorchCommands;
use crate::{DownloadProgress, Printer, open_zoo};

/// Chooses the device and finds the weights, downloading them if necessary. Must be called before anything else uses
/// libtorch.
pub(crate) fn locate(
    arguments: &NetworkArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<(Execution, Zoo, Weights)> {
    let execution = Execution::prepare(&arguments.execution, torch, printer)?;
    let (zoo, weights) = find(&arguments.model, printer)?;
    Ok((execution, zoo, weights))
}

/// Finds the weights specified by the flags, downloading them if necessary.
pub(crate) fn find(arguments: &ModelArguments, printer: &Printer) -> anyhow::Result<(Zoo, Weights)> {
    let zoo = open_zoo(&arguments.zoo)?;
    let mut progress = DownloadProgress::new(printer);
    let (model, weights) = (arguments.model.as_ref(), arguments.weights.as_deref());
    let weights = zoo.locate(model, weights, &mut progress)?;
    drop(progress);
    Ok((zoo, weights))
}

/// Returns the network and profile specified by the flags.
pub(crate) fn options(arguments: &ModelArguments) -> ModelOptions {
    ModelOptions::default()
        .with_variant(arguments.model.as_ref().map(|model| model.variant))
        .with_profile(arguments.profile)
        .with_key(arguments.key.clone())
}

/// Opens a network that a command runs unchanged, and prints the warnings about it.
pub(crate) fn inspect(
    weights: Weights,
    arguments: &ModelArguments,
    printer: &Printer,
) -> anyhow::Result<ModelFile> {
    let file = ModelFile::inspect(weights, &options(arguments))?;
    warn(&file, printer);
    Ok(file)
}

/// Prints the warnings about a file.
pub(crate) fn warn(file: &ModelFile, printer: &Printer) {
    for warning in file.warnings() {
        printer.warning(format!("{}: {warning}", file.weights().name));
    }
    let left_out = file.left_out();
    if !left_out.is_empty() {
        printer.detail(format!(
            "{}: left out: {}",
            file.weights().name,
            quote_list(&left_out)
        ));
    }
}

/// Adds the flag and its file to an error about the number of labels.
pub(crate) fn of_labels(error: Error, labels: Option<&Path>) -> anyhow::Error {
    match (&error, labels) {
        (Error::LabelCount { .. }, Some(path)) => anyhow!("--labels {}: {error}", path.display()),
        _ => anyhow!(error),
    }
}

/// A network that is ready to run.
pub(crate) struct Network {
    pub(crate) config: Config,
    pub(crate) backend: Box<dyn Backend>,
}

/// Loads the network from a file. With `features`, the network returns the pooled features before the classifier, and
/// the file may have any classifier or none.
pub(crate) fn load(
    file: &ModelFile,
    features: bool,
    execution: &Execution,
    printer: &Printer,
) -> anyhow::Result<Network> {
    let num_classes = if features { 1 } else { file.num_classes() };
    let config = file.config(num_classes);
    let options = LoadOptions::default().with_new_classifier(features);
    let parameters = file.parameters(&config, options)?;
    printer.detail(format!(
        "{}: {} ({}), profile {}, {}",
        file.path().display(),
        file.variant,
        file.checkpoint().container(),
        file.profile,
        counted_targets(file.num_classes(), file.task()),
    ));
    if let Some((count, dtype)) = parameters.report().converted {
        printer.detail(format!("{} converted from {dtype}", counted(count, "tensor")));
    }
    let backend = execution.build(&parameters, features, printer)?;
    Ok(Network { config, backend })
}

/// Creates a job for this subcommand, with everything that the network's output for an image depends on.
pub(crate) fn job(
    command: &str,
    file: &ModelFile,
    transform: &EvalTransform,
    execution: &Execution,
) -> anyhow::Result<Job> {
    let weights = file.weights();
    let mut job = Job::new(command);
    job.add("model", file.variant.name());
    job.add("weights", weights.name.as_str());
    job.add("weights_sha256", weights.sha256()?);
    let checkpoint = file.checkpoint();
    let network = [checkpoint.wrapper().unwrap_or_default(), checkpoint.prefix()].join(" ");
    job.add("network", network);
    job.add("profile", file.profile.to_string());
    job.add("transform", format!("{transform:?}"));
    execution.describe(&mut job);
    Ok(job)
}

/// The weights, labels and transform of a network that is not loaded yet.
pub(crate) struct Inference {
    pub(crate) execution: Execution,
    /// Turns an image into the network's input.
    pub(crate) transform: EvalTransform,
    file: ModelFile,
    labels: Option<Labels>,
    tta: TestTimeAugmentation,
}

impl Inference {
    /// Prepares everything but the network. Must be called before anything else uses libtorch.
    pub(crate) fn prepare(
        arguments: &InferenceArguments,
        torch: Option<&dyn TorchCommands>,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        Self::prepare_for(None, arguments, torch, printer)
    }

    /// Like [`prepare`](Self::prepare), for a network with this task, whatever its file says.
    pub(crate) fn prepare_for(
        task: Option<Task>,
        arguments: &InferenceArguments,
        torch: Option<&dyn TorchCommands>,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
        let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
        let options = options(&arguments.network.model)
            .with_task(task)
            .with_num_classes(arguments.classes.num_classes)
            .with_labels(labels.clone());
        let file = ModelFile::open(weights, &options)
            .map_err(|error| of_labels(error, arguments.labels.as_deref()))?;
        warn(&file, printer);
        let transform = transform(&arguments.network.preprocessing.overrides(), &file, &zoo.manifest)?;
        Ok(Self {
            execution,
            transform,
            file,
            labels,
            tta: arguments.tta,
        })
    }

    /// Returns the network's file.
    pub(crate) fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Creates a job for this subcommand with this network.
    pub(crate) fn job(&self, command: &str) -> anyhow::Result<Job> {
        let mut job = job(command, &self.file, &self.transform, &self.execution)?;
        if let Some(labels) = &self.labels {
            let names = labels.names().iter().map(String::as_bytes);
            job.add("labels", digest(names));
        }
        if self.tta == TestTimeAugmentation::Flip {
            job.add("tta", "flip");
        }
        Ok(job)
    }

    /// Loads the network and its class names.
    pub(crate) fn load(&self, printer: &Printer) -> anyhow::Result<(Network, Labels)> {
        let mut network = load(&self.file, false, &self.execution, printer)?;
        if self.tta == TestTimeAugmentation::Flip {
            network.backend = Box::new(Mirrored::new(network.backend));
        }
        let labels = self.file.labels(self.labels.clone())?;
        let labels = labels.unwrap_or_else(|| {
            printer.warning("these weights have no class names: pass them with --labels FILE");
            self.file.numbered_labels()
        });
        Ok((network, labels))
    }
}
