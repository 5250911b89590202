//! Several labels per image, and regression: from the table to the prediction.

use std::fs;

use serde_json::Value;

use super::{Home, Labelling, QUICK, refused, succeeded};

/// Trains on `table.csv` with settings that are quick, and these.
fn train(home: &Home, arguments: &[&str]) -> effnet_tests::Finished {
    let quick: Vec<&str> = QUICK
        .iter()
        .map(|&word| if word == "photos" { "table.csv" } else { word })
        .collect();
    home.run(&[&quick[..], &["--output", "run"], arguments].concat())
}

/// The records that `classify` and `evaluate` print.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The validation metrics of the epoch that the run calls its best.
fn best(home: &Home, is_better: impl Fn(&Value, &Value) -> bool) -> Value {
    let epochs = home
        .records("run")
        .into_iter()
        .filter(|record| record["record"] == "epoch");
    let validations = epochs.map(|epoch| epoch["validation"].clone());
    validations
        .reduce(|best, own| if is_better(&own, &best) { own } else { best })
        .unwrap()
}

fn metadata(home: &Home, key: &str) -> Value {
    let bytes = fs::read(home.path("run/best.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header["__metadata__"][key].clone()
}

fn near(found: &Value, expected: &Value) {
    let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!(
        (found - expected).abs() <= 1e-3 * expected.abs().max(1e-3),
        "{found}, not {expected}"
    );
}

#[test]
fn several_labels_are_learned_saved_and_predicted_with_their_thresholds() {
    for labelling in [Labelling::Lists, Labelling::OneHot] {
        let home = Home::with_table(40, labelling);
        // In so short a run, the first values of the running statistics would hide what tells the images apart.
        let run = train(&home, &["--epochs", "4", "--lr", "0.003", "--bn-momentum", "0.5"]);
        succeeded(&run);
        let reason = if labelling == Labelling::Lists {
            "`blue;red`"
        } else {
            "2 of 2 columns"
        };
        assert!(
            run.stderr.contains("task: multilabel") && run.stderr.contains(reason),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains("mAP ") && run.stderr.contains("F1 "),
            "{}",
            run.stderr
        );
        let is_better = |own: &Value, best: &Value| {
            let key = |value: &Value| {
                (
                    value["mean_average_precision"].as_f64().unwrap(),
                    -value["loss"].as_f64().unwrap(),
                )
            };
            key(own) > key(best)
        };
        let expected = best(&home, is_better);
        assert_eq!(metadata(&home, "task"), "multilabel");
        let thresholds: Vec<f64> =
            serde_json::from_str(metadata(&home, "thresholds").as_str().unwrap()).unwrap();
        assert_eq!(thresholds.len(), 2);
        for plot in ["precision-recall.png", "roc.png", "curves.png", "samples.png"] {
            assert!(home.path("run").join(plot).is_file(), "{plot}");
        }

        let evaluation = home.evaluate("table.csv", "run", &["--predictions", "guesses.jsonl"]);
        succeeded(&evaluation);
        let report = &lines(&evaluation.stdout)[0];
        for key in ["mean_average_precision", "micro_f1", "macro_f1", "exact", "loss"] {
            near(&report[key], &expected[key]);
        }
        assert_eq!(report["classes"][1]["label"], "red");
        assert_eq!(report["classes"][1]["threshold"], thresholds[1]);
        let guesses = lines(&fs::read_to_string(home.path("guesses.jsonl")).unwrap());
        assert_eq!(guesses.len() as u64, report["images"].as_u64().unwrap());
        let right = guesses.iter().filter(|guess| {
            let sorted = |key: &str| {
                let names = guess[key].as_array().unwrap().iter();
                let mut names: Vec<&str> = names.map(|name| name.as_str().unwrap()).collect();
                names.sort_unstable();
                names
            };
            sorted("labels") == sorted("predictions")
        });
        let share = right.count() as f64 / guesses.len() as f64;
        near(&Value::from(share), &report["exact"]);

        let classify = |more: &[&str]| {
            let fixed = [
                "classify",
                "images",
                "--weights",
                "run",
                "--format",
                "json",
                "--device",
                "cpu",
            ];
            let run = home.run(&[&fixed[..], more].concat());
            succeeded(&run);
            lines(&run.stdout)
        };
        for record in classify(&[]) {
            for class in record["predictions"].as_array().unwrap() {
                let number = class["class"].as_u64().unwrap() as usize;
                let (probability, logit) = (&class["probability"], class["logit"].as_f64().unwrap());
                assert!(probability.as_f64().unwrap() >= thresholds[number], "{record}");
                near(probability, &Value::from(1.0 / (1.0 + (-logit).exp())));
            }
        }
        assert!(
            classify(&["--top-k", "2"])
                .iter()
                .all(|record| record["predictions"].as_array().unwrap().len() == 2)
        );

        let refusal = home.run(&["export", "run", "network.onnx", "--softmax"]);
        refused(&refusal, &["--softmax", "several labels", "--sigmoid"]);
        succeeded(&home.run(&["export", "run", "network.onnx", "--sigmoid", "--force"]));
        let file = fs::read(home.path("network.onnx")).unwrap();
        let has = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("Sigmoid") && has("multilabel") && has("thresholds"));
    }
}

#[test]
fn each_loss_of_several_labels_teaches_them() {
    let losses: [&[&str]; 3] = [
        &["--loss", "asymmetric"],
        &["--loss", "focal"],
        &["--loss", "bce", "--positive-weights", "auto"],
    ];
    for loss in losses {
        let home = Home::with_table(40, Labelling::Lists);
        let quick = ["--epochs", "4", "--lr", "0.003", "--bn-momentum", "0.5"];
        succeeded(&train(&home, &[&quick[..], loss].concat()));
        let found = best(&home, |own, best| {
            let precision = |value: &Value| value["mean_average_precision"].as_f64().unwrap();
            precision(own) > precision(best)
        });
        let precision = found["mean_average_precision"].as_f64().unwrap();
        assert!(precision > 0.8, "{loss:?}: {precision}");
    }
}

#[test]
fn numbers_are_learned_in_their_own_units() {
    let home = Home::with_table(40, Labelling::Number);
    let run = train(&home, &["--epochs", "4", "--lr", "0.003", "--loss", "huber"]);
    succeeded(&run);
    assert!(
        run.stderr.contains("task: regression (numbers such as"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("MAE ") && run.stderr.contains("values: price 5"),
        "{}",
        run.stderr
    );
    let mae = |value: &Value| value["mae"].as_f64().unwrap();
    let expected = best(&home, |own, best| mae(own) < mae(best));
    // Far below the values themselves, which the network outputs only if mean and deviation are restored.
    assert!(mae(&expected) < 2000.0, "{expected}");
    assert!(home.path("run/scatter.png").is_file());
    let evaluation = home.evaluate("table.csv", "run", &["--predictions", "guesses.csv"]);
    succeeded(&evaluation);
    let report = &lines(&evaluation.stdout)[0];
    near(&report["mae"], &expected["mae"]);
    near(&report["r2"], &expected["r2"]);
    assert_eq!(report["outputs"][0]["label"], "price");
    let guesses = fs::read_to_string(home.path("guesses.csv")).unwrap();
    let mut rows = guesses.lines().map(|line| line.split(',').collect::<Vec<_>>());
    assert_eq!(
        rows.next().unwrap(),
        ["input", "price", "predicted price", "error"]
    );
    let errors: Vec<f64> = rows
        .map(|row| (row[1].parse::<f64>().unwrap() - row[2].parse::<f64>().unwrap()).abs())
        .collect();
    near(
        &Value::from(errors.iter().sum::<f64>() / errors.len() as f64),
        &report["mae"],
    );

    let classify = |format: &str| {
        let run = home.run(&[
            "classify",
            "images/1.png",
            "--weights",
            "run",
            "--format",
            format,
            "--device",
            "cpu",
        ]);
        succeeded(&run);
        run.stdout
    };
    let record = &lines(&classify("json"))[0];
    assert_eq!(
        (&record["values"][0]["label"], &record["values"][0]["output"]),
        (&"price".into(), &0.into())
    );
    assert!(
        (3000.0..9000.0).contains(&record["values"][0]["value"].as_f64().unwrap()),
        "{record}"
    );
    assert!(classify("csv").starts_with("input,output,label,value,error\nimages/1.png,0,price,"));
    assert!(classify("text").starts_with("images/1.png: price "));
    for flag in ["--softmax", "--sigmoid"] {
        let refusal = home.run(&["export", "run", "network.onnx", flag]);
        refused(&refusal, &[flag, "numbers"]);
    }
}

#[test]
fn settings_and_tables_of_another_task_are_refused_before_training() {
    let home = Home::with_table(12, Labelling::Lists);
    for (arguments, words) in [
        (
            &["--loss", "mse"][..],
            &["--loss", "regression", "multilabel"][..],
        ),
        (
            &["--loss", "asymmetric", "--positive-weights", "auto"],
            &["--positive-weights", "bce"],
        ),
        (
            &["--class-weights", "balanced"],
            &["--class-weights", "--positive-weights auto"],
        ),
        (&["--task", "regression"], &["on line 2"]),
    ] {
        refused(&train(&home, arguments), words);
        assert!(!home.path("run").exists());
    }
    let table = fs::read_to_string(home.path("table.csv")).unwrap();
    fs::write(home.path("table.csv"), table.replace("path,labels", "path,price")).unwrap();
    refused(&train(&home, &["--task", "regression"]), &["a column of numbers"]);
    let photos = Home::with_photos(2);
    let run = photos.train(&["--task", "multilabel", "--output", "run"]);
    refused(&run, &["--task", "class folders", "multilabel"]);
}
