//! Commands that only tell: they change nothing, fetch nothing and start nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::home::Home;
use super::server::Server;
use super::{json, manifest, succeeded};

/// Every command that has no business with tensors.
const TELLING: [&[&str]; 11] = [
    &["--version"],
    &["--help"],
    &["convert", "--help"],
    &["models"],
    &["models", "--all", "--format", "json"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["man"],
    &["cache", "list"],
    &["cache", "verify"],
    &["cache", "prune", "--unknown"],
];

#[test]
fn telling_creates_no_file_and_opens_no_connection() {
    let home = Home::new();
    let trap = Server::start(BTreeMap::new(), None);
    for arguments in TELLING {
        let run = home
            .command(arguments)
            // Wherever it would go, it would come here.
            .env("EFFNET_MIRROR", trap.url(""))
            .env("http_proxy", trap.url(""))
            .env("https_proxy", trap.url(""))
            .output()
            .unwrap();
        succeeded(&run.into());
        assert_eq!(home.files(), [""; 0], "{arguments:?}");
    }
    assert_eq!(trap.connections(), 0);
}

/// CUDA's libraries take seconds to start and are never needed to print a table; `effnet` has not even libtorch.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn telling_loads_no_library_that_the_bare_process_does_not() {
    let home = Home::new();
    let libraries = |program: &str, arguments: &[&str]| -> Vec<String> {
        let effnet = home.command(arguments);
        let mut command = Command::new(Path::new(effnet.get_program()).with_file_name(program));
        home.apply(&mut command);
        let run = command.args(arguments).env("LD_DEBUG", "files").output().unwrap();
        let log = String::from_utf8(run.stderr).unwrap();
        let mut loaded: Vec<_> = log
            .lines()
            .filter_map(|line| line.split_once("calling init: "))
            .map(|(_, library)| library.to_owned())
            .collect();
        loaded.sort();
        loaded
    };
    for (program, has_libtorch) in [("effnet", false), ("effnet-torch", true)] {
        let bare = libraries(program, &["--version"]);
        assert!(bare.iter().any(|library| library.contains("libc.so")), "{bare:?}");
        let libtorch = bare.iter().any(|library| library.contains("libtorch_cpu"));
        assert_eq!(libtorch, has_libtorch, "{program}: {bare:?}");
        for arguments in TELLING {
            assert_eq!(libraries(program, arguments), bare, "{program} {arguments:?}");
        }
    }
}

#[test]
fn models_are_a_table_for_people_and_json_for_programs() {
    let home = Home::new();
    let table = home.run(&["models"]);
    let lines: Vec<_> = succeeded(&table).lines().collect();
    let columns = [
        "id", "params", "GMACs", "input", "size", "top-1", "licence", "cached",
    ];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), columns);
    assert!(lines[1].starts_with("b0.imagenet "), "{}", lines[1]);
    assert!(!table.stdout.contains("b0.timm-"), "timm's are for --all");
    assert!(
        table.stdout.contains("\nv2-s.tf-in21k_ft_in1k "),
        "a default is listed"
    );
    let last = lines.last().unwrap();
    assert!(last.contains("more from timm with --all"), "{last}");

    let all = json(&home.run(&["models", "--all", "--format", "json"]));
    let all = all.as_array().unwrap();
    for id in [
        "b0.timm-ra_in1k",
        "b5.tf-ns_jft_in1k",
        "b8.advprop",
        "b1.torchvision-v2",
    ] {
        assert!(all.iter().any(|row| row["id"] == id), "{id}");
    }
    let b3 = all.iter().find(|row| row["id"] == "b3.imagenet").unwrap();
    assert_eq!(b3["parameters"], 12_233_232);
    assert_eq!(b3["image_size"], 300);
    assert_eq!(b3["cached"], false);
    let gmacs = b3["gmacs"].as_f64().unwrap();
    assert!((1.7..2.0).contains(&gmacs), "{gmacs}");
}

#[test]
fn models_know_a_users_manifest_and_what_is_on_this_machine() {
    let home = Home::new();
    let entry = manifest::entry(
        "b0.mine",
        "mine.pth",
        &[],
        "http://127.0.0.1:9/mine.pth",
        b"weights",
    );
    manifest::write(&home.join("mine.json"), &[entry]);
    std::fs::write(home.checkpoints().join("mine.pth"), "weights").unwrap();
    let by_argument = home.run(&["models", "--format", "json", "--manifest", "mine.json"]);
    let by_variable = home
        .command(&["models", "--format", "json"])
        .env("EFFNET_MANIFEST", home.join("mine.json"))
        .output()
        .unwrap();
    for run in [by_argument, by_variable.into()] {
        let rows = json(&run);
        let mine = rows.as_array().unwrap().iter().find(|row| row["id"] == "b0.mine");
        assert_eq!(mine.expect("the manifest's entry")["cached"], true);
    }
}

#[test]
fn help_names_every_command() {
    let help = Home::new().run(&["--help"]);
    for command in [
        "classify",
        "inspect",
        "convert",
        "models",
        "download",
        "cache",
        "env",
        "completions",
        "man",
    ] {
        let listed = |line: &str| line.trim_start().starts_with(command);
        assert!(succeeded(&help).lines().any(listed), "{command}");
    }
}

#[test]
fn an_empty_cache_is_listed_as_nothing() {
    let home = Home::new();
    assert_eq!(succeeded(&home.run(&["cache", "list"])), "");
    assert_eq!(
        json(&home.run(&["cache", "list", "--format", "json"])),
        serde_json::json!([])
    );
}
