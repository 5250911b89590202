//! An index of features: the header of the NPY file and the lines that describe its rows.

use effnet::{FeatureIndex, IndexSource};

use crate::counting::counted;

/// What a reader may need besides the lines themselves: buffers of files, a block of rows, a thread's heaps.
const WORK: usize = 1 << 20;

/// The bytes as both files: up to the first byte 255 the NPY file, and after it the lines.
pub(crate) fn index(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == 0xff);
    let (rows, lines) = match split {
        Some(split) => (&bytes[..split], &bytes[split + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let path = folder.path().join("f.npy");
    if std::fs::write(&path, rows).is_err()
        || std::fs::write(folder.path().join("f.npy.jsonl"), lines).is_err()
    {
        return;
    }
    let (opened, memory) = counted(|| FeatureIndex::open(&path));
    // Names are copied, and a line of 40 bytes has at most a name and a time.
    let limit = 8 * bytes.len() + WORK;
    assert!(memory.peak <= limit, "{memory:?} for {} bytes", bytes.len());
    let index = match opened {
        Ok(index) => index,
        Err(error) => {
            assert!(
                error.to_string().chars().count() <= 2000,
                "a long message: {error}"
            );
            return;
        }
    };
    assert!(4 * index.rows() * index.width() <= rows.len());
    for row in 0..index.rows() {
        let _ = (index.name(row).len(), index.file(row));
    }
    if let Err(error) = index.check_source(&IndexSource::default()) {
        assert!(
            error.to_string().chars().count() <= 2000,
            "a long message: {error}"
        );
    }
    let query = vec![1.0; index.width()];
    let found = index.search(&[&query], 3, 1);
    let rows = index.rows();
    let mut reader = index.into_row_reader();
    let is_read = (0..rows).all(|row| reader.row(row).is_ok());
    // A search also refuses features that are not finite.
    assert!(is_read || found.is_err(), "a damaged row was searched");
}
