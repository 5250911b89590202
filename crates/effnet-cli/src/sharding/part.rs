//! A part of an output: its results, followed by a line with their number and size, which reveals a damaged part.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use effnet_checkpoint::AtomicFile;
use serde::{Deserialize, Serialize};

use crate::outputs::Tally;

/// The maximum length of the last line of a part, in bytes.
const LONGEST_TRAILER: u64 = 128;

/// The last line of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    #[serde(flatten)]
    tally: Tally,
    /// Length of the results before this line, in bytes.
    bytes: u64,
}

/// A part being written.
pub(super) struct PartWriter {
    file: AtomicFile,
    bytes: u64,
    pub(super) tally: Tally,
}

impl PartWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: AtomicFile::create(path)?,
            bytes: 0,
            tally: Tally::default(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Syncs the part to disk and renames it into place.
    pub(super) fn commit(mut self) -> io::Result<()> {
        let trailer = Trailer {
            tally: self.tally,
            bytes: self.bytes,
        };
        serde_json::to_writer(&mut self.file, &trailer)?;
        self.file.write_all(b"\n")?;
        self.file.commit()
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A finished part.
pub(super) struct FinishedPart {
    /// The results, without the last line.
    pub(super) content: io::Take<BufReader<File>>,
    pub(super) tally: Tally,
}

impl FinishedPart {
    /// Opens a part with results for `inputs` inputs. Returns `None` if the file does not exist.
    pub(super) fn open(path: &Path, inputs: usize) -> anyhow::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("{}: cannot read this file", path.display()))?,
        };
        let part = Self::read(file, inputs);
        part.map(Some).with_context(|| {
            format!(
                "{}: this part is damaged; delete it and repeat the command to recompute it",
                path.display()
            )
        })
    }

    fn read(mut file: File, inputs: usize) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_TRAILER)))?;
        let mut end = Vec::new();
        (&mut file).take(LONGEST_TRAILER).read_to_end(&mut end)?;
        let line = end.strip_suffix(b"\n").context("the last line is missing")?;
        let start = line
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let trailer: Trailer = serde_json::from_slice(&line[start..])
            .context("the last line does not hold the number of results")?;
        let content_length = length - (end.len() - start) as u64;
        ensure!(
            trailer.bytes == content_length,
            "expected {} bytes of results, found {content_length}",
            trailer.bytes
        );
        let tally = trailer.tally;
        ensure!(
            tally.done.checked_add(tally.failed) == Some(inputs),
            "expected results for {inputs} inputs, found {} done and {} failed",
            tally.done,
            tally.failed
        );
        file.rewind()?;
        Ok(Self {
            content: BufReader::new(file).take(trailer.bytes),
            tally,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &str, tally: Tally) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut part = PartWriter::create(&folder.path().join("part")).unwrap();
        part.write_all(content.as_bytes()).unwrap();
        part.tally = tally;
        part.commit().unwrap();
        folder
    }

    const TALLY: Tally = Tally { done: 2, failed: 1 };

    #[test]
    fn a_part_gives_back_its_results_and_their_number() {
        for content in ["a\nb\nc\n", "", &format!("{}\n", "a long line ".repeat(1000))] {
            let folder = written(content, TALLY);
            let mut part = FinishedPart::open(&folder.path().join("part"), 3)
                .unwrap()
                .unwrap();
            let mut text = String::new();
            part.content.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), part.tally), (content, TALLY));
        }
    }

    #[test]
    fn a_part_that_was_cut_or_lengthened_anywhere_is_damaged() {
        let folder = written("a\nb\nc\n", TALLY);
        let path = folder.path().join("part");
        let whole = std::fs::read(&path).unwrap();
        let others = (0..whole.len()).map(|length| whole[..length].to_vec());
        for bytes in others.chain([[b"x".as_slice(), &whole].concat(), [&whole[1..], b"\n"].concat()]) {
            std::fs::write(&path, &bytes).unwrap();
            let Err(error) = FinishedPart::open(&path, 3) else {
                panic!("{}", String::from_utf8_lossy(&bytes));
            };
            assert!(error.to_string().contains("damaged"), "{error}");
        }
    }

    #[test]
    fn a_part_with_results_of_another_number_of_inputs_is_damaged_and_a_missing_one_is_none() {
        let folder = written("a\n", TALLY);
        assert!(FinishedPart::open(&folder.path().join("part"), 4).is_err());
        assert!(
            FinishedPart::open(&folder.path().join("other"), 3)
                .unwrap()
                .is_none()
        );
    }
}
