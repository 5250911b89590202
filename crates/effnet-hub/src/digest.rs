//! SHA-256 digests, full or truncated to the prefix that PyTorch puts into file names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Hex digits of a full SHA-256 digest.
const FULL: usize = 64;
/// Minimum number of hex digits: the 8 of `torch.hub`, enough to detect damage.
const SHORTEST: usize = 8;
/// Buffer size for hashing a file, in bytes.
const BLOCK: usize = 1 << 20;

/// An expected SHA-256: 64 lower-case hex digits, or the first 8 or more of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The error for a string that is not a valid [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a SHA-256 digest: expected 8 to 64 lower-case hexadecimal digits")]
pub struct DigestError(String);

impl Digest {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all 64 digits are known.
    pub fn is_full(&self) -> bool {
        self.0.len() == FULL
    }

    /// Whether `computed`, 64 lower-case hex digits, starts with the known digits.
    pub fn matches(&self, computed: &str) -> bool {
        computed.starts_with(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (SHORTEST..=FULL).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(DigestError(text))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the hex digits of a hash.
pub(crate) fn digits(hasher: Sha256) -> String {
    use fmt::Write as _;
    hasher
        .finalize()
        .iter()
        .fold(String::with_capacity(FULL), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Computes the SHA-256 of a file's content as 64 lower-case hex digits.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn sha256_of_file(path: impl AsRef<Path>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    hash_from(&mut File::open(path)?, &mut hasher)?;
    Ok(digits(hasher))
}

/// Computes the SHA-256 of bytes in memory as 64 lower-case hex digits.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    digits(Sha256::new_with_prefix(bytes))
}

/// Hashes the rest of `source` and returns the number of bytes.
pub(crate) fn hash_from(source: &mut impl Read, hasher: &mut Sha256) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut total = 0;
    loop {
        match source.read(&mut block) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                hasher.update(&block[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Result<Digest, DigestError> {
        Digest::try_from(text.to_owned())
    }

    #[test]
    fn a_prefix_matches_what_starts_with_it_and_a_full_digest_only_itself() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(digest("ba7816bf").unwrap().matches(abc));
        assert!(!digest("ba7816bf").unwrap().is_full());
        assert!(digest(abc).unwrap().is_full());
        assert!(!digest("00000000").unwrap().matches(abc));
    }

    #[test]
    fn upper_case_short_long_and_other_letters_are_refused() {
        for text in ["", "ba7816b", "BA7816BF", "ba7816bg", &"0".repeat(65)] {
            assert!(digest(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hashing_agrees_with_the_standard_test_vector() {
        let mut hasher = Sha256::new();
        assert_eq!(hash_from(&mut &b"abc"[..], &mut hasher).unwrap(), 3);
        assert!(digits(hasher).starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
