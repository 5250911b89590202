//! `--engine`, `--precision`, `--batch-size`, and `effnet bench`.

use effnet_core::Variant;
use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;

use super::{images, weights};

fn classify(arguments: &[&str]) -> Finished {
    let folder = images();
    finish(
        effnet()
            .arg("classify")
            .arg(folder.path())
            .arg("--weights")
            .arg(weights(Variant::B0, 1000))
            .args(["--device", "cpu", "--format", "json", "--top-k", "0"])
            .args(arguments),
    )
}

/// The logits of each image, by class.
fn logits(run: &Finished) -> Vec<Vec<f64>> {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let of_record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a JSON object a line");
        let mut logits = vec![f64::NAN; 1000];
        for prediction in record["predictions"].as_array().unwrap() {
            let class = prediction["class"].as_u64().unwrap() as usize;
            logits[class] = prediction["logit"].as_f64().unwrap();
        }
        logits
    };
    run.stdout.lines().map(of_record).collect()
}

fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>], bound: f64) {
    assert_eq!((found.len(), expected.len()), (3, 3));
    for (found, expected) in found.iter().zip(expected) {
        let scale = expected.iter().fold(0f64, |most, logit| most.max(logit.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / scale;
            assert!(error <= bound, "{found} instead of {expected}: {error}");
        }
    }
}

#[test]
fn both_engines_give_the_same_logits_in_floats() {
    let plain = logits(&classify(&["--engine", "plain"]));
    let fused = ["--engine", "fused", "--precision", "fp32"];
    assert_near(&logits(&classify(&fused)), &plain, 1e-4);
    // What is taken unless told otherwise.
    assert_near(&logits(&classify(&[])), &plain, 1e-4);
}

#[test]
fn the_precision_is_taken_by_both_engines_and_told() {
    let floats = logits(&classify(&["--precision", "fp32"]));
    for engine in ["fused", "plain"] {
        let run = classify(&["--engine", engine, "--precision", "bf16", "--verbose"]);
        let named = format!("engine {engine} (");
        assert!(
            run.stderr.contains(&named) && run.stderr.contains("), bf16, cpu, "),
            "{}",
            run.stderr
        );
        let logits = logits(&run);
        assert_ne!(logits, floats);
        assert_near(&logits, &floats, 0.1);
        let run = classify(&["--engine", engine, "--precision", "fp32", "--verbose"]);
        assert!(run.stderr.contains("), fp32, cpu, "), "{}", run.stderr);
    }
}

#[test]
fn a_precision_that_the_processor_lacks_is_refused() {
    let run = classify(&["--precision", "fp16"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.contains("fp16") && run.stderr.contains("CPU"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_batch_size_is_a_number_or_auto() {
    let run = classify(&["--batch-size", "auto", "--verbose"]);
    assert_eq!(logits(&run).len(), 3);
    assert!(run.stderr.contains("batches of up to"), "{}", run.stderr);
    let run = classify(&["--batch-size", "2", "--verbose"]);
    assert!(run.stderr.contains("batches of up to 2 images"), "{}", run.stderr);
    for wrong in ["0", "many", "-3", "99999999999"] {
        let run = classify(&["--batch-size", wrong]);
        assert_eq!(run.code, Some(2), "{wrong}");
    }
}

fn bench(arguments: &[&str]) -> Finished {
    let fast = ["bench", "--device", "cpu", "--image-size", "64"];
    finish(effnet().args(fast).args(arguments))
}

fn report(run: &Finished) -> Value {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).expect("one JSON object")
}

#[test]
fn a_bench_report_has_the_promised_fields_and_they_agree() {
    for engine in ["fused", "plain"] {
        let report = report(&bench(&[
            "--engine",
            engine,
            "--batch-size",
            "3",
            "--runs",
            "7",
            "--precision",
            "fp32",
            "--format",
            "json",
        ]));
        assert_eq!(report["model"], "b0");
        assert_eq!(report["engine"], engine);
        assert_eq!(report["precision"], "fp32");
        assert_eq!(report["batch_size"], 3);
        assert_eq!(report["runs"], 7);
        assert_eq!(report["weights"], Value::Null);
        let of = |name: &str| report["latency_ms"][name].as_f64().unwrap();
        assert!(of("p50") > 0.0 && of("p50") <= of("p90") && of("p90") <= of("p99"));
        let throughput = report["images_per_second"].as_f64().unwrap();
        assert!((throughput * of("mean") / 3e3 - 1.0).abs() < 1e-6, "{report}");
    }
}

#[test]
fn a_profile_has_every_layer_and_adds_up() {
    let report = report(&bench(&["--profile-layers", "--runs", "3", "--format", "json"]));
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3 + 3 * 16);
    assert_eq!(layers[0]["name"], "_conv_stem");
    let total: f64 = layers
        .iter()
        .map(|layer| layer["fraction"].as_f64().unwrap())
        .sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let table = bench(&["--profile-layers", "--runs", "3"]);
    assert!(table.stdout.contains("_blocks.15._project_conv"));
    let plain = bench(&["--profile-layers", "--runs", "3", "--engine", "plain"]);
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(2), ""));
    assert!(plain.stderr.contains("fused engine"), "{}", plain.stderr);
}

#[test]
fn a_bench_takes_weights_and_refuses_those_of_another_network() {
    let weights = weights(Variant::B0, 1000);
    let weights = weights.to_str().unwrap();
    let run = bench(&["--weights", weights, "--runs", "2", "--format", "json"]);
    assert_eq!(report(&run)["weights"], weights);
    let run = bench(&["--model", "b1", "--weights", weights, "--runs", "2"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.contains("expected the parameters of b1"),
        "{}",
        run.stderr
    );
}
