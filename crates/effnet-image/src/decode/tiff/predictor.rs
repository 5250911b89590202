//! Reverses the `Predictor` tag for rows that are stored as differences.

use super::layout::Layout;
use crate::error::Fault;

const NONE: u16 = 1;
const HORIZONTAL: u16 = 2;
const FLOATING_POINT: u16 = 3;

/// Restores the samples of rows of `row` bytes each, in place.
pub(super) fn undo(layout: &Layout, bytes: &mut [u8], row: usize) -> Result<(), Fault> {
    let samples = layout.interleaved();
    let unsupported = |what: &str| {
        let bits = layout.bits;
        Err(Fault::unsupported(format_args!(
            "{what} with {bits} bits per sample"
        )))
    };
    match (layout.predictor, layout.bits) {
        (NONE, _) => {}
        (HORIZONTAL, 8) => {
            for row in bytes.chunks_mut(row) {
                for at in samples..row.len() {
                    row[at] = row[at].wrapping_add(row[at - samples]);
                }
            }
        }
        (HORIZONTAL, 16) => {
            for row in bytes.chunks_mut(row) {
                sum::<2>(row, samples, layout.little);
            }
        }
        (HORIZONTAL, 32) => {
            for row in bytes.chunks_mut(row) {
                sum::<4>(row, samples, layout.little);
            }
        }
        (HORIZONTAL, _) => return unsupported("a horizontal predictor"),
        (FLOATING_POINT, 32) => {
            for row in bytes.chunks_mut(row) {
                join_planes(row, samples, layout.little);
            }
        }
        (FLOATING_POINT, _) => return unsupported("a floating-point predictor"),
        (other, _) => return Err(Fault::unsupported(format_args!("the predictor {other}"))),
    }
    Ok(())
}

/// Adds to every sample of `N` bytes the sample one pixel before it.
fn sum<const N: usize>(row: &mut [u8], samples: usize, little: bool) {
    let row = row.as_chunks_mut::<N>().0;
    for at in samples..row.len() {
        let before = row[at - samples];
        let mut carry = 0;
        for digit in 0..N {
            let place = if little { digit } else { N - 1 - digit };
            let sum = u16::from(row[at][place]) + u16::from(before[place]) + carry;
            row[at][place] = sum as u8;
            carry = sum >> 8;
        }
    }
}

/// Reverses the predictor of Adobe's technical note 3: a row is split into planes of bytes, the most
/// significant first, and these bytes are differences.
fn join_planes(row: &mut [u8], samples: usize, little: bool) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let count = row.len() / 4;
    let planes = row.to_vec();
    for (index, value) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for (plane, byte) in value.iter_mut().enumerate() {
            let plane = if little { 3 - plane } else { plane };
            *byte = planes[plane * count + index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_carry_between_the_bytes_of_a_sample() {
        let mut little = [0xFF, 0x00, 0x01, 0x00, 0x00, 0x01];
        sum::<2>(&mut little, 1, true);
        assert_eq!(little, [0xFF, 0x00, 0x00, 0x01, 0x00, 0x02]);
        let mut big = [0x00, 0xFF, 0x00, 0x01, 0x01, 0x00];
        sum::<2>(&mut big, 1, false);
        assert_eq!(big, [0x00, 0xFF, 0x01, 0x00, 0x02, 0x00]);
    }
}
