//! Affine transforms: shearing, translation and rotation (`ImagingTransformAffine` and the filters in Pillow's
//! `Geometry.c`).

use crate::Image;

/// The interpolation of a geometric operation. Unlike a resize, it is not antialiased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kernel {
    /// The nearest pixel (`PIL.Image.Resampling.NEAREST`).
    #[default]
    Nearest,
    /// Bilinear, from 2 x 2 pixels (`PIL.Image.Resampling.BILINEAR`).
    Bilinear,
    /// Bicubic, from 4 x 4 pixels, with Keys' kernel and a = -1 (`PIL.Image.Resampling.BICUBIC`; resizing uses a =
    /// -0.5).
    Bicubic,
}

/// How a geometric operation samples its input.
///
/// The default is torchvision's: the nearest pixel, and black outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Sampling {
    /// The interpolation.
    pub kernel: Kernel,
    /// The fill colour for pixels outside the image.
    pub fill: [u8; 3],
}

impl Sampling {
    /// Sets [`kernel`](Self::kernel).
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets [`fill`](Self::fill).
    #[must_use]
    pub fn with_fill(mut self, fill: [u8; 3]) -> Self {
        self.fill = fill;
        self
    }
}

/// Maps a point in the output to a point in the input: `(a x + b y + c, d x + e y + f)`, in pixels, with pixel
/// centres at half-integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
    f: f64,
}

impl Affine {
    const IDENTITY: Self = Self {
        a: 1.0,
        b: 0.0,
        c: 0.0,
        d: 0.0,
        e: 1.0,
        f: 0.0,
    };

    /// Moves rows left by `factor` of their distance from the top.
    pub(super) fn shear_x(factor: f64) -> Self {
        Self {
            b: factor,
            ..Self::IDENTITY
        }
    }

    /// Moves columns up by `factor` of their distance from the left.
    pub(super) fn shear_y(factor: f64) -> Self {
        Self {
            d: factor,
            ..Self::IDENTITY
        }
    }

    /// Moves the image right by `x` and down by `y` pixels.
    pub(super) fn translation(x: f64, y: f64) -> Self {
        Self {
            c: -x,
            f: -y,
            ..Self::IDENTITY
        }
    }

    /// Rotates the image counterclockwise about its centre (`Image.rotate`).
    pub(super) fn rotation(degrees: f64, width: usize, height: usize) -> Self {
        let (sine, cosine) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
        // Pillow rounds this way to get exact zeros at right angles.
        let rounded = |value: f64| (value * 1e15).round_ties_even() / 1e15;
        let (a, b, d) = (rounded(cosine), rounded(sine), rounded(-sine));
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        Self {
            a,
            b,
            c: a * -x + b * -y + x,
            d,
            e: a,
            f: d * -x + a * -y + y,
        }
    }

    /// Transforms the image in place, keeping its size.
    pub(super) fn apply(self, image: &mut Image, sampling: Sampling) {
        if self == Self::IDENTITY {
            return;
        }
        let mut moved = sampling.fill.repeat(image.width() * image.height());
        let output = moved.as_chunks_mut::<3>().0;
        let source = Pixels::of(image);
        match sampling.kernel {
            Kernel::Nearest if self.b == 0.0 && self.d == 0.0 => self.pick_rows_and_columns(source, output),
            Kernel::Nearest => self.pick(source, output),
            Kernel::Bilinear => self.interpolate(source, output, Pixels::bilinear),
            Kernel::Bicubic => self.interpolate(source, output, Pixels::bicubic),
        }
        *image = Image::from_parts(image.width(), image.height(), moved);
    }

    /// Picks the nearest pixels if there is no rotation or shear, so that every output row comes from one input
    /// row.
    fn pick_rows_and_columns(self, source: Pixels<'_>, output: &mut [[u8; 3]]) {
        let columns = positions(self.c + self.a * 0.5, self.a, source.width);
        let columns: Vec<Option<usize>> = columns.take(source.width).collect();
        let rows = positions(self.f + self.e * 0.5, self.e, source.height);
        for (target, row) in output.chunks_exact_mut(source.width).zip(rows) {
            let Some(row) = row else { continue };
            let row = source.row(row);
            for (pixel, column) in target.iter_mut().zip(&columns) {
                if let Some(column) = column {
                    *pixel = row[*column];
                }
            }
        }
    }

