//! Checks that every `effnet` command that a page shows is one that the program accepts: each is parsed as the program
//! parses it, so that a renamed flag, a wrong value or a missing argument is found.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use effnet_cli::arguments::Arguments;

/// The pages that show commands to users.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let of = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages = vec![root.join("README.md")];
    pages.extend(of(&root.join("docs/src")));
    pages.extend(of(&root.join("docs/src/commands")));
    pages.extend(of(&root.join("crates")).map(|folder| folder.join("README.md")));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md") && path.exists());
    pages
}

/// The commands in the code blocks of a page: lines after `$` in `console` blocks, all lines of `sh` blocks, and the
/// program that a unit of systemd starts. A line that ends with a backslash continues on the next one.
fn commands(page: &str) -> Vec<String> {
    let (mut commands, mut language): (Vec<String>, Option<&str>) = (Vec::new(), None);
    let mut continues = false;
    for line in page.lines() {
        let text = line.trim_start();
        if let Some(name) = text.strip_prefix("```") {
            language = language.is_none().then_some(name);
            continues = false;
            continue;
        }
        let command = match language {
            Some(_) if continues => Some(text),
            Some("console") => text.strip_prefix("$ "),
            Some("sh" | "bash") => Some(text),
            Some("ini") => text.strip_prefix("ExecStart="),
            _ => None,
        };
        let Some(command) = command else { continue };
        let words = command.trim_end_matches('\\');
        match commands.last_mut() {
            Some(last) if continues => *last += words,
            _ => commands.push(words.to_owned()),
        }
        continues = command.ends_with('\\');
    }
    commands
}

/// The arguments of each call of effnet in a line of shell, without those of a program that starts it.
fn calls(line: &str) -> Vec<Vec<String>> {
    let is_effnet = |word: &String| word == "effnet" || word.ends_with("/effnet");
    // Operators next to a word would be part of it.
    let line = line.replace(';', " ; ").replace(" $(", " ; ").replace(')', " ; ");
    let words = shlex::split(&line).unwrap_or_else(|| panic!("quotes do not match: {line}"));
    let ends = |word: &String| ["|", "||", "&", "&&", ";", ">", ">>", "<", "2>"].contains(&word.as_str());
    let mut calls = Vec::new();
    for call in words.split(ends) {
        // `man effnet` and `sudo cp ... bin/effnet` are not calls.
        let position = call.iter().position(is_effnet);
        if let Some(arguments) = position.map(|position| &call[position + 1..])
            && !arguments.is_empty()
        {
            calls.push(arguments.to_vec());
        }
        // A command in a word, as for `sbatch --wrap`.
        let nested = call
            .iter()
            .filter(|word| word.contains("effnet ") && *word != &line);
        calls.extend(nested.flat_map(|word| self::calls(word)));
    }
    calls
}

#[test]
fn every_command_that_a_page_shows_is_accepted() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for call in commands(&text).iter().flat_map(|line| calls(line)) {
            let words = std::iter::once("effnet").chain(call.iter().map(String::as_str));
            match Arguments::definition().try_get_matches_from(words) {
                Err(error) if error.use_stderr() => {
                    let name = page.file_name().unwrap().display();
                    wrong.push(format!("{name}: effnet {}\n{error}", call.join(" ")));
                }
                _ => checked += 1,
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 60, "{checked}");
}

#[test]
fn calls_are_found_in_lines_of_shell() {
    let call = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        calls("RANK=1 effnet train a & effnet train b"),
        [call("train a"), call("train b")]
    );
    assert_eq!(calls("srun --wrap 'effnet train a'"), [call("train a")]);
    assert_eq!(
        calls("find . | effnet classify - > out  # all"),
        [call("classify -")]
    );
    let page = "```console\n$ effnet a \\\n    b\noutput\n```\n```sh\neffnet c\n```\n";
    assert_eq!(commands(page), ["effnet a b", "effnet c"]);
}
