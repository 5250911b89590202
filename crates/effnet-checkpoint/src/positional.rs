//! Positional reads, so that several threads can share one file handle, on Unix (`pread`) and on Windows.

use std::fs::File;
use std::io;

/// Reads up to `bytes.len()` bytes of a file from `offset` on, and returns their number; 0 at the end of the file. On
/// Windows this moves the position of the handle, which callers must not rely on.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// The error of the operating system.
#[cfg(unix)]
pub fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

/// Reads up to `bytes.len()` bytes of a file from `offset` on, and returns their number; 0 at the end of the file. On
/// Windows this moves the position of the handle, which callers must not rely on.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// The error of the operating system.
#[cfg(windows)]
pub fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

/// Fills `bytes` from `offset` on.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends before, and the errors of the operating system.
pub fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match read_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
