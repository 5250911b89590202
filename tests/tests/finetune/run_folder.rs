//! What a training leaves behind.

use std::fs;

use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_tests::{ask, interrupt, skip};
use serde_json::{Value, json};

use super::resume::{results, start, wait_for_steps};
use super::{CLASSES, Home, refused, succeeded};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_run_leaves_everything_that_it_promises() {
    let home = Home::with_photos(8);
    let run = home.train(&["--output", "run"]);
    succeeded(&run);
    assert_eq!(run.stdout, "run/best.safetensors\n");
    let read = |name: &str| fs::read_to_string(home.path("run").join(name)).unwrap();
    let config = json_of(&read("config.json"));
    assert_eq!(
        (&config["epochs"], &config["image_size"]),
        (&2.into(), &32.into())
    );
    assert_eq!(json_of(&read("classes.json")), json!(CLASSES));
    let epochs: Vec<Value> = read("log.jsonl")
        .lines()
        .map(json_of)
        .filter(|r| r["record"] == "epoch")
        .collect();
    assert_eq!(epochs.len(), 2);
    // 24 images, of which 20 % of each class are held out, in steps of 8.
    assert_eq!(epochs[1]["step"], 4);
    assert_eq!(epochs[1]["validation"]["images"], 6);
    for image in ["curves.png", "confusion.png", "samples.png"] {
        assert!(image::open(home.path("run").join(image)).unwrap().width() > 300);
    }
    for file in [
        "last.safetensors",
        "last.state",
        "best.safetensors",
        "confusion.csv",
    ] {
        assert!(home.path("run").join(file).is_file(), "{file}");
    }
    let results = read("results.csv");
    assert!(
        results.starts_with("epoch,step,train_loss,val_loss,val_top1,"),
        "{results}"
    );
    assert_eq!(results.lines().count(), 3, "{results}");
    let names = fs::read_dir(home.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains("tfevents")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains(".part")), "{names:?}");
}

