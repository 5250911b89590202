//! Converts YCbCr strips and tiles to RGB, with the rounding of libtiff's RGBA conversion, or of Pillow where
//! Pillow reads the samples itself.

use super::directory::{Directory, tag};
use crate::error::Fault;

/// Tables that map samples to what they add to red, green and blue.
pub(super) struct Conversion {
    luma: [i32; 256],
    red: [i32; 256],
    blue: [i32; 256],
    /// In units of 2^-shift.
    green: [[i32; 256]; 2],
    shift: u32,
}

impl Conversion {
    /// Pillow's `ImagingConvertYCbCr2RGB`, which is applied to uncompressed files without subsampling.
    pub(super) fn pillow() -> Self {
        const SHIFT: u32 = 6;
        let table = |factor: f64| {
            // Rounded like a C cast: towards 0, after a half is added.
            let term = |code: usize| (factor * 64.0 * (code as f64 - 128.0) + 0.5) as i32;
            std::array::from_fn(term)
        };
        let shifted = |factor: f64| table(factor).map(|term: i32| term >> SHIFT);
        Self {
            luma: std::array::from_fn(|code| code as i32),
            red: shifted(1.402),
            blue: shifted(1.772),
            green: [table(-0.34414), table(-0.71414)],
            shift: SHIFT,
        }
    }

    /// libtiff's `TIFFYCbCrToRGBInit`, with its mixture of `float` and `double`.
    pub(super) fn libtiff(directory: &Directory<'_>) -> Result<Self, Fault> {
        const SHIFT: u32 = 16;
        let coefficients = directory.reals::<3>(tag::YCBCR_COEFFICIENTS);
        let [red, green, blue] = coefficients.unwrap_or([0.299, 0.587, 0.114]);
        let range = directory.reals::<6>(tag::REFERENCE_BLACK_WHITE);
        let range = range.unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        if green == 0.0
            || [red, green, blue]
                .iter()
                .chain(&range)
                .any(|value| !value.is_finite())
        {
            return Err(Fault::malformed("its YCbCr coefficients are not usable"));
        }
        let fixed = |factor: f32| (f64::from(factor.clamp(0.0, 2.0) * 65536.0) + 0.5) as i32;
        let (from_red, from_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let factors = [
            fixed(from_red),
            -fixed(red * from_red / green),
            fixed(from_blue),
            -fixed(blue * from_blue / green),
        ];
        let value = |code: i32, black: f32, white: f32, largest: f32| {
            let span = if white - black == 0.0 { 1.0 } else { white - black };
            let value = (code.wrapping_sub(black as i32)) as f32 * largest / span;
            value.clamp(-4096.0, 4096.0) as i32
        };
        let chroma = |code: usize, black: f32, white: f32| {
            value(code as i32 - 128, black - 128.0, white - 128.0, 127.0)
        };
        let cb = |code| chroma(code, range[2], range[3]);
        let cr = |code| chroma(code, range[4], range[5]);
        let half = 1 << (SHIFT - 1);
        Ok(Self {
            luma: std::array::from_fn(|code| value(code as i32, range[0], range[1], 255.0)),
            red: std::array::from_fn(|code| (factors[0] * cr(code) + half) >> SHIFT),
            blue: std::array::from_fn(|code| (factors[2] * cb(code) + half) >> SHIFT),
            green: [
                std::array::from_fn(|code| factors[3] * cb(code) + half),
                std::array::from_fn(|code| factors[1] * cr(code)),
            ],
            shift: SHIFT,
        })
    }

    pub(super) fn rgb(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let (cb, cr) = (usize::from(cb), usize::from(cr));
        let luma = self.luma[usize::from(y)];
        let green = (self.green[0][cb] + self.green[1][cr]) >> self.shift;
        [luma + self.red[cr], luma + green, luma + self.blue[cb]].map(|value| value.clamp(0, 255) as u8)
    }
}

/// Returns the number of bytes in a row of blocks: the luma of each block, then its two chroma samples.
pub(super) fn block_row(width: usize, (across, down): (usize, usize)) -> usize {
    width.div_ceil(across) * (across * down + 2)
}

/// Returns the YCbCr samples of row `y` of a chunk of blocks, with the chroma of each block repeated.
pub(super) fn expand(
    bytes: &[u8],
    width: usize,
    y: usize,
    subsampling: (usize, usize),
) -> impl Iterator<Item = [u8; 3]> {
    let (across, down) = subsampling;
    let length = block_row(width, subsampling);
    let blocks = bytes.get(y / down * length..).unwrap_or_default();
    let blocks = blocks.chunks_exact(across * down + 2);
    blocks.take(width.div_ceil(across)).flat_map(move |block| {
        let (luma, chroma) = block.split_at(across * down);
        let row = &luma[y % down * across..][..across];
        row.iter().map(|luma| [*luma, chroma[0], chroma[1]])
    })
}
