//! Checks the structure of a JPEG's scans before the fast decoder sees them.
//!
//! When entropy-coded data end too early, the fast decoder reads zeros without an error; libjpeg warns and
//! shows something else. This module checks the structure (markers in order, every restart, every coefficient
//! complete). Whatever only decoding can detect is turned into an error: the data of each interval are
//! followed by ones, which are never a valid code, so that a decoder that runs past the end fails. Files
//! rejected here or by the fast decoder go to libjpeg.

use crate::error::Fault;

use super::jpeg_header::{JpegHeader, Segment, are_sound_codes, next_segment};

/// Bytes of ones after each interval, more than a decoder reads before it needs a code. Correction bits of
/// progressive files do not have codes, so these files need more.
const BASELINE_GUARD: [u8; 12] = guard();
const PROGRESSIVE_GUARD: [u8; 128] = guard();

/// Returns bytes of ones, each followed by the zero that says that it is not a marker.
const fn guard<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = 0xFF;
        at += 2;
    }
    bytes
}

/// What to do with a file.
pub(super) enum Verdict {
    /// Its structure is sound: decode these bytes, in which running past the end of an interval is an error.
    Sound(Vec<u8>),
    /// Only libjpeg can tell what it looks like.
    Unsure,
}

/// Rejects a file with more scans than [`JpegHeader::max_scans`] by its markers, before libjpeg spends time
/// on them.
pub(super) fn admit(bytes: &[u8], header: &JpegHeader) -> Result<(), Fault> {
    let most = header.max_scans();
    let scans = memchr::memmem::find_iter(&bytes[header.scans..], &[0xFF, 0xDA]);
    match scans.take(most + 1).count() {
        count if count > most => Err(Fault::unsupported(JpegHeader::too_many_scans(most))),
        _ => Ok(()),
    }
}

/// Checks the scans of a file with an ordinary header.
pub(super) fn check(bytes: &[u8], header: &JpegHeader) -> Verdict {
    let mut guarded = Vec::with_capacity(bytes.len() + bytes.len() / 16 + 256);
    guarded.extend_from_slice(&bytes[..header.scans]);
    let mut progress = Progress::new(header);
    let mut rest = &bytes[header.scans..];
    let mut scans = 0;
    loop {
        let Some(segment) = next_segment(rest).ok().filter(|segment| segment.sound) else {
            return Verdict::Unsure;
        };
        guarded.extend_from_slice(&rest[..rest.len() - segment.rest.len()]);
        rest = segment.rest;
        match segment.marker {
            0xDA => {
                scans += 1;
                if scans > header.max_scans() {
                    return Verdict::Unsure;
                }
                let scan = progress.scan(&segment);
                let Some(end) = scan.and_then(|scan| scan.copy(rest, header, &mut guarded)) else {
                    return Verdict::Unsure;
                };
                rest = &rest[end..];
            }
            // Tables and comments may appear between the scans of a progressive file.
            0xC4 if are_sound_codes(segment.content) => {}
            0xE0..=0xEF | 0xFE => {}
            0xD9 if progress.is_complete() => return Verdict::Sound(guarded),
            _ => return Verdict::Unsure,
        }
    }
}

/// A scan, as described by its header.
struct Scan {
    /// The number of coded units, each of which has `blocks` blocks.
    units: usize,
    blocks: usize,
    /// Whether there is exactly one bit per block.
    is_dc_refinement: bool,
}

