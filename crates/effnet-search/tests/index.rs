//! Writes, damages and searches indexes, and compares the neighbours with NumPy's.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use effnet_search::{FeatureIndex, FileStamp, IndexError, IndexSource, IndexWriter};

const WIDTH: usize = 37;

fn vectors(count: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut vector = || (0..width).map(|_| random.f32() - 0.5).collect();
    (0..count).map(|_| vector()).collect()
}

fn source() -> IndexSource {
    IndexSource::default()
        .with_model("b0")
        .with_weights("b0.imagenet", "ab".repeat(32))
        .with_profile("tf")
        .with_preprocessing("224")
}

fn write(folder: &Path, rows: &[Vec<f32>]) -> PathBuf {
    let path = folder.join("features.npy");
    let width = rows.first().map_or(WIDTH, Vec::len);
    let mut writer = IndexWriter::create(&path, width, &source()).unwrap();
    for (row, features) in rows.iter().enumerate() {
        writer.push(&format!("{row}.jpg"), features).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Returns the cosines of all rows in 64 bits, the greatest first.
fn all(rows: &[Vec<f32>], query: &[f32]) -> Vec<(usize, f64)> {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum::<f64>()
    };
    let cosine = |row: &[f32]| dot(row, query) / (dot(row, row) * dot(query, query)).sqrt();
    let mut found: Vec<(usize, f64)> = rows.iter().map(|row| cosine(row)).enumerate().collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found
}

#[test]
fn an_index_is_replaced_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &vectors(3, WIDTH, 1));
    let old = fs::read(&path).unwrap();
    let mut writer = IndexWriter::create(&path, WIDTH, &source()).unwrap();
    writer.push("new.jpg", &[1.0; WIDTH]).unwrap();
    let sidecar = folder.path().join("features.npy.jsonl");
    fs::remove_file(&sidecar).unwrap();
    fs::create_dir(&sidecar).unwrap();
    assert!(matches!(writer.finish(), Err(IndexError::Write { .. })));
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn neighbours_are_those_of_a_search_in_64_bits_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for (count, width) in [(1, 1), (5, 8), (1024, 3), (1025, WIDTH), (5000, 64)] {
        let rows = vectors(count, width, 1);
        let index = FeatureIndex::open(write(folder.path(), &rows)).unwrap();
        assert_eq!((index.rows(), index.width()), (count, width));
        let queries = vectors(6, width, 2);
        let found = index.search(&queries, 10, 1).unwrap();
        for threads in [2, 5, 1000] {
            assert_eq!(index.search(&queries, 10, threads).unwrap(), found);
        }
        // One query has the same neighbours as among others.
        assert_eq!(index.search(&queries[2..3], 10, 1).unwrap()[0], found[2]);
        for (query, found) in queries.iter().zip(&found) {
            let expected = all(&rows, query);
            assert_eq!(found.len(), count.min(10));
            for (found, (row, cosine)) in found.iter().zip(expected) {
                assert!((f64::from(found.similarity) - cosine).abs() < 1e-6);
                if count > 1 {
                    assert_eq!(found.row, row);
                }
                assert_eq!(index.name(found.row), format!("{}.jpg", found.row));
            }
        }
    }
}

#[test]
fn equally_similar_rows_are_in_order_and_zeros_are_similar_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = vec![vec![1.0, 1.0]; 3000];
    rows[7] = vec![0.0, 0.0];
    rows[2999] = vec![4.0, 4.0];
    let index = FeatureIndex::open(write(folder.path(), &rows)).unwrap();
    let nearest = |query: &[f32], count| {
        let found = index.search(&[query], count, 3).unwrap();
        found[0].iter().map(|found| found.row).collect::<Vec<_>>()
    };
    assert_eq!(nearest(&[2.0, 2.0], 9), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    assert_eq!(nearest(&[-2.0, -2.0], 2), [7, 0]);
    let zero = index.search(&[[0.0, 0.0]], 2, 1).unwrap();
    assert!(zero[0].iter().all(|found| found.similarity == 0.0));
    assert_eq!(index.search(&[[1.0, 0.0]], 0, 1).unwrap(), [vec![]]);
    let error = index.search(&[[1.0]], 1, 1).unwrap_err();
    assert!(matches!(
        error,
        IndexError::Width {
            expected: 2,
            found: 1,
            ..
        }
    ));
}

