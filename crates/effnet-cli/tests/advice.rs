//! Checks that advice is valid: every `--flag` named by a message, a doc comment or a page is a flag of `effnet`, of a
//! script of this project, or of a tool named below.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use effnet_cli::arguments::Arguments;

/// Flags of other programs that are mentioned in texts.
const FOREIGN: [(&str, &[&str]); 5] = [
    ("cargo install", &["path"]),
    ("curl", &["data-binary"]),
    ("docker run", &["cap-drop", "read-only", "security-opt"]),
    (
        "pip download",
        &[
            "dest",
            "hash",
            "disable-pip-version-check",
            "no-deps",
            "no-input",
            "only-binary",
            "requirement",
            "require-hashes",
        ],
    ),
    (
        "sbatch and srun (docs/src/scaling.md)",
        &[
            "array",
            "cpus-per-task",
            "nodes",
            "ntasks",
            "ntasks-per-node",
            "requeue",
            "wrap",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn flags_of(command: &clap::Command, flags: &mut BTreeSet<String>) {
    flags.extend(["help", "version"].map(str::to_owned));
    for argument in command.get_arguments() {
        flags.extend(argument.get_long().map(str::to_owned));
        flags.extend(
            argument
                .get_all_aliases()
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned),
        );
    }
    for subcommand in command.get_subcommands() {
        flags_of(subcommand, flags);
    }
}

/// Returns the names after `--` in a text.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let bytes = text.as_bytes();
    for (start, _) in text.match_indices("--") {
        // This is part of a longer dash or word, as in `a--b`.
        let before = start.checked_sub(1).map(|index| bytes[index]);
        if before.is_some_and(|byte| byte == b'-' || byte.is_ascii_alphanumeric()) {
            continue;
        }
        let is_part = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        let name: String = text[start + 2..].chars().take_while(is_part).collect();
        let name = name.trim_end_matches('-');
        if name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            names.insert(name.to_owned());
        }
    }
    names
}

fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, wanted, found);
        } else if wanted(&path) {
            found.push(path);
        }
    }
}

#[test]
fn every_flag_that_a_text_names_exists() {
    let root = root();
    let foreign = FOREIGN.iter().flat_map(|(_, flags)| *flags);
    let mut known: BTreeSet<String> = foreign.map(|flag| (*flag).to_owned()).collect();
    flags_of(&Arguments::definition(), &mut known);
    let mut scripts = Vec::new();
    files(
        &root.join("scripts"),
        &|path| path.extension().is_none_or(|e| e == "py"),
        &mut scripts,
    );
    for script in &scripts {
        known.extend(named(&fs::read_to_string(script).unwrap_or_default()));
    }
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];
    let mut texts = pages.map(|page| root.join(page)).to_vec();
    files(
        &root.join("docs"),
        &|path| path.extension().is_some_and(|e| e == "md"),
        &mut texts,
    );
    let is_text = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == "rs" || extension == "md")
            && !path.components().any(|part| part.as_os_str() == "tests")
    };
    files(&root.join("crates"), &is_text, &mut texts);
    assert!(
        texts.len() > 200 && known.len() > 100,
        "{} {}",
        texts.len(),
        known.len()
    );
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in texts {
        let text = fs::read_to_string(&path).unwrap();
        // Tests deliberately call commands with wrong flags.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in named(text).difference(&known) {
            let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            unknown.entry(name.clone()).or_default().push(shown);
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
