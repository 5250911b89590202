//! Writes results to standard output, to a file, or to the parts of a file that several processes share.
//!
//! A file is written under a temporary name and renamed when the command ends, so a killed command leaves no
//! half-written file behind. Pipes and devices receive each result as soon as it is known.

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::Context;
pub(crate) use effnet::SCHEMA;
use effnet_checkpoint::AtomicFile;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::Outcome;
use crate::escape;
use crate::frame::Frame;
use crate::interrupt::Interrupt;
use crate::outputs::{Closing, Tally};
use crate::printer::Printer;
use crate::sharding::Shard;

/// Writes results to their target.
pub(crate) struct Sink {
    target: Target,
    separator: &'static str,
    /// Whether no result has been written yet.
    is_empty: bool,
    /// The number of inputs so far; a shard keeps its own count.
    tally: Tally,
}

enum Target {
    /// Bytes are written unchanged: a filter that removes colours would also remove them from file names.
    Stdout(BufWriter<Stdout>),
    File {
        file: AtomicFile,
        path: PathBuf,
    },
    Shard(Box<Shard>),
}

/// Prints an object on standard output, as one line of JSON.
pub(crate) fn print_json(object: &impl Serialize) -> anyhow::Result<()> {
    let mut sink = Sink::open(None, &Frame::default())?;
    sink.json(object)?;
    Ok(sink.flush()?)
}

impl Sink {
    /// Opens standard output or this file. The file is first written under a temporary name in its folder.
    pub(crate) fn open(output: Option<&Path>, frame: &Frame) -> anyhow::Result<Self> {
        let target = match output {
            None => Target::Stdout(BufWriter::new(std::io::stdout())),
            Some(path) => {
                let shown = || format!("{}: cannot write this file", path.display());
                let file = AtomicFile::create(path).with_context(shown)?;
                let path = path.to_owned();
                Target::File { file, path }
            }
        };
        let mut sink = Self {
            target,
            separator: frame.separator,
            is_empty: true,
            tally: Tally::default(),
        };
        sink.write_all(&frame.header)?;
        sink.is_empty = true;
        Ok(sink)
    }

    /// Creates a sink that writes the parts of this process.
    pub(crate) fn of_shard(shard: Box<Shard>) -> Self {
        Self {
            separator: shard.separator(),
            target: Target::Shard(shard),
            is_empty: true,
            tally: Tally::default(),
        }
    }

    /// Returns the style of headings: bold on standard output if it shows colours, plain in a file.
    pub(crate) fn heading(&self) -> Style {
        match self.target {
            Target::Stdout(_)
                if anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never =>
            {
                Style::new().bold()
            }
            _ => Style::new(),
        }
    }

    /// Returns a progress bar for `count` inputs. It is hidden if a terminal shows the results, which show the progress
    /// as well.
    pub(crate) fn progress(&self, count: usize, printer: &Printer) -> ProgressBar {
        if self.is_terminal() {
            return ProgressBar::hidden();
        }
        printer.progress(count as u64)
    }

    /// Returns whether a terminal shows the results.
    fn is_terminal(&self) -> bool {
        matches!(self.target, Target::Stdout(_)) && std::io::stdout().is_terminal()
    }

    /// Writes a line of JSON.
    pub(crate) fn json(&mut self, record: &impl Serialize) -> std::io::Result<()> {
        if self.is_terminal() {
            let line = serde_json::to_string(record)?;
            self.write_all(escape::json(&line).as_bytes())?;
        } else {
            serde_json::to_writer(&mut *self, record)?;
        }
        self.write_all(b"\n")
    }

    /// Writes a row of CSV.
    pub(crate) fn csv<F: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = F>) -> std::io::Result<()> {
        let is_terminal = self.is_terminal();
        let mut writer = csv::Writer::from_writer(self);
        for field in fields {
            let field = field.as_ref();
            if is_terminal {
                writer.write_field(&*escape::line(field))?;
            } else {
                writer.write_field(field)?;
            }
        }
        writer.write_record(None::<&[u8]>)?;
        writer.flush()
    }

    /// Writes the separator, unless this is the first result.
    pub(crate) fn separate(&mut self) -> std::io::Result<()> {
        if self.is_empty {
            return Ok(());
        }
        self.write_all(self.separator.as_bytes())
    }

    /// Ends the results of one input and counts the input.
    pub(crate) fn end_input(&mut self, is_done: bool) -> anyhow::Result<()> {
        if let Target::Shard(shard) = &mut self.target {
            // A shard counts the inputs of each part.
            shard.end_input(is_done)?;
            self.is_empty = shard.is_at_start();
        } else {
            self.tally.count(is_done);
        }
        Ok(())
    }

    /// Completes the output, reports it in a closing line, and returns the outcome for the `count` inputs. Renames a
    /// file to its final name.
    pub(crate) fn finish(
        self,
        count: usize,
        closing: &Closing,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        let path = match self.target {
            Target::Stdout(mut sink) => {
                sink.flush()?;
                None
            }
            Target::File { file, path } => {
                let shown = || format!("{}: cannot write this file", path.display());
                file.commit().with_context(shown)?;
                Some(path)
            }
            Target::Shard(shard) => return shard.finish(interrupt, printer),
        };
        let tally = self.tally;
        if !interrupt.is_set() && (count > 1 || path.is_some()) {
            printer.note(closing.line(tally, path.as_deref()));
        }
        Ok(tally.outcome(count, path.as_deref(), interrupt, printer))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.is_empty = false;
        match &mut self.target {
            Target::Stdout(sink) => sink.write(bytes),
            Target::File { file, .. } => file.write(bytes),
            Target::Shard(shard) => shard.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.target {
            Target::Stdout(sink) => sink.flush(),
            Target::File { file, .. } => file.flush(),
            Target::Shard(shard) => shard.flush(),
        }
    }
}
