//! A small canvas: lines, rectangles and text in pixels, encoded as PNG.
//!
//! Plots need only four shapes, but these must look right at any slope and size. General plotting crates draw
//! thick lines without antialiasing and round each glyph to a whole pixel, which leaves gaps in words. The
//! font is embedded, because servers and containers often have no fonts and plots should look the same
//! everywhere.

mod text;

use std::fmt::Display;

use crate::PlotError;
pub(crate) use text::{Across, Down, Label, width_of};

/// Red, green and blue.
pub(crate) type Color = [u8; 3];

/// Background.
pub(crate) const WHITE: Color = [0xff; 3];
/// Text is white on dark cells and black on light ones: one of the two always has a contrast of at least
/// 4.5:1.
pub(crate) const BLACK: Color = [0; 3];
/// Colour of text and axes.
pub(crate) const INK: Color = [0x26, 0x2b, 0x33];
/// Colour of secondary text.
pub(crate) const FAINT: Color = [0x63, 0x6b, 0x77];
/// Colour of grid lines.
pub(crate) const GRID: Color = [0xe6, 0xe8, 0xec];
/// Colour of the first curve and of correct predictions.
pub(crate) const BLUE: Color = [0x1f, 0x66, 0xb5];
/// Colour of the second curve and of mistakes.
pub(crate) const ORANGE: Color = [0xd9, 0x5f, 0x0e];
/// Orange for text on white.
pub(crate) const DARK_ORANGE: Color = [0xa8, 0x47, 0x06];

/// A rectangle in pixels; the right and bottom edges are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) right: i32,
    pub(crate) bottom: i32,
}

/// An image to draw on. Whatever lies outside of it is clipped.
pub(crate) struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// Creates a white canvas.
    pub(crate) fn new((width, height): (u32, u32)) -> Self {
        Self {
            width: width as i32,
            height: height as i32,
            pixels: vec![0xff; width as usize * height as usize * 3],
        }
    }

    /// Mixes `color` into a pixel; `coverage` is the covered fraction of the pixel, 0 to 1.
    fn blend(&mut self, x: i32, y: i32, color: Color, coverage: f32) {
        if x < 0 || y < 0 || x >= self.width || y >= self.height || coverage <= 0.0 {
            return;
        }
        let start = 3 * (y as usize * self.width as usize + x as usize);
        for (pixel, value) in self.pixels[start..start + 3].iter_mut().zip(color) {
            let mixed = f32::from(*pixel) + (f32::from(value) - f32::from(*pixel)) * coverage.min(1.0);
            *pixel = mixed.round() as u8;
        }
    }

    /// Sets the colour of a pixel.
    pub(crate) fn set(&mut self, x: i32, y: i32, color: Color) {
        self.blend(x, y, color, 1.0);
    }

    /// Sets the colours of pixels from `(x, y)` to the right.
    pub(crate) fn row(&mut self, (x, y): (i32, i32), colors: &[Color]) {
        let inside = x >= 0 && y >= 0 && y < self.height && x < self.width;
        if inside {
            let count = colors.len().min((self.width - x) as usize);
            let start = y as usize * self.width as usize + x as usize;
            self.pixels[3 * start..3 * (start + count)].copy_from_slice(colors[..count].as_flattened());
        }
    }

    pub(crate) fn fill(&mut self, rect: Rect, color: Color) {
        for y in rect.top.max(0)..rect.bottom.min(self.height) {
            for x in rect.left.max(0)..rect.right.min(self.width) {
                self.blend(x, y, color, 1.0);
            }
        }
    }

    /// Draws the outline of a rectangle, one pixel wide.
    pub(crate) fn frame(&mut self, rect: Rect, color: Color) {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = rect;
        let side = |left, top, right, bottom| Rect {
            left,
            top,
            right,
            bottom,
        };
        self.fill(side(left, top, right, top + 1), color);
        self.fill(side(left, bottom - 1, right, bottom), color);
        self.fill(side(left, top, left + 1, bottom), color);
        self.fill(side(right - 1, top, right, bottom), color);
    }

    /// Draws connected segments as one line of even thickness.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], thickness: f64, color: Color) {
        let mut mask = Mask::around(points, thickness + 1.0, (self.width, self.height));
        for pair in points.windows(2) {
            mask.cover(pair[0], pair[1], thickness / 2.0);
        }
        mask.blend_into(self, color);
    }

    pub(crate) fn disc(&mut self, center: (f64, f64), radius: f64, color: Color) {
        let mut mask = Mask::around(&[center], radius + 1.0, (self.width, self.height));
        mask.cover(center, center, radius);
        mask.blend_into(self, color);
    }

    pub(crate) fn ring(&mut self, center: (f64, f64), radius: f64, thickness: f64, color: Color) {
        self.disc(center, radius + thickness / 2.0, color);
        self.disc(center, radius - thickness / 2.0, WHITE);
    }

    /// Encodes the canvas as a PNG.
    pub(crate) fn into_png(self) -> Result<Vec<u8>, PlotError> {
        self.encode(png::Compression::Balanced)
    }

    /// Encodes a canvas with photos, which hardly get smaller if the encoder takes its time.
    pub(crate) fn into_fast_png(self) -> Result<Vec<u8>, PlotError> {
        self.encode(png::Compression::Fast)
    }

    fn encode(self, compression: png::Compression) -> Result<Vec<u8>, PlotError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(compression);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

