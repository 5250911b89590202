//! Where results go: standard output, a file, or the parts of a file that several processes write.
//!
//! A file is written under a temporary name and renamed when the command ends, so a killed command leaves no
//! half-written file behind.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::Context;
use effnet_checkpoint::AtomicFile;

use crate::Outcome;
use crate::frame::{Frame, check_output};
use crate::interrupt::Interrupt;
use crate::outputs::Tally;
use crate::printer::Printer;
use crate::sharding::Shard;

/// Takes results, wherever they go.
pub(crate) struct Sink {
    target: Target,
    separator: &'static str,
    /// Whether no result has been written yet.
    is_empty: bool,
    /// The inputs so far; a shard counts its own.
    tally: Tally,
}

enum Target {
    Stdout(BufWriter<anstream::AutoStream<std::io::Stdout>>),
    File { file: AtomicFile, path: PathBuf },
    Shard(Box<Shard>),
}

impl Sink {
    /// Opens standard output or this file. The file is written under a temporary name in its folder first.
    pub(crate) fn open(output: Option<&Path>, frame: &Frame) -> anyhow::Result<Self> {
        let target = match output {
            None => Target::Stdout(BufWriter::new(anstream::stdout())),
            Some(path) => {
                check_output(path)?;
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

    /// Writes to the parts of this process.
    pub(crate) fn of_shard(shard: Box<Shard>) -> Self {
        Self {
            separator: shard.separator(),
            target: Target::Shard(shard),
            is_empty: true,
            tally: Tally::default(),
        }
    }

    /// Bold on standard output, plain in a file.
    pub(crate) fn heading(&self) -> Style {
        match self.target {
            Target::Stdout(_) => Style::new().bold(),
            Target::File { .. } | Target::Shard(_) => Style::new(),
        }
    }

    /// Writes the separator if there is a result before.
    pub(crate) fn separate(&mut self) -> std::io::Result<()> {
        if self.is_empty {
            return Ok(());
        }
        self.write_all(self.separator.as_bytes())
    }

    /// Ends the results of one input, and counts it.
    pub(crate) fn end_input(&mut self, is_done: bool) -> anyhow::Result<()> {
        if let Target::Shard(shard) = &mut self.target {
            // A shard counts per part.
            shard.end_input(is_done)?;
            self.is_empty = shard.is_at_start();
        } else {
            self.tally.count(is_done);
        }
        Ok(())
    }

    /// Completes the output, and returns the outcome for the `count` inputs. Renames a file to its final
    /// name.
    pub(crate) fn finish(
        self,
        count: usize,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        match self.target {
            Target::Stdout(mut sink) => sink.flush()?,
            Target::File { file, path } => file
                .commit()
                .with_context(|| format!("{}: cannot write this file", path.display()))?,
            Target::Shard(shard) => return shard.finish(interrupt, printer),
        }
        Ok(self.tally.outcome(count, interrupt, printer))
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
