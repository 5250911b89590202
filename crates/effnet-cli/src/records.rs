//! Results, in the three formats of `--format`, on standard output or into a file.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::Context;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::arguments::Format;
use crate::prediction::Prediction;

/// The result for one input.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Record<'a> {
    Classified {
        input: &'a str,
        model: &'a str,
        weights: &'a str,
        predictions: &'a [Prediction],
    },
    Failed {
        input: &'a str,
        error: &'a str,
    },
}

/// Writes records one after the other.
pub(crate) struct Records {
    format: Format,
    sink: Sink,
    /// Inputs in the table so far: a blank line stands between two.
    written: usize,
}

enum Sink {
    Stdout(BufWriter<anstream::AutoStream<std::io::Stdout>>),
    /// A temporary file beside the final one, which takes its name only when all is written.
    File {
        temporary: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Records {
    pub(crate) fn open(format: Format, output: Option<&Path>) -> anyhow::Result<Self> {
        let sink = match output {
            None => Sink::Stdout(BufWriter::new(anstream::stdout())),
            Some(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let temporary = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
                    .with_context(|| format!("{}: cannot write here", path.display()))?;
                Sink::File {
                    temporary: BufWriter::new(temporary),
                    path: path.to_owned(),
                }
            }
        };
        let mut records = Self {
            format,
            sink,
            written: 0,
        };
        if format == Format::Csv {
            records.line(&["input", "rank", "class", "label", "logit", "probability", "error"])?;
        }
        Ok(records)
    }

    pub(crate) fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.sink, record).map_err(std::io::Error::from)?;
                writeln!(self.sink)?;
            }
            Format::Csv => self.write_csv(record)?,
            Format::Text => self.write_text(record)?,
        }
        Ok(())
    }

    /// Lets everything written so far be seen.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.sink.flush()?)
    }

    /// Completes the output; a file appears under its name only now.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        if let Sink::File { temporary, path } = self.sink {
            let context = || format!("{}: cannot write here", path.display());
            let temporary = temporary
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            make_readable(temporary.as_file()).with_context(context)?;
            temporary.as_file().sync_all().with_context(context)?;
            temporary.persist(&path).with_context(context)?;
        }
        Ok(())
    }

    fn write_csv(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        match record {
            Record::Classified {
                input, predictions, ..
            } => {
                for (rank, prediction) in predictions.iter().enumerate() {
                    let number = |value: &dyn ToString| value.to_string();
                    self.line(&[
                        *input,
                        &number(&(rank + 1)),
                        &number(&prediction.class),
                        &prediction.label,
                        &number(&prediction.logit),
                        &number(&prediction.probability),
                        "",
                    ])?;
                }
                Ok(())
            }
            Record::Failed { input, error } => self.line(&[*input, "", "", "", "", "", *error]),
        }
    }

    fn line(&mut self, fields: &[&str]) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.sink);
        writer.write_record(fields).map_err(std::io::Error::from)?;
        Ok(writer.flush()?)
    }

    fn write_text(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        let bold = Style::new().bold();
        match record {
            Record::Classified {
                input, predictions, ..
            } => {
                if self.written > 0 {
                    writeln!(self.sink)?;
                }
                self.written += 1;
                writeln!(self.sink, "{bold}{input}{bold:#}")?;
                for prediction in *predictions {
                    let percent = 100.0 * prediction.probability;
                    writeln!(self.sink, "  {percent:6.2} %  {}", prediction.label)?;
                }
            }
            // Said on standard error, where people look for it.
            Record::Failed { .. } => {}
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(sink) => sink.write(bytes),
            Self::File { temporary, .. } => temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(sink) => sink.flush(),
            Self::File { temporary, .. } => temporary.flush(),
        }
    }
}

/// A temporary file is private to its user; a result is as readable as any file they create.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
