//! Checks what a directory says about its pixels, and expresses it in the terms that decoding needs.
//!
//! Follows the table in Pillow's `TiffImagePlugin` (`OPEN_INFO`): what Pillow does not open is reported here
//! as unsupported by name, or is read if its meaning is clear.

use super::directory::{Directory, tag};
use crate::error::Fault;

const OLD_JPEG: u16 = 6;
const JPEG: u16 = 7;

/// How samples are converted to colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

impl Color {
    fn read(directory: &Directory<'_>) -> Result<Self, Fault> {
        let name = match directory.small(tag::PHOTOMETRIC, 0) {
            0 => return Ok(Self::WhiteIsZero),
            1 => return Ok(Self::BlackIsZero),
            2 => return Ok(Self::Rgb),
            3 => return Ok(Self::Palette),
            5 => return Ok(Self::Cmyk),
            6 => return Ok(Self::YCbCr),
            4 => "a transparency mask",
            8 => "CIELab colours",
            9 => "ICCLab colours",
            10 => "ITULab colours",
            32803 => "raw sensor data (a color filter array)",
            32844 | 32845 => "LogLuv colours",
            34892 => "raw sensor data (linear)",
            other => {
                return Err(Fault::unsupported(format_args!(
                    "the photometric interpretation {other}"
                )));
            }
        };
        Err(Fault::unsupported(name))
    }

    /// Returns the number of samples per pixel that carry the colour.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }
}

/// The type of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleType {
    Unsigned,
    Signed,
    Float,
}

/// The meaning of the first sample beyond the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// It does not exist, or it is not for display.
    None,
    /// Alpha, by which the colours are multiplied.
    Associated,
    /// Alpha, by which the colours are not multiplied.
    Unassociated,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) color: Color,
    pub(super) bits: usize,
    pub(super) sample_type: SampleType,
    /// Samples per pixel in the file.
    pub(super) samples: usize,
    pub(super) extra: Extra,
    /// Whether every channel has separate strips or tiles.
    pub(super) planar: bool,
    /// Whether the first pixel of a byte is in its lowest bits.
    pub(super) reversed_bits: bool,
    pub(super) compression: u16,
    pub(super) predictor: u16,
    /// Pixels per chroma sample, horizontally and vertically; 1 and 1 unless the colours are YCbCr.
    pub(super) subsampling: (usize, usize),
    pub(super) little: bool,
}

impl Layout {
    pub(super) fn read(directory: &Directory<'_>) -> Result<Self, Fault> {
        let side = |tag, name| {
            let value = directory.value(tag);
            value.ok_or_else(|| Fault::malformed(format_args!("it has no {name}")))
        };
        let (width, height) = (
            side(tag::IMAGE_WIDTH, "width")?,
            side(tag::IMAGE_LENGTH, "height")?,
        );
        let compression = directory.small(tag::COMPRESSION, 1);
        let is_jpeg = matches!(compression, OLD_JPEG | JPEG);
        // Old-style JPEG is YCbCr, whatever the file says, as in Pillow.
        let color = match compression {
            OLD_JPEG => Color::YCbCr,
            _ => Color::read(directory)?,
        };
        let samples = match compression {
            OLD_JPEG => 3,
            _ => samples(directory)?,
        };
        let subsampling = match (color, directory.values(tag::YCBCR_SUBSAMPLING)) {
            // JPEG states its own subsampling.
            (Color::YCbCr, None) if !is_jpeg => (2, 2),
            (Color::YCbCr, Some(values)) if !is_jpeg => {
                let factor = |index| values.get(index).unwrap_or(2) as usize;
                (factor(0), factor(1))
            }
            _ => (1, 1),
        };
        let planar = samples > 1 && directory.small(tag::PLANAR_CONFIGURATION, 1) == 2;
        let layout = Self {
            width: usize::try_from(width).unwrap_or(usize::MAX),
            height: usize::try_from(height).unwrap_or(usize::MAX),
            color,
            bits: bits(directory, samples)?,
            sample_type: sample_type(directory)?,
            samples,
            extra: extra(directory, color, samples, planar, compression),
            planar,
            reversed_bits: directory.small(tag::FILL_ORDER, 1) == 2,
            compression,
            predictor: directory.small(tag::PREDICTOR, 1),
            subsampling,
            little: directory.little,
        };
        layout.check()?;
        Ok(layout)
    }

