//! Finds the first frame of a GIF as Pillow does.
//!
//! Pillow skips bytes between blocks that belong to none, and has its own ways with extensions that are cut short.
//! The decoder would reject such files, or read their blocks from different positions and show other pixels. This
//! module therefore reads everything before the first frame, and hands the decoder only what matters of it.

use crate::error::Fault;

const HEADER: usize = 13;
const FLAGS: usize = 10;
const HAS_PALETTE: u8 = 0x80;
const OF_256_COLORS: u8 = 7;
const GRAPHIC_CONTROL: u8 = 0xF9;
const COMMENT: u8 = 0xFE;
const APPLICATION: u8 = 0xFF;

/// A GIF without what precedes its first frame.
pub(super) struct Blocks<'a> {
    /// The screen, the palette and the transparent index, as a sound file states them.
    pub(super) head: Vec<u8>,
    /// The file from its first frame on.
    pub(super) frame: &'a [u8],
    /// Number of bytes between blocks that belong to none.
    pub(super) junk: usize,
}

impl<'a> Blocks<'a> {
    pub(super) fn find(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut head = head(bytes).ok_or_else(|| Fault::truncated("it ends in its palette"))?;
        let no_frame = || Fault::truncated("it has no frame");
        let mut reader = Reader {
            bytes,
            at: HEADER + bytes.get(FLAGS).map_or(0, |flags| palette_size(*flags)),
        };
        let (mut junk, mut transparent) = (0, None);
        loop {
            match reader.next().ok_or_else(no_frame)? {
                b'!' => reader.extension(&mut transparent)?,
                b',' => break,
                b';' => return Err(no_frame()),
                _ => junk += 1,
            }
        }
        if let Some(index) = transparent {
            head.extend([b'!', GRAPHIC_CONTROL, 4, 1, 0, 0, index, 0]);
        }
        let frame = &bytes[reader.at - 1..];
        Ok(Self { head, frame, junk })
    }
}

/// Returns the size of a palette from the flags that declare it.
pub(super) fn palette_size(flags: u8) -> usize {
    if flags & HAS_PALETTE == 0 {
        0
    } else {
        6 << (flags & 7)
    }
}

/// Returns the header and the palette. A file without one gets a palette of greys, since Pillow shows a frame
/// without a palette in this way.
fn head(bytes: &[u8]) -> Option<Vec<u8>> {
    let flags = *bytes.get(FLAGS)?;
    let mut head = bytes.get(..HEADER + palette_size(flags))?.to_vec();
    if flags & HAS_PALETTE == 0 {
        head[FLAGS] |= HAS_PALETTE | OF_256_COLORS;
        head.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
    }
    Some(head)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Reads a block of data, as far as the file goes; `None` for the empty block at the end of an extension.
    fn data(&mut self) -> Option<&'a [u8]> {
        let length = self.next().filter(|length| *length > 0)?;
        let rest = &self.bytes[self.at..];
        let block = &rest[..rest.len().min(usize::from(length))];
        self.at += block.len();
        Some(block)
    }

    fn skip_data(&mut self) {
        while self.data().is_some_and(|block| !block.is_empty()) {}
    }

    /// Reads an extension. Only a comment may begin with an empty block; after that of any other extension, and
    /// after the name of an animation's without its data, Pillow goes on reading.
    fn extension(&mut self, transparent: &mut Option<u8>) -> Result<(), Fault> {
        let label = self.next().ok_or_else(|| Fault::truncated("it has no frame"))?;
        let block = self.data();
        match (label, block) {
            (GRAPHIC_CONTROL, Some(block)) => match *block {
                [flags, _, _, index, ..] if flags & 1 == 1 => *transparent = Some(index),
                [flags, _, _, ..] if flags & 1 == 0 => {}
                _ => {
                    let length = block.len();
                    return Err(Fault::malformed(format!(
                        "a graphic control block of {length} bytes"
                    )));
                }
            },
            (COMMENT, None) => return Ok(()),
            (APPLICATION, Some(block)) if block.starts_with(b"NETSCAPE2.0") => {
                self.data();
            }
            _ => {}
        }
        self.skip_data();
        Ok(())
    }
}
