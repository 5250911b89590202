//! Overlays of class maps: each map in colour over the image in grey, side by side.
//!
//! The photo is shown in grey, because its own colours could not be told from those of the map. What the network did
//! not see, outside its crop, is faded and has no colours at all.

mod colors;

use effnet_image::{Image, ImageError, Interpolation, Region};

use crate::PlotError;
use crate::drawing::{Across, Canvas, Color, Down, FAINT, INK, Label, Rect, width_of};
use colors::heat;

/// The longest side of a photo in an overlay: a larger photo is scaled down.
const LONGEST: usize = 800;
/// A photo whose sides are all shorter is enlarged, by a whole number.
const SHORTEST: usize = 320;
/// The narrowest panel, which has room for a name and a percentage.
const NARROWEST: usize = 260;
const GAP: i32 = 12;
/// Opacity of the map where it is 0 and where it is 1.
const OPACITY: [f32; 2] = [0.28, 0.68];

/// The map of a class with its title.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassPanel {
    /// The name of the class.
    pub title: String,
    /// What stands to the right of the name, such as its probability.
    pub detail: String,
    /// Height and width of the map.
    pub size: [usize; 2],
    /// The values, from 0 to 1, row by row.
    pub values: Vec<f32>,
}

impl ClassPanel {
    /// Creates a panel with a map of `size`, `[height, width]`.
    pub fn new(
        title: impl Into<String>,
        detail: impl Into<String>,
        size: [usize; 2],
        values: Vec<f32>,
    ) -> Self {
        Self {
            title: title.into(),
            detail: detail.into(),
            size,
            values,
        }
    }
}

/// A photo in the size in which overlays show it.
#[derive(Debug, Clone, PartialEq)]
pub struct DisplayedPhoto {
    image: Image,
    /// The part that the maps cover.
    region: Region,
}

impl DisplayedPhoto {
    /// Scales a photo down to at most 800 pixels along its longer side, or up to about 320. `region` is the part of the
    /// photo that the maps cover.
    ///
    /// # Errors
    /// The errors of [`Image::resize`].
    pub fn new(photo: &Image, region: Region) -> Result<Self, ImageError> {
        let (width, height) = (photo.width(), photo.height());
        let long = width.max(height);
        let (size, filter) = if long > LONGEST {
            let scaled = |side: usize| (side * LONGEST).div_ceil(long);
            ([scaled(width), scaled(height)], Interpolation::Bilinear)
        } else {
            let factor = SHORTEST / long;
            (
                [width, height].map(|side| side * factor.max(1)),
                Interpolation::Nearest,
            )
        };
        let image = photo.resize(size[0], size[1], filter)?;
        let across = size[0] as f64 / width as f64;
        let down = size[1] as f64 / height as f64;
        Ok(Self {
            image,
            region: region.scaled(across, down),
        })
    }
}

/// Draws the maps of one or more classes over a photo, side by side, as a PNG with a legend. `meaning` says what the
/// values are, such as "evidence for the class".
///
/// # Errors
/// [`PlotError::Draw`], also if the number of values of a map does not match its size.
pub fn class_maps_png(
    photo: &DisplayedPhoto,
    panels: &[ClassPanel],
    meaning: &str,
) -> Result<Vec<u8>, PlotError> {
    for panel in panels {
        let [rows, columns] = panel.size;
        if rows == 0 || rows.checked_mul(columns) != Some(panel.values.len()) {
            let found = panel.values.len();
            return Err(PlotError::Draw(format!(
                "expected {rows} x {columns} values, found {found}"
            )));
        }
    }
    let layout = Layout::of(&photo.image, panels.len(), meaning);
    let mut canvas = Canvas::new(layout.size);
    for (panel, index) in panels.iter().zip(0..) {
        let left = index * (layout.panel + GAP);
        layout.title(&mut canvas, panel, left);
        let left = left + (layout.panel - photo.image.width() as i32) / 2;
        shade(&mut canvas, (left, layout.header), photo, panel);
    }
    layout.legend(&mut canvas, meaning);
    canvas.into_fast_png()
}

