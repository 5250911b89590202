//! How rows are read: keys of JSON Lines, delimiters, quotes, and images that are listed twice.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use std::collections::HashSet;

use effnet_data::{Dataset, HoldOut, Splits};
use images::{write, write_images};
use listed::{assert_says, home, open, read, rows, targets};
use tempfile::tempdir;

const IMAGES: [&str; 3] = ["a.bmp", "b.bmp", "c.bmp"];

/// Reads JSON Lines.
fn read_lines(lines: &str) -> Result<(tempfile::TempDir, Splits), String> {
    let root = tempdir().unwrap();
    write_images(root.path(), &IMAGES);
    write(root.path(), "list.jsonl", lines.as_bytes());
    let splits = Splits::open_for(root.path().join("list.jsonl"), None).map_err(|error| error.to_string())?;
    Ok((root, splits))
}

#[test]
fn every_object_of_json_lines_may_add_keys() {
    let (root, splits) = read_lines(
        "{\"path\":\"a.bmp\",\"zebra\":1}\n{\"path\":\"b.bmp\",\"cat\":1}\n{\"path\":\"c.bmp\",\"cat\":1,\"zebra\":1}\n",
    )
    .unwrap();
    assert_eq!(splits.train.classes(), ["cat", "zebra"]);
    assert_eq!(
        targets(root.path(), &*splits.train),
        "a.bmp zebra, b.bmp cat, c.bmp cat+zebra"
    );
    let far: String = (0..300)
        .map(|_| "{\"path\":\"a.bmp\",\"label\":\"x\"}\n")
        .collect();
    let lines = format!(
        "{{\"path\":\"c.bmp\",\"label\":\"y\",\"split\":\"train\"}}\n{}{{\"label\":\"x\",\"split\":\"val\",\"path\":\"b.bmp\"}}\n",
        far.replace('}', ",\"split\":\"train\"}")
    );
    let (root, splits) = read_lines(&lines).unwrap();
    assert_eq!(rows(root.path(), &*splits.val.unwrap()), "b.bmp x");
    let error = read_lines(&format!(
        "{far}{{\"path\":\"b.bmp\",\"label\":\"y\",\"split\":\"val\"}}\n"
    ));
    assert_says(
        &error.unwrap_err(),
        &["nothing in column split on line 1", "train, val or test"],
    );
    let many: Vec<String> = (0..10_001).map(|key| format!("{{\"{key}\":1}}\n")).collect();
    assert_says(
        &read_lines(&many.concat()).unwrap_err(),
        &["more than 10,000 different keys", "line 10001"],
    );
}

#[test]
fn a_delimiter_that_leaves_the_name_of_the_image_whole_is_preferred() {
    for (table, expected) in [
        (
            "a.bmp,x;y;z\nb.bmp,y;x;z\nc.bmp,x;y;z\n",
            "a.bmp x+y+z, b.bmp x+y+z, c.bmp x+y+z",
        ),
        (
            "a.bmp;x,y,z\nb.bmp;y,x,z\nc.bmp;x,y,z\n",
            "a.bmp x,y,z, b.bmp y,x,z, c.bmp x,y,z",
        ),
        ("x;1,a.bmp\ny;2,b.bmp\n", "a.bmp x;1, b.bmp y;2"),
        ("a.bmp\tx,y\nb.bmp\ty,x\n", "a.bmp x,y, b.bmp y,x"),
        // One image.
        ("a.bmp,x;y;z\n", "one"),
    ] {
        let found = read(&IMAGES, table, None);
        if expected == "one" {
            assert_says(&found.unwrap_err(), &["x;y;z"]);
        } else {
            assert_eq!(found.as_deref(), Ok(expected), "{table}");
        }
    }
}

#[test]
fn a_space_before_a_quote_does_not_matter() {
    for (table, expected) in [
        (
            "path, label\na.bmp, \"x,y\"\nb.bmp,\"y,x\" \n",
            "a.bmp x,y, b.bmp y,x",
        ),
        (
            "path;label\n \"a.bmp\";  \"x;y\"\r\nb.bmp; \"y\"\"; z\"\r\n",
            "a.bmp x;y, b.bmp y\"; z",
        ),
        // A quote within a field is a character like others.
        (
            "path,label\na.bmp,19 \" x\nb.bmp, 21\" x\n",
            "a.bmp 19 \" x, b.bmp 21\" x",
        ),
        (
            "path,label\na.bmp,\"x, \"\"y\"\"\"\nb.bmp,z\n",
            "a.bmp x, \"y\", b.bmp z",
        ),
    ] {
        assert_eq!(
            read(&IMAGES, table, Some(effnet_data::Task::Classify)).as_deref(),
            Ok(expected),
            "{table}"
        );
    }
}

