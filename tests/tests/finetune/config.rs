//! Settings from flags, files, recipes and earlier runs.

use serde_json::Value;

use super::{Home, refused, succeeded};

fn settings(home: &Home, arguments: &[&str]) -> Value {
    let run = home.run(&[&["train", "photos", "--print-config"], arguments].concat());
    succeeded(&run);
    let path = home.path("printed.toml");
    std::fs::write(path, &run.stdout).unwrap();
    let table = run.stdout.lines().map(|line| {
        let (name, value) = line.split_once(" = ").unwrap();
        (name.to_owned(), Value::String(value.to_owned()))
    });
    Value::Object(table.collect())
}

#[test]
fn printed_settings_can_be_fed_back() {
    let home = Home::new();
    let first = settings(&home, &["--recipe", "paper", "--epochs", "7", "--lr", "auto"]);
    assert_eq!(
        (&first["epochs"], &first["lr"]),
        (&"7".into(), &"\"auto\"".into())
    );
    assert_eq!(first["ema"], "0.9999");
    assert_eq!(settings(&home, &["--config", "printed.toml"]), first);
}

#[test]
fn flags_count_more_than_the_file_and_the_file_more_than_its_recipe() {
    let home = Home::new();
    std::fs::write(
        home.path("my.toml"),
        "recipe = \"small\"\nepochs = 5\nmixup = 0.4\n",
    )
    .unwrap();
    let settings = settings(&home, &["--config", "my.toml", "--mixup", "0.6"]);
    assert_eq!(settings["mixup"], "0.6");
    assert_eq!(settings["epochs"], "5");
    assert_eq!(settings["image_size"], "96");
}

#[test]
fn a_recipe_prints_what_it_sets_and_what_replaces_it() {
    let run = Home::new().run(&[
        "train",
        "photos",
        "--recipe",
        "timm-ra2",
        "--epochs",
        "3",
        "--print-config",
    ]);
    for line in [
        "recipe: epochs = 450, replaced by 3",
        "recipe: optimizer = \"rmsprop-tf\"",
        "recipe: augment = \"rand-m9-mstd0.5\"",
        "recipe: ema = 0.9999",
    ] {
        assert!(
            run.stderr.lines().any(|found| found == line),
            "{line} in {}",
            run.stderr
        );
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_name() {
    let home = Home::new();
    std::fs::write(
        home.path("my.toml"),
        "learning_rate_batch = 1\nlable_smoothing = 0.1\n",
    )
    .unwrap();
    let run = home.run(&["train", "photos", "--config", "my.toml"]);
    refused(
        &run,
        &[
            "my.toml",
            "unknown setting `lable_smoothing`",
            "`label_smoothing`",
        ],
    );
}

#[test]
fn a_number_out_of_its_range_is_refused_wherever_it_stands() {
    let home = Home::new();
    std::fs::write(home.path("my.toml"), "label_smoothing = 1.5\n").unwrap();
    for arguments in [["--config", "my.toml"], ["--label-smoothing", "1.5"]] {
        let run = home.run(&[&["train", "photos"], &arguments[..]].concat());
        refused(&run, &["--label-smoothing 1.5", "less than 1"]);
    }
}

#[test]
fn the_help_says_what_each_command_does_without_flags() {
    let home = Home::new();
    let help = |command: &str| home.run(&[command, "--help"]).stdout;
    let of = |help: &str, flag: &str| {
        let words: Vec<&str> = help.split_whitespace().collect();
        let start = words.iter().position(|word| *word == flag).unwrap();
        words[start..start + 40].join(" ")
    };
    assert!(of(&help("train"), "--epochs").contains("[default: 100]"));
    assert!(of(&help("finetune"), "--epochs").contains("[default: 10]"));
}
