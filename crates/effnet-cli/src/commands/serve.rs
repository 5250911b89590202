//! `effnet serve`.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use effnet::{EngineOptions, Labels, Model, ModelFile, ModelName, ModelOptions, Weights, Zoo};
use effnet_image::DecodeOptions;
use effnet_serve::{ApiKeys, ServeOptions, ServedModel, Server, listen};

use crate::arguments::ServeArguments;
use crate::execution::threads;
use crate::inference::{of_labels, warn};
use crate::launcher::refuse_group;
use crate::overview::counted_targets;
use crate::printer::counted;
use crate::{DownloadProgress, Outcome, Printer, open_zoo};

pub(crate) fn run(arguments: &ServeArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    refuse_group("serve")?;
    // A wrong key file is reported before a gigabyte of weights is downloaded.
    let api_keys = match &arguments.api_key_file {
        Some(path) => ApiKeys::open(path)?,
        None => ApiKeys::default(),
    };
    let options = options(arguments)
        .with_api_keys(api_keys)
        .with_log(printer.is_chatty());
    let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
    let zoo = open_zoo(&arguments.zoo)?;
    let mut models = Vec::new();
    for (name, weights) in find(arguments, &zoo, printer)? {
        let model = open(arguments, weights, labels.as_ref(), &zoo, printer)?;
        models.push(ServedModel::new(name, model)?);
    }
    let names: Vec<String> = models.iter().map(|model| model.name().to_owned()).collect();
    let is_open = !options.api_keys.is_required();
    let listener = listen(&arguments.host, arguments.port)?;
    let server = Server::new(listener, models, options)?;
    if is_open && !server.address().ip().is_loopback() {
        printer
            .warning("any machine that reaches this address may use the server; --api-key-file protects it");
    }
    printer.note(format!("serving {}; stop with Ctrl-C", names.join(", ")));
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", server.url())?;
    stdout.flush()?;
    drop(stdout);
    let ended = server.run()?;
    if ended.cut == 0 {
        return Ok(Outcome::Done);
    }
    printer.warning(format!("cut {} after --grace", counted(ended.cut, "connection")));
    Ok(Outcome::SomeFailed)
}

fn options(arguments: &ServeArguments) -> ServeOptions {
    let limits = &arguments.limits;
    let body = limits.max_body_mb << 20;
    let decode = DecodeOptions::default();
    let decode = match limits.max_megapixels {
        Some(millions) => decode.with_max_pixels(millions as u64 * 1_000_000),
        None => decode,
    };
    ServeOptions::default()
        .with_max_batch_size(arguments.max_batch_size.images())
        .with_max_queue_delay(Duration::from_micros(arguments.max_queue_delay_us as u64))
        .with_max_concurrent_requests(limits.max_concurrent_requests)
        .with_max_queue_size(limits.max_queue_size)
        .with_max_body_size(body)
        .with_timeout(Duration::from_secs(limits.timeout as u64))
        .with_grace(Duration::from_secs(limits.grace as u64))
        .with_decode_threads(Some(threads(arguments.threads)))
        .with_decode(decode)
}

/// Finds the weights of each network, downloading them if necessary, and the name that clients call it by.
fn find(arguments: &ServeArguments, zoo: &Zoo, printer: &Printer) -> anyhow::Result<Vec<(String, Weights)>> {
    let mut progress = DownloadProgress::new(printer);
    let mut locate = |model: Option<&ModelName>, weights: Option<&str>| -> anyhow::Result<_> {
        let (name, weights) = weights.map_or((None, None), |weights| {
            let (name, weights) = split_name(weights);
            (name, Some(weights))
        });
        let found = zoo.locate(model, weights, &mut progress)?;
        Ok((name.map_or_else(|| default_name(&found), str::to_owned), found))
    };
    match (&arguments.model[..], &arguments.weights[..]) {
        ([], []) => Ok(vec![locate(None, None)?]),
        // One network, as in other commands.
        ([model], [weights]) => Ok(vec![locate(Some(model), Some(weights))?]),
        (models, []) => models.iter().map(|model| locate(Some(model), None)).collect(),
        ([], weights) => weights
            .iter()
            .map(|weights| locate(None, Some(weights)))
            .collect(),
        _ => bail!(
            "--model and --weights: pass all networks with --weights, which also takes ids such as b0.imagenet"
        ),
    }
}

/// Splits `NAME=WEIGHTS`, unless all of it is the path of a file.
fn split_name(weights: &str) -> (Option<&str>, &str) {
    match weights.split_once('=') {
        Some((name, rest)) if !name.contains(['/', ':']) && !Path::new(weights).exists() => {
            (Some(name), rest)
        }
        _ => (None, weights),
    }
}

/// Returns the id of published weights, or the name of the file or of its folder.
fn default_name(weights: &Weights) -> String {
    let path = Path::new(&weights.name);
    if weights
        .entry
        .as_ref()
        .is_some_and(|entry| entry.id == weights.name)
    {
        return weights.name.clone();
    }
    let name = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    let stem = name
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // The weights in a run folder have the same name in each.
    match stem.as_str() {
        "best" | "last" | "model" | "pytorch_model" => path
            .parent()
            .and_then(Path::file_name)
            .map_or(stem, |folder| folder.to_string_lossy().into_owned()),
        _ => stem,
    }
}

fn open(
    arguments: &ServeArguments,
    weights: Weights,
    labels: Option<&Labels>,
    zoo: &Zoo,
    printer: &Printer,
) -> anyhow::Result<Model> {
    let engine = EngineOptions::default()
        .with_precision(arguments.precision)
        .with_threads(threads(arguments.threads));
    let options = ModelOptions::default()
        .with_variant(match (&arguments.model[..], &arguments.weights[..]) {
            ([model], [_]) => Some(model.variant),
            _ => None,
        })
        .with_profile(arguments.profile)
        .with_labels(labels.cloned())
        .with_preprocessing(arguments.preprocessing.overrides())
        .with_engine(engine);
    let file =
        ModelFile::open(weights, &options).map_err(|error| of_labels(error, arguments.labels.as_deref()))?;
    warn(&file, printer);
    let model = Model::from_file(&file, &options, &zoo.manifest)?;
    if !model.has_labels() {
        let name = model.name();
        printer.warning(format!(
            "{name}: these weights have no class names: pass them with --labels FILE"
        ));
    }
    printer.detail(format!(
        "{}: {}, profile {}, {}, {}",
        model.name(),
        model.variant(),
        model.profile(),
        counted_targets(model.labels().len(), model.labels().task()),
        counted(model.engine().threads(), "thread"),
    ));
    Ok(model)
}
