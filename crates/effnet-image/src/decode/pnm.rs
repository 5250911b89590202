//! Portable bitmaps, greymaps and pixmaps (P1 to P6) and greymaps of floats (Pf), like Pillow's
//! `PpmImagePlugin`.

use super::Raster;
use super::samples::{Samples, unpack_bits};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, ImageWarning};

/// Maximum number of digits of a number in a file.
const MAX_DIGITS: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bitmap,
    Gray,
    Color,
    Float,
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let (kind, is_plain) = match bytes.get(1) {
        Some(b'1') => (Kind::Bitmap, true),
        Some(b'2') => (Kind::Gray, true),
        Some(b'3') => (Kind::Color, true),
        Some(b'4') => (Kind::Bitmap, false),
        Some(b'5') => (Kind::Gray, false),
        Some(b'6') => (Kind::Color, false),
        Some(b'f') => (Kind::Float, false),
        Some(b'7') => return Err(Fault::unsupported("PAM (P7)")),
        _ => return Err(Fault::unsupported("colour floats (PF)")),
    };
    let mut header = Header { bytes, at: 2 };
    let (width, height) = (header.number()?, header.number()?);
    let largest = match kind {
        Kind::Bitmap => 1,
        Kind::Float => {
            let scale = header.token()?;
            let usable = |scale: &f64| *scale != 0.0 && scale.is_finite();
            if !scale.parse().is_ok_and(|scale| usable(&scale)) {
                return Err(Fault::malformed("the scale is not a finite number other than 0"));
            }
            // The sign determines the byte order.
            return floats(bytes, header.at, (width, height), scale.starts_with('-'), options);
        }
        Kind::Gray | Kind::Color => header.number()?,
    };
    if !(1..65536).contains(&largest) {
        return Err(Fault::malformed(format_args!(
            "a largest value of {largest}, expected 1 to 65535"
        )));
    }
    let _permit = options.admit(width, height, 8)?;
    let channels = if kind == Kind::Color { 3 } else { 1 };
    let (width, height) = (width as usize, height as usize);
    let mut scale = Scale::new(kind, largest as u32);
    let data = bytes.get(header.at..).unwrap_or_default();
    let count = width * height * channels;
    let samples = match (kind, is_plain) {
        (Kind::Bitmap, true) => plain_bits(data, count)?,
        (_, true) => plain_numbers(data, count, &mut scale)?,
        (Kind::Bitmap, false) => {
            let stride = width.div_ceil(8);
            let packed = raw(data, stride * height)?;
            let bits = unpack_bits(packed, width, stride, 1);
            bits.iter().map(|bit| if *bit == 0 { 255 } else { 0 }).collect()
        }
        (_, false) if largest < 256 => {
            let data = raw(data, count)?;
            // Values beyond the largest one are white.
            let scaled: [u8; 256] = std::array::from_fn(|value| scale.of(value as u32));
            data.iter().map(|value| scaled[usize::from(*value)]).collect()
        }
        (_, false) => {
            let words = raw(data, count * 2)?.as_chunks::<2>().0;
            words
                .iter()
                .map(|word| scale.of(u32::from(u16::from_be_bytes(*word))))
                .collect()
        }
    };
    Ok(Raster {
        width,
        height,
        samples: if kind == Kind::Color {
            Samples::Rgb(samples)
        } else {
            Samples::Gray(samples)
        },
        orientation: Orientation::Upright,
        warnings: if scale.clipped {
            vec![ImageWarning::Clipped]
        } else {
            Vec::new()
        },
    })
}

/// Reads a greymap of floats, bottom row first. Pillow clips them to 0 to 255 without scaling.
fn floats(
    bytes: &[u8],
    at: usize,
    (width, height): (u64, u64),
    is_little: bool,
    options: &DecodeOptions,
) -> Result<Raster, Fault> {
    let _permit = options.admit(width, height, 8)?;
    let (width, height) = (width as usize, height as usize);
    let data = raw(bytes.get(at..).unwrap_or_default(), width * height * 4)?;
    let mut clipped = false;
    let mut gray = Vec::with_capacity(width * height);
    for row in data.rchunks_exact(width * 4) {
        gray.extend(row.as_chunks::<4>().0.iter().map(|bytes| {
            let value = if is_little {
                f32::from_le_bytes(*bytes)
            } else {
                f32::from_be_bytes(*bytes)
            };
            clipped |= value >= 256.0;
            value as u8
        }));
    }
    Ok(Raster {
        width,
        height,
        samples: Samples::Gray(gray),
        orientation: Orientation::Upright,
        warnings: if clipped {
            vec![ImageWarning::Clipped]
        } else {
            Vec::new()
        },
    })
}

