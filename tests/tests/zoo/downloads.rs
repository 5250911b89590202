//! `effnet download`, and what `effnet cache` makes of the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::home::Home;
use super::server::{Gathering, Server};
use super::{json, manifest, refused, says, succeeded, text};

/// Files of 200 kB that differ: downloading does not look at what is in them.
fn content(seed: u8) -> Vec<u8> {
    (0..200_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8 ^ seed)
        .collect()
}

fn file(tag: &str) -> String {
    format!("efficientnet-b0-{tag}.pth")
}

/// A home whose `mine.json` knows `b0.TAG` for each tag; the server has the files of all but `lost`.
fn served(tags: &[&str], gathering: Option<Arc<Gathering>>) -> (Home, Server) {
    let home = Home::new();
    let contents: Vec<_> = (0..tags.len()).map(|index| content(index as u8)).collect();
    let named = tags.iter().zip(&contents);
    let files: BTreeMap<_, _> = named
        .clone()
        .filter(|(tag, _)| **tag != "lost")
        .map(|(tag, bytes)| (file(tag), bytes.clone()))
        .collect();
    let server = Server::start(files, gathering);
    let entries: Vec<_> = named
        .map(|(tag, bytes)| {
            let url = server.url(&file(tag));
            manifest::entry(&format!("b0.{tag}"), &file(tag), &[], &url, bytes)
        })
        .collect();
    manifest::write(&home.join("mine.json"), &entries);
    (home, server)
}

const MINE: [&str; 2] = ["--manifest", "mine.json"];

#[test]
fn several_ids_are_fetched_at_once() {
    let gathering = Arc::new(Gathering::of(3));
    let (home, _server) = served(&["one", "two", "three"], Some(Arc::clone(&gathering)));
    let ids = ["download", "b0.one", "b0.two", "b0.three"];
    let run = home.run(&[&ids[..], &MINE].concat());
    assert!(gathering.is_complete(), "one came after the other");
    let mut lines: Vec<_> = succeeded(&run).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<_> = ["one", "two", "three"]
        .map(|tag| format!("b0.{tag} {}", home.cache().join(file(tag)).display()))
        .into();
    expected.sort();
    assert_eq!(lines, expected);
    for (seed, tag) in ["one", "two", "three"].into_iter().enumerate() {
        assert!(std::fs::read(home.cache().join(file(tag))).unwrap() == content(seed as u8));
    }
}

#[test]
fn an_id_that_fails_is_named_and_the_others_are_fetched() {
    let (home, _server) = served(&["one", "lost"], None);
    let run = home.run(&[&["download", "b0.lost", "b0.one"], &MINE[..]].concat());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    says(&run, &["b0.lost", "404"]);
    assert!(run.stdout.starts_with("b0.one "), "{}", run.stdout);
    assert!(!home.cache().join(file("lost")).exists());

    let run = home.run(&[&["download", "b0.lost"], &MINE[..]].concat());
    refused(&run, &["b0.lost", "404"]);
}

#[test]
fn a_wrong_id_offers_the_nearest_and_nothing_is_fetched() {
    let (home, server) = served(&["one"], None);
    for (wrong, nearest) in [("b0.oen", "`b0.one`"), ("b33", "`b3.imagenet`")] {
        let run = home.run(&[&["download", "b0.one", wrong], &MINE[..]].concat());
        refused(&run, &[wrong, nearest]);
    }
    refused(
        &home.run(&["download", "resnet50"]),
        &["resnet50", "effnet models"],
    );
    assert_eq!(server.connections(), 0);
    assert_eq!(home.files(), ["mine.json"]);
}

#[test]
fn what_was_fetched_is_not_fetched_again() {
    let (home, server) = served(&["one"], None);
    let download = [&["download", "b0.one"], &MINE[..]].concat();
    let first = home.run(&download);
    let second = home.run(&[&download[..], &["--offline"]].concat());
    assert_eq!(succeeded(&first), succeeded(&second));
    assert_eq!(server.connections(), 1);
}

#[test]
fn all_weights_of_a_variant_can_be_asked_for() {
    let home = Home::new();
    let run = home.run(&["download", "--all-of", "b1", "--offline"]);
    refused(
        &run,
        &["b1.imagenet", "b1.advprop", "b1.torchvision", "b1.torchvision-v2"],
    );
    assert!(!run.stderr.contains("b0.imagenet"), "{}", run.stderr);
}

#[test]
fn the_cache_lists_verifies_and_prunes_what_was_fetched() {
    let (home, _server) = served(&["one", "two"], None);
    succeeded(&home.run(&[&["download", "b0.one", "b0.two"], &MINE[..]].concat()));
    let (one, two) = (home.cache().join(file("one")), home.cache().join(file("two")));
    let states = |run: effnet_tests::Finished| -> Vec<serde_json::Value> {
        let files = json(&run);
        let rows = files.as_array().unwrap();
        rows.iter()
            .map(|row| json!([row["path"], row["id"], row["state"]]))
            .collect()
    };
    let list = [&["cache", "list", "--format", "json"], &MINE[..]].concat();
    let row = |path: &std::path::Path, id: &str, state: &str| json!([text(path), id, state]);
    assert_eq!(
        states(home.run(&list)),
        [row(&one, "b0.one", "verified"), row(&two, "b0.two", "verified")]
    );

    let verify = [&["cache", "verify"], &MINE[..]].concat();
    succeeded(&home.run(&verify));
    std::fs::write(&two, "rotten").unwrap();
    let run = home.run(&verify);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let damaged = run.stdout.lines().filter(|line| line.contains("damaged"));
    assert_eq!(damaged.clone().count(), 1);
    assert!(
        damaged.clone().all(|line| line.contains("b0.two")),
        "{}",
        run.stdout
    );

    let part = home.cache().join(format!("{}.part", file("three")));
    std::fs::write(&part, "half").unwrap();
    std::fs::write(home.cache().join("notes.txt"), "mine").unwrap();
    let would = home.run(&[&["cache", "prune", "--dry-run"], &MINE[..]].concat());
    assert_eq!(succeeded(&would).trim_end(), text(&part));
    assert!(part.exists());
    succeeded(&home.run(&[&["cache", "prune"], &MINE[..]].concat()));
    assert!(!part.exists() && one.exists() && home.cache().join("notes.txt").exists());
    succeeded(&home.run(&[&["cache", "prune", "--unknown"], &MINE[..]].concat()));
    assert!(one.exists() && !home.cache().join("notes.txt").exists());
}