/// The coverage of each pixel in a rectangle by a shape. A line is collected here before it is blended, so
/// that it does not become darker where its segments overlap.
struct Mask {
    rect: Rect,
    coverage: Vec<f32>,
}

impl Mask {
    /// Creates a mask for a shape within `margin` of `points`, clipped to the canvas.
    fn around(points: &[(f64, f64)], margin: f64, (width, height): (i32, i32)) -> Self {
        let (left, right) = bounds(points.iter().map(|point| point.0));
        let (top, bottom) = bounds(points.iter().map(|point| point.1));
        let rect = Rect {
            left: ((left - margin).floor().max(0.0)) as i32,
            top: ((top - margin).floor().max(0.0)) as i32,
            right: ((right + margin).ceil().min(f64::from(width))) as i32,
            bottom: ((bottom + margin).ceil().min(f64::from(height))) as i32,
        };
        let size = |from: i32, to: i32| usize::try_from(to - from).unwrap_or(0);
        let area = size(rect.left, rect.right) * size(rect.top, rect.bottom);
        Self {
            rect,
            coverage: vec![0.0; area],
        }
    }

    /// Covers the pixels within `radius` of the segment from `a` to `b`.
    fn cover(&mut self, a: (f64, f64), b: (f64, f64), radius: f64) {
        let reach = radius + 1.0;
        let rect = self.rect;
        let between = |p: f64, q: f64, least: i32, most: i32| {
            let (low, high) = (p.min(q) - reach, p.max(q) + reach);
            (low.floor() as i32).max(least)..(high.ceil() as i32).min(most)
        };
        let width = (rect.right - rect.left) as usize;
        for y in between(a.1, b.1, rect.top, rect.bottom) {
            for x in between(a.0, b.0, rect.left, rect.right) {
                let center = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let covered = (radius + 0.5 - distance(center, a, b)).clamp(0.0, 1.0) as f32;
                let index = (y - rect.top) as usize * width + (x - rect.left) as usize;
                self.coverage[index] = self.coverage[index].max(covered);
            }
        }
    }

    fn blend_into(self, canvas: &mut Canvas, color: Color) {
        let width = (self.rect.right - self.rect.left).max(1) as usize;
        for (row, y) in self.coverage.chunks_exact(width).zip(self.rect.top..) {
            for (&covered, x) in row.iter().zip(self.rect.left..) {
                canvas.blend(x, y, color, covered);
            }
        }
    }
}

/// Returns the smallest and the largest value; both are infinite if there are no values.
pub(crate) fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// Returns the distance of a point from a segment.
fn distance(point: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = ((point.0 - a.0) * dx + (point.1 - a.1) * dy) / length.max(f64::MIN_POSITIVE);
    let along = along.clamp(0.0, 1.0);
    (point.0 - a.0 - along * dx).hypot(point.1 - a.1 - along * dy)
}

/// Converts an error from the `png` crate; for use with `map_err`.
fn failed(error: impl Display) -> PlotError {
    PlotError::Draw(error.to_string())
}

/// Returns a colour between white (0) and `full` (1).
pub(crate) fn tint(full: Color, strength: f64) -> Color {
    let strength = strength.clamp(0.0, 1.0);
    full.map(|full| (255.0 + strength * (f64::from(full) - 255.0)).round() as u8)
}

