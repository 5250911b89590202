//! Chooses the format of an output: the one that `--format` names, or else the one that the file extension implies.
//!
//! `-o results.csv` used to write text into a file named .csv. Now a file name that contradicts the format, or that
//! promises a format which no command writes, is reported before anything is computed.

use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;

use crate::printer::Printer;

/// Extensions of formats that people may ask for but that no command writes.
const OTHERS: [&str; 18] = [
    "npz", "parquet", "feather", "arrow", "tsv", "xlsx", "xls", "ods", "pkl", "pickle", "h5", "hdf5", "db",
    "sqlite", "html", "xml", "yaml", "yml",
];

/// Returns the `--format` name of the format that an extension stands for.
fn of_extension(extension: &str) -> Option<&'static str> {
    match extension {
        "json" | "jsonl" | "ndjson" => Some("json"),
        "csv" => Some("csv"),
        "txt" | "text" => Some("text"),
        "npy" => Some("npy"),
        "png" => Some("png"),
        _ => None,
    }
}

/// Returns the format to write: the `requested` one, or else the one implied by the extension of `output`, or else
/// `default`.
///
/// # Errors
/// If the extension implies a format that the command cannot write.
pub(crate) fn choose<F: ValueEnum + PartialEq + Copy>(
    requested: Option<F>,
    output: Option<&Path>,
    default: F,
    printer: &Printer,
) -> anyhow::Result<F> {
    let extension =
        output.and_then(|output| Some((output, output.extension()?.to_str()?.to_ascii_lowercase())));
    let Some((output, extension)) = extension else {
        return Ok(requested.unwrap_or(default));
    };
    let shown = output.display();
    let named = of_extension(&extension);
    let implied = named.and_then(|name| F::from_str(name, true).ok());
    let is_other = named.is_some() || OTHERS.contains(&extension.as_str());
    match (requested, implied) {
        (Some(requested), _) => {
            if is_other && implied != Some(requested) {
                printer.warning(format!(
                    "{shown}: writing {}, as --format says, into a file with the extension .{extension}",
                    name(&requested)
                ));
            }
            Ok(requested)
        }
        (None, Some(implied)) => Ok(implied),
        (None, None) if is_other => bail!(
            "{shown}: cannot write .{extension}, expected {}; or choose the format with --format",
            extensions::<F>()
        ),
        (None, None) => {
            printer.warning(format!(
                "{shown}: the extension .{extension} does not imply a format, writing {} (see --format)",
                name(&default)
            ));
            Ok(default)
        }
    }
}

/// Returns the `--format` name of a format.
fn name<F: ValueEnum>(format: &F) -> String {
    let value = format.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Lists the extensions of a command's formats, for a message.
fn extensions<F: ValueEnum>() -> String {
    let known = [
        ("npy", ".npy"),
        ("png", ".png"),
        ("text", ".txt"),
        ("csv", ".csv"),
        ("json", ".json or .jsonl"),
    ];
    let offered = known.iter().filter(|(name, _)| F::from_str(name, true).is_ok());
    offered
        .map(|&(_, extension)| extension)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColorChoice;
    use crate::arguments::{FeaturesFormat, Format};

    fn of(requested: Option<Format>, output: &str) -> Option<Format> {
        let printer = Printer::new(true, false, ColorChoice::Never);
        choose(requested, Some(Path::new(output)), Format::Text, &printer).ok()
    }

    #[test]
    fn the_extension_says_the_format_unless_the_flag_does() {
        for (output, format) in [
            ("r.csv", Some(Format::Csv)),
            ("R.CSV", Some(Format::Csv)),
            ("r.json", Some(Format::Json)),
            ("a.b/r.jsonl", Some(Format::Json)),
            ("r.txt", Some(Format::Text)),
            ("r", Some(Format::Text)),
            ("/dev/stdout", Some(Format::Text)),
            ("r.out", Some(Format::Text)),
            ("r.xlsx", None),
            ("r.npy", None),
        ] {
            assert_eq!(of(None, output), format, "{output}");
            assert_eq!(of(Some(Format::Json), output), Some(Format::Json));
        }
        let printer = Printer::new(true, false, ColorChoice::Never);
        let features = |output: &str| {
            choose(None, Some(Path::new(output)), FeaturesFormat::Json, &printer)
                .map_err(|error| error.to_string())
        };
        assert_eq!(features("f.csv"), Ok(FeaturesFormat::Csv));
        assert_eq!(features("f.npy"), Ok(FeaturesFormat::Npy));
        let error = features("f.txt").unwrap_err();
        assert!(error.contains("expected .npy, .csv, .json or .jsonl;"), "{error}");
    }
}
