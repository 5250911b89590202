//! Times exact search: `search_speed FILE.npy ROWS [THREADS]`, for `scripts/bench/similar-search`.
//!
//! Writes an index of random vectors unless the file exists, and a file of queries next to it. Prints one line of JSON
//! with the seconds of each search and the rows that were found.

use std::path::{Path, PathBuf};
use std::time::Instant;

use effnet_search::{FeatureIndex, IndexSource, IndexWriter, normalize};

/// The features of B0.
const WIDTH: usize = 1280;
const QUERIES: usize = 16;
const NEIGHBORS: usize = 10;

fn vector(random: &mut fastrand::Rng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..WIDTH).map(|_| random.f32() - 0.5).collect();
    normalize(&mut vector);
    vector
}

fn write(path: &Path, rows: usize, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let source = IndexSource::default().with_normalized(true);
    let mut writer = IndexWriter::create(path, WIDTH, &source)?;
    for row in 0..rows {
        writer.push(&format!("{row:07}.jpg"), &vector(&mut random))?;
    }
    Ok(writer.finish()?)
}

#[allow(clippy::print_stdout, reason = "the result of this program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("expected FILE.npy ROWS [THREADS]")?);
    let rows: usize = arguments.next().ok_or("expected ROWS")?.parse()?;
    let threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    if !path.exists() {
        write(&path, rows, 1)?;
        write(&path.with_extension("queries.npy"), QUERIES, 2)?;
    }
    let mut random = fastrand::Rng::with_seed(2);
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| vector(&mut random)).collect();
    let start = Instant::now();
    let index = FeatureIndex::open(&path)?;
    let open = start.elapsed().as_secs_f64();
    let time = |count: usize| -> Result<(f64, Vec<Vec<usize>>), effnet_search::IndexError> {
        let mut best = f64::INFINITY;
        let mut rows = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let found = index.search(&queries[..count], NEIGHBORS, threads)?;
            best = best.min(start.elapsed().as_secs_f64());
            rows = found
                .iter()
                .map(|found| found.iter().map(|found| found.row).collect())
                .collect();
        }
        Ok((best, rows))
    };
    let (one, _) = time(1)?;
    let (many, found) = time(QUERIES)?;
    let report = serde_json::json!({
        "rows": index.rows(),
        "threads": threads,
        "open": open,
        "one": one,
        "many": many,
        "found": found,
    });
    println!("{report}");
    Ok(())
}
