//! The groups of the images of a table: those with the same value in one column, such as a patient or a camera.
//!
//! Images of one patient look alike. If some of them are trained on and others validate, the accuracy is that of
//! recognising the patient, so a split keeps a group together.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::records::Row;
use crate::error::cut;

/// The group of each image, numbered in the order of their first rows.
#[derive(Debug)]
pub(super) struct Groups {
    column: usize,
    name: String,
    numbers: HashMap<String, usize>,
    of: HashMap<Arc<Path>, usize>,
}

impl Groups {
    /// Creates the groups of the values of a column, given with its name.
    pub(super) fn of_column((column, name): (usize, String)) -> Self {
        Self {
            column,
            name,
            numbers: HashMap::new(),
            of: HashMap::new(),
        }
    }

    /// Adds the image of a row. Returns what is wrong with the row otherwise.
    pub(super) fn add(&mut self, image: Arc<Path>, row: &Row) -> Result<(), String> {
        let value = row.field(self.column);
        if value.is_empty() {
            return Err(format!(
                "nothing in column {} on line {}, by which images are grouped; give an image that belongs to no group a \
                 value that no other has",
                self.name, row.line
            ));
        }
        let next = self.numbers.len();
        let group = *self.numbers.entry(value.to_owned()).or_insert(next);
        match self.of.get(&image) {
            Some(first) if *first != group => Err(format!(
                "`{}` in column {} on line {}, but an earlier line puts {} into another group; each image needs one",
                cut(value),
                self.name,
                row.line,
                image.display()
            )),
            Some(_) => Ok(()),
            None => {
                self.of.insert(image, group);
                Ok(())
            }
        }
    }

    /// Returns the group of each of these images.
    pub(super) fn of(&self, files: &[(Arc<Path>, usize)]) -> Vec<usize> {
        let group = |(image, _): &(Arc<Path>, usize)| self.of.get(image).copied();
        files.iter().filter_map(group).collect()
    }
}
