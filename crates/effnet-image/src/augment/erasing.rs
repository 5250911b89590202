//! Random erasing (arXiv:1708.04896), applied after normalisation as in torchvision and timm.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::draw::{chance, check_probability, uniform, within};
use crate::{ImageError, Rectangle};

/// The kind of content that replaces erased pixels, in normalised values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErasingMode {
    /// One colour (timm's `const`, which is zeros; torchvision's `value` as numbers).
    Constant([f32; 3]),
    /// One random colour per rectangle, normally distributed (timm's `rand`).
    RandomColor,
    /// One random colour per pixel, normally distributed (timm's `pixel`; torchvision's `value="random"`).
    RandomPixels,
}

/// Random erasing: overwrites rectangles of random area, aspect ratio and position.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RandomErasing {
    /// Probability of erasing, 0 to 1.
    pub probability: f64,
    /// Minimum and maximum fraction of the image's area that all rectangles together cover.
    pub area: (f64, f64),
    /// Minimum and maximum aspect ratio (height / width), sampled log-uniformly.
    pub ratio: (f64, f64),
    /// The kind of content that replaces erased pixels.
    pub mode: ErasingMode,
    /// Minimum and maximum number of rectangles.
    pub count: (usize, usize),
}

impl Default for RandomErasing {
    /// Returns torchvision's defaults: one rectangle of zeros, with probability 0.5.
    fn default() -> Self {
        Self::torchvision(0.5, ErasingMode::Constant([0.0; 3]))
    }
}

impl RandomErasing {
    /// Returns timm's defaults: one rectangle with 2 % to 33.3 % of the area and a ratio from 0.3 to 10/3.
    pub fn timm(probability: f64, mode: ErasingMode) -> Self {
        Self {
            probability,
            area: (0.02, 1.0 / 3.0),
            ratio: (0.3, 1.0 / 0.3),
            mode,
            count: (1, 1),
        }
    }

    /// Returns torchvision's defaults: one rectangle with 2 % to 33 % of the area and a ratio from 0.3 to 3.3.
    pub fn torchvision(probability: f64, mode: ErasingMode) -> Self {
        Self {
            area: (0.02, 0.33),
            ratio: (0.3, 3.3),
            ..Self::timm(probability, mode)
        }
    }

    /// Sets [`probability`](Self::probability).
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Sets [`area`](Self::area).
    #[must_use]
    pub fn with_area(mut self, area: (f64, f64)) -> Self {
        self.area = area;
        self
    }

    /// Sets [`ratio`](Self::ratio).
    #[must_use]
    pub fn with_ratio(mut self, ratio: (f64, f64)) -> Self {
        self.ratio = ratio;
        self
    }

    /// Sets [`mode`](Self::mode).
    #[must_use]
    pub fn with_mode(mut self, mode: ErasingMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets [`count`](Self::count).
    #[must_use]
    pub fn with_count(mut self, count: (usize, usize)) -> Self {
        self.count = count;
        self
    }

    /// Samples the rectangles to erase from a `width` x `height` image. There may be none.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<Erasure> {
        if !chance(self.probability, rng) {
            return Vec::new();
        }
        let count = rng.random_range(self.count.0..=self.count.1);
        let rectangles = (0..count).filter_map(|_| self.rectangle(width, height, count, rng));
        let rectangles: Vec<Rectangle> = rectangles.collect();
        let mut erasure = |area: Rectangle| Erasure {
            area,
            content: self.content(area, rng),
        };
        rectangles.into_iter().map(&mut erasure).collect()
    }

    /// Samples a rectangle. Returns `None` after ten samples that do not fit.
    fn rectangle(&self, width: usize, height: usize, count: usize, rng: &mut impl Rng) -> Option<Rectangle> {
        let image = (width * height) as f64;
        (0..10).find_map(|_| {
            let area = uniform(self.area, rng) * image / count as f64;
            let ratio = uniform((self.ratio.0.ln(), self.ratio.1.ln()), rng).exp();
            let tall = (area * ratio).sqrt().round_ties_even() as usize;
            let wide = (area / ratio).sqrt().round_ties_even() as usize;
            (tall < height && wide < width).then(|| Rectangle {
                top: rng.random_range(0..=height - tall),
                left: rng.random_range(0..=width - wide),
                width: wide,
                height: tall,
            })
        })
    }

    fn content(&self, area: Rectangle, rng: &mut impl Rng) -> ErasedContent {
        let mut normal = || StandardNormal.sample(rng);
        match self.mode {
            ErasingMode::Constant(color) => ErasedContent::Color(color),
            ErasingMode::RandomColor => ErasedContent::Color([normal(), normal(), normal()]),
            ErasingMode::RandomPixels => {
                let values = std::iter::repeat_with(normal);
                ErasedContent::Pixels(values.take(3 * area.width * area.height).collect())
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        check_probability(self.probability, "an erasing probability from 0 to 1")?;
        within(self.area, (0.0, 1.0), "a range of erased areas from 0 to 1")?;
        let positive = (f64::MIN_POSITIVE, f64::MAX);
        within(self.ratio, positive, "a range of erasing aspect ratios above 0")?;
        let (least, most) = self.count;
        within(
            (least as f64, most as f64),
            (1.0, 1000.0),
            "a range of erasing counts from 1 to 1000",
        )
    }
}

/// A rectangle and its new content.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// The pixels to overwrite.
    pub area: Rectangle,
    /// The new content of the pixels.
    pub content: ErasedContent,
}

/// The new content of erased pixels, in normalised values.
#[derive(Debug, Clone, PartialEq)]
pub enum ErasedContent {
    /// One colour for all pixels.
    Color([f32; 3]),
    /// A separate value for each sample, `[3, area.height, area.width]`.
    Pixels(Vec<f32>),
}

impl Erasure {
    /// Overwrites the rectangle in an image `[3, height, width]`. Parts of it outside the image are ignored.
    pub fn apply(&self, image: &mut [f32], width: usize) {
        let Rectangle { left, top, .. } = self.area;
        let plane = image.len() / 3;
        for (channel, plane) in image.chunks_exact_mut(plane.max(1)).enumerate() {
            let rows = plane
                .chunks_exact_mut(width.max(1))
                .skip(top)
                .take(self.area.height);
            for (y, row) in rows.enumerate() {
                let right = (left + self.area.width).min(width);
                let target = row.get_mut(left..right).unwrap_or_default();
                match &self.content {
                    ErasedContent::Color(color) => target.fill(color[channel.min(2)]),
                    ErasedContent::Pixels(values) => {
                        let line = (channel * self.area.height + y) * self.area.width;
                        let source = values.get(line..).unwrap_or_default();
                        for (pixel, value) in target.iter_mut().zip(source) {
                            *pixel = *value;
                        }
                    }
                }
            }
        }
    }
}
