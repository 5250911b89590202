//! Repairs PNG files that violate the format where Pillow does not check it.
//!
//! Pillow checks only the checksums of the chunks before the pixels, reads no further than the last row, and
//! requires neither an end chunk nor a palette. This module reads such a file as Pillow does and writes a
//! sound file with the same pixels, which the decoder then reads. It is called only after the decoder has
//! rejected the file.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::error::Fault;

const SIGNATURE: usize = 8;

/// A chunk. In a truncated file, the data of the last chunk are shorter than the chunk says.
struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
    is_complete: bool,
    is_checksum_right: bool,
}

/// Reads the chunk at the start of `rest`; `None` at the end, or if there is no valid chunk.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Option<Chunk<'a>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (kind, after) = after.split_first_chunk::<4>()?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if !kind.iter().all(is_name) {
        return None;
    }
    let length = u32::from_be_bytes(*length) as usize;
    let data = &after[..length.min(after.len())];
    let stated = after.get(length..).and_then(<[u8]>::first_chunk::<4>);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    *rest = after.get(length + 4..).unwrap_or_default();
    Some(Chunk {
        kind: *kind,
        data,
        is_complete: data.len() == length,
        is_checksum_right: stated.is_some_and(|stated| u32::from_be_bytes(*stated) == crc.sum()),
    })
}

/// The layout of the pixels, as stated by the header chunk.
struct Layout {
    width: usize,
    height: usize,
    depth: u8,
    color: u8,
    is_interlaced: bool,
}

impl Layout {
    const PALETTE: u8 = 3;

    fn read(header: &[u8]) -> Option<Self> {
        let (width, rest) = header.split_first_chunk::<4>()?;
        let (height, rest) = rest.split_first_chunk::<4>()?;
        let [depth, color, _, _, interlace] = rest else {
            return None;
        };
        Some(Self {
            width: u32::from_be_bytes(*width) as usize,
            height: u32::from_be_bytes(*height) as usize,
            depth: *depth,
            color: *color,
            is_interlaced: *interlace != 0,
        })
    }

    /// Returns the number of bytes in all rows, including their filter bytes; 0 for invalid layouts.
    fn raw_size(&self) -> usize {
        let channels = match self.color {
            0 | 3 => 1,
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 0,
        };
        let bits = channels * usize::from(self.depth);
        let rows = |width: usize, height: usize| match width {
            0 => 0,
            width => height * (1 + (width * bits).div_ceil(8)),
        };
        if !self.is_interlaced {
            return rows(self.width, self.height);
        }
        // Start and step of the columns and rows in Adam7's passes.
        let passes = [
            (0, 8, 0, 8),
            (4, 8, 0, 8),
            (0, 4, 4, 8),
            (2, 4, 0, 4),
            (0, 2, 2, 4),
            (1, 2, 0, 2),
            (0, 1, 1, 2),
        ];
        let count = |size: usize, start: usize, step: usize| size.saturating_sub(start).div_ceil(step);
        passes
            .iter()
            .map(|(x, across, y, down)| rows(count(self.width, *x, *across), count(self.height, *y, *down)))
            .sum()
    }
}

/// The result of [`mend`] for a faulty file.
pub(super) struct Mended {
    /// A file with the pixels that Pillow reads from the faulty one.
    pub(super) file: Vec<u8>,
    /// What was wrong.
    pub(super) reason: &'static str,
}

