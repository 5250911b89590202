//! CCITT compression of bilevel images: modified Huffman (2), Group 3 (3) and Group 4 (4).
//!
//! The code tables come from the `fax` crate. Its decoders support less than those of libtiff: no
//! two-dimensional Group 3, no rows without end-of-line codes, and no width above 65,535.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use crate::error::Fault;

const MODIFIED_HUFFMAN: u16 = 2;
const GROUP_4: u16 = 4;
const WORD_ALIGNED: u16 = 32771;
const TWO_DIMENSIONAL: u16 = 1;

/// Unpacks the data to rows of bits, padded to bytes, in which 1 is black. Rows beyond the end of the data
/// are white.
pub(super) fn decode(
    data: &[u8],
    method: u16,
    options: u16,
    width: usize,
    height: usize,
) -> Result<Vec<u8>, Fault> {
    let stride = width.div_ceil(8);
    let mut out = vec![0; stride * height];
    let mut bits = Bits { data, at: 0 };
    // Positions at which the colour changes in this row, and in the row above.
    let (mut changes, mut above) = (Vec::new(), Vec::new());
    for (y, row) in out.chunks_exact_mut(stride).enumerate() {
        changes.clear();
        let complete = match method {
            MODIFIED_HUFFMAN | WORD_ALIGNED => {
                bits.align(if method == WORD_ALIGNED { 16 } else { 8 });
                one_dimensional(&mut bits, width, &mut changes)
            }
            GROUP_4 => two_dimensional(&mut bits, width, &above, &mut changes),
            _ if !bits.skip_end_of_line() => Row::End,
            _ if options & TWO_DIMENSIONAL != 0 && bits.take(1) == 0 => {
                two_dimensional(&mut bits, width, &above, &mut changes)
            }
            _ => one_dimensional(&mut bits, width, &mut changes),
        };
        match complete {
            Row::Complete => {}
            Row::End => break,
            Row::Invalid => {
                return Err(Fault::malformed(format_args!("an invalid CCITT code in row {y}")));
            }
        }
        paint(&changes, row, width);
        std::mem::swap(&mut changes, &mut above);
    }
    Ok(out)
}

enum Row {
    Complete,
    /// The data are at their end, or at the code that marks the end.
    End,
    Invalid,
}

fn one_dimensional(bits: &mut Bits<'_>, width: usize, changes: &mut Vec<usize>) -> Row {
    let (mut x, mut is_black) = (0, false);
    if bits.at_end() {
        return Row::End;
    }
    while x < width {
        let Some(run) = run(bits, is_black) else {
            return if x == 0 && bits.end_of_line_ahead() {
                Row::End
            } else {
                Row::Invalid
            };
        };
        x += run;
        change(changes, x.min(width));
        is_black = !is_black;
    }
    Row::Complete
}

fn two_dimensional(bits: &mut Bits<'_>, width: usize, above: &[usize], changes: &mut Vec<usize>) -> Row {
    // `None` is the imaginary white pixel before the row.
    let (mut x, mut is_black) = (None, false);
    let mut next = 0;
    if bits.at_end() {
        return Row::End;
    }
    while x.unwrap_or(0) < width {
        // Finds the first change above and to the right of x, away from the colour of this run. Vertical
        // codes step back by at most 3 pixels, which are at most 3 changes.
        let is_right = |at: usize| x.is_none_or(|x| at > x);
        while next > 0 && is_right(above[next - 1]) {
            next -= 1;
        }
        while next < above.len() && (!is_right(above[next]) || (next % 2 == 1) != is_black) {
            next += 1;
        }
        let b1 = above.get(next).copied().unwrap_or(width);
        let b2 = above.get(next + 1).copied().unwrap_or(width);
        match mode::decode(bits) {
            Some(Mode::Pass) => x = Some(b2),
            Some(Mode::Vertical(delta)) => {
                let end = b1.checked_add_signed(isize::from(delta));
                let Some(end) = end.filter(|end| *end >= x.unwrap_or(0)) else {
                    return Row::Invalid;
                };
                change(changes, end.min(width));
                x = Some(end);
                is_black = !is_black;
            }
            Some(Mode::Horizontal) => {
                let (Some(first), Some(second)) = (run(bits, is_black), run(bits, !is_black)) else {
                    return Row::Invalid;
                };
                let start = x.unwrap_or(0);
                change(changes, (start + first).min(width));
                change(changes, (start + first + second).min(width));
                x = Some(start + first + second);
            }
            Some(Mode::EOF) if x.is_none() => return Row::End,
            Some(Mode::EOF | Mode::Extension) | None => return Row::Invalid,
        }
    }
    Row::Complete
}

/// Adds a change of colour. Two changes at the same place, around an empty run, cancel out.
fn change(changes: &mut Vec<usize>, at: usize) {
    if changes.last() == Some(&at) {
        changes.pop();
    } else {
        changes.push(at);
    }
}

/// Reads the length of a run: any number of make-up codes and a terminating code.
fn run(bits: &mut Bits<'_>, is_black: bool) -> Option<usize> {
    let mut length = 0;
    loop {
        let code = if is_black {
            black::decode(bits)
        } else {
            white::decode(bits)
        }?;
        length += usize::from(code);
        if code < 64 {
            return Some(length);
        }
        if bits.at_end() {
            return None;
        }
    }
}

/// Sets the bits of black runs: those between changes 0 and 1, 2 and 3, ...
fn paint(changes: &[usize], row: &mut [u8], width: usize) {
    for run in changes.chunks(2) {
        // Changes alternate from white to black and back.
        let [start, end] = match *run {
            [start, end] => [start, end],
            [start] => [start, width],
            _ => break,
        };
        for x in start..end {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
}

/// Bits, starting with the highest bit of each byte. Beyond the end there are zeros.
struct Bits<'a> {
    data: &'a [u8],
    /// The position in bits.
    at: usize,
}

impl Bits<'_> {
    fn look(&self, count: u8) -> u16 {
        let byte = |index: usize| u32::from(self.data.get(self.at / 8 + index).copied().unwrap_or(0));
        let window = byte(0) << 16 | byte(1) << 8 | byte(2);
        let shifted = window << (self.at % 8) & 0xFF_FFFF;
        (shifted >> (24 - u32::from(count))) as u16
    }

    fn take(&mut self, count: u8) -> u16 {
        let bits = self.look(count);
        self.at += usize::from(count);
        bits
    }

    fn at_end(&self) -> bool {
        self.at >= self.data.len() * 8
    }

    fn align(&mut self, bits: usize) {
        self.at = self.at.next_multiple_of(bits);
    }

    /// Returns whether eleven zeros follow: no other code starts with them.
    fn end_of_line_ahead(&self) -> bool {
        self.look(11) == 0
    }

    /// Moves past the next end-of-line code. Returns `false` at the end of the data, or if two codes follow
    /// each other, which ends a Group 3 image.
    fn skip_end_of_line(&mut self) -> bool {
        while !self.at_end() && !self.end_of_line_ahead() {
            self.at += 1;
        }
        while !self.at_end() && self.look(1) == 0 {
            self.at += 1;
        }
        self.at += 1;
        !self.at_end() && self.look(12) != 1
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        (bits <= 16 && !self.at_end()).then(|| self.look(bits))
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.at.wrapping_neg() % 8) as u8
    }
}
