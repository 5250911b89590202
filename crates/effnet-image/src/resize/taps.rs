//! Filter coefficients (`precompute_coeffs` and `normalize_coeffs_8bpc` in Pillow's `Resample.c`).

use std::ops::Range;

use super::Interpolation;

/// The number of fractional bits in a coefficient: 32, minus 8 for the sample and 2 for overshoot.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The filter kernel of an antialiased resize.
trait Filter {
    /// Returns half the width of the kernel at scale 1.
    fn support(self) -> f64;

    /// Returns the weight at distance `x` from the kernel's centre.
    fn weight(self, x: f64) -> f64;
}

impl Filter for Interpolation {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            // Not a kernel: see `Taps::nearest`.
            Self::Nearest => 0.5,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The source samples that contribute to each output sample along one axis, and their weights.
#[derive(Debug)]
pub(super) struct Taps {
    /// The first source sample and the number of source samples, for each output sample.
    bounds: Vec<(usize, usize)>,
    /// `stride` weights for each output sample, in units of `2^-PRECISION`; unused weights are 0.
    weights: Vec<i32>,
    stride: usize,
}

impl Taps {
    /// Computes the taps for the output samples `outputs`, for a resize from `from` to `to` samples.
    pub(super) fn new(from: usize, to: usize, interpolation: Interpolation, outputs: Range<usize>) -> Self {
        if interpolation == Interpolation::Nearest {
            return Self::nearest(from, from as f64 / to as f64, outputs);
        }
        Self::of_part(from, (0.0, from as f64), to, interpolation, outputs)
    }

    /// Like [`new`](Self::new), but only `length` samples from `start` on are resized. The filter still sees the samples
    /// around them, as with the argument `box` of Pillow's `resize`. The nearest sample is not supported.
    pub(super) fn of_part(
        from: usize,
        (start, length): (f64, f64),
        to: usize,
        interpolation: Interpolation,
        outputs: Range<usize>,
    ) -> Self {
        let scale = length / to as f64;
        let filter_scale = scale.max(1.0);
        let support = interpolation.support() * filter_scale;
        let stride = support.ceil() as usize * 2 + 1;
        let inverse = 1.0 / filter_scale;

        let mut bounds = Vec::with_capacity(outputs.len());
        let mut weights = vec![0; outputs.len() * stride];
        let mut exact = Vec::with_capacity(stride);
        for (output, row) in outputs.zip(weights.chunks_exact_mut(stride)) {
            let center = start + (output as f64 + 0.5) * scale;
            // Casts truncate and saturate at zero, like Pillow's clamp.
            let first = (center - support + 0.5) as usize;
            let last = ((center + support + 0.5) as usize).min(from);
            exact.clear();
            exact.extend(
                (first..last).map(|sample| interpolation.weight((sample as f64 - center + 0.5) * inverse)),
            );
            let sum: f64 = exact.iter().sum();
            for (fixed, weight) in row.iter_mut().zip(&exact) {
                let weight = if sum == 0.0 { *weight } else { weight / sum };
                let scaled = weight * f64::from(1 << PRECISION);
                // Not `round`, because the addition itself may round up, as it does in Pillow.
                *fixed = (scaled + 0.5_f64.copysign(scaled)) as i32;
            }
            bounds.push((first, last - first));
        }
        Self {
            bounds,
            weights,
            stride,
        }
    }

    /// One source sample for each output sample. Pillow adds up the scale from sample to sample
    /// (`ImagingScaleAffine` in `Geometry.c`), and the rounding of the sum decides between two samples.
    fn nearest(from: usize, scale: f64, outputs: Range<usize>) -> Self {
        let mut bounds = Vec::with_capacity(outputs.len());
        let mut position = scale * 0.5;
        for output in 0..outputs.end {
            if output >= outputs.start {
                bounds.push(((position as usize).min(from - 1), 1));
            }
            position += scale;
        }
        Self {
            weights: vec![1 << PRECISION; bounds.len()],
            bounds,
            stride: 1,
        }
    }

    /// The number of output samples.
    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Iterates over the output samples, with the first source sample of each and the weights from that sample on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.stride);
        let pairs = self.bounds.iter().zip(weights);
        pairs.map(|(&(first, count), weights)| (first, &weights[..count]))
    }

    /// Returns the range of source samples used: the first, and one past the last.
    pub(super) fn source_range(&self) -> (usize, usize) {
        let first = self.bounds.first().map_or(0, |bound| bound.0);
        let last = self.bounds.last().map_or(0, |bound| bound.0 + bound.1);
        (first, last)
    }

    /// Returns the same taps for a source that starts at sample `first`.
    pub(super) fn shifted(mut self, first: usize) -> Self {
        for bound in &mut self.bounds {
            bound.0 -= first;
        }
        self
    }
}
