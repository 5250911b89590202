//! Distributes the parts of an output among the ranks.
//!
//! Every process computes the same distribution from the same list of inputs, so the processes need not communicate.

use std::cmp::Reverse;

/// Inputs per part, unless there are very few or very many inputs. This takes seconds on a CPU, so that a killed
/// process loses little work, but far longer than flushing a file to disk.
const USUAL_PART: usize = 256;
/// The fewest parts per process for a smaller job, so that differences in part size even out.
const FEWEST_PARTS: usize = 8;
/// The most parts per process for a larger job, because all parts are files in one folder.
const MOST_PARTS: usize = 1024;

/// Returns the number of inputs per part. It is a multiple of `batch`, so that the batches are the same as in a single
/// process.
pub(super) fn part_size(inputs: usize, world_size: usize, batch: usize) -> usize {
    let share = inputs.div_ceil(world_size);
    let usual = (share / FEWEST_PARTS).clamp(1, USUAL_PART);
    usual
        .max(share.div_ceil(MOST_PARTS))
        .next_multiple_of(batch.max(1))
}

/// Returns the rank of each part, from the parts' sizes in `bytes`. All ranks get the same number of parts, give or
/// take one, because the network takes the same time for each image. They also get about the same number of bytes,
/// because decoding time depends on file size.
pub(super) fn distribute(bytes: &[u64], world_size: usize) -> Vec<usize> {
    let mut largest_first: Vec<usize> = (0..bytes.len()).collect();
    largest_first.sort_by_key(|&part| Reverse(bytes[part]));
    let mut ranks = vec![0; bytes.len()];
    let mut bytes_of = vec![0u64; world_size];
    for round in largest_first.chunks(world_size) {
        let mut lightest_first: Vec<usize> = (0..world_size).collect();
        lightest_first.sort_by_key(|&rank| bytes_of[rank]);
        for (&part, &rank) in round.iter().zip(&lightest_first) {
            ranks[part] = rank;
            bytes_of[rank] += bytes[part];
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_rank(bytes: &[u64], world_size: usize) -> Vec<(usize, u64)> {
        let mut ranks = vec![(0, 0); world_size];
        for (part, rank) in distribute(bytes, world_size).into_iter().enumerate() {
            ranks[rank].0 += 1;
            ranks[rank].1 += bytes[part];
        }
        ranks
    }

    #[test]
    fn all_ranks_get_as_many_parts_and_about_as_many_bytes() {
        // A folder of thumbnails followed by a folder of photos.
        let bytes: Vec<u64> = (0..100)
            .map(|part| if part < 60 { 10 + part } else { 4000 + 7 * part })
            .collect();
        let total: u64 = bytes.iter().sum();
        for world_size in 1..=7 {
            for (parts, bytes) in per_rank(&bytes, world_size) {
                assert!(parts.abs_diff(100 / world_size) <= 1, "{parts} of {world_size}");
                let fair = total as f64 / world_size as f64;
                assert!((bytes as f64 - fair).abs() < 4700.0, "{bytes} instead of {fair}");
            }
        }
    }

    #[test]
    fn fewer_parts_than_ranks_leave_some_without() {
        let mut parts: Vec<usize> = per_rank(&[5, 5], 3).into_iter().map(|(parts, _)| parts).collect();
        parts.sort_unstable();
        assert_eq!(parts, [0, 1, 1]);
        assert!(distribute(&[], 3).is_empty());
    }

    #[test]
    fn parts_are_many_enough_to_even_out_and_few_enough_for_a_folder() {
        assert_eq!(part_size(10_000, 2, 1), 256);
        assert_eq!(part_size(100, 2, 1), 6);
        assert_eq!(part_size(3, 2, 1), 1);
        assert_eq!(part_size(0, 2, 1), 1);
        assert_eq!(part_size(10_000_000, 8, 1), 1221);
        assert_eq!(part_size(100, 2, 16), 16);
        assert_eq!(part_size(10_000, 2, 48), 288);
    }
}
