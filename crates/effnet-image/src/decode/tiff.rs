//! TIFF and BigTIFF, first page, like Pillow's `TiffImagePlugin` and libtiff.
//!
//! This module does not use a TIFF library: existing ones reject palettes, planes and CCITT, and convert
//! YCbCr by rules of their own. The directory and the order of the pixels are simple. Decompression, which is
//! not, is left to the crates that other formats use.

mod chunks;
mod compression;
mod directory;
mod fax;
mod jpeg;
mod layout;
mod old_jpeg;
mod pixels;
mod predictor;
mod ycbcr;

use super::Raster;
use super::samples::{Samples, cmyk_to_rgb, map_pixels};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, ImageWarning};
use chunks::Chunks;
use directory::{Directory, tag};
use layout::{Color, Extra, Layout, SampleType};
use pixels::straighten;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let directory = Directory::read(bytes)?;
    let layout = Layout::read(&directory)?;
    let kept = kept_channels(&layout);
    // Memory for the 8-bit samples, the alpha and RGB made from them, and a strip or tile.
    let per_pixel = kept as u64 * 2 + 3 + (layout.samples * layout.bits).div_ceil(8) as u64;
    let _permit = options.admit(layout.width as u64, layout.height as u64, per_pixel)?;
    let channels = Chunks::new(bytes, &directory, &layout, options)?.read(kept)?;
    let mut warnings = warnings(bytes, &directory, &layout);
    if channels.clipped {
        warnings.push(ImageWarning::Clipped);
    }
    warnings.extend(channels.damage.map(ImageWarning::damaged));
    let samples = color(&directory, &layout, channels.samples)?;
    Ok(Raster {
        width: layout.width,
        height: layout.height,
        samples,
        orientation: orientation(&directory),
        warnings,
    })
}

/// Returns the number of channels per pixel that the image needs; further samples are ignored.
fn kept_channels(layout: &Layout) -> usize {
    layout.color.channels() + usize::from(layout.extra != Extra::None)
}

/// Converts interleaved 8-bit channels to grey or RGB, with alpha if there is any.
fn color(directory: &Directory<'_>, layout: &Layout, mut channels: Vec<u8>) -> Result<Samples, Fault> {
    let alpha = layout.extra != Extra::None;
    Ok(match layout.color {
        Color::WhiteIsZero | Color::BlackIsZero if alpha => {
            straighten::<2>(&mut channels, layout.extra);
            Samples::GrayAlpha(channels)
        }
        Color::WhiteIsZero | Color::BlackIsZero => Samples::Gray(channels),
        Color::Rgb if alpha => {
            straighten::<4>(&mut channels, layout.extra);
            Samples::Rgba(channels)
        }
        Color::Rgb | Color::YCbCr => Samples::Rgb(channels),
        Color::Cmyk => Samples::Rgb(map_pixels(&channels, cmyk_to_rgb)),
        Color::Palette => {
            let palette = palette(directory)?;
            let look_up = |index: u8| palette.get(usize::from(index)).copied().unwrap_or_default();
            if alpha {
                let pixels = channels.as_chunks::<2>().0.iter();
                let rgba = pixels.flat_map(|[index, alpha]| {
                    let [r, g, b] = look_up(*index);
                    [r, g, b, *alpha]
                });
                Samples::Rgba(rgba.collect())
            } else {
                Samples::Rgb(map_pixels(&channels, |[index]| look_up(index)))
            }
        }
    })
}

/// Reads a palette: all reds, then all greens, then all blues, with 16 bits each. Pillow keeps the high byte.
fn palette(directory: &Directory<'_>) -> Result<Vec<[u8; 3]>, Fault> {
    let missing = || Fault::malformed("a palette image without a palette");
    let table = directory.values(tag::COLOR_MAP).ok_or_else(missing)?;
    let count = table.len() / 3;
    let channel = |channel: usize, index: usize| (table.get(channel * count + index).unwrap_or(0) >> 8) as u8;
    let entry = |index| [0, 1, 2].map(|c| channel(c, index));
    Ok((0..count.min(256)).map(entry).collect())
}

/// Returns the orientation, from XMP if the directory does not state it.
fn orientation(directory: &Directory<'_>) -> Orientation {
    match directory.value(tag::ORIENTATION) {
        Some(value) => Orientation::from_tag(u16::try_from(value).unwrap_or(0)),
        None => Orientation::find(None, directory.values(tag::XMP).map(|xmp| xmp.raw())),
    }
}

fn warnings(bytes: &[u8], directory: &Directory<'_>, layout: &Layout) -> Vec<ImageWarning> {
    const REDUCED: u64 = 1;
    let mut warnings = Vec::new();
    let reduced = directory
        .value(tag::NEW_SUBFILE_TYPE)
        .is_some_and(|kind| kind & REDUCED != 0);
    let others = directory.values(tag::SUB_DIRECTORIES).is_some();
    let raw = directory.values(tag::DNG_VERSION).is_some() || bytes.get(8..10) == Some(b"CR");
    if raw || (reduced && others) {
        let (width, height) = (layout.width, layout.height);
        warnings.push(ImageWarning::Partial {
            reason: format!(
                "only the preview of {width} x {height} of a camera RAW file was read, as in Pillow; convert the \
                 file to JPEG"
            ),
        });
    }
    if let Some(kind) = misread_by_pillow(directory, layout) {
        warnings.push(ImageWarning::UnlikePillow { kind });
    }
    warnings
}

/// Returns the kind of file if it is one whose bytes Pillow 13 misreads.
fn misread_by_pillow(directory: &Directory<'_>, layout: &Layout) -> Option<&'static str> {
    const UNCOMPRESSED: u16 = 1;
    let is_compressed = layout.compression != UNCOMPRESSED;
    let is_tiled = directory.value(tag::TILE_WIDTH).is_some();
    let is_float_or_signed = layout.sample_type != SampleType::Unsigned;
    if layout.planar && !is_compressed && layout.bits == 16 {
        Some("uncompressed TIFFs with 16-bit planes")
    } else if layout.planar
        && !is_compressed
        && is_tiled
        && directory.values(tag::EXTRA_SAMPLES).is_none()
        && layout.samples > layout.color.channels()
    {
        Some("uncompressed tiled TIFFs with planes and an undescribed channel")
    } else if is_compressed && !layout.little && layout.bits > 8 && is_float_or_signed {
        Some("compressed big-endian TIFFs of signed or floating-point grey")
    } else if !is_compressed && layout.subsampling != (1, 1) {
        Some("uncompressed TIFFs with subsampled chroma")
    } else {
        None
    }
}
