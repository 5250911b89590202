use std::fs;
use std::path::Path;

/// Returns the names of the files and folders in a folder, sorted.
///
/// # Panics
/// If the folder cannot be read, or if a name is not UTF-8.
pub fn names_in(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
