//! `effnet classify` when all goes well, and its manners.

use std::io::Write;
use std::process::Stdio;

use effnet_core::Variant;
use effnet_tests::{effnet, finish};
use serde_json::Value;

use super::{images, weights, write_image};

fn records(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect()
}

#[test]
fn json_lines_come_in_the_order_of_the_inputs_with_the_promised_fields() {
    let folder = images();
    let weights = weights(Variant::B0, 1000);
    let names = ["sub/c.png", "a.png", "b.png"].map(|name| folder.path().join(name));
    let run = finish(
        effnet()
            .arg("classify")
            .args(&names)
            .arg("--weights")
            .arg(&weights)
            .args(["--format", "json", "--top-k", "3"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let records = records(&run.stdout);
    assert_eq!(records.len(), 3);
    for (record, name) in records.iter().zip(&names) {
        assert_eq!(record["input"], name.to_str().unwrap());
        assert_eq!(record["model"], "b0");
        assert_eq!(record["weights"], weights.to_str().unwrap());
        let predictions = record["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        for prediction in predictions {
            assert!(prediction["class"].is_u64() && prediction["label"].is_string());
            assert!(prediction["logit"].is_f64() && prediction["probability"].is_f64());
        }
        let logits: Vec<f64> = predictions.iter().map(|p| p["logit"].as_f64().unwrap()).collect();
        assert!(logits.is_sorted_by(|a, b| a >= b), "{logits:?}");
    }
}

#[test]
fn top_k_zero_reports_all_classes_and_their_probabilities_add_up() {
    let folder = images();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(folder.path().join("a.png"))
            .arg("--weights")
            .arg(weights(Variant::B0, 1000))
            .args(["--format", "json", "--top-k", "0"]),
    );
    let records = records(&run.stdout);
    let predictions = records[0]["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 1000);
    let total: f64 = predictions
        .iter()
        .map(|p| p["probability"].as_f64().unwrap())
        .sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
}

#[test]
fn a_folder_a_pattern_and_a_list_on_standard_input_give_the_same_results() {
    let folder = images();
    let weights = weights(Variant::B0, 1000);
    let base = || {
        let mut command = effnet();
        command
            .arg("classify")
            .arg("--weights")
            .arg(&weights)
            .args(["--format", "json"]);
        command.current_dir(folder.path());
        command
    };
    let by_folder = finish(base().arg("."));
    let by_pattern = finish(base().arg("./**/*.png"));
    let mut child = base()
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("effnet starts");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"./a.png\n./b.png\n./sub/c.png\n")
        .unwrap();
    let by_list = child.wait_with_output().unwrap();
    assert_eq!(records(&by_folder.stdout).len(), 3, "{}", by_folder.stderr);
    let sorted = |text: &str| {
        let mut records = records(text);
        for record in &mut records {
            let name = record["input"]
                .as_str()
                .unwrap()
                .trim_start_matches("./")
                .to_owned();
            record["input"] = name.into();
        }
        records.sort_by_key(|record| record["input"].to_string());
        records
    };
    assert_eq!(sorted(&by_folder.stdout), sorted(&by_pattern.stdout));
    assert_eq!(
        sorted(&by_folder.stdout),
        sorted(&String::from_utf8(by_list.stdout).unwrap())
    );
}

#[test]
fn the_batch_size_does_not_change_the_classes() {
    let folder = images();
    let weights = weights(Variant::B0, 1000);
    let run = |size: &str| {
        let run = finish(
            effnet()
                .arg("classify")
                .arg(folder.path())
                .arg("--weights")
                .arg(&weights)
                .args(["--format", "json", "--batch-size", size]),
        );
        records(&run.stdout)
            .iter()
            .map(|r| r["predictions"][0]["class"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(run("1"), run("3"));
}

#[test]
fn csv_has_a_header_and_a_row_for_each_prediction() {
    let folder = images();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(folder.path())
            .arg("--weights")
            .arg(weights(Variant::B0, 1000))
            .args(["--format", "csv", "--top-k", "2"]),
    );
    let mut lines = run.stdout.lines();
    assert_eq!(
        lines.next(),
        Some("input,rank,class,label,logit,probability,error")
    );
    assert_eq!(lines.count(), 6);
}

#[test]
fn an_output_file_appears_whole_and_standard_output_stays_empty() {
    let folder = images();
    let output = folder.path().join("results.jsonl");
    let run = finish(
        effnet()
            .arg("classify")
            .arg(folder.path())
            .arg("--weights")
            .arg(weights(Variant::B0, 1000))
            .args(["--format", "json", "--output"])
            .arg(&output),
    );
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    assert_eq!(records(&std::fs::read_to_string(&output).unwrap()).len(), 3);
}

#[test]
fn labels_from_a_file_name_the_classes() {
    let folder = images();
    let labels = folder.path().join("labels.txt");
    std::fs::write(&labels, "cat\ndog\nnewt\n").unwrap();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(folder.path().join("a.png"))
            .arg("--weights")
            .arg(weights(Variant::B0, 3))
            .arg("--labels")
            .arg(&labels)
            .args(["--format", "json"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let names: Vec<_> = records(&run.stdout)[0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["label"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(
        ["cat", "dog", "newt"]
            .iter()
            .all(|name| names.iter().any(|found| found == name))
    );
}

#[test]
fn a_bad_input_does_not_stop_the_others_and_is_reported_in_its_place() {
    let folder = images();
    std::fs::write(folder.path().join("a2.jpg"), "not an image").unwrap();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(folder.path())
            .arg(folder.path().join("missing.png"))
            .arg("--weights")
            .arg(weights(Variant::B0, 1000))
            .args(["--format", "json"]),
    );
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let records = records(&run.stdout);
    let failed: Vec<bool> = records
        .iter()
        .map(|record| record.get("error").is_some())
        .collect();
    assert_eq!(failed, [false, true, false, false, true]);
    assert!(
        run.stderr.contains("a2.jpg") && run.stderr.contains("missing.png"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = images();
    for index in 0..40 {
        write_image(&folder.path().join(format!("{index}.png")), 64, 64, index);
    }
    let mut child = effnet()
        .arg("classify")
        .arg(folder.path())
        .arg("--weights")
        .arg(weights(Variant::B0, 1000))
        .args(["--format", "json", "--top-k", "0", "--batch-size", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = finish(effnet().args(["completions", shell]));
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("classify"), "{shell}");
    }
}