    /// Rejects by name what the code below cannot read.
    fn check(&self) -> Result<(), Fault> {
        use SampleType::{Float, Signed, Unsigned};
        if self.samples < self.color.channels() {
            return Err(Fault::malformed(format_args!(
                "{} samples per pixel for {} colours",
                self.samples,
                self.color.name()
            )));
        }
        let readable = match (self.color, self.sample_type) {
            (Color::WhiteIsZero | Color::BlackIsZero, Unsigned) => {
                matches!(self.bits, 1 | 2 | 4 | 8 | 12 | 16 | 32)
            }
            (Color::WhiteIsZero | Color::BlackIsZero, Signed) => matches!(self.bits, 8 | 16 | 32),
            (Color::WhiteIsZero | Color::BlackIsZero, Float) => self.bits == 32,
            (Color::Palette, Unsigned) => matches!(self.bits, 1 | 2 | 4 | 8),
            (Color::Rgb | Color::Cmyk, Unsigned) => matches!(self.bits, 8 | 16),
            (Color::YCbCr, Unsigned) => self.bits == 8,
            _ => false,
        };
        if !readable {
            let kind = match self.sample_type {
                Unsigned => "unsigned",
                Signed => "signed",
                Float => "floating-point",
            };
            return Err(Fault::unsupported(format_args!(
                "{kind} samples of {} bits in {} colours",
                self.bits,
                self.color.name()
            )));
        }
        let (across, down) = self.subsampling;
        let divides = |factor| matches!(factor, 1 | 2 | 4);
        if !divides(across) || !divides(down) || (self.planar && self.subsampling != (1, 1)) {
            return Err(Fault::unsupported(format_args!(
                "YCbCr subsampling of {across} x {down}"
            )));
        }
        if self.color == Color::YCbCr && self.samples != 3 {
            return Err(Fault::unsupported("YCbCr colours with extra samples"));
        }
        // Several channels without a meaning, as in microscopy: one of them alone would mislead.
        if self.color.channels() == 1 && self.samples > 2 && self.extra == Extra::None {
            return Err(Fault::unsupported(format_args!(
                "{} channels in {} colours",
                self.samples,
                self.color.name()
            )));
        }
        Ok(())
    }

    /// Returns the number of samples per pixel within one strip or tile.
    pub(super) fn interleaved(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }
}

impl Color {
    fn name(self) -> &'static str {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero => "grey",
            Self::Rgb => "RGB",
            Self::Palette => "palette",
            Self::Cmyk => "CMYK",
            Self::YCbCr => "YCbCr",
        }
    }
}

fn samples(directory: &Directory<'_>) -> Result<usize, Fault> {
    const MOST: u16 = 64;
    match directory.small(tag::SAMPLES_PER_PIXEL, 1) {
        0 => Err(Fault::malformed("no samples per pixel")),
        samples if samples > MOST => Err(Fault::unsupported(format_args!("{samples} samples per pixel"))),
        samples => Ok(usize::from(samples)),
    }
}

/// Returns the number of bits per sample, which must be the same for all samples.
fn bits(directory: &Directory<'_>, samples: usize) -> Result<usize, Fault> {
    let Some(values) = directory.values(tag::BITS_PER_SAMPLE) else {
        return Ok(1);
    };
    // One value may apply to all samples.
    let stated: Vec<u64> = (0..values.len().min(samples))
        .filter_map(|index| values.get(index))
        .collect();
    match stated.first() {
        Some(&first) if stated.iter().all(|bits| *bits == first) => Ok(first as usize),
        _ => Err(Fault::unsupported(format_args!(
            "samples of different depths ({stated:?} bits)"
        ))),
    }
}

fn sample_type(directory: &Directory<'_>) -> Result<SampleType, Fault> {
    match directory.small(tag::SAMPLE_FORMAT, 1) {
        // 4 is "undefined", which readers treat as unsigned.
        1 | 4 => Ok(SampleType::Unsigned),
        2 => Ok(SampleType::Signed),
        3 => Ok(SampleType::Float),
        5 | 6 => Err(Fault::unsupported("complex numbers as samples")),
        other => Err(Fault::unsupported(format_args!("the sample format {other}"))),
    }
}

fn extra(directory: &Directory<'_>, color: Color, samples: usize, planar: bool, compression: u16) -> Extra {
    if samples <= color.channels() || matches!(color, Color::Cmyk | Color::YCbCr) {
        return Extra::None;
    }
    match directory.value(tag::EXTRA_SAMPLES) {
        Some(1) => Extra::Associated,
        // 999 is written by Corel Draw. A fourth sample without a description is alpha.
        Some(2 | 999) => Extra::Unassociated,
        None if color == Color::Rgb && samples == 4 => match (planar, compression) {
            // libtiff calls it unspecified, and Pillow treats it as premultiplied where it joins planes.
            (true, method) if method != 1 => Extra::Associated,
            _ => Extra::Unassociated,
        },
        _ => Extra::None,
    }
}
