//! Determines what a path to be written leads to.
//!
//! Renaming a complete file over a path is right only for a file. Over a symbolic link, it would replace the
//! link and leave the file that the link names unchanged; over `/dev/stdout`, as root, it would replace the
//! device. So links are followed to their end first, and anything that is not a file is opened and written to
//! directly.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The maximum number of links in a chain, as in Linux.
const MOST_LINKS: usize = 40;

/// What a path leads to.
pub(super) enum Target {
    /// A regular file, or one that does not exist yet.
    File {
        /// The path without links in its last component.
        path: PathBuf,
        /// The metadata of the file, if it exists.
        existing: Option<Metadata>,
    },
    /// A pipe, a device or an open descriptor of this process.
    Stream(File),
}

impl Target {
    /// Follows `path`. Opening a named pipe waits for its reader.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = follow_links(path)?;
        if is_descriptor(&path) {
            return Ok(Self::Stream(open_descriptor(&path)?));
        }
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if metadata.is_file() => Ok(Self::File {
                path,
                existing: Some(metadata),
            }),
            Ok(_) => Ok(Self::Stream(OpenOptions::new().write(true).open(&path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::File { path, existing: None }),
            Err(error) => Err(error),
        }
    }
}

/// Returns the path that symbolic links lead to from `path`, whether or not the file exists. Links to open
/// descriptors, such as `/dev/stdout`, are not followed: the files that they name may have no path.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// Fails if there are too many links, or if they form a cycle.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if is_descriptor(&path) {
            return Ok(path);
        }
        let Ok(next) = std::fs::read_link(&path) else {
            return Ok(path);
        };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Returns whether the path names an open file of a process: `/dev/stdout`, `/dev/fd/63`, `/proc/self/fd/1`.
fn is_descriptor(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_numbered = || {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.parse::<u32>().is_ok())
    };
    let is_of_process = || folder.starts_with("/proc") && folder.ends_with("fd");
    standard(path).is_some() || ((folder == Path::new("/dev/fd") || is_of_process()) && is_numbered())
}

/// Standard output or standard error of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standard {
    Output,
    Error,
}

fn standard(path: &Path) -> Option<Standard> {
    let own = format!("/proc/{}/fd", std::process::id());
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", own.as_str()];
    let is = |name: &str, number: &str| {
        path == Path::new(name)
            || folders
                .iter()
                .any(|folder| path == Path::new(folder).join(number))
    };
    if is("/dev/stdout", "1") {
        Some(Standard::Output)
    } else if is("/dev/stderr", "2") {
        Some(Standard::Error)
    } else {
        None
    }
}

/// Opens the file that a descriptor's path names. Standard output and error are duplicated, so that the
/// position in a file is shared with all other writers, and a socket works as well.
fn open_descriptor(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let duplicate = match standard(path) {
            Some(Standard::Output) => Some(io::stdout().as_fd().try_clone_to_owned()?),
            Some(Standard::Error) => Some(io::stderr().as_fd().try_clone_to_owned()?),
            None => None,
        };
        if let Some(duplicate) = duplicate {
            return Ok(File::from(duplicate));
        }
    }
    // Append, because the file may already hold what others wrote to the descriptor.
    OpenOptions::new().append(true).open(path)
}
