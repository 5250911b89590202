//! Reads GIFs whose data end or become invalid after the last pixel.
//!
//! Pillow stops once the first frame has all of its pixels, and ignores everything after them: an end code,
//! the end of the blocks, and the trailer. This module unpacks the frame as Pillow does, after the decoder
//! has rejected the file.

use gif::Frame;

use super::gif_blocks::palette_size;

/// Length of what precedes the palette of a frame; its last byte has the flags.
const DESCRIPTOR: usize = 10;
const MAX_BITS: u32 = 12;
const TABLE: usize = 1 << MAX_BITS;

/// Returns the indices of the frame that begins with `bytes`, row by row; `None` if not all of them can be read.
pub(super) fn indices(bytes: &[u8], frame: &Frame<'_>) -> Option<Vec<u8>> {
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let (bits, data) = frame_data(bytes)?;
    let unpacked = Unpacker::new(bits)?.unpack(data, width * height)?;
    if !frame.interlaced {
        return Some(unpacked);
    }
    let mut rows = unpacked.chunks_exact(width.max(1));
    let mut indices = vec![0; unpacked.len()];
    for (start, step) in [(0, 8), (4, 8), (2, 4), (1, 2)] {
        for y in (start..height).step_by(step) {
            indices[y * width..(y + 1) * width].copy_from_slice(rows.next()?);
        }
    }
    Some(indices)
}

/// Returns the code size of the frame that begins here and the joined bytes of its blocks, cut off where the file
/// ends.
fn frame_data(bytes: &[u8]) -> Option<(u32, Vec<u8>)> {
    let mut at = DESCRIPTOR + palette_size(*bytes.get(DESCRIPTOR - 1)?);
    let bits = u32::from(*bytes.get(at)?);
    at += 1;
    let mut data = Vec::new();
    while let Some(length) = bytes.get(at) {
        let end = at + 1 + usize::from(*length);
        // Pillow reads only whole blocks.
        let Some(block) = bytes.get(at + 1..end) else {
            break;
        };
        data.extend_from_slice(block);
        at = end;
    }
    Some((bits, data))
}

/// The table of codes. Each code is a link to a shorter code, and a last byte.
struct Unpacker {
    bits: u32,
    links: Vec<(usize, u8)>,
}

impl Unpacker {
    fn new(bits: u32) -> Option<Self> {
        (bits < MAX_BITS).then(|| Self {
            bits,
            links: vec![(0, 0); TABLE],
        })
    }

    /// Unpacks `count` indices; `None` if the data end or become invalid before that.
    fn unpack(mut self, data: Vec<u8>, count: usize) -> Option<Vec<u8>> {
        let clear = 1_usize << self.bits;
        let mut out = Vec::with_capacity(count);
        let (mut buffer, mut buffered) = (0_u32, 0);
        let (mut size, mut next) = (self.bits + 1, clear + 2);
        // The previous code and the first byte that it stands for; `None` after a clear code.
        let mut last: Option<(usize, u8)> = None;
        let mut bytes = data.into_iter();
        while out.len() < count {
            while buffered < size {
                buffer |= u32::from(bytes.next()?) << buffered;
                buffered += 8;
            }
            let code = (buffer & ((1 << size) - 1)) as usize;
            buffer >>= size;
            buffered -= size;
            if code == clear {
                (size, next, last) = (self.bits + 1, clear + 2, None);
                continue;
            }
            // An end code is ignored: only pixels end a frame.
            if code == clear + 1 {
                continue;
            }
            let Some((last_code, last_byte)) = last else {
                let byte = u8::try_from(code).ok().filter(|_| code < clear)?;
                out.push(byte);
                last = Some((code, byte));
                continue;
            };
            if code > next {
                return None;
            }
            let start = out.len();
            let mut link = code;
            if code == next {
                out.push(last_byte);
                link = last_code;
            }
            while link >= clear {
                if out.len() - start >= TABLE {
                    return None;
                }
                let (shorter, byte) = *self.links.get(link)?;
                out.push(byte);
                link = shorter;
            }
            let first = link as u8;
            out.push(first);
            out[start..].reverse();
            if let Some(entry) = self.links.get_mut(next) {
                *entry = (last_code, first);
                if next + 1 == 1 << size && size < MAX_BITS {
                    size += 1;
                }
                next += 1;
            }
            last = Some((code, first));
        }
        out.truncate(count);
        Some(out)
    }
}
