//! GIF, first frame, like Pillow's `GifImagePlugin`.

use std::io::Read as _;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions as GifOptions, DecodingError, Frame, MemoryLimit};

use super::samples::Samples;
use super::{Raster, gif_blocks, gif_mend};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, ImageWarning};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let mut settings = GifOptions::new();
    settings.set_color_output(ColorOutput::Indexed);
    settings.set_memory_limit(
        NonZeroU64::new(options.max_memory).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let blocks = gif_blocks::Blocks::find(bytes)?;
    let mut decoder = settings
        .read_info(blocks.head.chain(blocks.frame))
        .map_err(fault)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);

    let no_frame = || Fault::truncated("it has no frame");
    let header = decoder.next_frame_info().map_err(fault)?;
    let frame = header.ok_or_else(no_frame)?.clone();
    // Pillow enlarges the screen to fit a frame that extends beyond it.
    let width = screen.0.max(usize::from(frame.left) + usize::from(frame.width));
    let height = screen.1.max(usize::from(frame.top) + usize::from(frame.height));
    // Memory for the indices of the frame and of the screen, RGBA, and RGB.
    let _permit = options.admit(width as u64, height as u64, 9)?;

    let mut indices = vec![0; decoder.buffer_size()];
    let mut warnings = Vec::new();
    if blocks.junk > 0 {
        let junk = blocks.junk;
        warnings.push(ImageWarning::damaged(format!(
            "bytes between its blocks that belong to none: {junk}"
        )));
    }
    if !indices.is_empty()
        && let Err(error) = decoder.read_into_buffer(&mut indices)
    {
        let refused = fault(error);
        warnings.push(ImageWarning::damaged(&refused));
        indices = gif_mend::indices(blocks.frame, &frame).ok_or(refused)?;
    }
    let palette = frame.palette.clone().or(global);
    let canvas = place(&frame, &indices, width, height);
    Ok(Raster {
        width,
        height,
        samples: color(&canvas, palette.as_deref(), frame.transparent),
        orientation: Orientation::Upright,
        warnings,
    })
}

/// Places the frame's indices on the whole screen, surrounded by the transparent index, or by 0 if there is
/// none.
fn place(frame: &Frame<'_>, indices: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let mut canvas = vec![frame.transparent.unwrap_or(0); width * height];
    if frame.width > 0 {
        let rows = canvas.chunks_exact_mut(width).skip(top);
        for (row, source) in rows.zip(indices.chunks_exact(usize::from(frame.width))) {
            row[left..left + source.len()].copy_from_slice(source);
        }
    }
    canvas
}

fn color(indices: &[u8], palette: Option<&[u8]>, transparent: Option<u8>) -> Samples {
    let entries = palette.unwrap_or_default().as_chunks::<3>().0;
    // Pillow treats a palette that is a plain grey ramp as greyscale, so indices beyond its end are grey.
    let ramp = (0..=u8::MAX)
        .zip(entries)
        .all(|(grey, entry)| *entry == [grey; 3]);
    let look_up = |index: u8| match entries.get(usize::from(index)) {
        Some(entry) => *entry,
        None if ramp => [index; 3],
        None => [0; 3],
    };
    match transparent {
        None => Samples::Rgb(indices.iter().flat_map(|index| look_up(*index)).collect()),
        Some(transparent) => {
            let alpha = |index: u8| if index == transparent { 0 } else { 255 };
            let rgba = indices.iter().flat_map(|&index| {
                let [r, g, b] = look_up(index);
                [r, g, b, alpha(index)]
            });
            Samples::Rgba(rgba.collect())
        }
    }
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::Io(error) => Fault::from_io(&error),
        DecodingError::UnexpectedEof | DecodingError::EndCodeNotFound => Fault::truncated(error),
        other => Fault::malformed(other),
    }
}
