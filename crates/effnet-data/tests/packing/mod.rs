//! Packs folders into archives.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;

/// Packs a folder into a tar archive, within a folder `packed`.
pub(crate) fn tar_of(root: &Path, target: &Path) -> PathBuf {
    let packed = target.join("packed.tar");
    let mut builder = tar::Builder::new(File::create(&packed).unwrap());
    builder.append_dir_all("packed", root).unwrap();
    builder.finish().unwrap();
    packed
}

/// Packs a folder into a zip archive, within a folder `packed`. Half of the files are compressed.
pub(crate) fn zip_of(root: &Path, target: &Path) -> PathBuf {
    let packed = target.join("packed.zip");
    let mut writer = zip::ZipWriter::new(File::create(&packed).unwrap());
    let methods = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated];
    for (index, entry) in walkdir::WalkDir::new(root).into_iter().enumerate() {
        let entry = entry.unwrap();
        let name = Path::new("packed").join(entry.path().strip_prefix(root).unwrap());
        let options = SimpleFileOptions::default().compression_method(methods[index % 2]);
        if entry.file_type().is_dir() {
            writer.add_directory_from_path(name, options).unwrap();
        } else {
            writer.start_file_from_path(name, options).unwrap();
            writer.write_all(&std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
    writer.finish().unwrap();
    packed
}
