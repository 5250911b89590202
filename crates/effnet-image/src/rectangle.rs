//! A rectangle of pixels.

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
