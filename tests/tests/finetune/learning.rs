//! That something is learnt.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use effnet_tests::{shared_data, skip};

use super::{Home, QUICK, succeeded};

/// The best validation accuracy of a run.
fn best(home: &Home, run: &str) -> f64 {
    let records = home.records(run);
    let accuracies = records
        .iter()
        .filter_map(|record| record["validation"]["top1"].as_f64());
    accuracies.fold(0.0, f64::max)
}

#[test]
fn simple_patterns_are_learnt_from_nothing() {
    let home = Home::with_photos(20);
    let run = home.run(&[
        "train",
        "photos",
        "--output",
        "run",
        "--image-size",
        "64",
        "--batch-size",
        "8",
        "--epochs",
        "20",
        "--crop-scale",
        "0.6",
        "--drop-connect",
        "0",
        "--lr",
        "0.002",
        "--workers",
        "2",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]);
    succeeded(&run);
    let best = best(&home, "run");
    assert!(best >= 0.8, "{best}: {}", run.stderr);
}

/// Writes CIFAR-10 images into `home`: `count` of each of `classes`.
fn cifar(home: &Home, folder: &str, classes: &[&str], count: usize) -> Result<(), String> {
    let archive = shared_data()?.join("cifar10.tar");
    let file = fs::File::open(&archive).map_err(|_| format!("no {}", archive.display()))?;
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for entry in tar::Archive::new(file).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        let &[_, "train", class, name] = parts.as_slice() else {
            continue;
        };
        let done = written.entry(class.to_owned()).or_default();
        if classes.contains(&class) && *done < count && Path::new(name).extension().is_some() {
            *done += 1;
            let target = home.path(folder).join(class);
            fs::create_dir_all(&target).unwrap();
            entry.unpack(target.join(name)).unwrap();
        }
    }
    Ok(())
}

#[test]
fn fine_tuning_beats_training_from_nothing_in_the_same_time() {
    let test = "fine_tuning_beats_training_from_nothing_in_the_same_time";
    let home = Home::new();
    let prepared = cifar(&home, "many", &["airplane", "cat", "frog", "truck"], 150)
        .and_then(|()| cifar(&home, "photos", &["automobile", "deer", "ship"], 60));
    if let Err(reason) = prepared {
        return skip(test, &reason);
    }
    let fixed = [
        "--image-size",
        "48",
        "--batch-size",
        "16",
        "--workers",
        "2",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--lr",
        "0.002",
        "--crop-scale",
        "0.6",
        "--drop-connect",
        "0",
    ];
    let run = |command: &[&str]| {
        let run = home.run(&[command, &fixed].concat());
        succeeded(&run);
    };
    run(&["train", "many", "--output", "first", "--epochs", "8"]);
    run(&[
        "finetune",
        "photos",
        "--weights",
        "first/best.safetensors",
        "--output",
        "tuned",
        "--epochs",
        "4",
        "--stem-rate",
        "0.3",
    ]);
    run(&["train", "photos", "--output", "scratch", "--epochs", "4"]);
    let (tuned, scratch) = (best(&home, "tuned"), best(&home, "scratch"));
    assert!(
        tuned >= scratch + 0.1,
        "{tuned} fine-tuned, {scratch} from scratch"
    );
}

#[test]
fn the_classifier_of_the_same_classes_is_kept() {
    let home = Home::with_photos(8);
    succeeded(&home.train(&["--output", "first", "--epochs", "1"]));
    let quick: Vec<&str> = ["finetune"]
        .into_iter()
        .chain(QUICK[1..].iter().copied())
        .collect();
    let again = [&quick[..], &["--weights", "first", "--output", "second"]].concat();
    let run = home.run(&again);
    succeeded(&run);
    assert!(
        run.stderr
            .contains("starting from first/best.safetensors, including its classifier"),
        "{}",
        run.stderr
    );
}