/// Sizes in pixels.
struct Layout {
    size: (u32, u32),
    /// Width of a panel.
    panel: i32,
    /// Height of the line above a photo.
    header: i32,
    /// Top of the legend.
    legend: i32,
    /// Height of a line of text.
    text: u32,
    /// Whether the meaning of the colours has a line of its own, as there is no room beside them.
    is_tall: bool,
}

impl Layout {
    fn of(photo: &Image, panels: usize, meaning: &str) -> Self {
        let panel = photo.width().max(NARROWEST);
        // Viewers shrink a large overlay to the screen.
        let text = (15 * panel / 420).clamp(15, 26) as u32;
        let header = 2 * text as i32;
        let legend = header + photo.height() as i32;
        let panels = panels.max(1);
        let width = panels * panel + (panels - 1) * GAP as usize;
        let mut layout = Self {
            size: (width as u32, legend as u32 + 2 * text + text / 2),
            panel: panel as i32,
            header,
            legend,
            text,
            is_tall: false,
        };
        let needed = layout.beside_colors() + width_of(meaning, layout.small()) as i32 + 6;
        if needed > layout.size.0 as i32 {
            layout.is_tall = true;
            layout.size.1 += text + text / 4;
        }
        layout
    }

    /// Writes the name of a class, cut to the room there is, and the detail.
    fn title(&self, canvas: &mut Canvas, panel: &ClassPanel, left: i32) {
        let middle = self.header / 2;
        let bold = Label::new(self.text, INK).bold();
        let detail = Label::new(self.text, INK).at(Across::Right, Down::Center);
        canvas.text(&panel.detail, (left + self.panel - 6, middle), detail);
        let room = self.panel - 12 - width_of(&panel.detail, detail) as i32 - self.text as i32;
        let title = fitting(&panel.title, bold, room.max(0) as u32);
        canvas.text(&title, (left + 6, middle), bold.at(Across::Left, Down::Center));
    }

    /// Returns the style of the legend.
    fn small(&self) -> Label {
        Label::new(self.text * 9 / 10, FAINT).at(Across::Left, Down::Center)
    }

    /// Returns the first and the last column of the colours.
    fn colors(&self) -> (i32, i32) {
        let left = 6 + self.text as i32;
        (left, left + self.panel / 3)
    }

    /// Returns where there is room beside the colours and "max".
    fn beside_colors(&self) -> i32 {
        self.colors().1 + 12 + width_of("max", self.small()) as i32 + self.text as i32 / 2
    }

    /// Draws the colours from 0 to the largest value, with their meaning.
    fn legend(&self, canvas: &mut Canvas, meaning: &str) {
        let text = self.text as i32;
        let middle = self.legend + text + text / 4;
        let (left, right) = self.colors();
        let plain = Label::new(self.text * 9 / 10, INK).at(Across::Left, Down::Center);
        canvas.text("0", (6, middle), plain);
        for x in left..right {
            let value = (x - left) as f32 / (right - left - 1).max(1) as f32;
            let line = Rect {
                left: x,
                top: middle - text / 2,
                right: x + 1,
                bottom: middle + text / 2,
            };
            canvas.fill(line, heat(value));
        }
        canvas.text("max", (right + 6, middle), plain);
        let (left, middle) = if self.is_tall {
            (6, middle + text + text / 4)
        } else {
            (self.beside_colors(), middle)
        };
        let room = (self.size.0 as i32 - left - 6).max(0) as u32;
        canvas.text(
            &fitting(meaning, self.small(), room),
            (left, middle),
            self.small(),
        );
    }
}

/// Cuts a text to a width in pixels.
fn fitting(text: &str, label: Label, room: u32) -> String {
    let count = text.chars().count();
    // Long before the end of a text of any length.
    for most in (1..=count.min(200)).rev() {
        let cut = crate::drawing::shortened(text, most);
        if width_of(&cut, label) <= room {
            return cut;
        }
    }
    String::new()
}

