//! What results look like: formats, untrusted names, kinds of failures, the closing line.

use std::path::Path;

use effnet_tests::{Finished, effnet, finish, ship};
use serde_json::Value;
use tempfile::TempDir;

/// A file name with colours, a line break and a character that reverses text.
const HOSTILE: &str = "a\u{1b}[31m\nerror: b\u{202e}.png";

/// Images, files that are not, and phone photos that cannot be read.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir(at("photos")).unwrap();
    for name in ["photos/b.png", "photos/c.png", "single.png"] {
        std::fs::copy(ship(), at(name)).unwrap();
    }
    let png = std::fs::read(ship()).unwrap();
    std::fs::write(at("photos/cut.png"), &png[..200]).unwrap();
    std::fs::write(at("photos/text.jpg"), "not an image").unwrap();
    std::fs::write(at("photos/empty.jpg"), "").unwrap();
    std::fs::write(at("photos/phone.HEIC"), "x").unwrap();
    home
}

fn run(home: &Path, arguments: &[&str]) -> Finished {
    let mut command = effnet();
    command.current_dir(home).args(arguments);
    finish(command.args(["--model", "b0.cifar10", "--device", "cpu"]))
}

fn records(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn one_class_is_one_line_and_a_closing_line_counts() {
    let home = home();
    let done = run(home.path(), &["classify", "photos", "-k", "1"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert_eq!(
        done.stdout,
        "photos/b.png: ship (90.91 %)\nphotos/c.png: ship (90.91 %)\n"
    );
    let closing = done.stderr.lines().last().unwrap();
    assert!(
        closing.starts_with("2 classified, 3 failed, 1 HEIC file skipped, ")
            && closing.ends_with(" images/s)"),
        "{closing}"
    );
    assert!(
        done.stderr
            .contains("1 HEIC file, which effnet cannot read: convert it to JPEG or PNG"),
        "{}",
        done.stderr
    );
    let quiet = run(home.path(), &["classify", "photos", "-k", "1", "--quiet"]);
    assert_eq!(quiet.stderr.lines().count(), 3, "{}", quiet.stderr);
    let single = run(home.path(), &["classify", "single.png", "-k", "1"]);
    assert_eq!(single.stderr, "");
}

#[test]
fn the_format_follows_the_extension_of_the_output() {
    let home = home();
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    for name in ["r.csv", "r.jsonl", "r.json", "r.txt"] {
        let done = run(home.path(), &["classify", "single.png", "-o", name]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    }
    assert!(read("r.csv").starts_with("input,rank,"));
    assert_eq!(records(&read("r.jsonl"))[0]["schema"], 1);
    assert_eq!(read("r.json"), read("r.jsonl"));
    assert!(read("r.txt").starts_with("single.png\n"));
    let contradicting = run(
        home.path(),
        &["classify", "single.png", "-o", "s.csv", "--format", "json"],
    );
    assert_eq!(contradicting.code, Some(0));
    assert!(
        contradicting.stderr.contains("warning: s.csv: writing json"),
        "{}",
        contradicting.stderr
    );
    assert_eq!(records(&read("s.csv")).len(), 1);
    for (command, output) in [
        ("classify", "r.xlsx"),
        ("classify", "c.npy"),
        ("features", "f.txt"),
    ] {
        let refused = run(home.path(), &[command, "single.png", "-o", output]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            refused.stderr.contains(output) && refused.stderr.contains(".csv"),
            "{}",
            refused.stderr
        );
        assert!(!home.path().join(output).exists());
    }
    let array = run(home.path(), &["features", "single.png", "-o", "f.npy"]);
    assert_eq!(array.code, Some(0), "{}", array.stderr);
    let bytes = std::fs::read(home.path().join("f.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY"));
}

#[test]
fn hostile_names_are_escaped_for_people_and_exact_for_programs() {
    let home = home();
    std::fs::copy(ship(), home.path().join(HOSTILE)).unwrap();
    std::fs::write(home.path().join(format!("2{HOSTILE}")), "not an image").unwrap();
    let shown = "a\\u{1b}[31m\\nerror: b\\u{202e}.png";
    let pattern = "*a*error*.png";
    for color in ["never", "always"] {
        let text = run(home.path(), &["classify", pattern, "-k", "1", "--color", color]);
        assert!(text.stdout.contains(shown), "{}", text.stdout);
        assert!(text.stderr.contains(shown), "{}", text.stderr);
        for stream in [&text.stdout, &text.stderr] {
            assert!(
                !stream.contains("\u{1b}[31mn") && !stream.contains('\u{202e}'),
                "{stream}"
            );
            assert!(
                !stream.lines().any(|line| line.starts_with("error: b")),
                "{stream}"
            );
        }
    }
    let csv = run(home.path(), &["classify", pattern, "-k", "1", "--format", "csv"]);
    assert!(
        csv.stdout.contains(&format!("\"{HOSTILE}\",1,8,ship,")),
        "{}",
        csv.stdout
    );
    let json = run(home.path(), &["classify", pattern, "-k", "1", "--format", "json"]);
    assert!(
        records(&json.stdout)
            .iter()
            .any(|record| record["input"] == HOSTILE)
    );
}

#[test]
fn failures_have_a_kind_and_a_text_without_the_name() {
    let home = home();
    let arguments = ["photos", "missing.jpg", "none*.jpg", "--format", "json"];
    for command in ["classify", "features"] {
        let done = run(home.path(), &[&[command][..], &arguments].concat());
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        let failed: Vec<Value> = records(&done.stdout)
            .into_iter()
            .filter(|record| record.get("error").is_some())
            .collect();
        let kinds: Vec<(&str, &str)> = failed
            .iter()
            .map(|record| {
                (
                    record["input"].as_str().unwrap(),
                    record["kind"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("photos/cut.png", "damaged"),
                ("photos/empty.jpg", "empty"),
                ("photos/text.jpg", "not_an_image"),
                ("missing.jpg", "missing"),
                ("none*.jpg", "no_images"),
            ]
        );
        for record in &failed {
            let error = record["error"].as_str().unwrap();
            assert!(!error.contains(record["input"].as_str().unwrap()), "{error}");
            assert_eq!(record["schema"], 1);
        }
    }
}

#[test]
fn a_misspelled_name_is_told_before_weights_are_looked_for() {
    let home = home();
    let mut command = effnet();
    // These weights are not here, and the test is offline.
    command
        .current_dir(home.path())
        .args(["classify", "missing.jpg", "--model", "b7"]);
    let done = finish(&mut command);
    assert_eq!(done.code, Some(2));
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("missing.jpg: No such file"),
        "{}",
        done.stderr
    );
}

#[test]
fn unlikely_classes_are_not_reported() {
    let home = home();
    let least = ["--min-probability", "0.5"];
    let of = |format: &str, least: &[&str]| {
        let arguments = ["classify", "single.png", "--format", format];
        run(home.path(), &[&arguments[..], least].concat()).stdout
    };
    assert_eq!(
        records(&of("json", &least))[0]["predictions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let none = ["--min-probability", "0.99"];
    assert!(
        records(&of("json", &none))[0]["predictions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(of("csv", &none).ends_with("\nsingle.png,,,,,,\n"));
    assert!(of("text", &none).contains("--min-probability"));
    for wrong in ["-1", "2", "half"] {
        let refused = run(
            home.path(),
            &["classify", "single.png", "--min-probability", wrong],
        );
        assert_eq!(refused.code, Some(2));
        assert!(
            refused.stderr.contains("expected a probability from 0 to 1"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn predictions_tell_truth_and_guess_of_each_image() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    for class in ["ship", "dog"] {
        std::fs::create_dir_all(at("data").join(class)).unwrap();
        std::fs::copy(ship(), at("data").join(class).join("x.png")).unwrap();
    }
    std::fs::write(at("data/ship/y.png"), "not an image").unwrap();
    let done = run(home.path(), &["evaluate", "data", "--predictions", "p.csv"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let text = std::fs::read_to_string(at("p.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Programs that were written for the first five columns find them where they were.
    let first = "input,label,prediction,probability,error,";
    assert!(lines[0].starts_with(first), "{text}");
    assert!(lines[1].starts_with("data/dog/x.png,dog,ship,0.9"), "{text}");
    assert!(lines[2].starts_with("data/ship/x.png,ship,ship,0.9"), "{text}");
    assert!(
        lines[3].starts_with("data/ship/y.png,ship,,,\"expected"),
        "{text}"
    );
    let done = run(home.path(), &["evaluate", "data", "--predictions", "p.jsonl"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let rows = records(&std::fs::read_to_string(at("p.jsonl")).unwrap());
    assert_eq!(
        (&rows[0]["label"], &rows[0]["prediction"]),
        (&"dog".into(), &"ship".into())
    );
    assert_eq!(rows[2]["kind"], "not_an_image");
}
