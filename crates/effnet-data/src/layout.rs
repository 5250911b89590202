//! Finds the class folders of a data set, and decides what each is used for.
//!
//! Folders on disk and tar archives follow the same rules, which are therefore defined once, here. Mistakes
//! are silent: `Training` and `Testing` would become two classes, or a class named `train` would become the
//! training images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::DataError;
use super::notice::Notice;
use super::role::{Role, RoleName, is_filler};

/// Maximum number of nested folders to open that contain nothing but another folder.
const MOST_WRAPPERS: usize = 4;

/// The direct contents of a folder, without hidden files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// The subfolders, sorted by name.
    pub(crate) folders: Vec<Folder>,
    /// The number of images.
    pub(crate) images: usize,
    /// The table that holds the labels of the images.
    pub(crate) table: Option<PathBuf>,
}

/// A folder of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) name: String,
    /// Its path: on disk, or within the archive.
    pub(crate) path: PathBuf,
}

/// Folders on disk or in an archive.
pub(crate) trait Tree {
    fn content(&self, folder: &Path) -> Result<Content, DataError>;

    /// Returns whether there is an image at any depth.
    fn has_images(&self, folder: &Path) -> bool;
}

/// The location of the images of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The folder that contains the class folders, or the folders of the parts.
    pub(crate) root: PathBuf,
    /// The parts, if the data set is split.
    pub(crate) parts: Option<Parts>,
    pub(crate) notices: Vec<Notice>,
}

/// The parts of a data set that is already split: the folders that contain the class folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) train: Option<PathBuf>,
    pub(crate) val: Option<PathBuf>,
    /// The labelled test images. Without validation images, they are used for validation.
    pub(crate) test: Option<PathBuf>,
}

impl Layout {
    /// Examines the folder `top`, and the folders below it as long as only one of them can be meant. Messages
    /// refer to `top` by the path `shown`.
    pub(crate) fn of(tree: &impl Tree, top: &Path, shown: &Path) -> Result<Self, DataError> {
        let mut layout = Self {
            root: top.to_owned(),
            parts: None,
            notices: Vec::new(),
        };
        for _ in 0..=MOST_WRAPPERS {
            let content = tree.content(&layout.root)?;
            let root = shown.join(layout.root.strip_prefix(top).unwrap_or(&layout.root));
            if !content.folders.is_empty() {
                layout.notices.extend(Notice::loose_images(&root, content.images));
            }
            if let Some(family) = Family::among(tree, &content)? {
                layout.parts = Some(family.parts(tree, &content, &mut layout.notices)?);
                break;
            }
            let Some(inner) = wrapped(tree, &content, MOST_WRAPPERS)? else {
                break;
            };
            let others = content.folders.iter().filter(|folder| folder.path != inner);
            layout
                .notices
                .extend(others.map(|folder| Notice::ignored(&folder.name, "no images")));
            layout.root = inner;
        }
        Ok(layout)
    }
}

/// Returns the one folder that must contain the class folders or the parts: the only folder, or the only
/// folder with images if its name is `images` or similar. Looks at most `levels` levels further down.
fn wrapped(tree: &impl Tree, content: &Content, levels: usize) -> Result<Option<PathBuf>, DataError> {
    let inner = match &content.folders[..] {
        [only] => only,
        folders => {
            // Looking for images may take long. Among class folders, the second one with images ends the
            // search.
            let mut fillers = folders.iter().filter(|folder| is_filler(&folder.name));
            let (Some(inner), None) = (fillers.next(), fillers.next()) else {
                return Ok(None);
            };
            let is_other = |folder: &&Folder| folder.path != inner.path;
            let mut others = folders.iter().filter(is_other);
            if others.any(|folder| tree.has_images(&folder.path)) {
                return Ok(None);
            }
            inner
        }
    };
    let below = tree.content(&inner.path)?;
    let holds_classes = below.images == 0 && below.folders.len() > 1;
    let wraps = holds_classes
        || Family::among(tree, &below)?.is_some()
        || (levels > 0 && below.folders.len() == 1 && wrapped(tree, &below, levels - 1)?.is_some());
    Ok(wraps.then(|| inner.path.clone()))
}

/// Folders whose names differ only in the role: `train`, `val` and `test`, or `seg_train` and `seg_test`.
struct Family {
    rest: String,
}

impl Family {
    /// Finds the parts among the folders; `None` if the folders are class folders.
    ///
    /// They are parts if one is called `train`, or if all have names of parts. A `train` folder that directly
    /// contains images is a class (trains alongside cars). If the name contains another word (`seg_train`),
    /// there must be a second part with the same word: `steam_train` may be a class.
    fn among(tree: &impl Tree, content: &Content) -> Result<Option<Self>, DataError> {
        let named = content.folders.iter();
        let named: Vec<(&Folder, RoleName)> = named
            .filter_map(|folder| Some((folder, RoleName::of(&folder.name)?)))
            .collect();
        let plain = named.iter().filter(|(_, name)| name.rest.is_empty()).count();
        let labelled = named.iter().any(|(_, name)| name.role != Role::Unlabelled);
        if labelled && plain == content.folders.len() {
            return Ok(Some(Self { rest: String::new() }));
        }
        let others = named.iter().filter(|(_, name)| name.role != Role::Train);
        let others: BTreeSet<&str> = others.map(|(_, name)| &*name.rest).collect();
        for (folder, name) in &named {
            let is_named_as_part = name.rest.is_empty() || others.contains(&*name.rest);
            if name.role != Role::Train || !is_named_as_part {
                continue;
            }
            let content = tree.content(&folder.path)?;
            if content.images == 0 || content.table.is_some() {
                return Ok(Some(Self {
                    rest: name.rest.clone(),
                }));
            }
        }
        Ok(None)
    }

