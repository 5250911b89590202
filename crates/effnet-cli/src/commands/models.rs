//! `effnet models`.

use std::io::Write;

use effnet::{Scheme, Zoo};
use effnet_hub::Entry;
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{InspectFormat, ModelsArguments};
use crate::open_zoo;

/// The data set on which accuracies were measured, unless an entry states another.
const IMAGENET: &str = "ImageNet-1k";

/// A row of the table.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    variant: &'a str,
    parameters: u64,
    /// Multiply-accumulate operations per image of `image_size`, in billions.
    gmacs: f64,
    image_size: usize,
    classes: usize,
    /// The size of the file, computed from the number of parameters if it is not published.
    bytes: u64,
    /// The published top-1 accuracy in percent, at `image_size` if the source states the size.
    top1: Option<f64>,
    /// The data set on which `top1` was measured.
    dataset: Option<&'a str>,
    licence: &'a str,
    /// The number of hex digits of the SHA-256 that are published: 64, fewer, or 0 if the server sends the digest with
    /// the file.
    sha256_digits: usize,
    cached: bool,
    /// Whether the weights are built into the program.
    bundled: bool,
}

pub(crate) fn run(arguments: &ModelsArguments) -> anyhow::Result<Outcome> {
    let zoo = open_zoo(&arguments.zoo)?;
    // What `--model` takes without a tag is listed whoever published it.
    let is_default = |entry: &Entry| {
        let default = zoo.manifest.get(entry.variant.name());
        default.is_ok_and(|default| default.id == entry.id)
    };
    let shown = |entry: &&Entry| arguments.all || entry.scheme != Scheme::Timm || is_default(entry);
    let mut rows = Vec::new();
    for entry in zoo.manifest.entries().iter().filter(shown) {
        rows.push(row(&zoo, entry));
    }
    let mut stdout = std::io::BufWriter::new(std::io::stdout());
    match arguments.format {
        InspectFormat::Json => {
            serde_json::to_writer_pretty(&mut stdout, &rows).map_err(std::io::Error::from)?;
            writeln!(stdout)?;
        }
        InspectFormat::Text => {
            write_table(&mut stdout, &rows)?;
            let hidden = zoo.manifest.entries().len() - rows.len();
            for row in &rows {
                if let Some(dataset) = row.dataset.filter(|dataset| *dataset != IMAGENET) {
                    writeln!(stdout, "\n* {}: on {dataset}", row.id)?;
                }
            }
            let short = rows
                .iter()
                .filter(|row| (1..64).contains(&row.sha256_digits))
                .count();
            if short > 0 {
                writeln!(
                    stdout,
                    "\n{short} have a short published digest (8 digits), completed by the first download"
                )?;
            }
            if hidden > 0 {
                writeln!(stdout, "\n{hidden} more from timm with --all")?;
            }
        }
    }
    stdout.flush()?;
    Ok(Outcome::Done)
}

fn row<'a>(zoo: &Zoo, entry: &'a Entry) -> Row<'a> {
    let variant = entry.variant;
    let config = variant.config().with_num_classes(entry.classes);
    let image_size = entry.preprocessing.image_size;
    let published_bytes = entry.files.iter().find_map(|file| file.bytes);
    let published = entry.published.iter();
    let at_size = published
        .clone()
        .find(|published| published.image_size == Some(image_size));
    let published = at_size.or_else(|| entry.published.first());
    Row {
        id: &entry.id,
        variant: variant.name(),
        parameters: config.parameters(),
        gmacs: config.multiply_accumulates([image_size; 2]) as f64 / 1e9,
        image_size,
        classes: entry.classes,
        bytes: published_bytes.unwrap_or(4 * config.parameters()),
        top1: published.map(|published| published.top1),
        dataset: published.map(|published| published.dataset.as_deref().unwrap_or(IMAGENET)),
        licence: &entry.licence,
        sha256_digits: entry
            .files
            .iter()
            .find_map(|file| file.sha256.as_ref())
            .map_or(0, |digest| digest.as_str().len()),
        cached: zoo.hub.local_file(entry).is_some(),
        bundled: zoo.hub.is_bundled(entry),
    }
}

fn write_table(out: &mut impl Write, rows: &[Row<'_>]) -> std::io::Result<()> {
    let width = rows.iter().map(|row| row.id.len()).max().unwrap_or(2);
    writeln!(
        out,
        "{:<width$}  {:>9}  {:>7}  {:>5}  {:>8}  {:>6}  {:<12}  cached",
        "id", "params", "GMACs", "input", "size", "top-1", "licence"
    )?;
    for row in rows {
        let line = format!(
            "{:<width$}  {:>7.2} M  {:>7.2}  {:>5}  {:>5.0} MB  {:>6}  {:<12}  {}",
            row.id,
            row.parameters as f64 / 1e6,
            row.gmacs,
            row.image_size,
            row.bytes as f64 / 1e6,
            row.top1.map_or("-".to_owned(), |top1| match row.dataset {
                Some(IMAGENET) | None => format!("{top1:.1}"),
                Some(_) => format!("{top1:.1}*"),
            }),
            row.licence,
            match (row.bundled, row.cached) {
                (true, _) => "built in",
                (false, true) => "yes",
                (false, false) => "",
            },
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
