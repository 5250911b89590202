//! Checks that no chapter is forgotten: in the table of contents, and where examples are tested.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn book() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files of a folder and its subfolders.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

/// The chapters, with their paths in `docs/src`.
fn chapters() -> Vec<(String, String)> {
    let source = book().join("src");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let chapters: Vec<_> = pages(&source).into_iter().map(named).collect();
    assert!(chapters.len() > 20, "{}", chapters.len());
    chapters
}

#[test]
fn the_table_of_contents_names_every_chapter() {
    let chapters = chapters();
    let summary = &chapters.iter().find(|(name, _)| name == "SUMMARY.md").unwrap().1;
    for (name, _) in &chapters {
        let listed = summary.matches(&format!("]({name})")).count();
        assert_eq!(listed, usize::from(name != "SUMMARY.md"), "{name}");
    }
}

#[test]
fn every_chapter_with_rust_code_is_tested() {
    let light = fs::read_to_string(book().join("lib.rs")).unwrap();
    let torch = fs::read_to_string(book().join("../tests/src/lib.rs")).unwrap();
    let mut tested = 0;
    for (name, text) in chapters() {
        let has_code = text.lines().any(|line| line.trim_start().starts_with("```rust"));
        let by_light = light.contains(&format!("include_str!(\"src/{name}\")"));
        let by_torch = torch.contains(&format!("include_str!(\"../../docs/src/{name}\")"));
        assert_eq!(
            u8::from(by_light) + u8::from(by_torch),
            u8::from(has_code),
            "{name}"
        );
        tested += usize::from(has_code);
    }
    assert!(tested > 1, "{tested}");
}
