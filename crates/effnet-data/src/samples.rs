//! A sheet of training images as the network sees them, for judging augmentation and labels by eye.

use crate::PlotError;
use crate::drawing::{Across, Canvas, Down, INK, Label, shortened};

/// An image with a caption.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<[u8; 3]>,
    /// The text printed below the image.
    pub caption: String,
}

impl Sample {
    /// Creates an image of `size` (width, height) from its pixels, row by row.
    pub fn new(size: (usize, usize), pixels: Vec<[u8; 3]>, caption: impl Into<String>) -> Self {
        let caption = caption.into();
        Self {
            size,
            pixels,
            caption,
        }
    }
}

const COLUMNS: usize = 4;
/// Side of the squares in which images are drawn: larger images are scaled down, smaller ones are enlarged.
const SIDE: usize = 192;
const GAP: usize = 12;
const CAPTION: usize = 26;
const TITLE: usize = 52;
/// The longest side of a sheet in pixels, roughly.
const LONGEST: usize = 30_000;
/// Maximum length of a caption, in characters.
const NAME: usize = 24;

/// Draws images in rows of four below a title, as a PNG.
///
/// # Errors
/// [`PlotError::Draw`], also if the number of pixels of an image does not match its size.
pub fn samples_png(title: &str, samples: &[Sample]) -> Result<Vec<u8>, PlotError> {
    contact_sheet_png(title, COLUMNS, samples)
}

/// Draws images in rows of `columns` (at least 1) below a title, as a PNG.
///
/// # Errors
/// Same as [`samples_png`], and if the sheet would have more than 30,000 pixels on a side.
pub fn contact_sheet_png(title: &str, columns: usize, samples: &[Sample]) -> Result<Vec<u8>, PlotError> {
    let columns = columns.max(1);
    let rows = samples.len().div_ceil(columns).max(1);
    if columns > LONGEST / (SIDE + GAP) || rows > LONGEST / (SIDE + CAPTION + GAP) {
        let found = format!("a sheet of {rows} rows and {columns} columns is too large");
        return Err(PlotError::Draw(found));
    }
    let width = columns * (SIDE + GAP) + GAP;
    let height = TITLE + rows * (SIDE + CAPTION + GAP);
    let mut canvas = Canvas::new((width as u32, height as u32));
    canvas.text(title, (GAP as i32, 16), Label::new(19, INK).bold());
    for (index, sample) in samples.iter().enumerate() {
        let left = GAP + index % columns * (SIDE + GAP);
        let top = TITLE + index / columns * (SIDE + CAPTION + GAP);
        draw(&mut canvas, (left as i32, top as i32), sample)?;
    }
    canvas.into_png()
}

fn draw(canvas: &mut Canvas, (left, top): (i32, i32), sample: &Sample) -> Result<(), PlotError> {
    let (width, height) = sample.size;
    if width == 0 || height == 0 || width.checked_mul(height) != Some(sample.pixels.len()) {
        let found = sample.pixels.len();
        return Err(PlotError::Draw(format!(
            "expected {width} x {height} pixels, found {found}"
        )));
    }
    for row in 0..SIDE {
        let from = row * height / SIDE * width;
        for column in 0..SIDE {
            let color = sample.pixels[from + column * width / SIDE];
            canvas.set(left + column as i32, top + row as i32, color);
        }
    }
    let place = (left + SIDE as i32 / 2, top + (SIDE + CAPTION / 2) as i32);
    let label = Label::new(15, INK).at(Across::Center, Down::Center);
    canvas.text(&shortened(&sample.caption, NAME), place, label);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the colour of a pixel of a PNG.
    fn pixel(png: &[u8], x: usize, y: usize) -> [u8; 3] {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let width = reader.next_frame(&mut bytes).unwrap().width as usize;
        let start = 3 * (y * width + x);
        [bytes[start], bytes[start + 1], bytes[start + 2]]
    }

    #[test]
    fn images_stand_in_rows_whatever_their_size() {
        let colors = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [9, 9, 9], [90, 0, 90]];
        let samples: Vec<Sample> = colors
            .iter()
            .zip([1, 32, 192, 500, 600])
            .map(|(&color, side)| Sample::new((side, side), vec![color; side * side], "cat"))
            .collect();
        let png = samples_png("five images", &samples).unwrap();
        for (index, color) in colors.into_iter().enumerate() {
            let x = GAP + index % COLUMNS * (SIDE + GAP);
            let y = TITLE + index / COLUMNS * (SIDE + CAPTION + GAP);
            for corner in [(x, y), (x + SIDE - 1, y + SIDE - 1)] {
                assert_eq!(pixel(&png, corner.0, corner.1), color);
            }
            assert_eq!(pixel(&png, x + SIDE, y), [255; 3]);
        }
    }

    #[test]
    fn an_image_without_all_of_its_pixels_is_refused() {
        let sample = Sample::new((3, 3), vec![[0; 3]; 8], "");
        assert!(samples_png("", &[sample]).is_err());
    }
}