    /// Decides what each folder is used for. Skips a test folder without labels, and folders whose role
    /// another folder already has.
    fn parts(
        &self,
        tree: &impl Tree,
        content: &Content,
        notices: &mut Vec<Notice>,
    ) -> Result<Parts, DataError> {
        let [mut train, mut val, mut test]: [Option<Chosen<'_>>; 3] = [const { None }; 3];
        let mut classes = BTreeSet::new();
        for (name, folder) in self.members(tree, content, notices) {
            let path = inner(tree, folder, name.role)?;
            let content = tree.content(&path)?;
            // The folders come in the order of their roles: validation before test.
            let is_unused_test = name.role == Role::Test && val.is_some() && test.is_none();
            let (chosen, purpose) = match name.role {
                Role::Train => (&mut train, "training"),
                Role::Test if val.is_none() || is_unused_test => (&mut test, "validation"),
                Role::Validation | Role::Test => (&mut val, "validation"),
                Role::Unlabelled => {
                    notices.push(Notice::ignored(&folder.name, "without labels"));
                    continue;
                }
            };
            let unlabelled = match name.role {
                Role::Test => unlabelled(&content, &classes),
                _ => None,
            };
            if let Some(reason) = unlabelled {
                notices.push(Notice::ignored(&folder.name, reason));
            } else if let Some(Chosen { folder: other, .. }) = chosen {
                let reason = format!("{}/ is used for {purpose}", other.name);
                notices.push(Notice::ignored(&folder.name, reason));
            } else {
                *chosen = Some(Chosen { folder, path });
                if let (true, Some(val)) = (is_unused_test, &val) {
                    notices.push(Notice::UnusedTest {
                        name: format!("{}/", folder.name),
                        val: format!("{}/", val.folder.name),
                    });
                }
                if name.role == Role::Train {
                    classes.extend(content.folders.into_iter().map(|folder| folder.name));
                }
            }
        }
        Ok(Parts {
            train: train.map(|chosen| chosen.path),
            val: val.map(|chosen| chosen.path),
            test: test.map(|chosen| chosen.path),
        })
    }

    /// Returns the folders of the family, the preferred ones first. The other folders are not used.
    fn members<'a>(
        &self,
        tree: &impl Tree,
        content: &'a Content,
        notices: &mut Vec<Notice>,
    ) -> Vec<(RoleName, &'a Folder)> {
        let mut members = Vec::new();
        for folder in &content.folders {
            match RoleName::of(&folder.name).filter(|name| name.rest == self.rest) {
                Some(name) => members.push((name, folder)),
                None if tree.has_images(&folder.path) => {
                    notices.push(Notice::ignored(&folder.name, "not a part of the data set"));
                }
                None => {}
            }
        }
        members.sort_by_key(|(name, _)| name.rank);
        members
    }
}

/// A folder chosen as a part.
struct Chosen<'a> {
    folder: &'a Folder,
    /// The folder that contains its class folders.
    path: PathBuf,
}

/// Returns the reason why a test folder has no labels, if it has none: it has no class folders, or a single
/// folder that is not a class of the training images.
fn unlabelled(content: &Content, classes: &BTreeSet<String>) -> Option<String> {
    match (&content.folders[..], content.images) {
        ([], _) if content.table.is_some() => None,
        ([], 0) => Some("no images".to_owned()),
        ([], 1) => Some("1 image without a class folder".to_owned()),
        ([], images) => Some(format!("{images} images without class folders")),
        ([only], _) if classes.len() > 1 && !classes.contains(&only.name) => Some(format!(
            "its only folder, {}/, is not a class of the training images",
            only.name
        )),
        _ => None,
    }
}

/// Returns the folder that contains the class folders of a part: `seg_train/seg_train` for `seg_train`.
fn inner(tree: &impl Tree, part: &Folder, role: Role) -> Result<PathBuf, DataError> {
    let mut path = part.path.clone();
    for _ in 0..MOST_WRAPPERS {
        let content = tree.content(&path)?;
        let ([only], 0) = (&content.folders[..], content.images) else {
            break;
        };
        let same = only.name.eq_ignore_ascii_case(&part.name)
            || RoleName::exactly(&only.name).is_some_and(|name| name.role == role)
            || is_filler(&only.name);
        // A network cannot be trained on a single class.
        let wraps_classes = || -> Result<bool, DataError> {
            let below = tree.content(&only.path)?;
            Ok(role == Role::Train && below.images == 0 && below.folders.len() > 1)
        };
        if !same && !wraps_classes()? {
            break;
        }
        path.clone_from(&only.path);
    }
    Ok(path)
}
