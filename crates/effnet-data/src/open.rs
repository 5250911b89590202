//! Opens a data set from a path: a folder, a table or an archive.
//!
//! Users pass a path, not a format. Training ([`Splits::open`]) and evaluation ([`Evaluation::open`]) share
//! the detection, so that a path that can be trained on can also be evaluated. They differ in which part they
//! use and whose class list determines the labels.

mod source;
mod validation;

use std::path::Path;
use std::sync::Arc;

use effnet_architecture::Task;

use super::notice::{Notice, Reading};
use super::table::{GroupColumn, KnownColumns};
use super::{DataError, Dataset, HoldOut, Subset, split, stratified_split};
use source::{Part, Parts, Source};

/// What a data set is opened for, and what its tables cannot tell.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DataOptions {
    /// The task; see [`Splits::open_for`]. `None`: what the labels tell.
    pub task: Option<Task>,
    /// The names of the columns of labels or numbers in a table. None: those that the table tells.
    pub label_columns: Vec<String>,
    /// The column of a table whose values group its images: [`Splits::hold_out`] keeps the images of a group together.
    pub group_column: Option<String>,
}

impl DataOptions {
    /// Sets [`task`](Self::task).
    #[must_use]
    pub fn with_task(mut self, task: impl Into<Option<Task>>) -> Self {
        self.task = task.into();
        self
    }

    /// Sets [`label_columns`](Self::label_columns).
    #[must_use]
    pub fn with_label_columns(mut self, label_columns: impl Into<Vec<String>>) -> Self {
        self.label_columns = label_columns.into();
        self
    }

    /// Sets [`group_column`](Self::group_column).
    #[must_use]
    pub fn with_group_column(mut self, group_column: impl Into<Option<String>>) -> Self {
        self.group_column = group_column.into();
        self
    }

    fn columns(&self) -> KnownColumns {
        KnownColumns {
            labels: self.label_columns.clone(),
            group: self.group_column.clone().map(GroupColumn::Needed),
        }
    }
}

/// Training and validation data.
#[derive(Clone)]
pub struct Splits {
    /// The training images.
    pub train: Arc<dyn Dataset>,
    /// The validation images, with the classes of `train`; `None` if the data set has no validation part.
    pub val: Option<Arc<dyn Dataset>>,
    /// The test images, with the classes of `train`: only after [`Splits::open_all`], and only if the data set has some
    /// with labels.
    pub test: Option<Arc<dyn Dataset>>,
    /// Which folders or rows were used, and what was not used.
    pub reading: Reading,
}

