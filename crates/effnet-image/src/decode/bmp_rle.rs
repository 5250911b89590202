//! Run-length encoded bitmaps (`BI_RLE8`, `BI_RLE4`).

use crate::error::Fault;

/// Decompresses the data to one palette index per byte, in the order of the file (usually bottom row first).
///
/// `starts_odd` says that the data start at an odd offset, which matters because padding is counted from the
/// start of the file. `is_rle4` says that there are two pixels per byte (`BI_RLE4`). Skipped pixels have
/// index 0, as in Pillow.
pub(super) fn decode(
    data: &[u8],
    starts_odd: bool,
    width: usize,
    height: usize,
    is_rle4: bool,
) -> Result<Vec<u8>, Fault> {
    let total = width * height;
    // The output grows run by run, because a few bytes may declare a large image and then end.
    let mut out: Vec<u8> = Vec::new();
    let mut data = Reader { data, at: 0 };
    let mut x = 0;
    while out.len() < total {
        let (Some(count), Some(value)) = (data.next(), data.next()) else {
            break;
        };
        match (count, value) {
            (0, 0) => {
                out.resize(out.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let (Some(right), Some(up)) = (data.next(), data.next()) else {
                    break;
                };
                let jump = usize::from(right) + usize::from(up) * width;
                out.resize(total.min(out.len() + jump), 0);
                x = out.len() % width;
            }
            (0, literal) => {
                let count = usize::from(literal).min(total - out.len());
                let Some(run) = data.take(if is_rle4 { count.div_ceil(2) } else { count }) else {
                    break;
                };
                if is_rle4 {
                    let pixels = run.iter().flat_map(|pair| [pair >> 4, pair & 15]);
                    out.extend(pixels.take(count));
                } else {
                    out.extend_from_slice(run);
                }
                x += usize::from(literal);
                // Literal runs are padded to an even offset.
                data.at += (data.at + usize::from(starts_odd)) % 2;
            }
            (count, value) => {
                // A run does not extend beyond its row.
                let count = usize::from(count).min(width.saturating_sub(x));
                let pair = if is_rle4 {
                    [value >> 4, value & 15]
                } else {
                    [value; 2]
                };
                out.extend(pair.into_iter().cycle().take(count));
                x += count;
            }
        }
    }
    if out.len() < total {
        return Err(Fault::truncated(format_args!("{} of {total} pixels", out.len())));
    }
    out.truncate(total);
    Ok(out)
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let run = self.data.get(self.at..self.at + count)?;
        self.at += count;
        Some(run)
    }
}
