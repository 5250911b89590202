//! `effnet features`.

use effnet_core::Variant;
use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;

use super::{images, weights};

fn features(classes: usize, arguments: &[&str]) -> Finished {
    let folder = images();
    std::fs::write(folder.path().join("broken.png"), "not an image").unwrap();
    let mut command = effnet();
    command.arg("features").arg(folder.path());
    command.arg("--weights").arg(weights(Variant::B0, classes));
    finish(
        command
            .args(["--device", "cpu", "--image-size", "96"])
            .args(arguments),
    )
}

/// The vectors of the records in JSON.
fn vectors(run: &Finished) -> Vec<Vec<f64>> {
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let records = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (done, failed): (Vec<_>, Vec<_>) = records.partition(|record| record["error"].is_null());
    assert_eq!(failed.len(), 1);
    let numbers = |record: &Value| {
        let numbers = record["features"].as_array().unwrap().iter();
        numbers.map(|number| number.as_f64().unwrap()).collect()
    };
    done.iter().map(numbers).collect()
}

#[test]
fn an_image_becomes_a_vector_whatever_the_classes_of_the_file() {
    for classes in [1000, 7] {
        let fused = vectors(&features(classes, &[]));
        let plain = vectors(&features(classes, &["--engine", "plain"]));
        assert_eq!((fused.len(), fused[0].len()), (3, 1280));
        assert_ne!(fused[0], fused[1]);
        for (fused, plain) in fused.iter().flatten().zip(plain.iter().flatten()) {
            assert!(
                (fused - plain).abs() <= 1e-4 * plain.abs().max(0.1),
                "{fused} and {plain}"
            );
        }
    }
}

#[test]
fn a_table_has_a_line_an_image() {
    let run = features(1000, &["--format", "csv"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("input,0,1,2,") && lines[0].ends_with(",1279,error"));
    let columns = |line: &str| line.split(',').count();
    for (line, name) in [(lines[1], "a.png"), (lines[2], "b.png"), (lines[4], "sub/c.png")] {
        assert_eq!(columns(line), 1282, "{name}");
        assert!(
            line.split(',').next().unwrap().ends_with(name) && line.ends_with(','),
            "{name}"
        );
    }
    let (numbers, error) = lines[3].split_once(",\"").unwrap();
    assert!(
        numbers.contains("broken.png,,") && error.starts_with("expected"),
        "{error}"
    );
    assert_eq!(columns(numbers), 1281);
    assert!(run.stderr.contains("broken.png"), "{}", run.stderr);
}
