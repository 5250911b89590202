//! The keys that clients of a protected server send.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::ServeError;

/// The largest file of keys.
const MAX_BYTES: u64 = 1 << 20;
/// The shortest key: anything shorter can be guessed.
const SHORTEST: usize = 16;

/// Keys, one of which a client must send as `Authorization: Bearer KEY`. Only their SHA-256 digests are kept.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Reads keys from a file, one per line. Empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// [`ServeError::ApiKeys`] when the file cannot be read or has no key, and for a key of fewer than 16 characters.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ServeError> {
        let path = path.as_ref();
        let failed = |reason: String| ServeError::ApiKeys {
            path: path.to_owned(),
            reason,
        };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        read.map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(failed("more than 1 MiB, expected one key per line".to_owned()));
        }
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The key itself is not repeated: messages end up in logs.
            if line.len() < SHORTEST || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(failed(format!(
                    "line {number}: expected a key of at least {SHORTEST} printable ASCII characters without spaces, such \
                     as the output of `openssl rand -hex 32`"
                )));
            }
            keys.push(digest(line.as_bytes()));
        }
        if keys.is_empty() {
            return Err(failed("no keys, expected one per line".to_owned()));
        }
        Ok(Self(keys))
    }

    /// Whether clients must send a key.
    pub fn is_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether this is one of the keys. Takes the same time for all keys of one length.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        let sent = digest(key);
        let mut found = subtle::Choice::from(0);
        for key in &self.0 {
            found |= key.ct_eq(&sent);
        }
        found.into()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<ApiKeys, ServeError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ApiKeys::open(file.path())
    }

    #[test]
    fn each_line_is_a_key() {
        let keys = keys("# ours\n0123456789abcdef\n\nfedcba9876543210\r\n").unwrap();
        assert!(keys.is_required());
        assert!(keys.has(b"0123456789abcdef") && keys.has(b"fedcba9876543210"));
        assert!(!keys.has(b"0123456789abcde") && !keys.has(b"") && !keys.has(b"# ours"));
        assert!(!ApiKeys::default().is_required());
    }

    #[test]
    fn a_weak_key_is_refused_without_repeating_it() {
        let error = keys("0123456789abcdef\nhunter2\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        assert!(keys("\n#\n").unwrap_err().to_string().contains("no keys"));
        assert!(ApiKeys::open("missing").is_err());
    }
}
