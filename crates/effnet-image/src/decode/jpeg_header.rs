//! The JPEG markers before the first scan, read as Pillow's `JpegImagePlugin` reads them.
//!
//! The limits must be checked before a decoder allocates memory, and the header decides which decoder gets
//! the file: [`JpegHeader::is_ordinary`] says whether the fast decoder is known to read this kind of file as
//! libjpeg does.

use crate::DecodeOptions;
use crate::error::Fault;
use crate::options::Permit;
use crate::orientation::Orientation;

/// A component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor.
    pub(super) sampling: (u8, u8),
}

/// The contents of the markers before the first scan.
#[derive(Debug, Default)]
pub(super) struct JpegHeader {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    pub(super) orientation: Orientation,
    pub(super) restart_interval: usize,
    /// The position of the segment of the first scan header, after its marker.
    pub(super) scans: usize,
    /// Whether nothing has been out of the ordinary so far.
    sound: bool,
    jfif: bool,
    /// The colour transform of an Adobe marker.
    adobe: Option<u8>,
}

/// A marker and its segment; see [`next_segment`].
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) content: &'a [u8],
    /// The bytes after it.
    pub(super) rest: &'a [u8],
    /// Whether nothing preceded the marker and its length is possible.
    pub(super) sound: bool,
}

impl JpegHeader {
    /// Reads the markers up to the first start of scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut header = Self {
            sound: true,
            ..Self::default()
        };
        let (mut exif, mut xmp) = (None, None);
        let mut rest = &bytes[2.min(bytes.len())..];
        loop {
            let scans = bytes.len() - rest.len();
            let segment = next_segment(rest)?;
            rest = segment.rest;
            header.sound &= segment.sound;
            let content = segment.content;
            match segment.marker {
                marker @ (0xC0..=0xC2 | 0xC9 | 0xCA) => header.read_frame(marker, content)?,
                0xC3 | 0xC5..=0xC7 | 0xCB | 0xCD..=0xCF => {
                    return Err(Fault::unsupported("a lossless or hierarchical JPEG"));
                }
                0xC4 => header.sound &= are_sound_codes(content),
                0xDD => {
                    let interval = content.first_chunk::<2>();
                    header.sound &= interval.is_some();
                    header.restart_interval = interval.map_or(0, |two| usize::from(u16::from_be_bytes(*two)));
                }
                0xE1 => {
                    if let Some(block) = content.strip_prefix(b"Exif\0\0") {
                        exif = exif.or(Some(block));
                    } else if let Some(packet) = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                        xmp = xmp.or(Some(packet));
                    }
                }
                0xE0 => header.jfif |= content.starts_with(b"JFIF\0") && content.len() >= 14,
                0xEE if content.starts_with(b"Adobe") => match content.get(11) {
                    Some(transform) => header.adobe = Some(*transform),
                    None => header.sound = false,
                },
                0xDA => {
                    header.scans = scans;
                    break;
                }
                0xD9 => return Err(Fault::truncated("it ends before the first scan")),
                0xDB | 0xE2..=0xEF | 0xFE => {}
                _ => header.sound = false,
            }
        }
        if header.components.is_empty() {
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
        if !self.components.is_empty() {
            return Err(Fault::malformed("two frame headers"));
        }
        self.sound &= components.len() == 3 * usize::from(*count) && marker < 0xC9;
        self.progressive = matches!(marker, 0xC2 | 0xCA);
        self.height = usize::from(u16::from_be_bytes([*h1, *h0]));
        self.width = usize::from(u16::from_be_bytes([*w1, *w0]));
        let components = components.chunks_exact(3).take(usize::from(*count));
        self.components = components
            .map(|component| Component {
                id: component[0],
                sampling: (component[1] >> 4, component[1] & 15),
            })
            .collect();
        Ok(())
    }

    /// Rejects images that exceed the limits or that neither decoder supports.
    pub(super) fn check(&self, options: &DecodeOptions) -> Result<Permit, Fault> {
        self.check_layout()?;
        options.admit(self.width as u64, self.height as u64, self.peak_bytes())
    }

    /// Rejects channels that neither decoder supports.
    pub(super) fn check_layout(&self) -> Result<(), Fault> {
        let count = self.components.len();
        if !matches!(count, 1 | 3 | 4) {
            return Err(Fault::unsupported(format_args!("{count} colour channels")));
        }
        let legal = |component: &Component| matches!(component.sampling, (h, v) if (1..=4).contains(&h) && (1..=4).contains(&v));
        if !self.components.iter().all(legal) {
            return Err(Fault::malformed("sampling factors outside 1 to 4"));
        }
        Ok(())
    }

    /// Returns the peak memory per pixel: sample planes, their coefficients if the file is progressive or
    /// they are in separate scans, the decoder's output, and the RGB pixels made from it.
    fn peak_bytes(&self) -> u64 {
        let area = |component: &Component| u64::from(component.sampling.0) * u64::from(component.sampling.1);
        let full = self.components.iter().map(area).max().unwrap_or(1);
        let samples = self.components.iter().map(area).sum::<u64>().div_ceil(full);
        let output = self.components.len() as u64;
        let converted = if output == 3 { 0 } else { 3 };
        3 * samples + output + converted
    }

    /// Returns whether the header is sound and the layout is one that the fast decoder reads as libjpeg does.
    pub(super) fn is_ordinary(&self) -> bool {
        self.sound && self.is_common_sampling() && self.is_common_color()
    }

    /// Returns whether each component has the full size, half the width, half the size or half the height of
    /// the first.
    fn is_common_sampling(&self) -> bool {
        let sampling: Vec<_> = self
            .components
            .iter()
            .map(|component| component.sampling)
            .collect();
        match sampling[..] {
            [_] => true,
            [(h, v), chroma, same] => {
                chroma == same && chroma == (1, 1) && matches!((h, v), (1 | 2, 1) | (2, 2))
            }
            [c, m, y, k] => c == k && m == y && m == (1, 1) && matches!(c, (1 | 2, 1) | (2, 2)),
            _ => false,
        }
    }

    /// Returns whether the colours are marked or the components numbered as in libjpeg, so that nothing has
    /// to be guessed.
    fn is_common_color(&self) -> bool {
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        match (&ids[..], self.adobe, self.jfif) {
            ([_], _, _) | ([_, _, _], None | Some(1), true) | ([_, _, _], Some(0 | 1), false) => true,
            (ids, None, false) if ids.len() == 3 => ids == [1, 2, 3],
            (ids, None | Some(0 | 2), _) => ids.len() == 4,
            _ => false,
        }
    }

    /// Returns the size of the image in units of `horizontal * vertical` blocks of 8 x 8 pixels, rounded up.
    pub(super) fn units(&self, horizontal: usize, vertical: usize) -> (usize, usize) {
        (
            self.width.div_ceil(8 * horizontal),
            self.height.div_ceil(8 * vertical),
        )
    }

    /// Returns the number of scans that an image of this size may have. Each scan costs a pass over the
    /// image, so thousands of scans in a small file would take minutes. Encoders write about ten.
    pub(super) fn max_scans(&self) -> usize {
        /// Blocks that are visited in a fraction of a second; small images may have any number of scans.
        const BLOCKS: usize = 20_000_000;
        let (across, down) = self.units(1, 1);
        let per_channel = 32 * self.components.len();
        per_channel.max(BLOCKS / (across * down).max(1))
    }

    /// Returns the reason for rejecting a file with more scans.
    pub(super) fn too_many_scans(most: usize) -> String {
        format!("more than {most} scans")
    }
}

