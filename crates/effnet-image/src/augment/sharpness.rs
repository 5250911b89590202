//! Pillow's `ImageEnhance.Sharpness`, with its `SMOOTH` filter.

use super::color::blend;
use crate::Image;

/// Blends the image with a smoothed copy, a 3 x 3 mean whose centre has a weight of 5/13. Border pixels do not
/// change.
pub(super) fn sharpness(image: &mut Image, factor: f64) {
    let (width, height) = (image.width(), image.height());
    if width < 3 || height < 3 {
        return;
    }
    let factor = factor as f32;
    let row = width * 3;
    let mut sharp = image.pixels().to_vec();
    let rows: Vec<&[u8]> = image.rows().collect();
    let targets = sharp.chunks_exact_mut(row).skip(1);
    for (window, target) in rows.windows(3).zip(targets) {
        let [above, here, below] = [window[0], window[1], window[2]];
        for at in 3..row - 3 {
            let three = |line: &[u8]| u32::from(line[at - 3]) + u32::from(line[at]) + u32::from(line[at + 3]);
            let sum = three(above) + three(here) + three(below) + 4 * u32::from(here[at]);
            // Round to nearest. Thirteenths are never ties, so this agrees with Pillow's sums in single precision.
            let smooth = (2 * sum + 13) / 26;
            target[at] = blend(smooth as u8, here[at], factor);
        }
    }
    *image = Image::from_parts(width, height, sharp);
}
