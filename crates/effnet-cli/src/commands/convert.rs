//! `effnet convert`.

mod folder;
mod keras;

use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, ensure};
use effnet::{
    EfficientNetNames, Error, Labels, ModelFile, ModelMetadata, ModelOptions, Profile, Scheme, StateDict,
    Task, Variant, Weights,
};
use effnet_checkpoint::{Container, DType, Tensor, WriteOptions, quote_list};

use crate::Outcome;
use crate::arguments::{ConvertArguments, FloatType};
use crate::inference::{of_labels, warn};
use crate::printer::counted;
use crate::written_file::{check_kind, check_overwriting};
use crate::{DownloadProgress, Printer, open_zoo};

pub(crate) fn run(arguments: &ConvertArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    check_kind(&arguments.output)?;
    let mut progress = DownloadProgress::new(printer);
    let zoo = open_zoo(&arguments.zoo)?;
    let weights = zoo.locate_one(&arguments.input, &mut progress)?;
    drop(progress);
    let to = arguments.to;
    let is_folder = folder::is_folder(&arguments.output, to);
    if is_folder {
        folder::check(&arguments.output, weights.path(), arguments.force)?;
    } else {
        check_overwriting(&arguments.output, weights.path(), arguments.force)?;
    }
    let shown = weights.path().display().to_string();
    let mut input = Input::open(arguments, &weights, printer)?;
    input.check_family(to, printer).with_context(|| shown.clone())?;
    let state_dict = input.rename(to).with_context(|| shown.clone())?;
    let metadata = input.metadata(arguments)?;

    let is_safetensors = arguments
        .output
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    ensure!(
        metadata.targets.is_none() || is_safetensors,
        "{shown}: its outputs are standardised values, whose mean and deviation only .safetensors can hold; write a \
         .safetensors file, or `effnet export` the network, which outputs the values"
    );
    let options = options(arguments, &metadata);
    input.labels.clone_from(&metadata.labels);
    if is_folder {
        let output = &arguments.output;
        let files = folder::write(output, to, &input, (&state_dict, &options), &zoo.manifest)
            .with_context(|| shown.clone())?;
        let kind = format!("a hub folder ({})", files.join(", "));
        input.report(output, state_dict.len(), to, &kind, printer);
        return Ok(Outcome::Done);
    }
    let state_dict = if keras::is_file(&arguments.output) {
        let variables = keras::variables(&input, &state_dict, arguments, &zoo.manifest, printer);
        variables.with_context(|| shown.clone())?
    } else {
        state_dict
    };
    let container = options.write(&arguments.output, &state_dict)?;
    input.report(&arguments.output, state_dict.len(), to, &container, printer);
    if container == Container::Zip {
        warn_of_losses(&metadata, printer);
    }
    warn_about_profile(&metadata, to, printer)?;
    Ok(Outcome::Done)
}

/// How to write the new file.
fn options(arguments: &ConvertArguments, metadata: &ModelMetadata) -> WriteOptions {
    let options = WriteOptions::default().with_metadata(metadata.to_entries());
    match arguments.dtype {
        Some(FloatType::F32) => options.with_float_dtype(DType::F32),
        Some(FloatType::F16) => options.with_float_dtype(DType::F16),
        Some(FloatType::Bf16) => options.with_float_dtype(DType::BF16),
        None => options,
    }
}

/// The network to convert. It is either a published variant, which is loaded strictly, or a network with different
/// dimensions, whose names are known but whose structure cannot be checked.
struct Input {
    file: Option<ModelFile>,
    tensors: StateDict,
    from: Option<String>,
    left_out: Vec<String>,
    metadata: ModelMetadata,
    /// Class names to write.
    labels: Option<Vec<String>>,
}

