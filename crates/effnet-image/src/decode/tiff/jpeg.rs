//! Strips and tiles that are JPEG streams.
//!
//! Each stream is assembled from the shared tables and its own segments. A single statement about its colours
//! replaces whatever its writer stated: the directory says what the channels are, as in libtiff.

use std::panic;

use libjpeg_turbo_rs::decode::pipeline::Decoder;
use libjpeg_turbo_rs::{DecodeLimits, JpegError, RawImage};

use crate::decode::jpeg;
use crate::decode::jpeg_header::JpegHeader;
use crate::decode::jpeg_scans::{self, Verdict};
use crate::error::Fault;

/// Maximum number of scans. Writers of TIFF use one, or about ten in a progressive stream, and each scan
/// costs a pass.
const MAX_SCANS: usize = 64;

/// Maximum number of pixels in a stream that the image does not need.
const MAX_BEYOND: usize = 1 << 24;

const START: u8 = 0xD8;
const END: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// How the channels are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// They stay as they are.
    Stored,
    /// They stay as they are, and chroma is repeated rather than interpolated.
    Repeated,
    /// They are YCbCr, and become RGB.
    Rgb,
}

/// Decodes a stream to interleaved samples of 8 bits, and returns libjpeg's first warning if the stream is
/// damaged. `height` rows are needed; the stream may have more.
pub(super) fn decode(
    tables: &[u8],
    data: &[u8],
    (width, height): (usize, usize),
    samples: usize,
    output: Output,
) -> Result<(Vec<u8>, Option<String>), Fault> {
    let mut stream = vec![0xFF, START];
    // An Adobe segment takes precedence over other statements about colours: 0 keeps the channels, 1 is
    // YCbCr.
    stream.extend_from_slice(b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0");
    stream.push(u8::from(output == Output::Rgb));
    copy_segments(tables, &mut stream)?;
    let frame = copy_segments(data, &mut stream)?;
    let frame = frame.ok_or_else(|| Fault::malformed("a JPEG strip or tile has no frame"))?;
    // Strips do not need an end marker of their own.
    stream.extend([0xFF, END]);
    frame.check((width, height), samples)?;
    let is_scan = |marker: &&[u8]| **marker == [0xFF, START_OF_SCAN];
    if stream.windows(2).filter(is_scan).count() > MAX_SCANS {
        return Err(Fault::unsupported(format_args!(
            "JPEG compression in more than {MAX_SCANS} scans"
        )));
    }
    let header = JpegHeader::read(&stream)?;
    header.check_layout()?;
    let pixels = frame.width * frame.height;
    let (mut pixels, warning) = match output {
        Output::Repeated => {
            let (image, warning) = raw(&stream, &header, pixels)?;
            (repeated(&image)?, warning)
        }
        Output::Stored | Output::Rgb => jpeg::pixels(&stream, &header, pixels as u64)?,
    };
    pixels.truncate(width * height * samples);
    Ok((pixels, warning))
}

/// Returns the planes of a stream, and a warning unless it is certainly sound.
fn raw(stream: &[u8], header: &JpegHeader, pixels: usize) -> Result<(RawImage, Option<String>), Fault> {
    let (stream, warning) = match jpeg_scans::check(stream, header) {
        Verdict::Sound(guarded) => (guarded, None),
        Verdict::Unsure => (stream.to_vec(), Some("unusual JPEG data".to_owned())),
    };
    let limits = DecodeLimits {
        max_pixels: pixels as u64,
        max_scans: MAX_SCANS,
        ..DecodeLimits::default()
    };
    let fault = |error: &JpegError| match error {
        JpegError::UnexpectedEof => Fault::truncated(error),
        JpegError::Unsupported(feature) => Fault::unsupported(feature),
        other => Fault::malformed(other),
    };
    // See decode/jpeg.rs: the decoder is bounds-checked but may panic on hostile input.
    let image = panic::catch_unwind(|| Decoder::new_with_limits(&stream, limits)?.decode_raw())
        .map_err(|_| Fault::malformed("inconsistent JPEG data"))?;
    Ok((image.map_err(|error| fault(&error))?, warning))
}

/// Interleaves the planes of an image. Each sample of a smaller plane is repeated.
fn repeated(image: &RawImage) -> Result<Vec<u8>, Fault> {
    let planes = image.planes.len();
    let mut pixels = vec![0; image.width * image.height * planes];
    for (channel, plane) in image.planes.iter().enumerate() {
        let (wide, high) = (image.plane_widths[channel], image.plane_heights[channel]);
        // Planes consist of whole blocks, so these are the sampling factors.
        let across = image.plane_widths[0].checked_div(wide).unwrap_or(0).max(1);
        let down = image.plane_heights[0].checked_div(high).unwrap_or(0).max(1);
        let rows = pixels.chunks_exact_mut(image.width * planes);
        for (y, row) in rows.enumerate() {
            let source = plane.get(y / down * wide..).unwrap_or_default();
            for (x, pixel) in row.chunks_exact_mut(planes).enumerate() {
                let sample = source.get(x / across);
                pixel[channel] = *sample.ok_or_else(|| Fault::malformed("a JPEG plane is too small"))?;
            }
        }
    }
    Ok(pixels)
}

struct Frame {
    precision: u8,
    width: usize,
    height: usize,
    components: usize,
}

impl Frame {
    fn check(&self, (width, height): (usize, usize), samples: usize) -> Result<(), Fault> {
        if self.precision != 8 {
            return Err(Fault::unsupported(format_args!(
                "JPEG compression with {} bits per sample",
                self.precision
            )));
        }
        if !matches!(samples, 1 | 3 | 4) {
            return Err(Fault::unsupported(format_args!(
                "JPEG compression of {samples} channels"
            )));
        }
        // The last strip may have as many rows as the other strips.
        let beyond = self.height.checked_sub(height).map(|rows| rows * width);
        let fits = self.width == width
            && beyond.is_some_and(|pixels| pixels <= MAX_BEYOND)
            && self.components == samples;
        if fits {
            Ok(())
        } else {
            Err(Fault::malformed(format_args!(
                "a JPEG of {} x {} with {} channels in a strip or tile of {width} x {height} with {samples}",
                self.width, self.height, self.components
            )))
        }
    }
}

/// Appends the segments of a stream, except its start, and except comments and application data before its
/// scans. Tables end with an end marker, which is left out. Returns the frame header.
fn copy_segments(stream: &[u8], out: &mut Vec<u8>) -> Result<Option<Frame>, Fault> {
    let cut = || Fault::truncated("a JPEG strip or tile has an incomplete header");
    let mut frame = None;
    let mut rest = stream;
    while let [0xFF, marker, after @ ..] = rest {
        match *marker {
            START => rest = after,
            // Skip fill bytes before a marker.
            0xFF => rest = &rest[1..],
            END => return Ok(frame),
            START_OF_SCAN => {
                out.extend_from_slice(rest);
                return Ok(frame);
            }
            marker => {
                let length = after.first_chunk::<2>().ok_or_else(cut)?;
                let length = usize::from(u16::from_be_bytes(*length));
                let body = after.get(2..length).ok_or_else(cut)?;
                if !matches!(marker, 0xE0..=0xEF | 0xFE) {
                    out.extend_from_slice(&rest[..2 + length]);
                }
                // All markers in this range start a frame, except those of tables.
                if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
                    let [precision, height, height_low, width, width_low, components] =
                        *body.first_chunk::<6>().ok_or_else(cut)?;
                    frame = Some(Frame {
                        precision,
                        width: usize::from(u16::from_be_bytes([width, width_low])),
                        height: usize::from(u16::from_be_bytes([height, height_low])),
                        components: usize::from(components),
                    });
                }
                rest = &after[length..];
            }
        }
    }
    Ok(frame)
}
