//! Validation images from a data set of their own, such as photos from another day.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use effnet_architecture::Task;

use super::{Evaluation, EvaluationOptions, Splits};
use crate::error::NameList;
use crate::notice::Notice;
use crate::{DataError, Dataset, support};

impl Splits {
    /// Validates with the images at `path` in place of those of this data set. It may be of any kind that
    /// [`Evaluation::open`] opens, needs labels for the same task, and has no other classes than `train`, but need not have
    /// all of them. Its labels are in the columns `label_columns`, if it has them. [`Splits::reading`] says which
    /// classes are missing, and how many images are in both data sets.
    ///
    /// # Errors
    /// Same as [`Evaluation::open`], including [`DataError::UnknownClasses`].
    pub fn with_validation(
        mut self,
        path: impl AsRef<Path>,
        label_columns: &[String],
    ) -> Result<Self, DataError> {
        let path = path.as_ref();
        let train = &*self.train;
        let options = EvaluationOptions::default()
            .with_classes(train.classes().to_vec())
            .with_task(train.task());
        let Evaluation { images, reading } = Evaluation::open_like(path, &options, label_columns)?;
        let name = match reading.val.or(reading.train) {
            Some(part) => format!("{part} of {}", path.display()),
            None => path.display().to_string(),
        };
        let mut notices = std::mem::take(&mut self.reading.notices);
        for notice in &mut notices {
            if let Notice::UnusedTest { val, .. } = notice {
                val.clone_from(&name);
            }
        }
        notices.extend(self.reading.val.take().map(|unused| Notice::Ignored {
            name: unused,
            reason: format!("{name} is used for validation"),
        }));
        let new = reading
            .notices
            .into_iter()
            .filter(|notice| !notices.contains(notice));
        let new: Vec<Notice> = new.collect();
        notices.extend(new);
        notices.extend(missing_classes(&*images));
        notices.extend(shared_images(train, &*images));
        self.reading.notices = notices;
        self.reading.val = Some(name);
        self.val = Some(images);
        Ok(self)
    }
}

fn missing_classes(images: &dyn Dataset) -> Option<Notice> {
    if images.task() == Task::Regression {
        return None;
    }
    let classes = images.classes().iter().zip(support(images));
    let missing = classes.filter(|(_, images)| *images == 0);
    let missing: NameList = missing.map(|(class, _)| class.clone()).collect();
    (!missing.names().is_empty()).then_some(Notice::MissingClasses { classes: missing })
}

/// Finds the validation images that are also training images: the same files, by whatever path.
fn shared_images(train: &dyn Dataset, val: &dyn Dataset) -> Option<Notice> {
    // A file in an archive has no path of its own.
    let file = |name: String| std::fs::canonicalize(&name).unwrap_or_else(|_| PathBuf::from(name));
    let files = |images: &dyn Dataset| -> Vec<PathBuf> {
        (0..images.len()).map(|index| file(images.name(index))).collect()
    };
    let val_files = files(val);
    let known: HashSet<&PathBuf> = val_files.iter().collect();
    let train = (0..train.len()).map(|index| file(train.name(index)));
    let shared: BTreeSet<PathBuf> = train.filter(|file| known.contains(file)).collect();
    let first = val_files.iter().position(|file| shared.contains(file))?;
    Some(Notice::SharedImages {
        images: shared.len(),
        first: val.name(first),
    })
}