impl Input {
    fn open(arguments: &ConvertArguments, weights: &Weights, printer: &Printer) -> anyhow::Result<Self> {
        let checkpoint = weights.open_network(arguments.key.as_deref())?;
        let options = ModelOptions::default().with_profile(arguments.profile);
        match ModelFile::from_checkpoint(weights.clone(), checkpoint.clone(), &options) {
            Ok(file) => {
                file.all_parameters()?;
                warn(&file, printer);
                Ok(Self {
                    tensors: file.state_dict().clone(),
                    from: file.checkpoint().wrapper().map(str::to_owned),
                    left_out: file.left_out(),
                    metadata: file.metadata.clone(),
                    file: Some(file),
                    labels: None,
                })
            }
            Err(Error::NoVariant { .. } | Error::Pruned { .. }) => {
                printer.warning(format!(
                    "{}: the widths or depths do not match any published variant, so only the names are converted",
                    weights.name
                ));
                Ok(Self {
                    from: checkpoint.wrapper().map(str::to_owned),
                    left_out: checkpoint.left_out().to_vec(),
                    metadata: ModelMetadata::from_entries(checkpoint.metadata())?,
                    tensors: checkpoint.into_state_dict(),
                    file: None,
                    labels: None,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a library that does not have the family of the network: it has no names for its blocks.
    fn check_family(&self, to: Scheme, printer: &Printer) -> anyhow::Result<()> {
        let family = self.tensors.signature()?.family();
        if to.has(family) {
            return Ok(());
        }
        ensure!(
            to == Scheme::Lukemelas,
            "--to {to}: {to} does not have {family}; pass --to timm, which does"
        );
        printer.note(format!(
            "EfficientNet-PyTorch does not have {family}, so only effnet reads these names; --to timm writes names that \
             timm reads"
        ));
        Ok(())
    }

    /// Renames the tensors to a different scheme. The variant is needed because some schemes number blocks by stage.
    fn rename(&self, to: Scheme) -> anyhow::Result<StateDict> {
        let signature = self.tensors.signature()?;
        let repeats = self.file.as_ref().map(|file| {
            let stages = file.variant.config().stages();
            stages.iter().map(|stage| stage.repeats).collect::<Vec<_>>()
        });
        // A replaced classifier gets its usual name back, even if the scheme does not change.
        let canonical = self
            .tensors
            .to_scheme(signature.scheme, Scheme::Lukemelas, repeats.as_deref())?;
        let renamed = self.file.is_some() || signature.scheme != Scheme::Lukemelas;
        let canonical = if renamed { canonical } else { self.tensors.clone() };
        let named = canonical.to_scheme(Scheme::Lukemelas, to, repeats.as_deref())?;
        Ok(named
            .into_iter()
            .filter_map(|(name, tensor)| counter(name, tensor))
            .collect())
    }

    /// Returns the metadata of the new file: the metadata of the input, completed from the manifest and the arguments.
    fn metadata(&self, arguments: &ConvertArguments) -> anyhow::Result<ModelMetadata> {
        let mut metadata = self.metadata.clone();
        if let Some(path) = &arguments.labels {
            let labels = Labels::open(path)?;
            let classes = self.tensors.signature()?.num_classes.unwrap_or(0);
            labels
                .check_count(classes)
                .map_err(|error| of_labels(error, Some(path)))?;
            metadata.labels = Some(labels.names().to_vec());
        }
        let Some(file) = &self.file else {
            return Ok(metadata);
        };
        Ok(file.complete_metadata().with_labels(metadata.labels))
    }

    fn report(&self, output: &Path, tensors: usize, to: Scheme, kind: &dyn Display, printer: &Printer) {
        let from = self
            .from
            .as_ref()
            .map_or(String::new(), |key| format!(" from `{key}`"));
        printer.note(format!(
            "{}: {}{from} with the names of {to}, {kind}",
            output.display(),
            counted(tensors, "tensor")
        ));
        if !self.left_out.is_empty() {
            printer.note(format!("left out: {}", quote_list(&self.left_out)));
        }
    }
}

/// Prepares a tensor for writing. Converts a batch norm's counter to the 64-bit scalar that other libraries load, or
/// returns `None` if the counter does not have a single value.
fn counter(name: String, tensor: Tensor) -> Option<(String, Tensor)> {
    if !name.ends_with(".num_batches_tracked") || (tensor.dtype() == DType::I64 && tensor.shape().is_empty())
    {
        return Some((name, tensor));
    }
    let value = match tensor.floats() {
        Ok(values) if values.len() == 1 => values[0] as i64,
        _ => return None,
    };
    let scalar = Tensor::from_bytes(DType::I64, Vec::new(), value.to_le_bytes().to_vec()).ok()?;
    Some((name, scalar))
}

/// Warns of what the new file, a .pth, cannot hold.
fn warn_of_losses(metadata: &ModelMetadata, printer: &Printer) {
    let task = metadata.task.unwrap_or_default();
    if task == Task::Classify {
        if metadata.labels.is_some() {
            printer.warning("a .pth file cannot hold class names and preprocessing; .safetensors can");
        }
        return;
    }
    let thresholds = match metadata.thresholds {
        Some(_) => "thresholds, ",
        None => "",
    };
    printer.warning(format!(
        "a .pth file cannot hold class names, {thresholds}preprocessing and the task ({task}), so that the network is read \
         as a classifier; .safetensors can"
    ));
}

/// Warns if the target package uses a different profile: renaming tensors does not change the padding and epsilon that
/// they were trained with.
fn warn_about_profile(metadata: &ModelMetadata, to: Scheme, printer: &Printer) -> anyhow::Result<()> {
    let (Some(variant), Some(profile)) = (&metadata.variant, metadata.profile) else {
        return Ok(());
    };
    let variant: Variant = variant.parse()?;
    let usual = Profile::default_for(to, Some(variant));
    if profile == usual {
        return Ok(());
    }
    if to == Scheme::Timm && profile == Profile::Tf {
        printer.note(format!(
            "in timm, load these weights into tf_{}",
            variant.timm_name()
        ));
        return Ok(());
    }
    printer.warning(format!(
        "profile mismatch: these weights need `{profile}`, but {to}'s {variant} uses `{usual}`, so it loads them but \
         computes different logits"
    ));
    Ok(())
}
