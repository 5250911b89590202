//! Perturbation methods: they change the image and measure the effect on the logits. They need no gradients, but many
//! passes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::class_map::{ClassMap, bilinear};
use super::error::ExplainError;
use crate::{Backend, Engine, Images};

/// Cells of the map along each side, each 16 pixels of an image of 224 pixels.
const CELLS: usize = 14;
/// Side of the square that is hidden, in cells.
const HIDDEN: usize = 3;

/// The question that each pass answers: the logits of some classes for a changed image.
pub(super) struct Target<'a> {
    pub(super) engine: &'a Engine,
    pub(super) image: Images<'a>,
    pub(super) classes: &'a [usize],
    pub(super) batch_size: usize,
    pub(super) stop: &'a AtomicBool,
}

impl Target<'_> {
    /// Calls `change(index, image)` on a copy of the image for each of `count` passes, runs the copies in batches and
    /// calls `take(index, logits)` with the logits of the classes.
    fn each(
        &self,
        count: usize,
        change: impl Fn(usize, &mut [f32]),
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<(), ExplainError> {
        let original = self.image.pixels();
        let [_, channels, height, width] = self.image.shape();
        let mut batch = Vec::new();
        for first in (0..count).step_by(self.batch_size) {
            if self.stop.load(Ordering::SeqCst) {
                return Err(ExplainError::Stopped);
            }
            let images = self.batch_size.min(count - first);
            batch.clear();
            for index in first..first + images {
                let start = batch.len();
                batch.extend_from_slice(original);
                change(index, &mut batch[start..]);
            }
            let rows = self
                .engine
                .run(Images::new(&batch, [images, channels, height, width])?)?;
            for (index, row) in (first..).zip(rows.iter()) {
                let logits: Vec<f32> = self.classes.iter().map(|&class| row[class]).collect();
                take(index, &logits);
            }
        }
        Ok(())
    }
}

/// A grid of cells over an image, and the squares of cells that are hidden one after another.
pub(super) struct Occlusion {
    /// The first pixel of each row and column of cells, and the end of the last.
    rows: Vec<usize>,
    columns: Vec<usize>,
    image: [usize; 2],
}

impl Occlusion {
    pub(super) fn of(height: usize, width: usize) -> Self {
        let borders = |side: usize| {
            let cells = CELLS.min(side);
            (0..=cells).map(|cell| cell * side / cells.max(1)).collect()
        };
        Self {
            rows: borders(height),
            columns: borders(width),
            image: [height, width],
        }
    }

    /// Rows and columns of the grid.
    fn cells(&self) -> [usize; 2] {
        [self.rows.len() - 1, self.columns.len() - 1]
    }

    /// Places of the square, per column and per row.
    fn places(&self) -> [usize; 2] {
        self.cells().map(|cells| cells.saturating_sub(HIDDEN) + 1)
    }

    /// Number of squares.
    pub(super) fn count(&self) -> usize {
        self.places().iter().product()
    }

    /// The rows and columns of cells of a square: the first ones and the ends.
    fn square(&self, index: usize) -> [std::ops::Range<usize>; 2] {
        let ([rows, columns], [_, across]) = (self.cells(), self.places());
        let range = |first: usize, cells: usize| first..(first + HIDDEN).min(cells);
        [range(index / across, rows), range(index % across, columns)]
    }

    /// Computes the mean drop of the logit per cell, for each class. `logits` are those of the whole image.
    pub(super) fn maps(&self, target: &Target<'_>, logits: &[f32]) -> Result<Vec<ClassMap>, ExplainError> {
        let [height, width] = self.cells();
        let mut drops = vec![vec![0.0_f64; height * width]; logits.len()];
        let mut squares = vec![0_u32; height * width];
        let hide = |index: usize, image: &mut [f32]| {
            let [rows, columns] = self.square(index);
            let (left, right) = (self.columns[columns.start], self.columns[columns.end]);
            let (top, bottom) = (self.rows[rows.start], self.rows[rows.end]);
            for plane in image.chunks_exact_mut(self.image[0] * self.image[1]) {
                for row in plane.chunks_exact_mut(self.image[1]).take(bottom).skip(top) {
                    // The mean colour is 0 after normalisation.
                    row[left..right].fill(0.0);
                }
            }
        };
        target.each(self.count(), hide, |index, hidden| {
            let [rows, columns] = self.square(index);
            for cell in rows.flat_map(|row| columns.clone().map(move |column| row * width + column)) {
                squares[cell] += 1;
                for ((drops, logit), hidden) in drops.iter_mut().zip(logits).zip(hidden) {
                    drops[cell] += f64::from(*logit) - f64::from(*hidden);
                }
            }
        })?;
        let mean = |drops: Vec<f64>| {
            let means = drops
                .iter()
                .zip(&squares)
                .map(|(drop, &count)| (drop / f64::from(count)) as f32);
            ClassMap::new(means.collect(), [height, width])
        };
        Ok(drops.into_iter().map(mean).collect())
    }
}

/// Shows the network only what each channel of `planes` `[C, height, width]` responds to, and returns a weight per
/// channel for each class: the softmax over the channels of the logits.
pub(super) fn weights_of_channels(
    target: &Target<'_>,
    (planes, [channels, height, width]): (&[f32], [usize; 3]),
) -> Result<Vec<Vec<f32>>, ExplainError> {
    let [_, _, rows, columns] = target.image.shape();
    let mut logits = vec![vec![0.0_f32; channels]; target.classes.len()];
    let mask = |channel: usize, image: &mut [f32]| {
        let plane = &planes[channel * height * width..][..height * width];
        let shown = |index: usize| {
            let (down, across) = (index / columns, index % columns);
            let place = |at: usize, side: usize| (at as f64 + 0.5) / side as f64;
            bilinear(plane, [height, width], place(down, rows), place(across, columns))
        };
        let shown: Vec<f32> = (0..rows * columns).map(shown).collect();
        let least = shown.iter().copied().fold(f32::INFINITY, f32::min);
        let range = shown.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
        for plane in image.chunks_exact_mut(rows * columns) {
            for (pixel, shown) in plane.iter_mut().zip(&shown) {
                *pixel *= (shown - least) / (range + 1e-8);
            }
        }
    };
    target.each(channels, mask, |channel, found| {
        for (logits, &logit) in logits.iter_mut().zip(found) {
            logits[channel] = logit;
        }
    })?;
    Ok(logits.iter().map(|logits| softmax(logits)).collect())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |&logit: &f32| f64::from(logit - highest).exp();
    let total: f64 = logits.iter().map(exponential).sum();
    logits
        .iter()
        .map(|logit| (exponential(logit) / total) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_hidden_and_small_images_have_fewer_cells() {
        for (side, cells, count) in [(224, 14, 144), (225, 14, 144), (5, 5, 9), (2, 2, 1), (1, 1, 1)] {
            let grid = Occlusion::of(side, side);
            assert_eq!((grid.cells(), grid.count()), ([cells; 2], count), "{side}");
            assert_eq!((grid.rows[0], grid.rows[cells]), (0, side));
            let mut hidden = vec![false; cells * cells];
            for index in 0..count {
                let [rows, columns] = grid.square(index);
                for row in rows {
                    hidden[row * cells..][columns.clone()].fill(true);
                }
            }
            assert!(hidden.iter().all(|&hidden| hidden), "{side}");
        }
    }
}
