//! Random erasing (arXiv 1708.04896) of normalised images, as torchvision and timm do it.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::draw::{chance, check_probability, uniform, within};
use crate::{ImageError, Rectangle};

/// What is put in the place of erased pixels, in normalised values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErasingMode {
    /// One colour (timm's `const` with zeros; torchvision's `value` as numbers).
    Constant([f32; 3]),
    /// A colour a rectangle, normally distributed (timm's `rand`).
    RandomColor,
    /// A colour a pixel, normally distributed (timm's `pixel`; torchvision's `value="random"`).
    RandomPixels,
}

/// Overwrites rectangles of random area and aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomErasing {
    /// The share of the images that something is erased of.
    pub probability: f64,
    /// Least and largest share of the image's area, of all rectangles together.
    pub area: (f64, f64),
    /// Least and largest height over width. Logarithms are drawn evenly.
    pub ratio: (f64, f64),
    /// What is put there.
    pub mode: ErasingMode,
    /// Least and largest number of rectangles.
    pub count: (usize, usize),
}

impl RandomErasing {
    /// timm's defaults: one rectangle of 2 % to a third of the area, ratio 0.3 to 10/3.
    pub fn timm(probability: f64, mode: ErasingMode) -> Self {
        Self {
            probability,
            area: (0.02, 1.0 / 3.0),
            ratio: (0.3, 1.0 / 0.3),
            mode,
            count: (1, 1),
        }
    }

    /// torchvision's defaults: one rectangle of 2 % to 33 % of the area, ratio 0.3 to 3.3.
    pub fn torchvision(probability: f64, mode: ErasingMode) -> Self {
        Self {
            area: (0.02, 0.33),
            ratio: (0.3, 3.3),
            ..Self::timm(probability, mode)
        }
    }

    /// Draws what is erased of an image of `width` x `height`; often nothing.
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

    /// Ten times one is drawn until one fits.
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
        within(self.ratio, positive, "a range of erasing ratios above 0")?;
        let (least, most) = self.count;
        within(
            (least as f64, most as f64),
            (1.0, 1000.0),
            "a range of erasing counts from 1 to 1000",
        )
    }
}

/// A rectangle with what it is overwritten by.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Which pixels.
    pub area: Rectangle,
    /// What is put there.
    pub content: ErasedContent,
}

/// What erased pixels become, in normalised values.
#[derive(Debug, Clone, PartialEq)]
pub enum ErasedContent {
    /// All the same.
    Color([f32; 3]),
    /// Each its own: `[3, area.height, area.width]`.
    Pixels(Vec<f32>),
}

impl Erasure {
    /// Overwrites a part of one image, `[3, height, width]`. What does not fit into it is left out.
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