#[test]
fn an_empty_index_has_no_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let index = FeatureIndex::open(write(folder.path(), &[])).unwrap();
    assert_eq!(
        index.search(&vectors(2, WIDTH, 1), 5, 2).unwrap(),
        [vec![], vec![]]
    );
}

#[test]
fn the_index_of_another_network_is_refused_and_the_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let index = FeatureIndex::open(write(folder.path(), &vectors(2, 4, 1))).unwrap();
    index.check_source(&source()).unwrap();
    // Where the weights lie, and whether the rows have length 1, does not matter.
    let moved = source()
        .with_weights("elsewhere.pth", "ab".repeat(32))
        .with_normalized(true);
    index.check_source(&moved).unwrap();
    for (other, expected) in [
        (source().with_model("b3"), "model b0, not b3"),
        (source().with_profile("timm"), "profile tf, not timm"),
        (source().with_preprocessing("300"), "preprocessing 224, not 300"),
        (source().with_network("model_ema"), "network in the file"),
        (
            source().with_weights("b0.advprop", "cd".repeat(32)),
            "weights b0.imagenet (sha256 abababababab), not b0.advprop",
        ),
    ] {
        let error = index.check_source(&other).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Opens and searches an index.
fn use_all(path: &Path) -> Result<(), IndexError> {
    let index = FeatureIndex::open(path)?;
    index.search(&vectors(1, index.width(), 3), 5, 2).map(|_| ())
}

#[test]
fn a_changed_or_truncated_index_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &vectors(1500, 16, 1));
    let sidecar = folder.path().join("features.npy.jsonl");
    use_all(&path).unwrap();
    for file in [&path, &sidecar] {
        let whole = fs::read(file).unwrap();
        let refuse = |bytes: &[u8], what: &str| {
            fs::write(file, bytes).unwrap();
            let error = use_all(&path).expect_err(what).to_string();
            assert!(error.contains(&file.display().to_string()), "{what}: {error}");
        };
        for cut in [0, 1, 9, 50, whole.len() / 2, whole.len() - 1] {
            refuse(&whole[..cut], "cut");
        }
        refuse(&[&whole, b"{}\n".as_slice()].concat(), "lengthened");
        fs::write(file, &whole).unwrap();
        use_all(&path).unwrap();
    }
    // Any changed row, first to last.
    let whole = fs::read(&path).unwrap();
    for place in [128, 5000, 128 + 64 * 1024, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = use_all(&path).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("checksum"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    fs::remove_file(&sidecar).unwrap();
    assert!(matches!(use_all(&path), Err(IndexError::NoSidecar { .. })));
}

#[test]
fn headers_that_promise_too_much_are_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &vectors(3, 4, 1));
    let whole = fs::read(&path).unwrap();
    for (shape, expected) in [
        ("(4, 4)", "need 192 bytes, found 176"),
        ("(4611686018427387904, 4)", "do not fit in any file"),
        ("(1152921504606846960, 4)", "need"),
        ("(3, 4000000000)", "more than 65536"),
        ("(3, 4, 1)", "3 dimensions"),
    ] {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut changed = whole.clone();
        changed[10..127].fill(b' ');
        changed[10..10 + text.len()].copy_from_slice(text.as_bytes());
        fs::write(&path, changed).unwrap();
        let error = use_all(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{shape}: {error}");
    }
}

#[test]
fn any_change_of_either_file_is_an_error_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &vectors(7, 3, 1));
    let sidecar = folder.path().join("features.npy.jsonl");
    let mut random = fastrand::Rng::with_seed(5);
    let mut refused = 0;
    for file in [&path, &sidecar] {
        let whole = fs::read(file).unwrap();
        for _ in 0..2000 {
            let mut changed = whole.clone();
            for _ in 0..random.usize(1..4) {
                let place = random.usize(..changed.len());
                changed[place] = *random.choice(b"0189{}[]()\"',:x \n\xff").unwrap();
            }
            fs::write(file, changed).unwrap();
            refused += usize::from(use_all(&path).is_err());
        }
        fs::write(file, &whole).unwrap();
    }
    assert!(refused > 1500, "{refused}");
}

