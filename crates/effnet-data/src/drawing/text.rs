//! Text in the embedded font, with kerning and with glyphs placed at fractions of a pixel.

use std::io::Read as _;
use std::sync::LazyLock;

use ab_glyph::{Font, FontVec, Glyph, PxScale, ScaleFont, point};
use flate2::read::DeflateDecoder;

use super::{Canvas, Color};

/// The horizontal part of a text that is placed at its position. Along the text if it is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Across {
    Left,
    Center,
    Right,
}

/// The vertical part of a text that is placed at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    Top,
    Center,
}

/// The style of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    /// Height of a line in pixels.
    size: u32,
    color: Color,
    bold: bool,
    across: Across,
    down: Down,
    turned: bool,
}

impl Label {
    /// Creates a style in which the top left corner of the text is at its position.
    pub(crate) fn new(size: u32, color: Color) -> Self {
        Self {
            size,
            color,
            bold: false,
            across: Across::Left,
            down: Down::Top,
            turned: false,
        }
    }

    pub(crate) fn bold(mut self) -> Self {
        self.bold = true;
        self
    }

    pub(crate) fn at(mut self, across: Across, down: Down) -> Self {
        (self.across, self.down) = (across, down);
        self
    }

    /// Turns the text, so that it reads from bottom to top.
    pub(crate) fn turned(mut self) -> Self {
        self.turned = true;
        self
    }
}

/// The regular and the bold font.
static FONTS: LazyLock<[Option<FontVec>; 2]> = LazyLock::new(|| {
    [REGULAR, BOLD].map(|packed| {
        let mut font = Vec::new();
        DeflateDecoder::new(packed).read_to_end(&mut font).ok()?;
        FontVec::try_from_vec(font).ok()
    })
});

// build.rs compresses them: otherwise, 1.5 MB of the program would be fonts that few calls need.
const REGULAR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sans.deflate"));
const BOLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sans-bold.deflate"));

/// The height of a digit, as a fraction of the height of a line.
const DIGIT: f32 = 0.63;

/// Returns the glyphs of a text on a baseline that starts at 0, and the width of the text.
fn glyphs(text: &str, label: Label) -> (Vec<Glyph>, f32) {
    let Some(font) = &FONTS[usize::from(label.bold)] else {
        return (Vec::new(), 0.0);
    };
    let scaled = font.as_scaled(PxScale::from(label.size as f32));
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut width = 0.0;
    for character in text.chars() {
        let id = scaled.glyph_id(character);
        if let Some(previous) = glyphs.last() {
            width += scaled.kern(previous.id, id);
        }
        glyphs.push(id.with_scale_and_position(scaled.scale(), point(width, 0.0)));
        width += scaled.h_advance(id);
    }
    (glyphs, width)
}

/// Returns the width of a text in pixels.
pub(crate) fn width_of(text: &str, label: Label) -> u32 {
    glyphs(text, label).1.ceil() as u32
}

impl Canvas {
    /// Draws one line of text.
    pub(crate) fn text(&mut self, text: &str, (x, y): (i32, i32), label: Label) {
        let Some(font) = &FONTS[usize::from(label.bold)] else {
            return;
        };
        let (glyphs, width) = glyphs(text, label);
        let along = match label.across {
            Across::Left => 0.0,
            Across::Center => -width / 2.0,
            Across::Right => -width,
        };
        let scale = label.size as f32;
        let baseline = match label.down {
            Down::Top => font.as_scaled(scale).ascent(),
            Down::Center => scale * DIGIT / 2.0,
        };
        for mut glyph in glyphs {
            glyph.position.x += along;
            // Baselines are on whole pixels, so that horizontal strokes stay sharp.
            glyph.position.y = baseline.round();
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            let (left, top) = (corner.x as i32, corner.y as i32);
            outline.draw(|column, row, coverage| {
                let (u, v) = (left + column as i32, top + row as i32);
                let (x, y) = if label.turned {
                    (x + v, y - u - 1)
                } else {
                    (x + u, y + v)
                };
                self.blend(x, y, label.color, coverage);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_follow_each_other_at_fractions_of_a_pixel() {
        let label = Label::new(19, super::super::INK);
        let (glyphs, width) = glyphs("training", label);
        let scaled = FONTS[0].as_ref().unwrap().as_scaled(19.0);
        let mut expected = 0.0;
        for (index, glyph) in glyphs.iter().enumerate() {
            if index > 0 {
                expected += scaled.kern(glyphs[index - 1].id, glyph.id);
            }
            assert!((glyph.position.x - expected).abs() < 1e-3);
            expected += scaled.h_advance(glyph.id);
        }
        assert!((width - expected).abs() < 1e-3);
        let whole = |glyph: &Glyph| glyph.position.x.fract() == 0.0;
        assert!(!glyphs.iter().skip(1).all(whole), "rounded to whole pixels");
    }

    #[test]
    fn every_font_can_be_read() {
        assert!(FONTS.iter().all(Option::is_some));
    }
}
