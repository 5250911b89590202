//! Drawing into PNG files with an embedded font.
//!
//! Servers and containers often have no fonts installed, and plots should look the same everywhere.

use std::fmt::Display;
use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::DeflateDecoder;
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, IntoDrawingArea};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoTextStyle, RGBColor, TextStyle, WHITE, register_font};

use crate::PlotError;

/// The drawing area.
pub(crate) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Colour of text and axes.
pub(crate) const INK: RGBColor = RGBColor(0x26, 0x2b, 0x33);
/// Colour of secondary text.
pub(crate) const FAINT: RGBColor = RGBColor(0x7a, 0x82, 0x8e);
/// Colour of grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xe6, 0xe8, 0xec);
/// Colour of the first curve and of correct predictions.
pub(crate) const BLUE: RGBColor = RGBColor(0x1f, 0x66, 0xb5);
/// Colour of the second curve and of mistakes.
pub(crate) const ORANGE: RGBColor = RGBColor(0xd9, 0x5f, 0x0e);

const FONT: &str = "DejaVu Sans";

/// plotters registers fonts per process, so this happens once.
static REGISTERED: LazyLock<bool> = LazyLock::new(|| {
    let register = |style, packed: &[u8]| {
        let mut font = Vec::new();
        // The rasteriser borrows the font for the rest of the process.
        DeflateDecoder::new(packed).read_to_end(&mut font).is_ok()
            && register_font(FONT, style, font.leak()).is_ok()
    };
    register(FontStyle::Normal, REGULAR) && register(FontStyle::Bold, BOLD)
});

// build.rs packs them: 1.5 MB of the program would be fonts that few calls need.
const REGULAR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sans.deflate"));
const BOLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sans-bold.deflate"));

/// Converts an error of plotters or png; for `map_err`.
pub(crate) fn failed(error: impl Display) -> PlotError {
    PlotError::Draw(error.to_string())
}

/// Text of `size` pixels.
pub(crate) fn text(size: u32, color: RGBColor) -> TextStyle<'static> {
    colored((FONT, size), color)
}

/// Bold text of `size` pixels.
pub(crate) fn bold(size: u32, color: RGBColor) -> TextStyle<'static> {
    colored((FONT, size, FontStyle::Bold), color)
}

fn colored(font: impl IntoTextStyle<'static>, color: RGBColor) -> TextStyle<'static> {
    TextStyle {
        color: color.to_backend_color(),
        // Sizes are in pixels; the parent size only matters for relative sizes.
        ..font.into_text_style(&(1, 1))
    }
}

/// The anchor of a text relative to its position.
pub(crate) fn anchor(horizontal: HPos, vertical: VPos) -> Pos {
    Pos::new(horizontal, vertical)
}

/// A colour between white (0) and `full` (1).
pub(crate) fn tint(full: RGBColor, strength: f64) -> RGBColor {
    let strength = strength.clamp(0.0, 1.0);
    let mix = |full: u8| (255.0 + strength * (f64::from(full) - 255.0)).round() as u8;
    let (red, green, blue) = full.rgb();
    RGBColor(mix(red), mix(green), mix(blue))
}

/// The text, truncated to `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Encodes what `draw` draws as a PNG of `width` x `height` pixels with a white background.
pub(crate) fn draw_png(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<Vec<u8>, PlotError> {
    if !*REGISTERED {
        return Err(failed("the embedded font is damaged"));
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
