//! The first frame of an animated WebP.
//!
//! Pillow shows the frame as it is stored, and black where it does not cover the canvas. A decoder for
//! animations would first blend it over the canvas, which changes the colours of transparent pixels. So the
//! frame is cut out as a separate file, decoded as a still image, and placed on the canvas.

use super::samples::Samples;

/// The first frame: its position on the canvas, and a file with its pixels.
pub(super) struct Frame {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) file: Vec<u8>,
}

impl Frame {
    /// Cuts the first frame out of the file; `None` if there are no frames.
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        const RIFF_HEADER: usize = 12;
        let mut rest = bytes.get(RIFF_HEADER..)?;
        let frame = loop {
            let (kind, data, after) = split_chunk(rest)?;
            if kind == b"ANMF" {
                break data;
            }
            rest = after;
        };
        let (header, chunks) = frame.split_at_checked(16)?;
        let number = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], 0];
            u32::from_le_bytes(bytes) as usize
        };
        let (width, height) = (number(6) + 1, number(9) + 1);
        Some(Self {
            left: number(0) * 2,
            top: number(3) * 2,
            width,
            height,
            file: still(chunks, width, height)?,
        })
    }

    /// Places the frame's pixels on a canvas that is transparent black elsewhere.
    pub(super) fn place(&self, samples: Samples, width: usize, height: usize) -> Samples {
        if (self.width, self.height) == (width, height) {
            return samples;
        }
        let pixels: Vec<[u8; 4]> = match samples {
            Samples::Rgba(samples) => samples.as_chunks::<4>().0.to_vec(),
            Samples::Rgb(samples) => {
                let pixels = samples.as_chunks::<3>().0.iter();
                pixels.map(|[r, g, b]| [*r, *g, *b, u8::MAX]).collect()
            }
            other => return other,
        };
        let mut canvas = vec![[0; 4]; width * height];
        let rows = canvas.chunks_exact_mut(width).skip(self.top);
        for (row, source) in rows.zip(pixels.chunks_exact(self.width)) {
            if let Some(target) = row.get_mut(self.left..self.left + self.width) {
                target.copy_from_slice(source);
            }
        }
        Samples::Rgba(canvas.into_flattened())
    }
}

/// Returns the name and the data of the first chunk, and the bytes that follow.
fn split_chunk(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let data = rest.get(..length)?;
    let padded = length + (length & 1);
    Some((kind, data, rest.get(padded..).unwrap_or_default()))
}

/// Builds a file from the chunks of a frame: its alpha, if that is a separate chunk, and its colours.
fn still(mut chunks: &[u8], width: usize, height: usize) -> Option<Vec<u8>> {
    const ALPHA: u8 = 0x10;
    let mut body = b"WEBP".to_vec();
    while let Some((kind, data, after)) = split_chunk(chunks) {
        let is_alpha = kind == b"ALPH";
        if is_alpha {
            let [w0, w1, w2, _] = (width as u32 - 1).to_le_bytes();
            let [h0, h1, h2, _] = (height as u32 - 1).to_le_bytes();
            push(&mut body, *b"VP8X", &[ALPHA, 0, 0, 0, w0, w1, w2, h0, h1, h2]);
        }
        if is_alpha || kind == b"VP8 " || kind == b"VP8L" {
            push(&mut body, *kind, data);
        }
        if kind == b"VP8 " || kind == b"VP8L" {
            let mut file = b"RIFF".to_vec();
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(&body);
            return Some(file);
        }
        chunks = after;
    }
    None
}

fn push(body: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    body.extend_from_slice(&kind);
    body.extend_from_slice(&(data.len() as u32).to_le_bytes());
    body.extend_from_slice(data);
    if data.len() % 2 == 1 {
        body.push(0);
    }
}
