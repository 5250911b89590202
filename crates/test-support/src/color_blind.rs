//! How colours look to those who do not tell all of them apart, for tests of plots.

/// The matrices of Machado, Oliveira and Fernandes (2009) for protanopia, deuteranopia and tritanopia, in linear RGB.
const MATRICES: [[[f64; 3]; 3]; 3] = [
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

/// Returns an sRGB colour as it looks with normal vision, protanopia, deuteranopia and tritanopia, in 8 bits.
pub fn seen_by_color_blind(color: [u8; 3]) -> [[u8; 3]; 4] {
    let linear = color.map(to_linear);
    let seen = MATRICES.map(|matrix| {
        matrix.map(|row| {
            let value: f64 = row.iter().zip(linear).map(|(weight, value)| weight * value).sum();
            from_linear(value)
        })
    });
    [color, seen[0], seen[1], seen[2]]
}

/// Returns the distance of two sRGB colours in CIELAB (CIE76): about 2 is just noticeable.
pub fn color_distance(first: [u8; 3], second: [u8; 3]) -> f64 {
    let [first, second] = [first, second].map(to_lab);
    let squares = first
        .iter()
        .zip(second)
        .map(|(first, second)| (first - second).powi(2));
    squares.sum::<f64>().sqrt()
}

fn to_linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

fn from_linear(value: f64) -> u8 {
    let value = value.clamp(0.0, 1.0);
    let value = if value <= 0.003_130_8 {
        12.92 * value
    } else {
        1.055 * value.powf(1.0 / 2.4) - 0.055
    };
    (255.0 * value).round() as u8
}

/// CIELAB, for a white of D65.
fn to_lab(color: [u8; 3]) -> [f64; 3] {
    let [red, green, blue] = color.map(to_linear);
    let cube_root = |value: f64| {
        if value > 216.0 / 24_389.0 {
            value.cbrt()
        } else {
            (24_389.0 / 27.0 * value + 16.0) / 116.0
        }
    };
    let x = cube_root((0.412_456 * red + 0.357_576 * green + 0.180_438 * blue) / 0.950_47);
    let y = cube_root(0.212_673 * red + 0.715_152 * green + 0.072_175 * blue);
    let z = cube_root((0.019_334 * red + 0.119_192 * green + 0.950_304 * blue) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_and_green_look_alike_to_some_and_grey_stays_grey() {
        let [first, second] = [[200, 60, 40], [90, 120, 30]].map(seen_by_color_blind);
        let distance = |vision: usize| color_distance(first[vision], second[vision]);
        assert!(distance(0) > 60.0 && distance(3) > 60.0);
        assert!(distance(1) < 40.0 && distance(2) < 40.0);
        for seen in seen_by_color_blind([128; 3]) {
            assert!(color_distance(seen, [128; 3]) < 2.0, "{seen:?}");
        }
        assert!((color_distance([0; 3], [255; 3]) - 100.0).abs() < 0.1);
    }
}