#[test]
fn an_image_that_is_listed_twice_is_not_split_in_two() {
    let names: Vec<String> = (0..30).map(|index| format!("{index:02}.bmp")).collect();
    let mut lines = vec!["path,label\n".to_owned()];
    for (index, name) in names.iter().enumerate() {
        lines.push(format!("{name},{}\n", ["x", "y"][index % 2]));
        if index % 3 == 0 {
            lines.push(format!("{name},{}\n", ["y", "x"][index % 2]));
        }
    }
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = home(&borrowed, &lines.concat());
    let images = |dataset: &dyn Dataset| {
        (0..dataset.len())
            .map(|index| dataset.name(index))
            .collect::<HashSet<_>>()
    };
    for seed in 0..5 {
        let half = open(&root).or_split(0.5, seed);
        let fold = open(&root)
            .hold_out(HoldOut::Fold { fold: 1, folds: 3 }, seed)
            .unwrap();
        for (splits, expected) in [(half, 20), (fold, 13)] {
            let val = splits.val.unwrap();
            assert!(images(&*splits.train).is_disjoint(&images(&*val)), "{seed}");
            assert!(val.len().abs_diff(expected) <= 2, "{seed}: {}", val.len());
        }
    }
}

#[test]
fn a_stray_quote_after_a_space_quotes_no_other_rows() {
    let table = "path,label,note\na.bmp,x, \"5 in\nb.bmp,y, \"a, b\"\nc.bmp,x, 3\" or 4\"\n";
    assert_eq!(
        read(&IMAGES, table, None).as_deref(),
        Ok("a.bmp x, b.bmp y, c.bmp x")
    );
}

#[test]
fn a_remark_that_not_every_object_has_is_not_the_class() {
    let (root, splits) = read_lines(
        "{\"path\":\"a.bmp\",\"breedname\":\"pug\"}\n{\"path\":\"b.bmp\",\"breedname\":\"boxer\",\"note\":\"dark\"}\n",
    )
    .unwrap();
    assert_eq!(targets(root.path(), &*splits.train), "a.bmp pug, b.bmp boxer");
}

#[test]
fn keys_that_only_other_objects_have_do_not_change_the_task() {
    for (lines, expected) in [
        (
            "{\"path\":\"a.bmp\",\"price\":3.5}\n{\"path\":\"b.bmp\",\"price\":4.25,\"note\":\"dark\"}\n",
            "a.bmp price=3.5, b.bmp price=4.25",
        ),
        (
            "{\"path\":\"a.bmp\",\"price\":3.5}\n{\"path\":\"b.bmp\",\"price\":4.25,\"width\":3,\"new\":1}\n",
            "a.bmp price=3.5, b.bmp price=4.25",
        ),
        (
            "{\"path\":\"a.bmp\",\"attributes\":[\"red\",\"round\"]}\n\
             {\"path\":\"b.bmp\",\"attributes\":[\"red\"],\"note\":\"x\"}\n",
            "a.bmp red+round, b.bmp red",
        ),
    ] {
        let (root, splits) = read_lines(lines).unwrap();
        assert_eq!(targets(root.path(), &*splits.train), expected, "{lines}");
    }
    let (root, splits) = read_lines(
        "{\"path\":\"a.bmp\",\"label1\":\"cat\"}\n{\"path\":\"b.bmp\",\"label1\":\"cat\",\"label2\":\"dog\"}\n",
    )
    .unwrap();
    assert_eq!(targets(root.path(), &*splits.train), "a.bmp cat, b.bmp cat+dog");
    // Where the first image has no label, its other columns are not what to learn.
    let error = read_lines(
        "{\"path\":\"a.bmp\",\"source\":\"web\"}\n{\"path\":\"b.bmp\",\"source\":\"web\",\"label\":\"x\"}\n",
    );
    assert_says(&error.err().unwrap(), &["line 1"]);
}