impl Splits {
    /// Opens a folder of class folders, a folder that contains `train/` and, for validation, `val/` or
    /// `test/` with class folders in them, a CSV file, a JSON Lines file, or a tar or zip archive with either
    /// layout of folders.
    ///
    /// Parts may have other common names (`Training`, `valid`, `dev`, `Testing`, `seg_train`, `test_set`, a
    /// column `split` in a table). If several are suitable for validation, the first of `val`, `valid`,
    /// `validation`, `dev` and `test` is used. A folder that contains only one folder is replaced by that
    /// folder. [`Splits::reading`] says what was found.
    ///
    /// # Errors
    /// [`DataError`]: the path does not exist, has fewer than two classes, or is not a valid data set of its
    /// kind.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_for(path, Some(Task::Classify))
    }

    /// Like [`Splits::open`], for any task. Without a `task`, the labels in a table decide: numbers with fractions are for
    /// regression, several labels for one image (`cat;dog`, several columns, several ones in one-hot columns) are
    /// multilabel, and anything else is classification. [`Reading::task_reason`] says which it was.
    ///
    /// # Errors
    /// Same as [`Splits::open`], and [`DataError::Task`] for class folders and another task.
    pub fn open_for(path: impl AsRef<Path>, task: Option<Task>) -> Result<Self, DataError> {
        Self::open_with(path, &DataOptions::default().with_task(task))
    }

    /// Like [`Splits::open_for`], with more said about the columns of a table. Several columns of labels that are all numbers
    /// are for regression, of text for multilabel, of 0 and 1 for classification if no row has more than one 1.
    ///
    /// # Errors
    /// Same as [`Splits::open_for`]; [`DataError::LabelColumn`] if there is no such column; [`DataError::GroupColumn`] if
    /// there is no such column, or if the data are already split.
    pub fn open_with(path: impl AsRef<Path>, options: &DataOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = Source::open(path, options.task, &options.columns())?;
        if let Some(column) = &options.group_column {
            source.check_grouped(path, column)?;
        }
        let Parts { train, val, test } = source.parts();
        let parts = Parts {
            train,
            val: val.or(test),
            test: None,
        };
        let mut splits = Self::of(&source, parts, path)?;
        if options.task.is_none() {
            splits.reading.notices.extend(source.quantities());
        }
        Ok(splits)
    }

    /// Like [`Splits::open_with`], but opens the validation images and the test images, each for itself: nothing is trained
    /// or evaluated, so that neither is preferred.
    ///
    /// # Errors
    /// Same as [`Splits::open_with`], but data that are split may be grouped.
    pub fn open_all(path: impl AsRef<Path>, options: &DataOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = Source::open(path, options.task, &options.columns())?;
        let mut splits = Self::of(&source, source.parts(), path)?;
        splits.reading.use_test();
        Ok(splits)
    }

    /// Opens the images of these parts.
    fn of(source: &Source, parts: Parts, path: &Path) -> Result<Self, DataError> {
        let Parts { train, val, test } = parts;
        let train = train.ok_or_else(|| DataError::NoTraining {
            path: path.to_owned(),
            found: val
                .as_ref()
                .or(test.as_ref())
                .map_or_else(|| "none".to_owned(), Part::name),
        })?;
        let (images, class_notices) = source.dataset(&train, None)?;
        let of_part = |part: &Option<Part>| -> Result<Option<Arc<dyn Dataset>>, DataError> {
            let part = part.as_ref();
            let opened = part.map(|part| source.dataset(part, Some(images.classes())));
            Ok(opened.transpose()?.map(|(images, _)| images))
        };
        let (val_images, test_images) = (of_part(&val)?, of_part(&test)?);
        if let ([class], Task::Classify) = (images.classes(), images.task()) {
            return Err(DataError::OneClass {
                path: path.to_owned(),
                class: class.clone(),
            });
        }
        Ok(Self {
            train: images,
            val: val_images,
            test: test_images,
            reading: Reading {
                task: source.task(),
                task_reason: source.task_reason(),
                train: train.name,
                val: val.and_then(|val| val.name),
                test: test.and_then(|test| test.name),
                notices: [source.notices(), class_notices].concat(),
            },
        })
    }

    /// Holds out `val_fraction` of `train` for validation unless there is already a validation split; see
    /// [`stratified_split`].
    #[must_use]
    pub fn or_split(self, val_fraction: f64, seed: u64) -> Self {
        if self.val.is_some() {
            return self;
        }
        let (train, val) = stratified_split(Arc::clone(&self.train), val_fraction, seed);
        self.split_into(train, val)
    }

    /// Holds out some of the images of `train` for validation, in place of any validation images that there are; see
    /// [`split`].
    ///
    /// # Errors
    /// [`DataError::HoldOut`].
    pub fn hold_out(self, hold_out: HoldOut, seed: u64) -> Result<Self, DataError> {
        let (train, val) = split(Arc::clone(&self.train), hold_out, seed)?;
        Ok(self.split_into(train, val))
    }

    fn split_into(self, train: Subset<Arc<dyn Dataset>>, val: Subset<Arc<dyn Dataset>>) -> Self {
        Self {
            train: Arc::new(train),
            val: Some(Arc::new(val)),
            test: self.test,
            reading: self.reading,
        }
    }
}

impl std::fmt::Debug for Splits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splits")
            .field("train", &self.train.len())
            .field("val", &self.val.as_ref().map(Dataset::len))
            .field("test", &self.test.as_ref().map(Dataset::len))
            .field("classes", &self.train.classes())
            .field("reading", &self.reading)
            .finish()
    }
}

/// Labelled images for evaluation.
#[derive(Clone)]
pub struct Evaluation {
    /// The images.
    pub images: Arc<dyn Dataset>,
    /// Which folder or rows were used: `val` or, if the options say so, `test`, or `train` if there is nothing else.
    pub reading: Reading,
}

/// Which images of a data set are evaluated, and what their labels are.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EvaluationOptions {
    /// The classes of the network, into which labels are indices. `None`: the sorted names of the classes found.
    pub classes: Option<Vec<String>>,
    /// The task; see [`Splits::open_for`]. `None`: what the labels tell.
    pub task: Option<Task>,
    /// The names of the columns of labels or numbers in a table. None: those that the table tells.
    pub label_columns: Vec<String>,
    /// The column by which the network's run grouped its images: in a table that has it, it is neither a label nor a value.
    pub group_column: Option<String>,
    /// Use the test part.
    pub test: bool,
}

impl EvaluationOptions {
    /// Sets [`classes`](Self::classes).
    #[must_use]
    pub fn with_classes(mut self, classes: impl Into<Option<Vec<String>>>) -> Self {
        self.classes = classes.into();
        self
    }

    /// Sets [`task`](Self::task).
    #[must_use]
    pub fn with_task(mut self, task: impl Into<Option<Task>>) -> Self {
        self.task = task.into();
        self
    }