/// Draws the photo in grey, with the map over the part that it covers.
fn shade(canvas: &mut Canvas, (left, top): (i32, i32), photo: &DisplayedPhoto, panel: &ClassPanel) {
    let (image, region) = (&photo.image, photo.region);
    let [rows, columns] = panel.size;
    let shades = shades();
    let across: Vec<Option<Taps>> = (0..image.width())
        .map(|x| Taps::of((x as f64 + 0.5 - region.left) / region.width, columns))
        .collect();
    let mut line = Vec::with_capacity(image.width());
    for (row, y) in image.rows().zip(0_u32..) {
        let down = Taps::of((f64::from(y) + 0.5 - region.top) / region.height, rows);
        let cells = down.map(|down| down.of_rows(&panel.values, columns));
        line.clear();
        for (&pixel, across) in row.as_chunks::<3>().0.iter().zip(&across) {
            let grey = f32::from(grey(pixel));
            let [opaque, color] = match (&cells, across) {
                (Some(cells), Some(across)) => {
                    let value = across.apply(cells).clamp(0.0, 1.0);
                    shades[(value * (shades.len() - 1) as f32).round() as usize]
                }
                _ => [[0.4; 3], [0.6 * 255.0; 3]],
            };
            line.push(std::array::from_fn(|channel| {
                (grey * opaque[channel] + color[channel]).round() as u8
            }));
        }
        canvas.row((left, top + y as i32), &line);
    }
}

/// Returns, for 256 values, the factor by which the photo is dimmed and the colour that is added.
fn shades() -> Vec<[[f32; 3]; 2]> {
    let shade = |step: u8| {
        let value = f32::from(step) / 255.0;
        let opacity = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * value;
        [
            [1.0 - opacity; 3],
            heat(value).map(|channel| opacity * f32::from(channel)),
        ]
    };
    (0..=255).map(shade).collect()
}

/// Returns the grey of the same luma (ITU-R BT.601, as Pillow's `convert("L")`).
fn grey([red, green, blue]: Color) -> u8 {
    let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    ((luma + 500) / 1000) as u8
}

/// The cells that a point lies between, with their weights: cubic (Catmull-Rom), which has no edges where linear
/// interpolation has, and goes through the values.
struct Taps {
    cells: [usize; 4],
    weights: [f32; 4],
}

impl Taps {
    /// Creates the taps of a point from 0 (the first cell's border) to 1; `None` for a point outside.
    fn of(at: f64, cells: usize) -> Option<Self> {
        if !(0.0..=1.0).contains(&at) {
            return None;
        }
        let last = cells as f64 - 1.0;
        let at = (at * cells as f64 - 0.5).clamp(0.0, last);
        let first = at.floor();
        let t = (at - first) as f32;
        Some(Self {
            cells: [-1.0, 0.0, 1.0, 2.0].map(|offset| (first + offset).clamp(0.0, last) as usize),
            weights: [
                ((2.0 - t) * t - 1.0) * t * 0.5,
                ((3.0 * t - 5.0) * t * t + 2.0) * 0.5,
                ((4.0 - 3.0 * t) * t + 1.0) * t * 0.5,
                (t - 1.0) * t * t * 0.5,
            ],
        })
    }

    fn of_rows(&self, values: &[f32], columns: usize) -> Vec<f32> {
        let mixed = |column: usize| {
            let taps = self.cells.iter().zip(self.weights);
            taps.map(|(row, weight)| weight * values[row * columns + column])
                .sum()
        };
        (0..columns).map(mixed).collect()
    }