#[test]
fn the_longest_name_is_read_and_a_longer_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.npy");
    let mut writer = IndexWriter::create(&path, 1, &source()).unwrap();
    let longest = "\u{1}".repeat(8192);
    writer.push(&longest, &[1.0]).unwrap();
    let error = writer.push(&format!("{longest}x"), &[1.0]).unwrap_err();
    assert!(error.to_string().contains("8193"), "{error}");
    writer.finish().unwrap();
    assert_eq!(FeatureIndex::open(&path).unwrap().name(0), longest);
}

#[test]
fn single_rows_and_the_states_of_files_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.npy");
    let rows = vectors(2500, WIDTH, 6);
    let stamp = |row: usize| {
        let (bytes, modified) = (row as u64, u64::MAX - row as u64);
        (row % 3 == 1).then_some(FileStamp { bytes, modified })
    };
    let mut writer = IndexWriter::create(&path, WIDTH, &source()).unwrap();
    for (row, features) in rows.iter().enumerate() {
        writer
            .push_file(&format!("{row}.jpg"), stamp(row), features)
            .unwrap();
    }
    writer.finish().unwrap();
    let mut reader = FeatureIndex::open(&path).unwrap().into_row_reader();
    for row in [0, 1, 1023, 1024, 2499, 5, 2048] {
        assert_eq!(reader.row(row).unwrap(), rows[row]);
        assert_eq!(reader.index().file(row), stamp(row));
    }
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut reader = FeatureIndex::open(&path).unwrap().into_row_reader();
    assert_eq!(reader.row(2047).unwrap(), rows[2047]);
    assert!(
        reader
            .row(2048)
            .unwrap_err()
            .to_string()
            .contains("checksum of rows 2048 to 2499")
    );
}

#[test]
fn rows_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = vectors(3, 4, 1);
    rows[1][2] = f32::NAN;
    let error = use_all(&write(folder.path(), &rows)).unwrap_err().to_string();
    assert!(error.contains("row 1"), "{error}");
}

#[test]
fn nothing_appears_before_the_end_and_a_pipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.npy");
    let mut writer = IndexWriter::create(&path, 2, &source()).unwrap();
    writer.push("a", &[1.0, 2.0]).unwrap();
    assert!(writer.push("b", &[1.0]).is_err());
    assert!(!path.exists());
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = IndexWriter::create(Path::new("/dev/null"), 2, &source()).unwrap_err();
    assert!(error.to_string().contains("/dev/null"));
}

#[test]
fn numpy_reads_the_rows_and_finds_the_same_neighbours() {
    let Some(python) = std::env::var_os("EFFNET_REFERENCE_PYTHON") else {
        let test = "numpy_reads_the_rows_and_finds_the_same_neighbours";
        let line = format!("skipped: {test}: EFFNET_REFERENCE_PYTHON is not set\n");
        eprint!("{line}");
        if let Some(log) = std::env::var_os("EFFNET_SKIP_LOG") {
            let file = fs::OpenOptions::new().create(true).append(true).open(log);
            file.unwrap().write_all(line.as_bytes()).unwrap();
        }
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &vectors(3000, 1280, 1));
    let queries = write_queries(folder.path());
    let script = "import sys, numpy as np\n\
                  rows, queries = (np.load(path).astype(np.float64) for path in sys.argv[1:])\n\
                  unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)\n\
                  cosines = unit(queries) @ unit(rows).T\n\
                  print(np.argsort(-cosines, axis=1)[:, :7].tolist())";
    let output = std::process::Command::new(python)
        .args(["-c", script])
        .args([&path, &queries])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let index = FeatureIndex::open(&path).unwrap();
    let found = index.search(&vectors(9, 1280, 2), 7, 2).unwrap();
    let found: Vec<Vec<usize>> = found
        .iter()
        .map(|found| found.iter().map(|found| found.row).collect())
        .collect();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        format!("{found:?}")
    );
}

fn write_queries(folder: &Path) -> PathBuf {
    let folder = folder.join("queries");
    fs::create_dir(&folder).unwrap();
    write(&folder, &vectors(9, 1280, 2))
}