/// Returns whether the Huffman tables of a segment are complete, leave the code of all ones unused and have
/// possible symbols, as libjpeg requires.
pub(super) fn are_sound_codes(mut tables: &[u8]) -> bool {
    while let [class, rest @ ..] = tables {
        let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
            return false;
        };
        // The code after the last code of each length; it must fit into that length.
        let mut code = 0_u32;
        for (length, count) in (1..).zip(counts) {
            code = (code << 1) + u32::from(*count);
            if code >= 1 << length && *count > 0 {
                return false;
            }
        }
        let symbols = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
        if symbols > 256 || rest.len() < symbols {
            return false;
        }
        let (symbols, rest) = rest.split_at(symbols);
        // A DC code says how many bits follow, up to 15. There are two classes, with four tables per class.
        let is_dc = class >> 4 == 0;
        if class & !0x13 != 0 || is_dc && symbols.iter().any(|symbol| *symbol > 15) {
            return false;
        }
        tables = rest;
    }
    true
}

/// Returns the next marker, the content of its segment, and the remaining bytes.
///
/// Like libjpeg and Pillow, this skips garbage and fill bytes before a marker, and treats a segment as empty
/// if it claims to be shorter than its own length field.
pub(super) fn next_segment(bytes: &[u8]) -> Result<Segment<'_>, Fault> {
    let truncated = || Fault::truncated("the header is incomplete");
    let start = memchr::memchr(0xFF, bytes).ok_or_else(truncated)?;
    let fill = bytes[start..].iter().take_while(|byte| **byte == 0xFF).count();
    let at = start + fill;
    let marker = *bytes.get(at).ok_or_else(truncated)?;
    let rest = &bytes[at + 1..];
    let sound = start == 0 && fill == 1;
    // Stuffed zeros and restart, start, end and temporary markers do not have a segment.
    if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD9) {
        return Ok(Segment {
            marker,
            content: &[],
            rest,
            sound: sound && marker == 0xD9,
        });
    }
    let length = rest.first_chunk::<2>().ok_or_else(truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    Ok(Segment {
        marker,
        content: rest.get(2..length.max(2)).ok_or_else(truncated)?,
        rest: &rest[length.max(2)..],
        sound: sound && length >= 2,
    })
}
