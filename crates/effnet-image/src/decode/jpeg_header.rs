//! The JPEG markers before the first scan.
//!
//! The limits must be checked before `libjpeg-turbo-rs` allocates memory, and a few unusual layouts make it
//! panic. So the header is read here first. This also finds the EXIF orientation and detects truncated files,
//! which the decoder would pad with zeros.

use crate::DecodeOptions;
use crate::error::Fault;
use crate::orientation::Orientation;

/// The contents of the markers before the first scan.
#[derive(Debug, Default)]
pub(super) struct JpegHeader {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// Horizontal and vertical sampling factor of each component.
    pub(super) sampling: Vec<(u8, u8)>,
    pub(super) orientation: Orientation,
}

impl JpegHeader {
    /// Walks the markers up to the first start of scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut header = Self::default();
        let (mut exif, mut xmp) = (None, None);
        let mut rest = &bytes[2.min(bytes.len())..];
        loop {
            let (marker, segment, after) = next_segment(rest)?;
            rest = after;
            match marker {
                0xC0..=0xC2 | 0xC9 | 0xCA => header.read_frame(marker, segment)?,
                0xC3 | 0xC5..=0xC7 | 0xCB | 0xCD..=0xCF => {
                    return Err(Fault::unsupported("a lossless or hierarchical JPEG"));
                }
                0xE1 => {
                    if let Some(block) = segment.strip_prefix(b"Exif\0\0") {
                        exif = exif.or(Some(block));
                    } else if let Some(packet) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                        xmp = xmp.or(Some(packet));
                    }
                }
                0xDA => {
                    expect_end(bytes, rest)?;
                    break;
                }
                0xD9 => return Err(Fault::truncated("it ends before the first scan")),
                _ => {}
            }
        }
        if header.sampling.is_empty() {
            return Err(Fault::malformed("a scan without a frame header"));
        }
        header.orientation = Orientation::find(exif, xmp);
        Ok(header)
    }

    fn read_frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), Fault> {
        let [precision, h1, h0, w1, w0, count, components @ ..] = segment else {
            return Err(Fault::malformed("a frame header that is too short"));
        };
        if *precision != 8 {
            return Err(Fault::unsupported(format_args!("{precision} bits per sample")));
        }
        if components.len() < 3 * usize::from(*count) {
            return Err(Fault::malformed("a frame header that is too short"));
        }
        if !self.sampling.is_empty() {
            return Err(Fault::malformed("two frame headers"));
        }
        self.progressive = matches!(marker, 0xC2 | 0xCA);
        self.height = usize::from(u16::from_be_bytes([*h1, *h0]));
        self.width = usize::from(u16::from_be_bytes([*w1, *w0]));
        self.sampling = components
            .chunks_exact(3)
            .take(usize::from(*count))
            .map(|component| (component[1] >> 4, component[1] & 15))
            .collect();
        Ok(())
    }

    /// Rejects images that exceed the limits or that the decoder does not support.
    pub(super) fn check(&self, options: &DecodeOptions) -> Result<(), Fault> {
        let count = self.sampling.len();
        if !matches!(count, 1 | 3 | 4) {
            return Err(Fault::unsupported(format_args!("{count} colour channels")));
        }
        let (h0, v0) = self.sampling[0];
        let legal = |&(h, v): &(u8, u8)| (1..=4).contains(&h) && (1..=4).contains(&v);
        if !self.sampling.iter().all(legal) {
            return Err(Fault::malformed("sampling factors outside 1 to 4"));
        }
        // The decoder assumes that the first channel, and of four also the last, has the full resolution, as
        // encoders write it.
        let mut known = count == 1 || self.sampling.iter().all(|(h, v)| h0 % h == 0 && v0 % v == 0);
        if let [c, m, y, k] = self.sampling[..] {
            known &= c == k && m == y;
        }
        if !known {
            let sampling: Vec<String> = self.sampling.iter().map(|(h, v)| format!("{h}x{v}")).collect();
            return Err(Fault::unsupported(format_args!(
                "the sampling factors {}",
                sampling.join(", ")
            )));
        }
        // Sample planes, the decoder's output, the coefficients of a progressive file, RGB.
        let planes = count * if self.progressive { 4 } else { 2 };
        options.admit(self.width as u64, self.height as u64, planes as u64 + 3)
    }
}

/// Looks for the end marker after the header of the first scan.
///
/// If the data end early, the decoder continues with zeros; Pillow refuses such a file.
fn expect_end(bytes: &[u8], mut scans: &[u8]) -> Result<(), Fault> {
    const END: [u8; 2] = [0xFF, 0xD9];
    if bytes.ends_with(&END) {
        return Ok(());
    }
    // Other data may follow the image. In entropy-coded data, 0xFF only precedes a 0, a restart marker, or the
    // marker that ends them.
    loop {
        let (marker, _, rest) =
            next_segment(scans).map_err(|_| Fault::truncated("the end marker is missing"))?;
        if marker == END[1] {
            return Ok(());
        }
        scans = rest;
    }
}

/// The next marker, the content of its segment, and the remaining bytes.
fn next_segment(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Fault> {
    let truncated = || Fault::truncated("the header is incomplete");
    // Like libjpeg, skip garbage before a marker, and fill bytes.
    let start = bytes
        .iter()
        .position(|byte| *byte == 0xFF)
        .ok_or_else(truncated)?;
    let fill = bytes[start..].iter().take_while(|byte| **byte == 0xFF);
    let at = start + fill.count();
    let marker = *bytes.get(at).ok_or_else(truncated)?;
    let rest = &bytes[at + 1..];
    // Stuffed zeros and restart, start, end and temporary markers have no segment.
    if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD9) {
        return Ok((marker, &[], rest));
    }
    let length = rest.first_chunk::<2>().ok_or_else(truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length < 2 {
        return Err(Fault::malformed("a marker segment of impossible length"));
    }
    let segment = rest.get(2..length).ok_or_else(truncated)?;
    Ok((marker, segment, &rest[length..]))
}
