//! Files that appear under their name only when complete.
//!
//! Checkpoints, reports, results and run folders are all written this way. A killed process or a full disk
//! then leaves the previous file intact instead of half of a new one. A pipe or a device has no previous
//! content, so it is written to directly.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::replaced::{Previous, Replaced};
use super::target::Target;

/// Distinguishes the temporary files of one process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Suffix of the names of incomplete files, which start with a dot.
///
/// Public for the other crates of this workspace.
pub const PARTIAL_SUFFIX: &str = ".part";

/// A hidden temporary file next to its target, removed unless it is committed. Readers see the old target or
/// the new one, even if the machine crashes.
///
/// Symbolic links are followed: the file that they lead to is replaced, and keeps its permissions. Pipes, devices and
/// `/dev/stdout` are written to directly.
#[derive(Debug)]
pub struct AtomicFile {
    file: BufWriter<File>,
    position: u64,
    /// `None` if the target is written to directly, and after the commit.
    temporary: Option<Temporary>,
}

/// The temporary file that is to replace the target.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    target: PathBuf,
}

impl AtomicFile {
    /// Creates a file that is to become `target`. Opening a named pipe waits for its reader.
    ///
    /// # Errors
    /// Fails if `target` is a folder or has no file name, or if its folder causes an I/O error.
    pub fn create(target: &Path) -> io::Result<AtomicFile> {
        let (file, temporary) = match Target::of(target)? {
            Target::Stream(file) => (file, None),
            Target::File { path, existing } => {
                let (file, temporary) = create_temporary(path, existing.as_ref())?;
                (file, Some(temporary))
            }
        };
        Ok(AtomicFile {
            file: BufWriter::with_capacity(1 << 16, file),
            position: 0,
            temporary,
        })
    }

    /// Number of bytes written so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Replaces the first bytes of the file, for headers that state how much follows.
    ///
    /// # Errors
    /// I/O errors; [`io::ErrorKind::NotSeekable`] for a pipe or a device.
    pub fn overwrite_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.temporary.is_none() {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        self.file.rewind()?;
        self.file.write_all(bytes)?;
        self.file.seek(io::SeekFrom::End(0))?;
        Ok(())
    }

    /// Syncs the file to disk, then renames it to its target. A pipe or device is flushed.
    ///
    /// # Errors
    /// I/O errors; the target is then unchanged.
    pub fn commit(mut self) -> io::Result<()> {
        self.sync()?;
        self.rename()
    }

    /// Like [`commit`](Self::commit), but can be taken back until [`Replaced::keep`] is called.
    pub(super) fn replace(mut self) -> io::Result<Replaced> {
        self.sync()?;
        let Some(Temporary { path, target }) = &self.temporary else {
            return Ok(Replaced::new(PathBuf::new(), Previous::Unknown));
        };
        let name = path.with_extension(format!("old{PARTIAL_SUFFIX}"));
        let replaced = Replaced::new(target.clone(), Previous::of(target, name));
        self.rename()?;
        Ok(replaced)
    }

    /// Writes everything to disk. The target is unchanged.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if self.temporary.is_some() {
            self.file.get_ref().sync_all()?;
        }
        Ok(())
    }

    fn rename(&mut self) -> io::Result<()> {
        let Some(Temporary { path, target }) = &self.temporary else {
            return Ok(());
        };
        match std::fs::rename(path, target) {
            // The target may be a mounted file, such as a container's volume, or be in a folder that is not
            // writable.
            Err(error) if cannot_replace(&error) => overwrite(path, target)?,
            renamed => {
                renamed?;
                // The rename is durable once the folder is synced; systems that cannot open folders skip this.
                let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
                if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
                    let _ = folder.sync_all();
                }
                self.temporary = None;
            }
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(&temporary.path);
        }
    }
}

/// Creates a temporary file next to `target`, with the permissions of the `existing` file. If its folder is
/// not writable but the existing file is, the temporary file is created in the system's folder for temporary
/// files.
fn create_temporary(target: PathBuf, existing: Option<&Metadata>) -> io::Result<(File, Temporary)> {
    let created = create_in(target.parent().unwrap_or(Path::new("")), &target, existing);
    let (file, path) = match created {
        Err(error)
            if cannot_write_folder(&error) && OpenOptions::new().append(true).open(&target).is_ok() =>
        {
            create_in(&std::env::temp_dir(), &target, existing)?
        }
        created => created?,
    };
    Ok((file, Temporary { path, target }))
}

