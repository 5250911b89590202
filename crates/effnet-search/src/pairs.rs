//! The nearest neighbours of vectors among themselves, in memory: the search of `effnet check`.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pulp::Arch;

use crate::Neighbor;
use crate::kernel::Products;
use crate::search::{Best, CHUNK, in_order, keep};

/// The number of vectors that a thread compares with all others at a time.
const QUERIES: usize = 64;

/// Returns the `count` other rows that are most similar to each row, the most similar first; of equally similar rows, the
/// first. `rows` holds vectors of `width` numbers and of length 1 (see [`normalize`](crate::normalize)) or 0, one after
/// the other. The search is exact, and its result does not depend on the number of threads.
///
/// # Panics
/// If `rows` does not hold whole rows.
pub fn nearest_rows(rows: &[f32], width: usize, count: usize, threads: usize) -> Vec<Vec<Neighbor>> {
    if rows.is_empty() {
        return Vec::new();
    }
    assert!(
        width > 0 && rows.len().is_multiple_of(width),
        "the last row is cut off"
    );
    let blocks = rows.len().div_ceil(QUERIES * width);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(blocks)));
    let work = || loop {
        let block = next.fetch_add(1, Ordering::Relaxed);
        if block >= blocks {
            return;
        }
        let nearest = nearest_of_block(rows, width, block * QUERIES, count);
        found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((block, nearest));
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, blocks) {
            let thread = std::thread::Builder::new().name("effnet-search".to_owned());
            // The threads that could be started do the work.
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(block, _)| *block);
    found.into_iter().flat_map(|(_, nearest)| nearest).collect()
}

/// Compares up to [`QUERIES`] rows from row `first` on with all others.
fn nearest_of_block(rows: &[f32], width: usize, first: usize, count: usize) -> Vec<Vec<Neighbor>> {
    let last = (first * width + QUERIES * width).min(rows.len());
    let queries = &rows[first * width..last];
    let query_count = queries.len() / width;
    let chunk = (CHUNK / (4 * width)).max(1) * width;
    let arch = Arch::new();
    let mut products = vec![0.0; chunk / width * query_count];
    let mut best: Vec<Best> = vec![BinaryHeap::new(); query_count];
    if count == 0 {
        return best.into_iter().map(in_order).collect();
    }
    for (index, rows) in rows.chunks(chunk).enumerate() {
        let start = index * (chunk / width);
        let results = &mut products[..rows.len() / width * query_count];
        Products {
            rows,
            queries,
            width,
            results,
        }
        .compute(arch);
        for (row, products) in results.chunks_exact(query_count).enumerate() {
            let row = start + row;
            for (query, (&similarity, best)) in products.iter().zip(&mut best).enumerate() {
                if row != first + query {
                    keep(best, Neighbor { row, similarity }, count);
                }
            }
        }
    }
    best.into_iter().map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_search_in_64_bits_for_any_number_of_threads() {
        let mut random = fastrand::Rng::with_seed(4);
        for (rows, width) in [(2, 1), (65, 7), (300, 1280), (1500, 37)] {
            let mut values: Vec<f32> = (0..rows * width).map(|_| random.f32() - 0.5).collect();
            values.chunks_exact_mut(width).for_each(crate::normalize);
            let found = nearest_rows(&values, width, 5, 1);
            assert_eq!(found.len(), rows);
            assert_eq!(nearest_rows(&values, width, 5, 3), found);
            let row = |index: usize| &values[index * width..][..width];
            for index in (0..rows).step_by(71) {
                let dot = |other: usize| -> f64 {
                    let pairs = row(index).iter().zip(row(other));
                    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let mut others: Vec<usize> = (0..rows).filter(|other| *other != index).collect();
                others.sort_by(|a, b| dot(*b).total_cmp(&dot(*a)));
                others.truncate(5);
                let indices: Vec<usize> = found[index].iter().map(|neighbor| neighbor.row).collect();
                assert_eq!(indices, others, "row {index} of {rows}");
                assert!((f64::from(found[index][0].similarity) - dot(others[0])).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn equal_rows_are_neighbours_in_order_and_few_rows_have_few() {
        assert!(nearest_rows(&[], 3, 2, 2).is_empty());
        let found = nearest_rows(&[1.0; 4], 1, 2, 2);
        let rows: Vec<Vec<usize>> = found
            .iter()
            .map(|found| found.iter().map(|found| found.row).collect())
            .collect();
        assert_eq!(rows, [[1, 2], [0, 2], [0, 1], [0, 1]]);
        let similarity = 0.0;
        assert_eq!(
            nearest_rows(&[0.0, 0.0, 0.6, 0.8], 2, 3, 1),
            [
                [Neighbor { row: 1, similarity }],
                [Neighbor { row: 0, similarity }]
            ]
        );
        assert_eq!(nearest_rows(&[1.0; 2], 1, 0, 2), [vec![], vec![]]);
    }
}
