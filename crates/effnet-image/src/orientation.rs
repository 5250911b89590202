//! EXIF orientation: reads the tag, and rotates the pixels.

use crate::Region;

/// The transform that stored pixels need for display: EXIF tag 274, values 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Orientation {
    #[default]
    Upright,
    FlipLeftRight,
    Rotate180,
    FlipTopBottom,
    Transpose,
    Rotate90Clockwise,
    Transverse,
    Rotate90CounterClockwise,
}

impl Orientation {
    /// Converts the value of the tag. Values outside 1 to 8 are ignored, as in `exif_transpose`.
    pub(crate) fn from_tag(value: u16) -> Self {
        match value {
            2 => Self::FlipLeftRight,
            3 => Self::Rotate180,
            4 => Self::FlipTopBottom,
            5 => Self::Transpose,
            6 => Self::Rotate90Clockwise,
            7 => Self::Transverse,
            8 => Self::Rotate90CounterClockwise,
            _ => Self::Upright,
        }
    }

    /// Finds the orientation in EXIF, or in XMP if EXIF does not contain it (the same order as Pillow's
    /// `Image.getexif`).
    pub(crate) fn find(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Self {
        exif.and_then(tag_in_exif)
            .or_else(|| xmp.and_then(tag_in_xmp))
            .map_or(Self::Upright, Self::from_tag)
    }

    /// Returns the size for display of an image that is stored with this width and height.
    pub(crate) fn size(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.swaps() {
            (height, width)
        } else {
            (width, height)
        }
    }

    fn swaps(self) -> bool {
        matches!(
            self,
            Self::Transpose | Self::Rotate90Clockwise | Self::Transverse | Self::Rotate90CounterClockwise
        )
    }

    /// Returns the place in the image for display of a part of an image that is stored with this size.
    pub(crate) fn upright(self, part: Region, (width, height): (usize, usize)) -> Region {
        let (from_right, from_bottom) = (
            width as f64 - part.left - part.width,
            height as f64 - part.top - part.height,
        );
        let (left, top) = match self {
            Self::Upright => (part.left, part.top),
            Self::FlipLeftRight => (from_right, part.top),
            Self::Rotate180 => (from_right, from_bottom),
            Self::FlipTopBottom => (part.left, from_bottom),
            Self::Transpose => (part.top, part.left),
            Self::Rotate90Clockwise => (from_bottom, part.left),
            Self::Transverse => (from_bottom, from_right),
            Self::Rotate90CounterClockwise => (part.top, from_right),
        };
        let (width, height) = if self.swaps() {
            (part.height, part.width)
        } else {
            (part.width, part.height)
        };
        Region {
            left,
            top,
            width,
            height,
        }
    }

    /// Returns the place in an image that is stored with this size of a part of the image for display.
    pub(crate) fn stored(self, part: Region, size: (usize, usize)) -> Region {
        let inverse = match self {
            Self::Rotate90Clockwise => Self::Rotate90CounterClockwise,
            Self::Rotate90CounterClockwise => Self::Rotate90Clockwise,
            own => own,
        };
        inverse.upright(part, self.size(size))
    }

    /// Transforms `[height, width, 3]` pixels, and returns the new width, height and pixels.
    pub(crate) fn apply(self, width: usize, height: usize, mut pixels: Vec<u8>) -> (usize, usize, Vec<u8>) {
        match self {
            Self::Upright => {}
            Self::FlipLeftRight => pixels
                .chunks_exact_mut(width * 3)
                .for_each(|row| row.as_chunks_mut::<3>().0.reverse()),
            Self::Rotate180 => pixels.as_chunks_mut::<3>().0.reverse(),
            Self::FlipTopBottom => flip_rows(width * 3, &mut pixels),
            Self::Transpose => return transpose(width, height, &pixels, |x, y| (y, x)),
            Self::Rotate90Clockwise => {
                return transpose(width, height, &pixels, |x, y| (height - 1 - y, x));
            }
            Self::Transverse => {
                return transpose(width, height, &pixels, |x, y| (height - 1 - y, width - 1 - x));
            }
            Self::Rotate90CounterClockwise => {
                return transpose(width, height, &pixels, |x, y| (y, width - 1 - x));
            }
        }
        (width, height, pixels)
    }
}

fn flip_rows(stride: usize, pixels: &mut [u8]) {
    let mut rows = pixels.chunks_exact_mut(stride);
    while let (Some(top), Some(bottom)) = (rows.next(), rows.next_back()) {
        top.swap_with_slice(bottom);
    }
}

/// Moves each pixel `(x, y)` to `to(x, y)` in an image with width and height swapped.
fn transpose(
    width: usize,
    height: usize,
    pixels: &[u8],
    to: impl Fn(usize, usize) -> (usize, usize),
) -> (usize, usize, Vec<u8>) {
    // With square tiles, both the rows read and the rows written stay in the cache.
    const TILE: usize = 32;
    let mut turned = vec![0; pixels.len()];
    let source = pixels.as_chunks::<3>().0;
    let target = turned.as_chunks_mut::<3>().0;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                for x in left..(left + TILE).min(width) {
                    let (new_x, new_y) = to(x, y);
                    target[new_y * height + new_x] = source[y * width + x];
                }
            }
        }
    }
    (height, width, turned)
}

/// Returns the value of tag 274 in the first directory of an EXIF block, which has the structure of a TIFF file.
fn tag_in_exif(exif: &[u8]) -> Option<u16> {
    const ORIENTATION: u16 = 274;
    const SHORT: u16 = 3;
    // Some writers keep JPEG's APP1 prefix in other formats.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match tiff.get(..4)? {
        b"II\x2a\0" => true,
        b"MM\0\x2a" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    };
    let long = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let directory = long(4)? as usize;
    let entries = short(directory)?;
    for index in 0..usize::from(entries) {
        let entry = directory.checked_add(2 + 12 * index)?;
        if short(entry)? == ORIENTATION {
            return (short(entry + 2)? == SHORT && long(entry + 4)? == 1)
                .then(|| short(entry + 8))
                .flatten();
        }
    }
    None
}

/// Returns the digit after `tiff:Orientation="` or `tiff:Orientation>` in an XMP packet.
fn tag_in_xmp(xmp: &[u8]) -> Option<u16> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    loop {
        let at = rest.windows(NAME.len()).position(|window| window == NAME)?;
        rest = &rest[at + NAME.len()..];
        let value = rest
            .strip_prefix(b"=\"")
            .or_else(|| rest.strip_prefix(b">"))
            .and_then(|value| value.first());
        if let Some(digit @ b'0'..=b'9') = value {
            return Some(u16::from(digit - b'0'));
        }
    }
}