/// Repairs a file; `None` if Pillow rejects it too. The header must have been admitted, and the checksums of
/// the new file are not valid.
pub(super) fn mend(bytes: &[u8]) -> Result<Option<Mended>, Fault> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    let mut sound = bytes[..SIGNATURE.min(bytes.len())].to_vec();
    let (mut layout, mut has_palette, mut has_end) = (None, false, false);
    let (mut compressed, mut is_behind) = (Vec::new(), false);
    let mut reason = None;
    while let Some(chunk) = next_chunk(&mut rest) {
        match &chunk.kind {
            b"IDAT" if is_behind => continue,
            b"IDAT" => {
                if !chunk.is_checksum_right {
                    reason = reason.or(Some("a wrong checksum"));
                }
                compressed.extend_from_slice(chunk.data);
                continue;
            }
            b"IEND" => {
                has_end = true;
                break;
            }
            _ if !compressed.is_empty() => is_behind = true,
            _ if !chunk.is_checksum_right => return Ok(None),
            b"IHDR" => layout = Layout::read(chunk.data),
            b"PLTE" => has_palette = true,
            _ => {}
        }
        // The frames of an animation are not needed, and their number would have to be counted.
        if chunk.is_complete && !matches!(&chunk.kind, b"acTL" | b"fcTL" | b"fdAT") {
            push(&mut sound, chunk.kind, chunk.data);
        }
    }
    let Some(layout) = layout else {
        return Ok(None);
    };
    let Some(rows) = inflate(&compressed, layout.raw_size())? else {
        return Ok(None);
    };
    drop(compressed);
    if layout.color == Layout::PALETTE && !has_palette {
        // Without a palette, Pillow shows all indices black.
        push_palette(&mut sound, &[0; 3]);
        reason = reason.or(Some("its palette is missing"));
    }
    if !has_end {
        reason = reason.or(Some("its end is missing"));
    }
    push(&mut sound, *b"IDAT", &stored(&rows));
    push(&mut sound, *b"IEND", &[]);
    Ok(Some(Mended {
        file: sound,
        reason: reason.unwrap_or("invalid compressed data"),
    }))
}

fn push(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&[0; 4]);
}

/// Adds a palette after the header, where it belongs.
fn push_palette(file: &mut Vec<u8>, colors: &[u8]) {
    const HEADER_END: usize = SIGNATURE + 12 + 13;
    let behind = file.split_off(HEADER_END.min(file.len()));
    push(file, *b"PLTE", colors);
    file.extend_from_slice(&behind);
}

/// Returns the first `size` bytes that `compressed` holds; `None` if it holds fewer.
fn inflate(compressed: &[u8], size: usize) -> Result<Option<Vec<u8>>, Fault> {
    let mut rows = Vec::new();
    rows.try_reserve_exact(size)
        .map_err(|_| Fault::malformed("its size overflows"))?;
    let mut decoder = Decompress::new(true);
    loop {
        let (read, made) = (decoder.total_in(), rows.len());
        let input = compressed.get(read as usize..).unwrap_or_default();
        let outcome = decoder.decompress_vec(input, &mut rows, FlushDecompress::None);
        if rows.len() >= size && outcome.is_ok() {
            rows.truncate(size);
            let is_sound = !rows.is_empty() && is_sound_behind(&mut decoder, compressed);
            return Ok(is_sound.then_some(rows));
        }
        let is_stuck = decoder.total_in() == read && rows.len() == made;
        if is_stuck || !matches!(outcome, Ok(Status::Ok)) {
            return Ok(None);
        }
    }
}

/// Returns whether the stream continues without an error, or at least with further output. zlib checks the
/// checksum after the last row, if it is there, but no data after it.
fn is_sound_behind(decoder: &mut Decompress, compressed: &[u8]) -> bool {
    let made = decoder.total_out();
    let input = compressed.get(decoder.total_in() as usize..).unwrap_or_default();
    let outcome = decoder.decompress(input, &mut [0], FlushDecompress::None);
    outcome.is_ok() || decoder.total_out() > made
}

/// Returns a zlib stream that stores `rows` uncompressed.
fn stored(rows: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 65_535;
    let mut stream = Vec::with_capacity(rows.len() + rows.len() / BLOCK * 5 + 16);
    stream.extend_from_slice(&[0x78, 0x01]);
    let blocks = rows.len().div_ceil(BLOCK);
    for (number, block) in (1..).zip(rows.chunks(BLOCK)) {
        let length = block.len() as u16;
        stream.push(u8::from(number == blocks));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&[0; 4]);
    stream
}