/// Returns black or white, whichever is easier to read on `background`.
pub(crate) fn readable_on(background: Color) -> Color {
    if contrast(BLACK, background) >= contrast(WHITE, background) {
        BLACK
    } else {
        WHITE
    }
}

/// Returns the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio").
pub(crate) fn contrast(a: Color, b: Color) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Returns the relative luminance, 0 to 1 (WCAG 2.2).
fn luminance(color: Color) -> f64 {
    let linear = color.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

/// Truncates a text to `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Formats a count with separators: `12,345`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns `part` of `whole` in percent, without decimals. `0` always means none and `100` always means all:
/// 5 of 1000 is `<1`, and 999 of 1000 is `>99`.
pub(crate) fn percentage(part: u64, whole: u64) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    if part == 0 {
        "0".to_owned()
    } else if percent < 1.0 {
        "<1".to_owned()
    } else if part < whole && percent > 99.0 {
        ">99".to_owned()
    } else {
        format!("{percent:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_curves_differ_for_the_color_blind() {
        let seen = test_support::seen_by_color_blind(BLUE);
        for (first, second) in seen.into_iter().zip(test_support::seen_by_color_blind(ORANGE)) {
            let distance = test_support::color_distance(first, second);
            assert!(distance > 40.0, "{first:?} and {second:?}: {distance}");
        }
    }

    #[test]
    fn text_is_readable_on_every_cell_and_on_white() {
        for full in [BLUE, ORANGE] {
            for step in 0..=1000 {
                let cell = tint(full, f64::from(step) / 1000.0);
                let found = contrast(readable_on(cell), cell);
                assert!(found >= 4.5, "{found} on {cell:?}");
            }
        }
        for ink in [INK, FAINT, BLUE, DARK_ORANGE] {
            let found = contrast(ink, WHITE);
            assert!(found >= 4.5, "{found} of {ink:?}");
        }
    }

    #[test]
    fn the_contrast_is_that_of_the_guidelines() {
        assert!((contrast(BLACK, WHITE) - 21.0).abs() < 1e-9);
        // #767676 is the lightest grey with a contrast of 4.5:1 on white.
        assert!(contrast([0x76; 3], WHITE) >= 4.5 && contrast([0x77; 3], WHITE) < 4.5);
    }

    #[test]
    fn none_and_all_are_said_of_nothing_else() {
        let cases = [
            (0, 1000, "0"),
            (0, 0, "0"),
            (1, 1000, "<1"),
            (5, 1000, "<1"),
            (10, 1000, "1"),
            (370, 1000, "37"),
            (990, 1000, "99"),
            (996, 1000, ">99"),
            (1000, 1000, "100"),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(percentage(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let found = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(found, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    /// Returns how dark a canvas is: the sum of the covered fractions of its pixels.
    fn covered(canvas: &Canvas) -> f64 {
        canvas
            .pixels
            .iter()
            .map(|&value| 1.0 - f64::from(value) / 255.0)
            .sum::<f64>()
            / 3.0
    }

    #[test]
    fn lines_are_equally_thick_at_any_slope() {
        for degrees in (0..180).step_by(7) {
            let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
            let end = |side: f64| (100.0 + side * 80.0 * cos, 100.0 + side * 80.0 * sin);
            let mut canvas = Canvas::new((200, 200));
            canvas.line(&[end(-1.0), end(1.0)], 2.0, BLACK);
            let thickness = covered(&canvas) / 160.0;
            assert!(
                (1.9..2.15).contains(&thickness),
                "{thickness} at {degrees} degrees"
            );
        }
    }

    #[test]
    fn segments_that_overlap_are_one_line() {
        let points = [(10.3, 10.0), (60.0, 35.7), (10.3, 10.0)];
        let [mut once, mut twice] = [Canvas::new((80, 50)), Canvas::new((80, 50))];
        once.line(&points[..2], 2.0, BLUE);
        twice.line(&points, 2.0, BLUE);
        assert_eq!(once.pixels, twice.pixels);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut canvas = Canvas::new((20, 20));
        canvas.line(&[(-50.0, -50.0), (80.0, 90.0)], 3.0, INK);
        canvas.disc((200.0, 200.0), 5.0, INK);
        canvas.disc((-200.0, -200.0), 5.0, INK);
        canvas.text("long text that does not fit", (15, 15), Label::new(18, INK));
        assert!(covered(&canvas) > 10.0);
    }
}
