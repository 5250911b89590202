//! Recognises a data set that is already split into training and validation folders.
//!
//! Folders on disk and tar archives follow the same rule, so it is defined here once. Getting it wrong is
//! silent: `train` and `val` would become two classes, or a class named `train` would become the training
//! split.

/// Name of the training folder.
const TRAIN: &str = "train";

/// Names of the validation folder; the first one that exists is used.
const VAL: [&str; 4] = ["val", "valid", "validation", "test"];

/// The training and validation folders of a data set, spelled as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitFolders<N> {
    pub(crate) train: Option<N>,
    pub(crate) val: Option<N>,
}

impl<N: Clone> SplitFolders<N> {
    /// The split folders among the top-level `folders`; `None` if these are class folders.
    ///
    /// They are splits if one is called `train`, or if all have names of splits. A `train` folder that directly
    /// contains images is a class (trains next to cars).
    pub(crate) fn among(folders: &[(String, N)], holds_images: impl Fn(&N) -> bool) -> Option<Self> {
        let named = |wanted: &str| {
            let found = folders.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, folder)| folder.clone())
        };
        let is_split = |name: &str| {
            let mut splits = VAL.iter().chain([&TRAIN]);
            splits.any(|split| name.eq_ignore_ascii_case(split))
        };
        let train = named(TRAIN);
        let val = VAL.iter().find_map(|name| named(name));
        let all_splits = !folders.is_empty() && folders.iter().all(|(name, _)| is_split(name));
        let presplit = all_splits || train.as_ref().is_some_and(|train| !holds_images(train));
        presplit.then_some(Self { train, val })
    }
}
