//! How many images of each class a data set has.

use effnet_data::Dataset;

/// The images by class: `cat 3, dog 3`.
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
