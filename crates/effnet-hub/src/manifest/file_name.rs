//! File names that cannot leave the cache folder.
//!
//! A user's manifest may come from anywhere, and its file names are joined to the path of the cache folder.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Maximum length in bytes, which leaves room within 255 for the suffixes of partial downloads.
const LONGEST: usize = 200;
/// Suffixes of the hub's internal files.
const RESERVED: [&str; 3] = [".part", ".part.json", ".lock"];

/// A plain file name: one path component, no separators, no `..`, and nothing that Windows would read as a
/// drive or a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// The error for a string that is not a valid [`FileName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid file name `{}`: {problem}", name.escape_debug())]
#[non_exhaustive]
pub struct FileNameError {
    /// The string.
    pub name: String,
    /// The problem.
    pub problem: &'static str,
}

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(name: String) -> Result<Self, FileNameError> {
        let problem = if name.is_empty() {
            "it is empty"
        } else if name.len() > LONGEST {
            "it is longer than 200 bytes"
        } else if name.starts_with('.') {
            "it starts with a dot"
        } else if name.contains(['/', '\\', ':']) {
            "it contains a path separator or a colon"
        } else if name.chars().any(char::is_control) {
            "it contains a control character"
        } else if RESERVED.iter().any(|ending| name.ends_with(ending)) {
            "its suffix is reserved for partial downloads and locks"
        } else {
            return Ok(Self(name));
        };
        Err(FileNameError { name, problem })
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        let names = [
            "",
            ".",
            "..",
            "../x.pth",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:x",
            "x\0.pth",
            ".verified",
            "x.part",
        ];
        for name in names {
            assert!(FileName::try_from(name.to_owned()).is_err(), "{name:?}");
        }
        assert!(FileName::try_from("x".repeat(201)).is_err());
    }

    #[test]
    fn published_names_are_accepted() {
        for name in [
            "efficientnet-b0-355c32eb.pth",
            "efficientnet_b0.ra4_e3600_r224_in1k.safetensors",
        ] {
            assert_eq!(FileName::try_from(name.to_owned()).unwrap().as_str(), name);
        }
    }
}