impl Scan {
    /// Copies the entropy-coded data with a guard after each interval. Returns their length, or `None` if the
    /// restart markers are not the expected ones.
    fn copy(&self, data: &[u8], header: &JpegHeader, guarded: &mut Vec<u8>) -> Option<usize> {
        let guard: &[u8] = if header.progressive {
            &PROGRESSIVE_GUARD
        } else {
            &BASELINE_GUARD
        };
        let interval = header.restart_interval;
        let restarts = match interval {
            0 => 0,
            interval => self.units.div_ceil(interval).saturating_sub(1),
        };
        let (mut done, mut from, mut stuffed) = (0, 0, 0);
        for at in memchr::memchr_iter(0xFF, data) {
            match *data.get(at + 1)? {
                0x00 => stuffed += 1,
                marker @ 0xD0..=0xD7 => {
                    if done == restarts || usize::from(marker & 7) != done % 8 {
                        return None;
                    }
                    done += 1;
                    guarded.extend_from_slice(&data[from..at]);
                    guarded.extend_from_slice(guard);
                    from = at;
                }
                0xFF => return None,
                _ => {
                    let bits = self.units * self.blocks;
                    let is_long_enough = interval == 0 && at - stuffed == bits.div_ceil(8);
                    if done != restarts || self.is_dc_refinement && !is_long_enough {
                        return None;
                    }
                    guarded.extend_from_slice(&data[from..at]);
                    guarded.extend_from_slice(guard);
                    return Some(at);
                }
            }
        }
        None
    }
}

/// Which bits of which coefficients the scans have provided so far.
struct Progress<'a> {
    header: &'a JpegHeader,
    /// For each component and coefficient, the lowest known bit, or `None`.
    known: Vec<[Option<u8>; 64]>,
}

impl<'a> Progress<'a> {
    fn new(header: &'a JpegHeader) -> Self {
        Self {
            header,
            known: vec![[None; 64]; header.components.len()],
        }
    }

    /// Returns whether every coefficient of every component is known to the last bit.
    fn is_complete(&self) -> bool {
        self.known.iter().flatten().all(|bit| *bit == Some(0))
    }

    /// Reads the header of a scan; `None` if it is not a valid continuation of the preceding scans.
    fn scan(&mut self, segment: &Segment<'_>) -> Option<Scan> {
        let [count, content @ ..] = segment.content else {
            return None;
        };
        let count = usize::from(*count);
        let (selectors, spectrum) = content.split_at_checked(2 * count)?;
        let [first, last, bits] = *spectrum else {
            return None;
        };
        let (before, after) = (bits >> 4, bits & 15);
        let indices: Vec<usize> = selectors
            .chunks_exact(2)
            .map(|selector| {
                let is_it = |component: &super::jpeg_header::Component| component.id == selector[0];
                self.header.components.iter().position(is_it)
            })
            .collect::<Option<_>>()?;
        let is_ordinary = if self.header.progressive {
            first <= last && last < 64 && (first > 0 && count == 1 || last == 0) && after < 14
        } else {
            (first, last, bits) == (0, 63, 0) && count == self.header.components.len()
        };
        // The components must be in the order of the frame, without duplicates.
        if !is_ordinary || count == 0 || !indices.is_sorted_by(|left, right| left < right) {
            return None;
        }
        for index in &indices {
            for known in &mut self.known[*index][usize::from(first)..=usize::from(last)] {
                let expected = match known {
                    None => before == 0,
                    Some(bit) => *bit == before && before == after + 1,
                };
                if !expected {
                    return None;
                }
                *known = Some(after);
            }
        }
        // An AC scan requires that the DC coefficients precede it.
        if indices.iter().any(|index| self.known[*index][0].is_none()) {
            return None;
        }
        Some(self.shape(&indices, before > 0 && first == 0))
    }

    fn shape(&self, indices: &[usize], is_dc_refinement: bool) -> Scan {
        let sampling = |index: usize| self.header.components[index].sampling;
        let max = |of: fn((u8, u8)) -> u8| {
            let all = self.header.components.iter();
            usize::from(all.map(|component| of(component.sampling)).max().unwrap_or(1))
        };
        let (max_h, max_v) = (max(|(h, _)| h), max(|(_, v)| v));
        let (units, blocks) = if let [index] = *indices {
            let (h, v) = sampling(index);
            let across = (self.header.width * usize::from(h)).div_ceil(8 * max_h);
            let down = (self.header.height * usize::from(v)).div_ceil(8 * max_v);
            (across * down, 1)
        } else {
            let (across, down) = self.header.units(max_h, max_v);
            let blocks = |index: &usize| usize::from(sampling(*index).0) * usize::from(sampling(*index).1);
            (across * down, indices.iter().map(blocks).sum())
        };
        Scan {
            units,
            blocks,
            is_dc_refinement,
        }
    }
}
