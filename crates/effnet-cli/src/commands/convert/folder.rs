//! Conversion into hub folders: the weights, and the JSON files from which timm or transformers build the network.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use effnet::{HubModel, ModelFile, PreprocessingOverrides, Scheme, transform};
use effnet_checkpoint::{AtomicFile, StateDict, WriteOptions};
use effnet_hub::Manifest;

use super::Input;

/// Name of the weights in a hub folder.
const WEIGHTS: &str = "model.safetensors";

/// Whether the output of a conversion is a hub folder: for a library that has them, a folder or a name without an
/// extension.
pub(super) fn is_folder(output: &Path, to: Scheme) -> bool {
    let is_named_folder = || {
        let text = output.as_os_str().to_string_lossy();
        text.ends_with(std::path::is_separator) || output.extension().is_none()
    };
    matches!(to, Scheme::Timm | Scheme::Transformers)
        && (output.is_dir() || (!output.exists() && is_named_folder()))
}

/// Refuses to mix with other files without `--force`, and to overwrite the input.
pub(super) fn check(output: &Path, input: &Path, force: bool) -> anyhow::Result<()> {
    let weights = output.join(WEIGHTS);
    if weights.exists() && same_file::is_same_file(&weights, input).unwrap_or(false) {
        bail!(
            "{}: the output is the input; write to a different folder",
            output.display()
        );
    }
    let mut entries = fs::read_dir(output).into_iter().flatten();
    ensure!(
        force || entries.next().is_none(),
        "{}: the folder is not empty; pass --force to overwrite the weights and settings in it, or write to a \
         different folder",
        output.display()
    );
    Ok(())
}

/// Writes a hub folder. Nothing is written if the library cannot run the weights.
pub(super) fn write(
    output: &Path,
    to: Scheme,
    input: &Input,
    (state_dict, options): (&StateDict, &WriteOptions),
    manifest: &Manifest,
) -> anyhow::Result<Vec<&'static str>> {
    let Some(file) = &input.file else {
        bail!(
            "{}: {to} builds a network from the name of its variant, and these weights match none; write a \
             .safetensors file instead",
            output.display()
        );
    };
    let files = describe(file, input, manifest)?.files(to)?;
    if !output.is_dir() {
        fs::create_dir(output).with_context(|| format!("{}: cannot create the folder", output.display()))?;
    }
    options.write(output.join(WEIGHTS), state_dict)?;
    for (name, text) in &files {
        let path = output.join(name);
        let write = || {
            let mut file = AtomicFile::create(&path)?;
            file.write_all(text.as_bytes())?;
            file.commit()
        };
        write().with_context(|| format!("{}: cannot write", path.display()))?;
    }
    Ok([WEIGHTS]
        .into_iter()
        .chain(files.iter().map(|(name, _)| *name))
        .collect())
}

fn describe(file: &ModelFile, input: &Input, manifest: &Manifest) -> anyhow::Result<HubModel> {
    use effnet::EfficientNetNames as _;
    let signature = input.tensors.signature()?;
    let Some(classes) = signature.num_classes else {
        bail!("the weights have no classifier, which a hub folder needs; write a .safetensors file instead");
    };
    let transform = transform(&PreprocessingOverrides::default(), file, manifest)?;
    let labels = match &input.labels {
        Some(labels) => Some(labels.clone()),
        None => file.labels(None)?.map(|labels| labels.names().to_vec()),
    };
    Ok(HubModel::new(file.variant, file.profile, classes, &transform)
        .with_in_channels(signature.in_channels)
        .with_labels(labels.filter(|labels| labels.len() == classes)))
}
