//! How the folders of a data set are named.

/// The folder of images to train on.
const TRAIN: &str = "train";

/// The folders of images to check with; the first that is there counts.
const VAL: [&str; 4] = ["val", "valid", "validation", "test"];

/// The names of the folders that part a data set, in the spelling that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts<N> {
    pub(crate) train: Option<N>,
    pub(crate) val: Option<N>,
}

impl<N: Clone> Parts<N> {
    /// The parts among the folders at the top; `None` when these are classes.
    ///
    /// A `train` among them says that they are parts, and so does it when all are names of parts. One of a class
    /// of that name, trains beside cars, has images directly in it.
    pub(crate) fn among(folders: &[(String, N)], holds_pictures: impl Fn(&N) -> bool) -> Option<Self> {
        let named = |wanted: &str| {
            let found = folders.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, folder)| folder.clone())
        };
        let is_part = |name: &str| {
            let mut parts = VAL.iter().chain([&TRAIN]);
            parts.any(|part| name.eq_ignore_ascii_case(part))
        };
        let train = named(TRAIN);
        let val = VAL.iter().find_map(|name| named(name));
        let all_parts = !folders.is_empty() && folders.iter().all(|(name, _)| is_part(name));
        let parted = all_parts || train.as_ref().is_some_and(|train| !holds_pictures(train));
        parted.then_some(Self { train, val })
    }
}
