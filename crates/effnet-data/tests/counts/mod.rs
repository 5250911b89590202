//! Counts the images of each class in a data set.

use effnet_data::Dataset;

/// Formats the number of images per class: `cat 3, dog 3`.
pub(crate) fn counts(dataset: &dyn Dataset) -> String {
    let count = |label: usize| {
        (0..dataset.len())
            .filter(|index| dataset.label(*index) == label)
            .count()
    };
    let classes = dataset.classes().iter().enumerate();
    classes
        .map(|(label, name)| format!("{name} {}", count(label)))
        .collect::<Vec<_>>()
        .join(", ")
}
