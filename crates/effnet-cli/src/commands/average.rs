//! `effnet average`.

use std::path::Path;

use anyhow::{Context, ensure};
use effnet::{DerivedWeights, ModelFile, ModelOptions, WeightAverage, Weights, Zoo};
use effnet_checkpoint::write_safetensors;

use crate::arguments::AverageArguments;
use crate::inference::warn;
use crate::printer::counted;
use crate::training::recorded_split::RecordedSplit;
use crate::written_file::{check_kind, check_overwriting, check_safetensors};
use crate::{DownloadProgress, Outcome, Printer, open_zoo};

/// Networks with a lower cosine similarity of their convolutions were hardly trained from the same weights. Those of runs
/// from the same weights are above 0.9, those of runs from different random weights are near 0.
const RELATED: f64 = 0.5;

pub(crate) fn run(arguments: &AverageArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let output = &arguments.output;
    check_safetensors("--output", output)?;
    check_kind(output)?;
    let zoo = open_zoo(&arguments.zoo)?;
    let files = open(arguments, &zoo, printer)?;
    // That the output is an input is said before that it exists.
    for force in [true, arguments.force] {
        for file in &files {
            check_overwriting(output, file.path(), force)?;
        }
    }
    let average = WeightAverage::new(&files)?;
    let similarity = average.similarity()?;
    if similarity < RELATED {
        printer.warning(format!(
            "the convolutions of these networks have a cosine similarity of only {similarity:.2}, as if they were not \
             trained from the same weights; the average of such networks does not work, so evaluate it"
        ));
    }
    warn_of_other_splits(&files, printer);
    write(output, &average.mean()?, &files)?;
    printer.note(format!(
        "{}: the average of {}, cosine similarity {similarity:.3}",
        output.display(),
        counted(files.len(), "network")
    ));
    Ok(Outcome::Done)
}

fn open(arguments: &AverageArguments, zoo: &Zoo, printer: &Printer) -> anyhow::Result<Vec<ModelFile>> {
    let mut progress = DownloadProgress::new(printer);
    let weights = arguments
        .inputs
        .iter()
        .map(|input| zoo.locate_one(input, &mut progress));
    let weights: Vec<Weights> = weights.collect::<Result<_, _>>()?;
    drop(progress);
    let options = ModelOptions::default()
        .with_profile(arguments.profile)
        .with_key(arguments.key.clone());
    let mut files: Vec<ModelFile> = Vec::with_capacity(weights.len());
    for weights in weights {
        let same = |file: &&ModelFile| same_file::is_same_file(file.path(), weights.path()).unwrap_or(false);
        ensure!(
            files.iter().find(same).is_none(),
            "{}: named twice; name each network once",
            weights.path().display()
        );
        let file = ModelFile::inspect(weights, &options)?;
        warn(&file, printer);
        files.push(file);
    }
    Ok(files)
}

/// Warns if the runs held out different images: the average was then trained on images that each of them held out.
fn warn_of_other_splits(files: &[ModelFile], printer: &Printer) {
    let split = |file: &ModelFile| RecordedSplit::read(file.path().parent()?);
    let mut splits = files.iter().filter_map(|file| Some((file, split(file)?)));
    let Some((first, of_first)) = splits.next() else {
        return;
    };
    if let Some((other, _)) = splits.find(|(_, split)| !split.has_same_validation(&of_first)) {
        printer.warning(format!(
            "{} and {} come from runs that held out different images, so evaluating the average on the images of one run \
             includes training images of the other; train runs to average with the same --split-seed",
            first.weights().name,
            other.weights().name
        ));
    }
}

fn write(output: &Path, average: &DerivedWeights, files: &[ModelFile]) -> anyhow::Result<()> {
    let mut entries = average.metadata.to_entries();
    let names: Vec<&str> = files.iter().map(|file| file.weights().name.as_str()).collect();
    entries.insert(AVERAGED.to_owned(), serde_json::to_string(&names)?);
    write_safetensors(output, &average.state_dict, &entries).context("--output")
}

/// The metadata entry with the names of the averaged networks.
pub(super) const AVERAGED: &str = "averaged";
