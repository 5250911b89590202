//! The format of an output: as `--format` says, else as the extension of the file says.
//!
//! `-o results.csv` used to write text into a file named .csv. A name that contradicts the format, or that promises
//! one which no command writes, is said before anything is computed.

use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;

use crate::printer::Printer;

/// Formats that people ask for by an extension, and that no command writes.
const OTHERS: [&str; 19] = [
    "npy", "npz", "parquet", "feather", "arrow", "tsv", "xlsx", "xls", "ods", "pkl", "pickle", "h5", "hdf5",
    "db", "sqlite", "html", "xml", "yaml", "yml",
];

/// The name of the format in `--format` that an extension stands for.
fn of_extension(extension: &str) -> Option<&'static str> {
    match extension {
        "json" | "jsonl" | "ndjson" => Some("json"),
        "csv" => Some("csv"),
        "txt" | "text" => Some("text"),
        _ => None,
    }
}

/// The format to write: the `requested` one, else that of the extension of `output`, else `default`.
///
/// # Errors
/// For an extension of a format that the command cannot write.
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
                    "{shown}: writing {} as --format says, into a file named .{extension}",
                    name(&requested)
                ));
            }
            Ok(requested)
        }
        (None, Some(implied)) => Ok(implied),
        (None, None) if is_other => bail!(
            "{shown}: cannot write .{extension}, expected {}; or name the format with --format",
            extensions::<F>()
        ),
        (None, None) => {
            printer.warning(format!(
                "{shown}: .{extension} does not say which format to write, writing {} (see --format)",
                name(&default)
            ));
            Ok(default)
        }
    }
}

/// The name of a format in `--format`.
fn name<F: ValueEnum>(format: &F) -> String {
    let value = format.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The extensions of the formats of a command, for a message.
fn extensions<F: ValueEnum>() -> String {
    let known = [("text", ".txt"), ("csv", ".csv"), ("json", ".json or .jsonl")];
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
        let error = features("f.txt").unwrap_err();
        assert!(error.contains("expected .csv, .json or .jsonl;"), "{error}");
    }
}