/// Scales the range of a file to 8 bits. Pillow scales colours and grey of up to 8 bits to 255. It scales
/// deeper grey to 65535 and then clips it at 255.
#[derive(Debug)]
struct Scale {
    largest: u32,
    to: u32,
    clipped: bool,
}

impl Scale {
    fn new(kind: Kind, largest: u32) -> Self {
        let is_deep = kind == Kind::Gray && largest > 255;
        Self {
            largest,
            to: if is_deep { 65535 } else { 255 },
            clipped: false,
        }
    }

    fn of(&mut self, value: u32) -> u8 {
        // A half is rounded to even, as in Python's `round`.
        let (product, largest) = (u64::from(value) * u64::from(self.to), u64::from(self.largest));
        let (mut scaled, rest) = (product / largest, product % largest * 2);
        if rest > largest || (rest == largest && scaled % 2 == 1) {
            scaled += 1;
        }
        self.clipped |= scaled > 255 && self.to > 255;
        scaled.min(255) as u8
    }
}

/// Returns the first `count` bytes.
fn raw(data: &[u8], count: usize) -> Result<&[u8], Fault> {
    data.get(..count)
        .ok_or_else(|| Fault::truncated(format_args!("{} of {count} bytes of pixel data", data.len())))
}

/// Reads digits 0 and 1, with or without spaces between them; 1 is black.
fn plain_bits(data: &[u8], count: usize) -> Result<Vec<u8>, Fault> {
    let mut bits = Vec::new();
    let mut text = Plain { data, at: 0 };
    while bits.len() < count {
        match text.next() {
            Some(b'0') => bits.push(255),
            Some(b'1') => bits.push(0),
            Some(byte) if is_space(byte) => {}
            Some(byte) => {
                return Err(Fault::malformed(format_args!(
                    "expected 0 or 1, found `{}`",
                    byte.escape_ascii()
                )));
            }
            None => return Err(Fault::truncated(format_args!("{} of {count} pixels", bits.len()))),
        }
    }
    Ok(bits)
}

fn plain_numbers(data: &[u8], count: usize, scale: &mut Scale) -> Result<Vec<u8>, Fault> {
    let mut samples = Vec::new();
    let mut text = Plain { data, at: 0 };
    while samples.len() < count {
        let Some(value) = text.number()? else {
            return Err(Fault::truncated(format_args!(
                "{} of {count} values",
                samples.len()
            )));
        };
        if value > u64::from(scale.largest) {
            return Err(Fault::malformed(format_args!(
                "expected values up to {}, found {value}",
                scale.largest
            )));
        }
        samples.push(scale.of(value as u32));
    }
    Ok(samples)
}

/// The text of plain formats, without comments.
struct Plain<'a> {
    data: &'a [u8],
    at: usize,
}

impl Plain<'_> {
    /// Returns the next character. A comment ends with its line, and the text on both sides of it is joined.
    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.data.get(self.at)?;
        while byte == b'#' {
            let rest = &self.data[self.at..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
            self.at += end + 1;
            byte = *self.data.get(self.at)?;
        }
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Result<Option<u64>, Fault> {
        let (mut value, mut digits) = (0, 0);
        loop {
            match self.next() {
                Some(digit @ b'0'..=b'9') => {
                    digits += 1;
                    value = value * 10 + u64::from(digit - b'0');
                    if digits > MAX_DIGITS {
                        return Err(Fault::malformed("a number of more than 10 digits"));
                    }
                }
                Some(byte) if is_space(byte) => {
                    if digits > 0 {
                        return Ok(Some(value));
                    }
                }
                Some(byte) => {
                    return Err(Fault::malformed(format_args!(
                        "expected a number, found `{}`",
                        byte.escape_ascii()
                    )));
                }
                None => return Ok((digits > 0).then_some(value)),
            }
        }
    }
}

struct Header<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Header<'_> {
    /// Returns the next word. One space after it is skipped, because pixels follow the last word. A comment
    /// within a word joins the parts of the word, as in Pillow.
    fn token(&mut self) -> Result<String, Fault> {
        let cut = || Fault::truncated("the header is incomplete");
        let mut token = String::new();
        loop {
            let byte = *self.bytes.get(self.at).ok_or_else(cut)?;
            self.at += 1;
            match byte {
                b'#' => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    self.at += end.ok_or_else(cut)? + 1;
                }
                byte if !is_space(byte) => token.push(char::from(byte)),
                _ if token.is_empty() => {}
                _ => return Ok(token),
            }
            if token.len() > MAX_DIGITS {
                return Err(Fault::malformed(
                    "a word of more than 10 characters in the header",
                ));
            }
        }
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let token = self.token()?;
        token.parse().map_err(|_| {
            Fault::malformed(format_args!(
                "expected a number, found `{}`",
                token.escape_default()
            ))
        })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r')
}