    /// Picks the nearest pixels in 16.16 fixed point, as Pillow does for sides below 32768.
    fn pick(self, source: Pixels<'_>, output: &mut [[u8; 3]]) {
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let inside = |value: i64, side: usize| usize::try_from(value >> 16).ok().filter(|at| *at < side);
        let (a, b, d, e) = (fixed(self.a), fixed(self.b), fixed(self.d), fixed(self.e));
        let mut x_start = fixed(self.c + self.a * 0.5 + self.b * 0.5);
        let mut y_start = fixed(self.f + self.d * 0.5 + self.e * 0.5);
        for target in output.chunks_exact_mut(source.width) {
            let (mut x, mut y) = (x_start, y_start);
            for pixel in target {
                if let (Some(column), Some(row)) = (inside(x, source.width), inside(y, source.height)) {
                    *pixel = source.rgb[row * source.width + column];
                }
                x += a;
                y += d;
            }
            x_start += b;
            y_start += e;
        }
    }

    fn interpolate<'a>(
        self,
        source: Pixels<'a>,
        output: &mut [[u8; 3]],
        kernel: impl Fn(Pixels<'a>, f64, f64) -> [u8; 3],
    ) {
        for (row, target) in output.chunks_exact_mut(source.width).enumerate() {
            let y = row as f64 + 0.5;
            for (column, pixel) in target.iter_mut().enumerate() {
                let x = column as f64 + 0.5;
                let (x, y) = (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f);
                let inside = |at: f64, side: usize| at >= 0.0 && at < side as f64;
                if inside(x, source.width) && inside(y, source.height) {
                    *pixel = kernel(source, x - 0.5, y - 0.5);
                }
            }
        }
    }
}

/// Returns the pixels at equally spaced points on an axis of `side` pixels, or `None` outside.
fn positions(first: f64, step: f64, side: usize) -> impl Iterator<Item = Option<usize>> {
    let mut next = first;
    std::iter::repeat_with(move || {
        // Accumulate like Pillow: `first + n * step` would round differently.
        let at = next;
        next += step;
        (at >= 0.0 && (at as usize) < side).then_some(at as usize)
    })
}

/// The input image.
#[derive(Debug, Clone, Copy)]
struct Pixels<'a> {
    width: usize,
    height: usize,
    rgb: &'a [[u8; 3]],
}

impl<'a> Pixels<'a> {
    fn of(image: &'a Image) -> Self {
        Self {
            width: image.width(),
            height: image.height(),
            rgb: image.pixels().as_chunks::<3>().0,
        }
    }

    fn row(self, y: usize) -> &'a [[u8; 3]] {
        &self.rgb[y * self.width..][..self.width]
    }

    /// Returns the `N` x `N` pixels from `(x, y)` on, with edge pixels replicated outside the image.
    fn neighbours<const N: usize>(self, x: i64, y: i64) -> [[[u8; 3]; N]; N] {
        let clamp = |at: i64, side: usize| at.clamp(0, side as i64 - 1) as usize;
        let columns: [usize; N] = std::array::from_fn(|index| clamp(x + index as i64, self.width));
        std::array::from_fn(|index| {
            let row = self.row(clamp(y + index as i64, self.height));
            columns.map(|column| row[column])
        })
    }

    fn bilinear(self, x: f64, y: f64) -> [u8; 3] {
        let (left, top) = (x.floor(), y.floor());
        let rows = self.neighbours::<2>(left as i64, top as i64);
        let linear = |from: f64, to: f64, at: f64| from + (to - from) * at;
        std::array::from_fn(|channel| {
            let across = rows.map(|row| {
                let [from, to] = row.map(|pixel| f64::from(pixel[channel]));
                linear(from, to, x - left)
            });
            linear(across[0], across[1], y - top) as u8
        })
    }

    fn bicubic(self, x: f64, y: f64) -> [u8; 3] {
        let (left, top) = (x.floor(), y.floor());
        let rows = self.neighbours::<4>(left as i64 - 1, top as i64 - 1);
        std::array::from_fn(|channel| {
            let across = rows.map(|row| cubic(row.map(|pixel| f64::from(pixel[channel])), x - left));
            // The cast saturates at 0 and 255, like Pillow.
            cubic(across, y - top) as u8
        })
    }
}

/// Interpolates with a cubic, in Pillow's order of additions.
fn cubic([before, from, to, after]: [f64; 4], at: f64) -> f64 {
    let linear = -before + to;
    let square = 2.0 * (before - from) + to - after;
    let cube = -before + from - to + after;
    from + at * (linear + at * (square + at * cube))
}
