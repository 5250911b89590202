//! Where results go: standard output, or a file that appears when it is whole.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::{Context, ensure};
use effnet_checkpoint::FreshFile;

/// Takes results in whichever form.
pub(crate) enum Sink {
    Stdout(BufWriter<anstream::AutoStream<std::io::Stdout>>),
    File { file: FreshFile, path: PathBuf },
}

impl Sink {
    /// Standard output, or a file of this name, beside which it must be possible to write.
    pub(crate) fn open(output: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = output else {
            return Ok(Self::Stdout(BufWriter::new(anstream::stdout())));
        };
        let shown = path.display();
        // A device or a pipe would be replaced by a file of its name.
        ensure!(
            path.is_file() || !path.exists(),
            "{shown}: expected a file to write, found something else"
        );
        let file = FreshFile::create(path).with_context(|| format!("{shown}: cannot write here"))?;
        let path = path.to_owned();
        Ok(Self::File { file, path })
    }

    /// Bold on a terminal, nothing in a file.
    pub(crate) fn heading(&self) -> Style {
        match self {
            Self::Stdout(_) => Style::new().bold(),
            Self::File { .. } => Style::new(),
        }
    }

    /// Completes the output; a file appears under its name only now.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut sink) => Ok(sink.flush()?),
            Self::File { file, path } => file
                .commit()
                .with_context(|| format!("{}: cannot write here", path.display())),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(sink) => sink.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(sink) => sink.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}
