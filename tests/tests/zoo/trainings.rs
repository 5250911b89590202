//! Checkpoints of other training programs, and weight files with complete metadata.

use std::path::Path;

use effnet_tests::{ask, skip};
use serde_json::{Value, json};

use super::home::Home;
use super::{json, logits, random_b0, relative_difference, says, succeeded, text, write_image};

/// A home with the `checkpoint.pth.tar` of a training run, and its two sets of parameters as
/// `plain.safetensors` and `average.safetensors`.
fn training(test: &str) -> Option<Home> {
    let home = Home::new();
    let request = json!({"request": "training_checkpoint", "folder": text(home.path())});
    match ask(&request) {
        Ok(_) => Some(home),
        Err(reason) => {
            skip(test, &reason);
            None
        }
    }
}

/// The file holds the tensors of `original`, cast to `dtype`, and EfficientNet-PyTorch takes it.
fn holds(home: &Home, converted: &str, original: &str, dtype: &str) {
    let request = json!({
        "request": "cast_as", "path": text(&home.join(converted)), "original": text(&home.join(original)),
        "dtype": dtype, "num_classes": 10,
    });
    assert_eq!(
        ask(&request).unwrap()["changed"],
        json!([]),
        "{converted} in {dtype}"
    );
}

#[test]
fn averaged_weights_are_preferred_and_what_is_left_out_is_listed() {
    let Some(home) = training("averaged_weights_are_preferred_and_what_is_left_out_is_listed") else {
        return;
    };
    let run = home.run(&["convert", "checkpoint.pth.tar", "out.pth"]);
    succeeded(&run);
    let left_out = "left out: `epoch`, `arch`, `state_dict`, `optimizer`";
    says(&run, &["from `state_dict_ema`", left_out]);
    holds(&home, "out.pth", "average.safetensors", "float32");
}

#[test]
fn the_plain_weights_are_taken_when_their_key_is_named() {
    let Some(home) = training("the_plain_weights_are_taken_when_their_key_is_named") else {
        return;
    };
    let run = home.run(&[
        "convert",
        "checkpoint.pth.tar",
        "out.safetensors",
        "--key",
        "state_dict",
    ]);
    succeeded(&run);
    says(&run, &["from `state_dict`", "left out: ", "state_dict_ema"]);
    holds(&home, "out.safetensors", "plain.safetensors", "float32");
}

#[test]
fn a_run_that_was_started_with_a_key_goes_on() {
    let Some(home) = training("a_run_that_was_started_with_a_key_goes_on") else {
        return;
    };
    for class in ["one", "two"] {
        std::fs::create_dir_all(home.join("photos").join(class)).unwrap();
        for number in 0..3 {
            write_image(&home.join(&format!("photos/{class}/{number}.png")));
        }
    }
    let settings = [
        "--image-size",
        "32",
        "--report",
        "false",
        "--device",
        "cpu",
        "--threads",
        "1",
    ];
    let weights = ["--weights", "checkpoint.pth.tar", "--key", "state_dict"];
    let start = ["train", "photos", "--epochs", "1", "--output", "run"];
    succeeded(&home.run(&[&start[..], &weights, &settings].concat()));
    let resume = [
        "train",
        "--resume",
        "run",
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--threads",
        "1",
    ];
    succeeded(&home.run(&resume));
}

#[test]
fn a_key_that_is_not_there_names_those_that_are() {
    let Some(home) = training("a_key_that_is_not_there_names_those_that_are") else {
        return;
    };
    let run = home.run(&["convert", "checkpoint.pth.tar", "out.pth", "--key", "ema"]);
    super::refused(&run, &["`ema`", "`state_dict`", "`state_dict_ema`"]);
    assert!(!home.join("out.pth").exists());
}

#[test]
fn half_precision_is_torchs_own_and_counters_stay_integers() {
    let Some(home) = training("half_precision_is_torchs_own_and_counters_stay_integers") else {
        return;
    };
    for (dtype, torchs) in [("f16", "float16"), ("bf16", "bfloat16")] {
        for output in ["half.pth", "half.safetensors"] {
            let arguments = [
                "convert",
                "checkpoint.pth.tar",
                output,
                "--dtype",
                dtype,
                "--force",
            ];
            succeeded(&home.run(&arguments));
            holds(&home, output, "average.safetensors", torchs);
        }
    }
}

/// `a` to `j`, one name a line.
fn write_labels(path: &Path) {
    let names: Vec<String> = ('a'..='j').map(|letter| format!("kind {letter}")).collect();
    std::fs::write(path, names.join("\n")).unwrap();
}

#[test]
fn a_file_with_labels_is_classified_without_a_further_flag() {
    let home = Home::new();
    random_b0(&home.join("trained.safetensors"), 10);
    write_labels(&home.join("labels.txt"));
    write_image(&home.join("image.png"));
    // Not what the names of the tensors suggest: it has to come out of the file.
    let profile = ["--profile", "torchvision"];
    let convert = [
        "convert",
        "trained.safetensors",
        "told.safetensors",
        "--labels",
        "labels.txt",
    ];
    succeeded(&home.run(&[&convert[..], &profile].concat()));

    let classify = ["classify", "image.png", "--top-k", "0", "--format", "json"];
    let told = home.run(&[&classify[..], &["--weights", "told.safetensors"]].concat());
    for prediction in json(&told)["predictions"].as_array().unwrap() {
        let class = prediction["class"].as_u64().unwrap() as u8;
        assert_eq!(prediction["label"], format!("kind {}", char::from(b'a' + class)));
    }

    let source = ["--weights", "trained.safetensors", "--num-classes", "10"];
    let right = logits(&home.run(&[&classify[..], &source, &profile].concat()));
    let wrong = logits(&home.run(&[&classify[..], &source].concat()));
    assert_eq!(logits(&told), right);
    assert!(
        relative_difference(&right, &wrong) > 1e-3,
        "the profile does not show in the logits"
    );
}

#[test]
fn what_a_file_says_of_itself_survives_a_second_conversion() {
    let home = Home::new();
    random_b0(&home.join("trained.safetensors"), 10);
    write_labels(&home.join("labels.txt"));
    let first = ["convert", "trained.safetensors", "first.safetensors"];
    let facts = ["--labels", "labels.txt", "--profile", "timm"];
    succeeded(&home.run(&[&first[..], &facts].concat()));
    succeeded(&home.run(&[
        "convert",
        "first.safetensors",
        "second.safetensors",
        "--to",
        "timm",
    ]));
    let metadata = |name: &str| -> Value {
        let inspected = json(&home.run(&["inspect", name, "--format", "json"]));
        inspected["metadata"].clone()
    };
    assert_eq!(metadata("second.safetensors"), metadata("first.safetensors"));
}

#[test]
fn a_pth_says_that_it_cannot_hold_labels() {
    let home = Home::new();
    random_b0(&home.join("trained.safetensors"), 10);
    write_labels(&home.join("labels.txt"));
    for (output, warned) in [("out.pth", true), ("OUT.SAFETENSORS", false)] {
        let run = home.run(&["convert", "trained.safetensors", output, "--labels", "labels.txt"]);
        succeeded(&run);
        assert_eq!(run.stderr.contains("cannot hold class names"), warned, "{output}");
    }
}
