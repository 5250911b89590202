//! Finds images of unusual sizes: thumbnails among photos, banners, empty scans.

use super::{Entry, Fingerprint};

/// What is unusual about an image's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SizeOddity {
    /// Much smaller than most images.
    Small,
    /// Much larger than most images.
    Large,
    /// Much longer than wide, or the other way round.
    Narrow,
}

/// An image of an unusual size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OddSize {
    /// The index of the image.
    pub image: usize,
    /// What is unusual about it.
    pub oddity: SizeOddity,
}

/// An image is small or large if its sides are at least this many times shorter or longer than the median.
const SIDES: f64 = 4.0;
/// The ratio of the sides from which an image is narrow: its center crop shows less than a third of it.
const RATIO: usize = 3;

pub(super) fn find(entries: &[Entry]) -> Vec<OddSize> {
    let side = |entry: &Entry| {
        let Fingerprint { width, height, .. } = entry.fingerprint;
        (width as f64 * height as f64).sqrt()
    };
    let mut sides: Vec<f64> = entries.iter().map(side).collect();
    sides.sort_by(f64::total_cmp);
    let Some(&median) = sides.get(sides.len() / 2) else {
        return Vec::new();
    };
    let oddity = |entry: &Entry| {
        let Fingerprint { width, height, .. } = entry.fingerprint;
        if width.max(height) >= RATIO * width.min(height) {
            Some(SizeOddity::Narrow)
        } else if side(entry) * SIDES <= median {
            Some(SizeOddity::Small)
        } else if side(entry) >= SIDES * median {
            Some(SizeOddity::Large)
        } else {
            None
        }
    };
    let odd = entries.iter().enumerate();
    odd.filter_map(|(image, entry)| oddity(entry).map(|oddity| OddSize { image, oddity }))
        .collect()
}
