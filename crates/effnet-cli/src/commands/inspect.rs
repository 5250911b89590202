//! `effnet inspect`.

use std::collections::BTreeMap;
use std::io::Write;

use effnet::{EfficientNetNames, ModelFile, ModelOptions, ProfileSource, Scheme, Variant};
use effnet_architecture::NamingError;
use effnet_checkpoint::{Checkpoint, quote_list};
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{InspectArguments, InspectFormat};
use crate::escape;
use crate::printer::counted;
use crate::{DownloadProgress, Printer, open_zoo};

/// A description of a checkpoint, in the form of `--format json`.
#[derive(Serialize)]
struct Description<'a> {
    file: String,
    bytes: u64,
    container: String,
    /// The key of the parameters, if the file contains more than the parameters.
    wrapper: Option<&'a str>,
    whole_module: bool,
    /// The prefix that all names had, such as `module.`.
    prefix: Option<&'a str>,
    scheme: Option<String>,
    variant: Option<&'static str>,
    profile: Option<&'static str>,
    /// Whether only the naming scheme suggests the profile.
    profile_is_a_guess: bool,
    classes: Option<usize>,
    in_channels: Option<usize>,
    parameters: usize,
    /// Number of tensors of each type.
    dtypes: BTreeMap<String, usize>,
    metadata: &'a BTreeMap<String, String>,
    /// The names of everything that the file contains in addition to the parameters.
    left_out: Vec<String>,
    /// The functions that unpickling in Python would call, except for ordinary ones.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    calls: &'a [String],
    tensors: Vec<TensorRow<'a>>,
}

#[derive(Serialize)]
struct TensorRow<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
}

pub(crate) fn run(arguments: &InspectArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let mut progress = DownloadProgress::new(printer);
    let weights = open_zoo(&arguments.zoo)?.locate_one(&arguments.file, &mut progress)?;
    drop(progress);
    let checkpoint = weights.open_network(arguments.key.as_deref())?;
    let (mut file, mut misfit) = (None, None);
    match ModelFile::from_checkpoint(weights, checkpoint.clone(), &ModelOptions::default()) {
        Ok(found) => file = Some(found),
        // Metadata of another kind of network are not ours to judge.
        Err(error @ effnet::Error::Metadata { .. }) if checkpoint.state_dict().signature().is_ok() => {
            return Err(error.into());
        }
        Err(error @ (effnet::Error::Pruned { .. } | effnet::Error::NoVariant { .. })) => misfit = Some(error),
        // The warnings below say what it is instead.
        Err(_) => {}
    }
    let description = describe(&checkpoint, file.as_ref());
    let mut stdout = std::io::BufWriter::new(anstream::stdout());
    match arguments.format {
        InspectFormat::Json => {
            serde_json::to_writer_pretty(&mut stdout, &description).map_err(std::io::Error::from)?;
            writeln!(stdout)?;
        }
        InspectFormat::Text => write_text(&mut stdout, &description, arguments.tensors)?,
    }
    stdout.flush()?;
    for warning in file.iter().flat_map(ModelFile::warnings) {
        printer.warning(warning);
    }
    if let Some(error) = misfit {
        printer.warning(error.to_string());
    }
    let naming = checkpoint.state_dict().signature().err();
    if let Some(NamingError::Relative(relative)) = naming {
        printer.warning(relative.to_string());
    } else if description.scheme.is_none() {
        printer.warning("the tensor names match no known EfficientNet naming scheme");
    }
    Ok(Outcome::Done)
}

