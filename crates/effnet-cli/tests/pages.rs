//! The pages for contributors name files that exist, and the list of scripts is complete: a page that points to where
//! something was is worse than none.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Adds the paths of all files below a folder, such as `/crates/effnet/src/lib.rs`, and of the folders with a slash at
/// their end.
fn paths(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}/{name}");
        if ["target", ".git", ".venv", ".libtorch"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.push(format!("{path}/"));
            paths(&entry.path(), &path, found);
        } else {
            found.push(path);
        }
    }
}

/// The words between backticks that look like a file or folder of the checkout.
fn named(page: &str) -> Vec<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let words = spans.map(|span| span.split_whitespace().next().unwrap_or_default());
    let is_path = |word: &&str| {
        let plain = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
        let known = [".rs", ".py", ".md", ".json", ".cpp", ".h", "/"];
        let is_source = known.iter().any(|end| word.ends_with(end)) || word.starts_with("scripts/");
        // What users have, or what is installed.
        let is_theirs = ["config.json", "train/", "val/", "photos/", "tests/fixtures"].contains(word);
        plain && is_source && !is_theirs && !word.starts_with('.')
    };
    words.filter(is_path).collect()
}

#[test]
fn every_file_that_a_page_names_exists() {
    let root = root();
    let mut found = Vec::new();
    paths(&root, "", &mut found);
    let exists = |word: &str| {
        let suffix = format!("/{word}");
        found.iter().any(|path| path.ends_with(&suffix))
    };
    let (mut missing, mut count) = (Vec::new(), 0);
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).unwrap();
        // Blocks of code are not between single backticks.
        let prose: String = text.split("```").step_by(2).collect();
        for word in named(&prose) {
            count += 1;
            if !exists(word) {
                missing.push(format!("{page}: {word}"));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_guide_for_contributors_names_every_script() {
    let root = root();
    let guide = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let (_, guide) = guide.split_once("### Scripts").unwrap();
    let mut missing = Vec::new();
    for entry in fs::read_dir(root.join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_named = guide.contains(&format!("`{name}`")) || guide.contains(&format!("`scripts/{name}"));
        if path.is_file() && path.extension().is_none() && !is_named {
            missing.push(name.to_owned());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
