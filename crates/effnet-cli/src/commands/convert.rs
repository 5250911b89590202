//! `effnet convert`.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use effnet::{EfficientNetNames, Labels, ModelMetadata, Profile, Scheme, Variant, Weights, infer_profile};
use effnet_checkpoint::{Checkpoint, Container, DType, OpenOptions, StateDict, WriteOptions};

use crate::Outcome;
use crate::arguments::{ConvertArguments, FloatType};
use crate::printer::counted;
use crate::{DownloadProgress, Printer, open_zoo};

pub(crate) fn run(arguments: &ConvertArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let mut progress = DownloadProgress::new(printer);
    let weights = open_zoo(&arguments.zoo)?.locate_one(&arguments.input, &mut progress)?;
    drop(progress);
    check_output(&arguments.output, weights.path(), arguments.force)?;
    let shown = weights.path().display().to_string();
    let options = match &arguments.key {
        Some(key) => OpenOptions::default().with_wrapper(key),
        None => OpenOptions::default(),
    };
    let checkpoint = weights.open(&options)?;
    let to = arguments.to;
    let state_dict = rename(&checkpoint, to).with_context(|| shown.clone())?;
    let metadata = metadata(arguments, &checkpoint, &weights).with_context(|| shown.clone())?;

    let mut write = WriteOptions::default().with_metadata(metadata.to_entries());
    if let Some(dtype) = arguments.dtype {
        write = write.with_float_dtype(match dtype {
            FloatType::F32 => DType::F32,
            FloatType::F16 => DType::F16,
            FloatType::Bf16 => DType::BF16,
        });
    }
    let container = write.write(&arguments.output, &state_dict)?;
    report(
        &checkpoint,
        &arguments.output,
        state_dict.len(),
        to,
        &container.to_string(),
        printer,
    );
    if container != Container::Safetensors && metadata.labels.is_some() {
        printer.warning("a .pth file cannot hold class names and preprocessing; .safetensors can");
    }
    warn_about_profile(&metadata, to, printer)?;
    Ok(Outcome::Done)
}

/// Renaming tensors does not change the padding and epsilon that they were trained with, and the package that the new
/// names are for may use others.
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
            "in timm, load these weights into tf_efficientnet_{variant}"
        ));
        return Ok(());
    }
    printer.warning(format!(
        "these weights need the profile `{profile}`, but {to}'s {variant} has `{usual}`: it loads them, but its logits \
         differ"
    ));
    Ok(())
}

/// Refuses to overwrite the input and, without `--force`, an existing output.
fn check_output(output: &Path, input: &Path, force: bool) -> anyhow::Result<()> {
    // Symbolic and hard links count as the same file; an output that does not exist is not a link.
    if same_file::is_same_file(output, input).unwrap_or(false) {
        bail!(
            "{}: the output is the input; write to another file",
            output.display()
        );
    }
    ensure!(
        force || !output.exists(),
        "{}: already exists; pass --force to overwrite it, or write to another file",
        output.display()
    );
    Ok(())
}

/// Renames the tensors to another scheme. Some schemes number blocks by stage, hence the variant.
fn rename(checkpoint: &Checkpoint, to: Scheme) -> anyhow::Result<StateDict> {
    let state_dict = checkpoint.state_dict();
    let signature = state_dict.signature()?;
    let repeats = Variant::recognise(&signature).map(|variant| {
        let stages = variant.config().stages();
        stages.iter().map(|stage| stage.repeats).collect::<Vec<_>>()
    });
    Ok(state_dict.to_scheme(signature.scheme, to, repeats.as_deref())?)
}

/// The metadata of the new file: those of the input, completed by the manifest and the arguments.
fn metadata(
    arguments: &ConvertArguments,
    checkpoint: &Checkpoint,
    weights: &Weights,
) -> anyhow::Result<ModelMetadata> {
    let mut metadata = ModelMetadata::from_entries(checkpoint.metadata())?;
    let signature = checkpoint.state_dict().signature()?;
    if let Some(variant) = Variant::recognise(&signature) {
        let profile = if let Some(profile) = arguments.profile {
            profile
        } else {
            let entry = weights.entry.as_ref();
            infer_profile(&metadata, entry, weights.path(), signature.scheme, variant)
        };
        metadata.variant = Some(variant.name().to_owned());
        metadata.profile = Some(profile);
    }
    if let Some(path) = &arguments.labels {
        let labels = Labels::open(path)?;
        let classes = signature.num_classes.unwrap_or(0);
        ensure!(
            labels.len() == classes,
            "--labels {}: {}, expected {classes}, one per class",
            path.display(),
            counted(labels.len(), "label")
        );
        metadata.labels = Some(labels.names().to_vec());
    }
    if let Some(entry) = &weights.entry
        && metadata.image_size.is_none()
    {
        metadata = metadata.with_preprocessing(&entry.preprocessing);
    }
    Ok(metadata)
}

fn report(
    checkpoint: &Checkpoint,
    output: &Path,
    tensors: usize,
    to: Scheme,
    container: &str,
    printer: &Printer,
) {
    let from = checkpoint
        .wrapper()
        .map_or(String::new(), |key| format!(" from `{key}`"));
    printer.note(format!(
        "{}: {}{from} with the names of {to}, {container}",
        output.display(),
        counted(tensors, "tensor")
    ));
    if !checkpoint.left_out().is_empty() {
        printer.note(format!("left out: {}", checkpoint.left_out().join(", ")));
    }
}
