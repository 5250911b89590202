//! Data sets listed in a CSV file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use effnet_image::Image;

use super::classes::Classes;
use super::error::NameList;
use super::{BoxError, DataError, Dataset};

/// Images from a CSV file of paths and labels.
///
/// The first line may be a header with the columns `path` (or `file`, `filename`, `image`) and `label` (or
/// `class`), among others; without a header, these are the first two columns. Paths are relative to the folder
/// of the CSV file. Labels are class names, sorted by name, or by value if all are integers.
#[derive(Debug)]
pub struct CsvDataset {
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
}

impl CsvDataset {
    /// Reads the CSV file and checks that the images exist.
    ///
    /// # Errors
    /// [`DataError`]: the file cannot be read or parsed; images are missing (all are listed); labels differ
    /// only in case.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::read(path.as_ref(), None)
    }

    /// Like [`CsvDataset::open`], with known classes: labels are indices into `classes`.
    ///
    /// # Errors
    /// Same as [`CsvDataset::open`], and [`DataError::UnknownClasses`].
    pub fn with_classes(path: impl AsRef<Path>, classes: &[String]) -> Result<Self, DataError> {
        Self::read(path.as_ref(), Some(classes))
    }

    fn read(path: &Path, known: Option<&[String]>) -> Result<Self, DataError> {
        let rows = rows(path)?;
        let missing = rows.iter().filter(|(file, _)| !file.is_file());
        let missing: Vec<String> = missing.map(|(file, _)| file.display().to_string()).collect();
        if !missing.is_empty() {
            return Err(DataError::MissingFiles {
                path: path.to_owned(),
                rows: rows.len(),
                missing: NameList::from_iter(missing),
            });
        }
        let found: BTreeSet<String> = rows.iter().map(|(_, label)| label.clone()).collect();
        let classes = match (known, by_value(&found)) {
            (None, Some(names)) => Classes::listed(names),
            _ => Classes::choose(path, found, known)?,
        };
        let labelled = |(file, name): (PathBuf, String)| Some((file, classes.label(&name)?));
        let files = rows.into_iter().filter_map(labelled).collect();
        Ok(Self {
            classes: classes.into_names(),
            files,
        })
    }
}

impl Dataset for CsvDataset {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn name(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        Ok(Image::open(&self.files[index].0)?)
    }
}

/// The names sorted by value, if all are integers and no two have the same value.
fn by_value(names: &BTreeSet<String>) -> Option<Vec<String>> {
    let numbers = names.iter().map(|name| Some((name.parse::<i64>().ok()?, name)));
    let mut numbers: Vec<(i64, &String)> = numbers.collect::<Option<_>>()?;
    numbers.sort();
    let distinct = numbers.windows(2).all(|pair| pair[0].0 != pair[1].0);
    distinct.then(|| numbers.into_iter().map(|(_, name)| name.clone()).collect())
}

/// The path and label of each row.
fn rows(path: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let wrong = |found: String| DataError::Csv {
        path: path.to_owned(),
        found,
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| read_error(path, error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut columns = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| read_error(path, error))?;
        let line = record.position().map_or(0, csv::Position::line);
        if columns.is_none() {
            columns = Some(header(&record).unwrap_or((0, 1)));
            if header(&record).is_some() {
                continue;
            }
        }
        let (file, label) = columns.unwrap_or((0, 1));
        match (record.get(file), record.get(label)) {
            (Some(file), Some(label)) if !file.is_empty() && !label.is_empty() => {
                rows.push((folder.join(file), label.to_owned()));
            }
            _ => {
                let text = record.iter().collect::<Vec<_>>().join(",");
                return Err(wrong(format!("{text:?} on line {line}")));
            }
        }
    }
    if rows.is_empty() {
        return Err(wrong("no rows".to_owned()));
    }
    Ok(rows)
}

/// The columns of path and label, if the record is a header.
fn header(record: &StringRecord) -> Option<(usize, usize)> {
    let column = |names: &[&str]| {
        record
            .iter()
            .position(|field| names.contains(&&*field.to_lowercase()))
    };
    Some((
        column(&["path", "file", "filename", "image"])?,
        column(&["label", "class"])?,
    ))
}

fn read_error(path: &Path, error: csv::Error) -> DataError {
    let found = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => DataError::Read {
            path: path.to_owned(),
            source,
        },
        _ => DataError::Csv {
            path: path.to_owned(),
            found,
        },
    }
}
