//! Rectangles of pixels, and between pixels.

/// A rectangle of pixels in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rectangle {
    /// Leftmost column.
    pub left: usize,
    /// Topmost row.
    pub top: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl Rectangle {
    /// Returns whether the rectangle is not empty and lies inside an image of `width` x `height` pixels.
    pub(crate) fn lies_within(self, width: usize, height: usize) -> bool {
        let fits = |start: usize, length: usize, side: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        fits(self.left, self.width, width) && fits(self.top, self.height, height)
    }
}

/// A part of an image whose borders need not lie between pixels, nor in the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The left border; 0 is the left border of the image.
    pub left: f64,
    /// The upper border.
    pub top: f64,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
}

impl Region {
    pub(crate) fn of(rectangle: Rectangle) -> Self {
        Self {
            left: rectangle.left as f64,
            top: rectangle.top as f64,
            width: rectangle.width as f64,
            height: rectangle.height as f64,
        }
    }

    /// Returns the same part of an image that was scaled by these factors.
    #[must_use]
    pub fn scaled(self, across: f64, down: f64) -> Self {
        Self {
            left: self.left * across,
            top: self.top * down,
            width: self.width * across,
            height: self.height * down,
        }
    }
}
