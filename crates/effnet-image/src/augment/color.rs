//! Operations that mix the channels of a pixel: Pillow's `ImageEnhance.Color` and the conversions in `Convert.c`,
//! and torchvision's `adjust_hue`.

use crate::Image;

/// Computes the ITU-R 601-2 luma, rounded like Pillow's `convert("L")`.
pub(super) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

/// Interpolates or extrapolates between `from` (factor 0) and `to` (factor 1) like `ImagingBlend`: in single
/// precision, clamped to the range 0 to 255 and truncated.
pub(super) fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let (from, to) = (f32::from(from), f32::from(to));
    (from + factor * (to - from)) as u8
}

pub(super) fn saturation(image: &mut Image, factor: f64) {
    let factor = factor as f32;
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        let gray = luma(*pixel);
        *pixel = pixel.map(|sample| blend(gray, sample, factor));
    }
}

/// Shifts the hue by `factor` of the colour wheel.
pub(super) fn hue(image: &mut Image, factor: f64) {
    // Like numpy's cast: truncate, then drop the high bits.
    let turn = (factor * 255.0) as i32 as u8;
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = to_rgb([hue.wrapping_add(turn), saturation, value]);
    }
}

/// Converts a pixel from RGB to HSV. Pillow declares floats but computes in double precision wherever a literal
/// occurs, so the result depends on where values are rounded: the casts here are where Pillow assigns.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let highest = red.max(green).max(blue);
    let lowest = red.min(green).min(blue);
    if lowest == highest {
        return [0, 0, highest];
    }
    let range = f32::from(highest - lowest);
    let [r, g, b] = [red, green, blue].map(|sample| f32::from(highest - sample) / range);
    let sector = if red == highest {
        b - g
    } else if green == highest {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = ((f64::from(sector) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(highest);
    let byte = |share: f32| (f64::from(share) * 255.0) as u8;
    [byte(hue), byte(saturation), highest]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position.floor();
    let within = (position - sector) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let dimmed = |share: f64| (f64::from(value) * (1.0 - share)).round() as u8;
    let low = dimmed(f64::from(saturation));
    let falling = dimmed(f64::from(saturation * within));
    let rising = dimmed(f64::from(saturation) * (1.0 - f64::from(within)));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
