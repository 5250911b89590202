//! The colours of a map, from dark purple over red and orange to light yellow.
//!
//! Equal steps of the value are equal steps to the eye: the path is a helix in the Oklab space (Björn Ottosson, 2020),
//! of constant chroma, along which lightness and hue change evenly. Lightness always rises, so that the order is
//! plain to the colour-blind and in print without colours.

use crate::drawing::Color;

/// Lightness of the first and the last colour.
const LIGHTNESS: [f64; 2] = [0.27, 0.93];
/// Hue of the first and the last colour in degrees.
const HUE: [f64; 2] = [295.0, 462.0];
const CHROMA: f64 = 0.14;

/// Returns the colour of a value from 0 to 1.
pub(super) fn heat(value: f32) -> Color {
    linear(f64::from(value)).map(|channel| {
        let channel = channel.clamp(0.0, 1.0);
        let encoded = if channel <= 0.003_130_8 {
            12.92 * channel
        } else {
            1.055 * channel.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * encoded).round() as u8
    })
}

/// Returns the light of a value's colour: linear red, green and blue.
fn linear(value: f64) -> [f64; 3] {
    let value = value.clamp(0.0, 1.0);
    let between = |[first, last]: [f64; 2]| first + (last - first) * value;
    let hue = between(HUE).to_radians();
    let (lightness, a, b) = (between(LIGHTNESS), CHROMA * hue.cos(), CHROMA * hue.sin());
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let medium = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701 * short,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The light that a viewer without one kind of cones distinguishes (Machado et al., 2009, severity 1).
    const DICHROMATS: [[[f64; 3]; 3]; 3] = [
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    fn lightness(color: [f64; 3]) -> f64 {
        let [red, green, blue] = color.map(|channel| channel.max(0.0));
        let long = 0.412_221_470_8 * red + 0.536_332_536_3 * green + 0.051_445_992_9 * blue;
        let medium = 0.211_903_498_2 * red + 0.680_699_545_1 * green + 0.107_396_956_6 * blue;
        let short = 0.088_302_461_9 * red + 0.281_718_837_6 * green + 0.629_978_700_5 * blue;
        0.210_454_255_3 * long.cbrt() + 0.793_617_785 * medium.cbrt() - 0.004_072_046_8 * short.cbrt()
    }

    #[test]
    fn every_colour_can_be_shown_and_is_lighter_than_the_one_before() {
        let mut before = 0.0;
        for step in 0..=100 {
            let color = linear(f64::from(step) / 100.0);
            let is_shown = color.iter().all(|channel| (-1e-3..=1.0 + 1e-3).contains(channel));
            assert!(is_shown, "{step}: {color:?}");
            let found = lightness(color);
            let expected = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * f64::from(step) / 100.0;
            assert!(
                (found - expected).abs() < 2e-3,
                "{step}: {found}, expected {expected}"
            );
            assert!(found > before);
            before = found;
        }
    }

    #[test]
    fn the_order_is_plain_to_the_colour_blind() {
        for matrix in DICHROMATS {
            let seen = |step: i32| {
                let color = linear(f64::from(step) / 20.0);
                let mix = |row: [f64; 3]| {
                    row.iter()
                        .zip(color)
                        .map(|(weight, channel)| weight * channel)
                        .sum()
                };
                lightness(matrix.map(mix))
            };
            for step in 0..20 {
                assert!(seen(step + 1) - seen(step) > 0.01, "{step}");
            }
        }
    }
}