#[test]
fn the_result_classifies_with_its_own_names_and_size() {
    let home = Home::with_photos(8);
    succeeded(&home.train(&["--output", "run", "--epochs", "1", "--crop-pct", "0.75"]));
    let run = home.run(&[
        "classify",
        "photos/squares/0.png",
        "--weights",
        "run/best.safetensors",
        "--device",
        "cpu",
        "--format",
        "json",
        "--top-k",
        "0",
        "--verbose",
    ]);
    succeeded(&run);
    let record = json_of(&run.stdout);
    let mut labels: Vec<&str> = record["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["label"].as_str().unwrap())
        .collect();
    labels.sort_unstable();
    assert_eq!(labels, CLASSES);
    let inspected = home.run(&["inspect", "run/best.safetensors", "--format", "json"]);
    let metadata = &json_of(&inspected.stdout)["metadata"];
    assert_eq!(
        (&metadata["image_size"], &metadata["crop_pct"]),
        (&"32".into(), &"0.75".into())
    );
}

#[cfg(unix)]
#[test]
fn a_run_from_before_a_setting_came_is_measured_and_gone_on_with() {
    let home = Home::with_photos(8);
    let fixed = ["--batch-size", "4", "--log-steps", "1"];
    let with = |output| [&super::QUICK[..], &fixed, &["--output", output]].concat();
    succeeded(&home.run(&with("whole")));
    let mut child = start(&mut home.command(&with("run")));
    wait_for_steps(&mut child, &home.path("run/log.jsonl"), 3);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Both the settings of the folder and those of the checkpoint.
    let path = home.path("run/config.json");
    let mut config = json_of(&fs::read_to_string(&path).unwrap());
    age(&mut config);
    fs::write(&path, config.to_string()).unwrap();
    let path = home.path("run/last.state");
    let state = Checkpoint::open(&path).unwrap();
    let mut metadata = state.metadata().clone();
    let text = metadata.get_mut("effnet_training").unwrap();
    let mut progress = json_of(text);
    age(&mut progress["config"]);
    *text = progress.to_string();
    write_safetensors(home.path("run/aged"), state.state_dict(), &metadata).unwrap();
    fs::rename(home.path("run/aged"), &path).unwrap();

    let other = [
        "train",
        "--resume",
        "run",
        "--device",
        "cpu",
        "--distillation-tau",
        "2",
    ];
    refused(
        &home.run(&other),
        &["distillation_tau: 1.0 in the checkpoint, 2.0 now"],
    );
    let run = home.run(&[
        "evaluate",
        "photos",
        "--weights",
        "run",
        "--device",
        "cpu",
        "--format",
        "json",
    ]);
    succeeded(&run);
    // The kept-back fifth, not the images that were trained on.
    assert_eq!(json_of(&run.stdout)["images"], 6);
    succeeded(&home.run(&["train", "--resume", "run", "--device", "cpu", "--threads", "1"]));
    assert_eq!(results(&home.path("run")), results(&home.path("whole")));
}

/// Takes out what came after the first version that could train.
fn age(config: &mut Value) {
    let config = config.as_object_mut().unwrap();
    for name in [
        "crop_pct",
        "cycle_momentum",
        "teacher",
        "distillation_alpha",
        "distillation_tau",
    ] {
        config.remove(name).unwrap();
    }
}

#[test]
fn evaluating_a_run_gives_what_its_best_epoch_measured() {
    let home = Home::with_photos(8);
    // All images are trained on and validated with, so that both measure the same.
    fs::create_dir(home.path("parted")).unwrap();
    for part in ["train", "val"] {
        for class in CLASSES {
            let folder = home.path("parted").join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for entry in fs::read_dir(home.path("photos").join(class)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
    }
    let quick = super::QUICK.map(|word| if word == "photos" { "parted" } else { word });
    succeeded(&home.run(&[&quick[..], &["--output", "run"]].concat()));
    let mut epochs = home.records("run");
    epochs.retain(|record| record["record"] == "epoch");
    let of = |epoch: &Value| {
        (
            epoch["validation"]["top1"].as_f64().unwrap(),
            -epoch["validation"]["loss"].as_f64().unwrap(),
        )
    };
    let best = epochs
        .iter()
        .map(of)
        .reduce(|a, b| if b > a { b } else { a })
        .unwrap();
    let run = home.evaluate("parted", "run", &[]);
    succeeded(&run);
    let report = json_of(&run.stdout);
    assert_eq!(report["images"], 24);
    assert!(
        (report["top1"].as_f64().unwrap() - best.0).abs() < 1e-9,
        "{report} {best:?}"
    );
    assert!(
        (report["loss"].as_f64().unwrap() + best.1).abs() < 1e-3,
        "{report} {best:?}"
    );
}

#[test]
fn evaluating_a_run_on_its_own_data_measures_what_it_was_not_trained_on() {
    let home = Home::with_photos(8);
    fs::write(home.path("photos/squares/3.png"), "not an image").unwrap();
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let records = home.records("run");
    let epoch = records.last().unwrap();
    let evaluate = |weights: &str, more: &[&str]| {
        let run = home.evaluate("photos", weights, more);
        (run.code, json_of(&run.stdout))
    };
    for weights in ["run", "run/best.safetensors"] {
        let (code, report) = evaluate(weights, &[]);
        assert_eq!(code, Some(0));
        assert_eq!(report["images"], epoch["validation"]["images"]);
        let losses = [&report["loss"], &epoch["validation"]["loss"]].map(|loss| loss.as_f64().unwrap());
        assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
    }
    let (code, report) = evaluate("run", &["--all"]);
    assert_eq!(
        (code, &report["images"], &report["failed"]),
        (Some(1), &23.into(), &1.into())
    );
}

#[test]
fn what_a_run_kept_back_is_known_whatever_is_added_later() {
    let home = Home::with_photos(8);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let parted = json_of(&fs::read_to_string(home.path("run/images.json")).unwrap());
    let kept = parted["validation"].as_array().unwrap().clone();
    super::write_images(&home.path("photos/squares"), 1, 20);
    let evaluate = |more: &[&str]| home.evaluate("photos", "run", more);
    let measured = evaluate(&[]);
    succeeded(&measured);
    assert_eq!(json_of(&measured.stdout)["images"], kept.len());

    let run = home.run(&["train", "--resume", "run", "--device", "cpu"]);
    super::refused(
        &run,
        &["the images or their labels differ from those with which the run"],
    );

    fs::remove_file(home.path("photos").join(kept[0].as_str().unwrap())).unwrap();
    super::refused(&evaluate(&[]), &["1 of the", "--all"]);
    succeeded(&evaluate(&["--all"]));
}

#[test]
fn python_loads_the_result_strictly() {
    let home = Home::with_photos(6);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    succeeded(&home.run(&["convert", "run/best.safetensors", "best.pth"]));
    let request = json!({
        "request": "cast_as", "path": home.path("best.pth"), "original": home.path("run/best.safetensors"),
        "dtype": "float32", "num_classes": 3,
    });
    match ask(&request) {
        Ok(answer) => assert_eq!(answer["changed"], json!([])),
        Err(reason) => skip("python_loads_the_result_strictly", &reason),
    }
}
