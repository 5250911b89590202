//! Compares the reference of the commands in the book with the flags of the program.
//!
//! `EFFNET_UPDATE_HELP=1 cargo test -p effnet-book --test reference` writes the pages that differ.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::StyledStr;
use clap::{Arg, Command};
use effnet_cli::arguments::Arguments;

/// What is above this line in `commands.md` is written by hand.
const GENERATED: &str = "<!-- Below this line, this page is generated: see docs/tests/reference.rs. -->\n";

/// Escapes what Markdown would read as HTML, outside of code.
fn prose(text: &str) -> String {
    let escape = |(index, part): (usize, &str)| match index % 2 {
        0 => part
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('*', "\\*"),
        _ => part.to_owned(),
    };
    let parts: Vec<String> = text.split('`').enumerate().map(escape).collect();
    parts.join("`")
}

fn text(styled: Option<&StyledStr>) -> String {
    prose(styled.map(ToString::to_string).unwrap_or_default().trim())
}

/// The flags or the placeholder of an argument, as code.
fn names(argument: &Arg) -> String {
    let values = || {
        let names = argument.get_value_names().unwrap_or_default();
        names
            .iter()
            .map(|name| format!("<{name}>"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    if argument.is_positional() {
        let several = if argument
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1)
        {
            "..."
        } else {
            ""
        };
        let values = values();
        let name = values.trim_matches(['<', '>']);
        let [open, close] = if argument.is_required_set() {
            ["<", ">"]
        } else {
            ["[", "]"]
        };
        return format!("`{open}{name}{close}{several}`");
    }
    let short = argument.get_short().map(|letter| format!("`-{letter}`, "));
    let value = if argument.get_action().takes_values() {
        format!(" {}", values())
    } else {
        String::new()
    };
    let long = argument.get_long().unwrap();
    format!("{}`--{long}{value}`", short.unwrap_or_default())
}

/// The item of an argument in a list.
fn item(argument: &Arg) -> String {
    let mut item = format!(
        "- {}: {}",
        names(argument),
        text(argument.get_long_help().or(argument.get_help()))
    );
    if argument.get_action().takes_values() {
        let defaults = argument.get_default_values();
        if !defaults.is_empty() && !argument.is_hide_default_value_set() {
            let defaults: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
            write!(item, " [default: {}]", prose(&defaults.join(" "))).unwrap();
        }
    }
    item.push('\n');
    let values = argument.get_possible_values();
    if argument.is_hide_possible_values_set() || !argument.get_action().takes_values() {
        return item;
    }
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        match value.get_help() {
            Some(help) => writeln!(item, "  - `{}`: {}", value.get_name(), text(Some(help))).unwrap(),
            None => writeln!(item, "  - `{}`", value.get_name()).unwrap(),
        }
    }
    item
}

/// The usage, the arguments and the examples of a command, and then its subcommands.
fn section(command: &Command, level: usize) -> String {
    let name = command.get_display_name().unwrap().replace('-', " ");
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let about = text(command.get_long_about().or(command.get_about()));
    let mut section = format!(
        "{} {name}\n\n{about}.\n\n```text\n{usage}\n```\n",
        "#".repeat(level)
    );
    let mut groups: BTreeMap<usize, (String, String)> = BTreeMap::new();
    let mut headings = Vec::new();
    let shown = command.get_arguments().filter(|argument| {
        !argument.is_hide_set() && !argument.is_global_set() && argument.get_long() != Some("help")
    });
    for argument in shown {
        let heading = match argument.get_help_heading() {
            _ if argument.is_positional() => "Arguments",
            Some(heading) => heading,
            None => "Options",
        };
        let known = headings.iter().position(|known| known == heading);
        let place = known.unwrap_or_else(|| {
            headings.push(heading.to_owned());
            headings.len() - 1
        });
        let (_, items) = groups
            .entry(place)
            .or_insert_with(|| (heading.to_owned(), String::new()));
        items.push_str(&item(argument));
    }
    for (heading, items) in groups.into_values() {
        write!(section, "\n{} {heading}\n\n{items}", "#".repeat(level + 1)).unwrap();
    }
    if let Some(examples) = command.get_after_long_help().or(command.get_after_help()) {
        let examples = examples.to_string();
        let lines = examples.lines().filter(|line| !line.ends_with("Examples:"));
        let lines: Vec<_> = lines
            .map(|line| line.strip_prefix("  ").unwrap_or(line))
            .collect();
        let lines = lines.join("\n");
        write!(
            section,
            "\n{} Examples\n\n```sh\n{}\n```\n",
            "#".repeat(level + 1),
            lines.trim_end()
        )
        .unwrap();
    }
    for subcommand in subcommands(command) {
        write!(section, "\n{}", self::section(subcommand, level + 1)).unwrap();
    }
    section
}

/// The subcommands, in the order of the help.
fn subcommands(command: &Command) -> Vec<&Command> {
    let help = command.clone().render_help().to_string();
    let shown = |subcommand: &&Command| !subcommand.is_hide_set() && subcommand.get_name() != "help";
    let mut subcommands: Vec<_> = command.get_subcommands().filter(shown).collect();
    subcommands.sort_by_key(|subcommand| help.find(&format!("\n  {} ", subcommand.get_name())));
    subcommands
}

/// The generated part of `commands.md`.
fn overview(command: &Command) -> String {
    let mut overview = String::from("\n| command | |\n|---|---|\n");
    for subcommand in subcommands(command) {
        let name = subcommand.get_name();
        let about = text(subcommand.get_about());
        writeln!(overview, "| [`effnet {name}`](commands/{name}.md) | {about} |").unwrap();
    }
    overview.push_str("\nEvery command also has these options:\n\n");
    let global = command
        .get_arguments()
        .filter(|argument| argument.is_global_set());
    overview.extend(global.map(item));
    overview
}

/// Every page of the reference with its path.
fn pages() -> BTreeMap<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut command = Arguments::definition();
    // This gives the subcommands their full names.
    command.build();
    let by_name = |subcommand: &Command| {
        let path = source.join(format!("commands/{}.md", subcommand.get_name()));
        (path, section(subcommand, 1))
    };
    let mut pages: BTreeMap<_, _> = subcommands(&command).into_iter().map(by_name).collect();
    let path = source.join("commands.md");
    let written = fs::read_to_string(&path).unwrap();
    let (by_hand, _) = written.split_once(GENERATED).unwrap();
    pages.insert(path, format!("{by_hand}{GENERATED}{}", overview(&command)));
    pages
}

#[test]
fn the_reference_describes_every_command_and_flag() {
    let update = std::env::var_os("EFFNET_UPDATE_HELP").is_some();
    let pages = pages();
    assert!(pages.len() > 15, "{}", pages.len());
    let mut changed = Vec::new();
    for (path, page) in &pages {
        if fs::read_to_string(path).unwrap_or_default() != *page {
            if update {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, page).unwrap();
            }
            changed.push(path.file_name().unwrap().display().to_string());
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(pages.contains_key(&path), "{}: no such command", path.display());
    }
    assert!(
        update || changed.is_empty(),
        "{changed:?}: flags have changed; run this test with EFFNET_UPDATE_HELP=1"
    );
}
