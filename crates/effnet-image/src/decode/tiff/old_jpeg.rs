//! JPEG as first defined by TIFF 6 (compression 6), which scanners and cameras wrote until the nineties.
//!
//! The tables are separate from the compressed data: either in a stream to which the directory points, or
//! individually. This module assembles what precedes the data of a strip or tile, so that the decoder sees an
//! ordinary stream.

use super::directory::{Directory, tag};
use crate::error::Fault;

const START_OF_IMAGE: [u8; 2] = [0xFF, 0xD8];
const CHANNELS: usize = 3;

/// The tables of an old-style JPEG.
#[derive(Debug)]
pub(super) enum OldJpeg<'a> {
    /// A stream up to its first scan, or perhaps longer, with its position in the file and its stated length.
    Stream(usize, &'a [u8], Option<u64>),
    /// Tables without markers, and the sampling factors of the luma channel.
    Tables {
        quantization: [&'a [u8]; CHANNELS],
        huffman: [[&'a [u8]; CHANNELS]; 2],
        sampling: (u8, u8),
    },
    /// No shared tables: every strip has its own.
    Missing,
}

impl<'a> OldJpeg<'a> {
    pub(super) fn read(file: &'a [u8], directory: &Directory<'a>) -> Result<Self, Fault> {
        if let Some(at) = directory.value(tag::JPEG_INTERCHANGE_FORMAT) {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let stream = file.get(at..).unwrap_or_default();
            if stream.starts_with(&START_OF_IMAGE) {
                let length = directory.value(tag::JPEG_INTERCHANGE_LENGTH);
                return Ok(Self::Stream(at, stream, length));
            }
        }
        if directory.values(tag::JPEG_Q_TABLES).is_none() {
            return Ok(Self::Missing);
        }
        let cut = || Fault::truncated("the tables of its JPEG data are not in the file");
        let table = |tag, channel: usize, length: &dyn Fn(&[u8]) -> Option<usize>| {
            let at = directory.values(tag).and_then(|offsets| offsets.get(channel));
            let rest = at
                .and_then(|at| usize::try_from(at).ok())
                .and_then(|at| file.get(at..));
            let rest = rest.ok_or_else(cut)?;
            length(rest).and_then(|length| rest.get(..length)).ok_or_else(cut)
        };
        // There are sixteen counts, followed by as many values as their sum.
        let huffman = |rest: &[u8]| {
            let counts = rest.first_chunk::<16>()?;
            Some(16 + counts.iter().map(|count| usize::from(*count)).sum::<usize>())
        };
        let three = |tag, length: &dyn Fn(&[u8]) -> Option<usize>| -> Result<[&'a [u8]; CHANNELS], Fault> {
            Ok([
                table(tag, 0, length)?,
                table(tag, 1, length)?,
                table(tag, 2, length)?,
            ])
        };
        let factor = |index| {
            let values = directory.values(tag::YCBCR_SUBSAMPLING);
            values
                .and_then(|values| values.get(index))
                .unwrap_or(2)
                .clamp(1, 4) as u8
        };
        Ok(Self::Tables {
            quantization: three(tag::JPEG_Q_TABLES, &|_| Some(64))?,
            huffman: [
                three(tag::JPEG_DC_TABLES, &huffman)?,
                three(tag::JPEG_AC_TABLES, &huffman)?,
            ],
            sampling: (factor(0), factor(1)),
        })
    }

    /// Assembles the whole stream of a strip or tile of this size. `only_end` is the end of the strip or tile
    /// in the file if it is the only one.
    pub(super) fn stream(
        &self,
        data: &[u8],
        (width, height): (usize, usize),
        only_end: Option<usize>,
    ) -> Result<Vec<u8>, Fault> {
        if data.starts_with(&START_OF_IMAGE) {
            return Ok(data.to_vec());
        }
        // If the stream continues after its header, the offsets of strips are often wrong. libtiff does not
        // need them.
        if let (Self::Stream(start, stream, stated), Some(end)) = (self, only_end) {
            let stated = stated
                .and_then(|length| usize::try_from(length).ok())
                .unwrap_or(0);
            let length = end.checked_sub(*start).unwrap_or(stream.len()).max(stated);
            return Ok(stream[..length.min(stream.len())].to_vec());
        }
        let (Ok(width), Ok(height)) = (u16::try_from(width), u16::try_from(height)) else {
            return Err(Fault::malformed(format_args!("a JPEG of {width} x {height}")));
        };
        let mut stream = match self {
            Self::Stream(_, head, _) => head_with_height(head, height)?,
            Self::Tables {
                quantization,
                huffman,
                sampling,
            } => assembled(quantization, huffman, *sampling, (width, height)),
            Self::Missing => return Err(Fault::malformed("its JPEG data have no tables")),
        };
        stream.extend_from_slice(data);
        Ok(stream)
    }
}

/// Returns a stream up to the header of its scan, with the height of its frame replaced.
fn head_with_height(head: &[u8], height: u16) -> Result<Vec<u8>, Fault> {
    const SCAN: u8 = 0xDA;
    let mut at = START_OF_IMAGE.len();
    let mut frame = None;
    while let Some([0xFF, marker, high, low]) = head.get(at..at + 4) {
        if matches!(marker, 0xC0..=0xC2) {
            frame = Some(at);
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([*high, *low]));
        if *marker == SCAN {
            let mut out = head.get(..end).unwrap_or_default().to_vec();
            let place = frame.and_then(|frame| out.get_mut(frame + 5..frame + 7));
            if let Some(place) = place {
                place.copy_from_slice(&height.to_be_bytes());
                return Ok(out);
            }
            break;
        }
        at = end;
    }
    Err(Fault::malformed(
        "the tables of its JPEG data have no frame and scan",
    ))
}

/// Assembles a stream of separate tables, up to its scan.
fn assembled(
    quantization: &[&[u8]; CHANNELS],
    huffman: &[[&[u8]; CHANNELS]; 2],
    (across, down): (u8, u8),
    (width, height): (u16, u16),
) -> Vec<u8> {
    let mut out = START_OF_IMAGE.to_vec();
    let mut segment = |marker: u8, body: &[u8]| {
        out.extend([0xFF, marker]);
        out.extend((body.len() as u16 + 2).to_be_bytes());
        out.extend(body);
    };
    for (channel, table) in (0..).zip(quantization) {
        segment(0xDB, &[&[channel], *table].concat());
    }
    let ([top, bottom], [left, right]) = (height.to_be_bytes(), width.to_be_bytes());
    let luma = across << 4 | down;
    segment(
        0xC0,
        &[8, top, bottom, left, right, 3, 0, luma, 0, 1, 0x11, 1, 2, 0x11, 2],
    );
    for (class, tables) in (0..).zip(huffman) {
        for (channel, table) in (0..).zip(tables) {
            segment(0xC4, &[&[class << 4 | channel], *table].concat());
        }
    }
    segment(0xDA, &[3, 0, 0, 1, 0x11, 2, 0x22, 0, 63, 0]);
    out
}