    fn apply(&self, values: &[f32]) -> f32 {
        let taps = self.cells.iter().zip(self.weights);
        taps.map(|(&cell, weight)| weight * values[cell]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(width: usize, height: usize, region: Region) -> DisplayedPhoto {
        let image = Image::from_rgb8(width, height, vec![128; width * height * 3]).unwrap();
        DisplayedPhoto::new(&image, region).unwrap()
    }

    fn whole(width: usize, height: usize) -> Region {
        Region {
            left: 0.0,
            top: 0.0,
            width: width as f64,
            height: height as f64,
        }
    }

    /// Returns width and height of a PNG and its pixels.
    fn decoded(png: &[u8]) -> (usize, usize, Vec<Color>) {
        let image = Image::decode(png, "overlay").unwrap();
        let pixels = image.pixels().as_chunks::<3>().0.to_vec();
        (image.width(), image.height(), pixels)
    }

    fn is_colored(color: Color) -> bool {
        color.iter().max().unwrap() - color.iter().min().unwrap() > 12
    }

    #[test]
    fn the_map_covers_the_region_and_nothing_else() {
        let region = Region {
            left: 100.0,
            top: 0.0,
            width: 400.0,
            height: 400.0,
        };
        let photo = photo(600, 400, region);
        let panel = ClassPanel::new("cat", "90 %", [1, 1], vec![1.0]);
        let layout = Layout::of(&photo.image, 1, "");
        let (width, _, pixels) = decoded(&class_maps_png(&photo, &[panel], "evidence").unwrap());
        assert_eq!(width, 600);
        let top = layout.header as usize;
        for (x, y) in [(99, 0), (0, 399), (500, 200), (599, 399)] {
            assert!(!is_colored(pixels[(top + y) * width + x]), "{x} {y}");
        }
        for (x, y) in [(100, 0), (499, 399), (300, 200)] {
            assert!(is_colored(pixels[(top + y) * width + x]), "{x} {y}");
        }
    }

    #[test]
    fn the_brightest_place_is_where_the_map_is_largest() {
        let photo = photo(320, 320, whole(320, 320));
        let mut values = vec![0.0; 49];
        values[2 * 7 + 5] = 1.0;
        let panel = ClassPanel::new("cat", "", [7, 7], values);
        let top = Layout::of(&photo.image, 1, "").header as usize;
        let (width, _, pixels) = decoded(&class_maps_png(&photo, &[panel], "").unwrap());
        let shown = &pixels[top * width..(top + 320) * width];
        let (place, _) = shown
            .iter()
            .enumerate()
            .max_by_key(|(_, color)| color[0])
            .unwrap();
        let (x, y) = (place % width, place / width);
        assert!(
            x.abs_diff(320 * 11 / 14) < 12 && y.abs_diff(320 * 5 / 14) < 12,
            "{x} {y}"
        );
    }

    #[test]
    fn panels_stand_side_by_side_and_photos_have_a_useful_size() {
        for ((width, height), shown, found) in [
            ((1, 1), (320, 320), 320),
            ((32, 32), (320, 320), 320),
            ((3000, 2000), (800, 534), 800),
            ((1, 4000), (1, 800), NARROWEST),
            ((4000, 1), (800, 1), 800),
        ] {
            let photo = photo(width, height, whole(width, height));
            assert_eq!((photo.image.width(), photo.image.height()), shown);
            let panel = ClassPanel::new(
                "a name that is long enough to be cut somewhere".repeat(3),
                "1 %",
                [2, 2],
                vec![0.5; 4],
            );
            let (one, _, _) = decoded(&class_maps_png(&photo, std::slice::from_ref(&panel), "x").unwrap());
            let (three, _, _) =
                decoded(&class_maps_png(&photo, &[panel.clone(), panel.clone(), panel], "x").unwrap());
            assert_eq!((one, three), (found, 3 * found + 2 * GAP as usize));
        }
    }

    #[test]
    fn a_map_without_all_of_its_values_is_refused() {
        let photo = photo(32, 32, whole(32, 32));
        for (size, count) in [([2, 2], 3), ([0, 0], 0)] {
            let panel = ClassPanel::new("", "", size, vec![0.0; count]);
            assert!(class_maps_png(&photo, &[panel], "").is_err());
        }
    }

    #[test]
    fn the_interpolation_goes_through_the_values() {
        let values: Vec<f32> = (0..12).map(|value| value as f32 / 11.0).collect();
        for row in 0..3 {
            for column in 0..4 {
                let (down, across) = ((row as f64 + 0.5) / 3.0, (column as f64 + 0.5) / 4.0);
                let rows = Taps::of(down, 3).unwrap().of_rows(&values, 4);
                let found = Taps::of(across, 4).unwrap().apply(&rows);
                assert!((found - values[row * 4 + column]).abs() < 1e-6);
            }
        }
    }
}