fn describe<'a>(checkpoint: &'a Checkpoint, file: Option<&ModelFile>) -> Description<'a> {
    let state_dict = checkpoint.state_dict();
    let scheme = Scheme::recognise(state_dict.names());
    let network = file.map_or(state_dict, ModelFile::state_dict);
    let signature = network.signature().ok();
    let variant = signature.as_ref().and_then(Variant::recognise);
    let mut dtypes = BTreeMap::new();
    for (_, tensor) in state_dict {
        *dtypes.entry(tensor.dtype().to_string()).or_insert(0) += 1;
    }
    let is_buffer = |name: &str| {
        ["running_mean", "running_var", "num_batches_tracked"]
            .iter()
            .any(|buffer| name.ends_with(buffer))
    };
    let tensors = state_dict.iter().map(|(name, tensor)| {
        let dtype = tensor.dtype().to_string();
        TensorRow {
            name,
            dtype,
            shape: tensor.shape(),
        }
    });
    Description {
        file: checkpoint.path().display().to_string(),
        bytes: checkpoint.file_len() as u64,
        container: checkpoint.container().to_string(),
        wrapper: checkpoint.wrapper(),
        whole_module: checkpoint.is_whole_module(),
        prefix: Some(checkpoint.prefix()).filter(|prefix| !prefix.is_empty()),
        scheme: scheme.map(|scheme| scheme.to_string()),
        variant: variant.map(Variant::name),
        profile: file.map(|file| file.profile.name()),
        profile_is_a_guess: file.is_some_and(|file| file.profile_source == ProfileSource::Guess),
        classes: signature.as_ref().and_then(|signature| signature.num_classes),
        in_channels: signature.as_ref().map(|signature| signature.in_channels),
        parameters: state_dict
            .iter()
            .filter(|(name, _)| !is_buffer(name))
            .map(|(_, tensor)| tensor.numel())
            .sum(),
        dtypes,
        metadata: checkpoint.metadata(),
        left_out: checkpoint.left_out().to_vec(),
        calls: checkpoint.calls(),
        tensors: tensors.collect(),
    }
}

fn write_text(out: &mut impl Write, description: &Description<'_>, tensors: bool) -> anyhow::Result<()> {
    let mut row = |title: &str, value: Option<String>| match value {
        Some(value) => writeln!(out, "{title:<12} {}", escape::line(&value)),
        None => Ok(()),
    };
    let module = if description.whole_module {
        ", a whole module"
    } else {
        ""
    };
    row(
        "file",
        Some(format!(
            "{} ({:.1} MB)",
            description.file,
            description.bytes as f64 / 1e6
        )),
    )?;
    row("container", Some(format!("{}{module}", description.container)))?;
    row("wrapper", description.wrapper.map(str::to_owned))?;
    row(
        "prefix",
        description.prefix.map(|prefix| format!("{prefix} (removed)")),
    )?;
    row(
        "scheme",
        Some(description.scheme.clone().unwrap_or_else(|| "unknown".to_owned())),
    )?;
    row("variant", description.variant.map(str::to_owned))?;
    let guess = if description.profile_is_a_guess {
        " (a guess)"
    } else {
        ""
    };
    row(
        "profile",
        description.profile.map(|profile| format!("{profile}{guess}")),
    )?;
    row("classes", description.classes.map(|classes| classes.to_string()))?;
    row(
        "channels",
        description.in_channels.map(|channels| channels.to_string()),
    )?;
    row("parameters", Some(description.parameters.to_string()))?;
    let dtypes: Vec<_> = description
        .dtypes
        .iter()
        .map(|(dtype, count)| format!("{count} {dtype}"))
        .collect();
    row("dtypes", Some(dtypes.join(", ")))?;
    row(
        "left out",
        Some(quote_list(&description.left_out)).filter(|names| !names.is_empty()),
    )?;
    row(
        "would call",
        Some(format!(
            "{} when Python unpickles it (nothing was called here)",
            description.calls.join(", ")
        ))
        .filter(|_| !description.calls.is_empty()),
    )?;
    for (key, value) in description.metadata {
        row("metadata", Some(format!("{key} = {}", readable(value))))?;
    }
    let count = counted(description.tensors.len(), "tensor");
    if !tensors {
        writeln!(out, "{:<12} {count} (--tensors lists them)", "tensors")?;
        return Ok(());
    }
    writeln!(out, "\n{count}")?;
    let names: Vec<_> = description
        .tensors
        .iter()
        .map(|tensor| escape::line(tensor.name))
        .collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for (name, TensorRow { dtype, shape, .. }) in names.iter().zip(&description.tensors) {
        writeln!(out, "  {name:<width$}  {dtype:<5} {shape:?}")?;
    }
    Ok(())
}

/// The maximum length of a metadata value that is shown in full, in characters.
const LONGEST_VALUE: usize = 200;

/// Formats a metadata value for people: numbers are rounded to at most six decimals, and long values are truncated.
fn readable(value: &str) -> String {
    let rounded = |number: f64| ((number * 1e6).round() / 1e6).to_string();
    let text = match serde_json::from_str::<Vec<f64>>(value) {
        Ok(numbers) => format!(
            "[{}]",
            numbers.into_iter().map(rounded).collect::<Vec<_>>().join(", ")
        ),
        Err(_) => match value.parse::<f64>() {
            Ok(number) if value.contains('.') => rounded(number),
            _ => value.to_owned(),
        },
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}
