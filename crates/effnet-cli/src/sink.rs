//! Where results go: standard output, or a file that appears when it is whole.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

/// Takes results in whichever form.
pub(crate) enum Sink {
    Stdout(BufWriter<anstream::AutoStream<std::io::Stdout>>),
    /// A temporary file beside the final one, which takes its name only when all is written.
    File {
        temporary: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Sink {
    /// Standard output, or a file of this name, beside which it must be possible to write.
    pub(crate) fn open(output: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = output else {
            return Ok(Self::Stdout(BufWriter::new(anstream::stdout())));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let temporary = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .with_context(|| format!("{}: cannot write here", path.display()))?;
        Ok(Self::File {
            temporary: BufWriter::new(temporary),
            path: path.to_owned(),
        })
    }

    /// Completes the output; a file appears under its name only now.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        if let Self::File { temporary, path } = self {
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
