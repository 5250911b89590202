//! Exact search: every row is compared with every query.
//!
//! One pass over the rows answers all queries. Threads take blocks of rows; of each block a few rows at a time are read
//! into memory that stays in the cache, checked, and multiplied. A read costs less than a map here, and a file that
//! shrinks meanwhile is an error instead of a signal.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};

use crc32fast::Hasher;
use pulp::Arch;

use crate::index::BLOCK;
use crate::kernel::{Products, length, normalize};
use crate::{FeatureIndex, IndexError};

/// The bytes that a thread reads at a time: half of a common second-level cache.
pub(crate) const CHUNK: usize = 256 << 10;

/// A row of an index, with its similarity to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Neighbor {
    /// The row.
    pub row: usize,
    /// The cosine of the angle between the row and the query, -1 to 1; 0 if one of them is all zeros.
    pub similarity: f32,
}

impl Eq for Neighbor {}

impl Ord for Neighbor {
    /// The more similar row is greater, and of equally similar rows the first.
    fn cmp(&self, other: &Self) -> Ordering {
        let similarity = self.similarity.total_cmp(&other.similarity);
        similarity.then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best rows so far for one query; the worst of them is on top.
pub(crate) type Best = BinaryHeap<Reverse<Neighbor>>;

impl FeatureIndex {
    /// Returns the `count` rows that are most similar to each query, the most similar first; of equally similar rows,
    /// the first. All queries are answered in one pass over the file, on up to `threads` threads.
    ///
    /// # Errors
    /// [`IndexError::Width`] if a query does not have the number of features of the rows, [`IndexError::Read`], and
    /// [`IndexError::Damaged`] if the rows differ from those that were written.
    pub fn search<Q: AsRef<[f32]>>(
        &self,
        queries: &[Q],
        count: usize,
        threads: usize,
    ) -> Result<Vec<Vec<Neighbor>>, IndexError> {
        let mut packed = Vec::with_capacity(queries.len() * self.width);
        for query in queries {
            let query = query.as_ref();
            if query.len() != self.width {
                return Err(IndexError::Width {
                    path: self.path.clone(),
                    expected: self.width,
                    found: query.len(),
                });
            }
            let start = packed.len();
            packed.extend_from_slice(query);
            normalize(&mut packed[start..]);
        }
        let count = count.min(self.rows);
        if count == 0 || queries.is_empty() {
            return Ok(queries.iter().map(|_| Vec::new()).collect());
        }
        let search = Search {
            index: self,
            queries: &packed,
            count,
            next: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        };
        let best = search.run(threads.clamp(1, self.sums.len()))?;
        Ok(best.into_iter().map(in_order).collect())
    }
}

/// One pass over an index.
struct Search<'a> {
    index: &'a FeatureIndex,
    /// Vectors of length 1, one after the other.
    queries: &'a [f32],
    count: usize,
    /// The next block to search.
    next: AtomicUsize,
    has_failed: AtomicBool,
}

impl Search<'_> {
    /// Searches with this number of threads, of which this is one.
    fn run(&self, threads: usize) -> Result<Vec<Best>, IndexError> {
        std::thread::scope(|scope| {
            let mut others = Vec::new();
            for _ in 1..threads {
                let thread = std::thread::Builder::new().name("effnet-search".to_owned());
                match thread.spawn_scoped(scope, || self.work()) {
                    Ok(thread) => others.push(thread),
                    // The threads that could be started do the work.
                    Err(_) => break,
                }
            }
            let mut best = self.work();
            for thread in others {
                let found = thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                best = best.and_then(|mut best| {
                    for (best, found) in best.iter_mut().zip(found?) {
                        for Reverse(found) in found {
                            keep(best, found, self.count);
                        }
                    }
                    Ok(best)
                });
            }
            best
        })
    }

    /// Searches blocks until there are no more.
    fn work(&self) -> Result<Vec<Best>, IndexError> {
        let width = self.index.width;
        let query_count = self.queries.len() / width;
        let rows = (CHUNK / (4 * width)).clamp(1, BLOCK);
        let mut worker = Worker {
            arch: Arch::new(),
            rows: vec![0.0; rows * width],
            products: vec![0.0; rows * query_count],
            best: vec![Best::new(); query_count],
        };
        loop {
            let block = self.next.fetch_add(1, Atomic::Relaxed);
            if block >= self.index.sums.len() || self.has_failed.load(Atomic::Relaxed) {
                return Ok(worker.best);
            }
            if let Err(error) = self.search_block(block, &mut worker) {
                self.has_failed.store(true, Atomic::Relaxed);
                return Err(error);
            }
        }
    }

    fn search_block(&self, block: usize, worker: &mut Worker) -> Result<(), IndexError> {
        let Self { index, queries, .. } = self;
        let width = index.width;
        let Range { start, end } = index.block(block);
        let mut sum = Hasher::new();
        let mut first = start;
        while first < end {
            let count = (end - first).min(worker.rows.len() / width);
            let rows = &mut worker.rows[..count * width];
            index.read(first, rows, &mut sum)?;
            let query_count = queries.len() / width;
            let results = &mut worker.products[..count * query_count];
            Products {
                rows,
                queries,
                width,
                results,
            }
            .compute(worker.arch);
            self.keep_best(first, worker, count)?;
            first += count;
        }
        index.check_sum(block, sum)
    }

    /// Keeps the best of `count` rows, the first of which is row `first` of the index.
    fn keep_best(&self, first: usize, worker: &mut Worker, count: usize) -> Result<(), IndexError> {
        let width = self.index.width;
        let query_count = worker.best.len();
        let products = worker.products.chunks_exact(query_count);
        let rows = worker.rows.chunks_exact(width);
        for (row, (products, features)) in products.zip(rows).take(count).enumerate() {
            let row = first + row;
            let scale = if self.index.source().normalized {
                1.0
            } else {
                let length = length(features);
                if length > 0.0 { 1.0 / length } else { 0.0 }
            };
            for (&product, best) in products.iter().zip(&mut worker.best) {
                let similarity = (f64::from(product) * scale) as f32;
                if !similarity.is_finite() {
                    return Err(self
                        .index
                        .damaged(format!("row {row} has features that are not finite")));
                }
                keep(best, Neighbor { row, similarity }, self.count);
            }
        }
        Ok(())
    }
}

/// Returns the best rows, the most similar first.
pub(crate) fn in_order(best: Best) -> Vec<Neighbor> {
    // `Reverse` sorts the greatest first.
    let sorted = best.into_sorted_vec().into_iter();
    sorted.map(|Reverse(neighbor)| neighbor).collect()
}

/// Adds a row to the best rows, of which there are at most `count`, at least 1.
pub(crate) fn keep(best: &mut Best, found: Neighbor, count: usize) {
    if best.len() < count {
        best.push(Reverse(found));
    } else if let Some(mut worst) = best.peek_mut()
        && found > worst.0
    {
        *worst = Reverse(found);
    }
}

/// The memory of a thread.
struct Worker {
    arch: Arch,
    rows: Vec<f32>,
    products: Vec<f32>,
    best: Vec<Best>,
}