    /// Sets [`label_columns`](Self::label_columns).
    #[must_use]
    pub fn with_label_columns(mut self, label_columns: impl Into<Vec<String>>) -> Self {
        self.label_columns = label_columns.into();
        self
    }

    /// Sets [`group_column`](Self::group_column).
    #[must_use]
    pub fn with_group_column(mut self, group_column: impl Into<Option<String>>) -> Self {
        self.group_column = group_column.into();
        self
    }

    /// Sets [`test`](Self::test).
    #[must_use]
    pub fn with_test(mut self, test: bool) -> Self {
        self.test = test;
        self
    }
}

impl Evaluation {
    /// Like [`Splits::open_for`], but uses the validation part if the data set is split, and the training part if
    /// that is the only one; or the test part if the options say so. A single class is enough.
    ///
    /// # Errors
    /// Same as [`Splits::open_for`], [`DataError::LabelColumn`], [`DataError::UnknownClasses`], and [`DataError::NoTest`].
    pub fn open(path: impl AsRef<Path>, options: &EvaluationOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let columns = KnownColumns {
            labels: options.label_columns.clone(),
            group: options.group_column.clone().map(GroupColumn::NoData),
        };
        let source = Source::open(path, options.task, &columns)?;
        let classes = options.classes.as_deref();
        if options.test {
            return Self::test(&source, path, classes);
        }
        let Parts { train, val, test } = source.parts();
        let val = val.or(test);
        let train = if val.is_some() { None } else { train };
        let parts = Parts {
            train,
            val,
            test: None,
        };
        Self::of(&source, parts, path, classes)
    }

    /// Like [`Evaluation::open`], with the label columns of other data, such as those that a network was trained on. Data
    /// without them are read by what they tell; [`Reading::notices`] say so of a table.
    ///
    /// # Errors
    /// Same as [`Evaluation::open`], but for [`DataError::LabelColumn`].
    pub fn open_like(
        path: impl AsRef<Path>,
        options: &EvaluationOptions,
        label_columns: &[String],
    ) -> Result<Self, DataError> {
        let path = path.as_ref();
        match Self::open(path, &options.clone().with_label_columns(label_columns)) {
            Err(DataError::LabelColumn { column, is_table, .. }) => {
                let mut evaluation = Self::open(path, options)?;
                let notice = is_table.then_some(Notice::NoLabelColumn { column });
                evaluation.reading.notices.extend(notice);
                Ok(evaluation)
            }
            opened => opened,
        }
    }

    fn test(source: &Source, path: &Path, classes: Option<&[String]>) -> Result<Self, DataError> {
        let Parts { train, val, test } = source.parts();
        let validates = test.as_ref().filter(|_| train.is_some() && val.is_none());
        let validates = validates.map(|part| Notice::TestIsValidation { name: part.name() });
        if test.is_none() {
            let found: Vec<String> = [train, val]
                .into_iter()
                .flatten()
                .filter_map(|part| part.name)
                .collect();
            return Err(DataError::NoTest {
                path: path.to_owned(),
                found: match &found[..] {
                    [] => "images that are not split".to_owned(),
                    _ => found.join(" and "),
                },
            });
        }
        let parts = Parts {
            train: None,
            val: None,
            test,
        };
        let mut evaluation = Self::of(source, parts, path, classes)?;
        evaluation.reading.use_test();
        evaluation.reading.notices.extend(validates);
        Ok(evaluation)
    }

    /// Opens the only part that there is, or everything if there is none.
    fn of(
        source: &Source,
        Parts { train, val, test }: Parts,
        path: &Path,
        classes: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let (images, class_notices) = match train.as_ref().or(val.as_ref()).or(test.as_ref()) {
            Some(part) => source.dataset(part, classes)?,
            None => source.dataset(&Part::whole(path), classes)?,
        };
        let name = |part: Option<Part>| part.and_then(|part| part.name);
        Ok(Self {
            images,
            reading: Reading {
                task: source.task(),
                task_reason: source.task_reason(),
                train: name(train),
                val: name(val),
                test: name(test),
                notices: [source.notices(), class_notices].concat(),
            },
        })
    }
}

impl std::fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluation")
            .field("images", &self.images.len())
            .field("reading", &self.reading)
            .finish()
    }
}

/// Opens the images of [`Evaluation::open`], labelled with one of these classes each.
///
/// # Errors
/// Same as [`Evaluation::open`].
pub fn open_evaluation(
    path: impl AsRef<Path>,
    classes: Option<&[String]>,
) -> Result<Arc<dyn Dataset>, DataError> {
    let options = EvaluationOptions::default().with_task(Task::Classify);
    let options = options.with_classes(classes.map(<[String]>::to_vec));
    Ok(Evaluation::open(path, &options)?.images)
}