fn create_in(folder: &Path, target: &Path, existing: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}{PARTIAL_SUFFIX}", std::process::id()));
        let path = folder.join(hidden);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if existing.is_some() {
            // Nobody else may read the new content before it has the permissions of the old one.
            restrict(&mut options);
        }
        match options.open(&path) {
            Ok(file) => {
                if let Some(existing) = existing {
                    keep_owner(&file, existing);
                    // Best effort, like the owner: some file systems have no permissions.
                    let _ = file.set_permissions(existing.permissions());
                }
                return Ok((file, path));
            }
            // A killed process that had the same process ID left this file behind.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions) {}

/// Gives a file the owner and group of `existing`, as far as this process is permitted to.
#[cfg(unix)]
fn keep_owner(file: &File, existing: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(own) = file.metadata() else { return };
    if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
        let _ = fchown(file, Some(existing.uid()), Some(existing.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}

fn cannot_write_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn cannot_replace(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
    ) || cannot_write_folder(error)
}

/// Writes the content of one file into an existing one.
fn overwrite(source: &Path, target: &Path) -> io::Result<()> {
    let mut source = File::open(source)?;
    let mut target = OpenOptions::new().write(true).truncate(true).open(target)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(target: &Path, content: &str) {
        let mut file = AtomicFile::create(target).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.commit().unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_of_the_same_number_left_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let next = COUNTER.load(Ordering::Relaxed);
        for number in next..next + 3 {
            let left = format!(".weights.{}-{number}{PARTIAL_SUFFIX}", std::process::id());
            std::fs::write(folder.path().join(left), "half").unwrap();
        }
        let target = folder.path().join("weights");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(file.position(), 5);
        file.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
    }

    #[test]
    fn a_replaced_file_comes_back_unless_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        let replace = |content: &str| {
            let mut file = AtomicFile::create(&target).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            file.replace().unwrap()
        };
        let replaced = replace("new");
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        drop(replaced);
        assert_eq!(names(folder.path()), [""; 0]);
        replace("first").keep();
        let replaced = replace("second");
        assert_eq!(std::fs::read(&target).unwrap(), b"second");
        drop(replaced);
        assert_eq!(std::fs::read(&target).unwrap(), b"first");
        replace("third").keep();
        assert_eq!(std::fs::read(&target).unwrap(), b"third");
        assert_eq!(names(folder.path()), ["data"]);
    }

    #[test]
    fn a_file_that_cannot_be_renamed_leaves_the_previous_one() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"new").unwrap();
        file.sync().unwrap();
        std::fs::create_dir(&target).unwrap();
        assert!(file.replace().is_err());
        assert_eq!(names(folder.path()), ["data"]);
        assert!(target.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_behind_a_chain_of_links_is_replaced_and_the_links_stay() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).unwrap();
        std::fs::write(at("deep/file"), "old").unwrap();
        symlink("file", at("deep/inner")).unwrap();
        symlink("deep/inner", at("outer")).unwrap();
        symlink("deep/missing", at("dangling")).unwrap();
        write(&at("outer"), "new");
        write(&at("dangling"), "first");
        assert_eq!(std::fs::read_to_string(at("deep/file")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(at("deep/missing")).unwrap(), "first");
        assert!(at("outer").is_symlink() && at("deep/inner").is_symlink() && at("dangling").is_symlink());
        assert_eq!(names(&at("deep")), ["file", "inner", "missing"]);
        symlink("round", at("about")).unwrap();
        symlink("about", at("round")).unwrap();
        assert!(AtomicFile::create(&at("round")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_nothing_is_left_without_a_commit() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("secret");
        for mode in [0o600, 0o640, 0o664, 0o444] {
            let _ = std::fs::remove_file(&target);
            std::fs::write(&target, "old").unwrap();
            std::fs::set_permissions(&target, PermissionsExt::from_mode(mode)).unwrap();
            drop(AtomicFile::create(&target).unwrap());
            assert_eq!(std::fs::read(&target).unwrap(), b"old");
            write(&target, "new");
            assert_eq!(std::fs::read(&target).unwrap(), b"new");
            let found = std::fs::metadata(&target).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
            assert_eq!(names(folder.path()), ["secret"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_written_to_as_they_are() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::FileTypeExt;
        write(Path::new("/dev/null"), "nothing");
        let null = std::fs::metadata("/dev/null").unwrap().file_type();
        assert!(null.is_char_device());
        // The name that a process substitution gives to a pipe.
        let (mut reader, writer) = std::io::pipe().unwrap();
        for name in ["/dev/fd", "/proc/self/fd"] {
            write(&Path::new(name).join(writer.as_raw_fd().to_string()), name);
        }
        drop(writer);
        let mut found = String::new();
        reader.read_to_string(&mut found).unwrap();
        assert_eq!(found, "/dev/fd/proc/self/fd");
    }
}
