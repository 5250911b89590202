//! Trainings that are killed, of every task and with every option that has a state, end as if they had not been.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::resume::{EVERYTHING, results, start, wait_for_steps};
use super::{Home, Labelling, QUICK, resuming, succeeded};

/// The rows of `results.csv` without the last two columns, which are times.
fn rows(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("results.csv")).unwrap();
    let row = |line: &str| line.rsplitn(3, ',').last().unwrap_or_default().to_owned();
    text.lines().map(row).collect()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    is_not_changed_by_kills(&Home::with_photos(6), "photos", &EVERYTHING);
}

#[test]
fn a_run_of_another_task_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    is_not_changed_by_kills(&Home::with_table(18, Labelling::Lists), "table.csv", &EVERYTHING);
}

/// Three epochs of the classifier, whose features are kept, then one of everything.
const KEPT_FEATURES: [&str; 16] = [
    "--epochs",
    "4",
    "--batch-size",
    "4",
    "--head-epochs",
    "3",
    "--head-freeze",
    "features",
    "--cache-features",
    "repeat",
    "--decode",
    "fast",
    "--save-steps",
    "2",
    "--log-steps",
    "1",
];

#[test]
fn a_run_that_keeps_features_and_is_killed_ends_as_one_that_was_not() {
    is_not_changed_by_kills(&Home::with_photos(6), "photos", &KEPT_FEATURES);
}

/// What a case trains with, beside [`QUICK`] and a checkpoint after each step.
type Settings = &'static [&'static str];

/// A table with several labels per image and columns that split it.
fn with_patients(labels: Labelling) -> Home {
    let home = Home::with_table(18, labels);
    let table = fs::read_to_string(home.path("table.csv")).unwrap();
    let mut more = String::new();
    for (number, row) in table.lines().enumerate() {
        let patient = if number == 0 {
            "patient".to_owned()
        } else {
            format!("p{}", number / 3)
        };
        writeln!(more, "{row},{patient}").unwrap();
    }
    fs::write(home.path("table.csv"), more).unwrap();
    home
}

/// JPEG files of which `--decode fast` decodes only a part, at a quarter of the scale.
fn with_large_photos() -> Home {
    let home = Home::new();
    for class in ["bars", "rows"] {
        fs::create_dir_all(home.path("photos").join(class)).unwrap();
        for number in 0..8u32 {
            let image = image::RgbImage::from_fn(480, 400, |x, y| {
                let along = if class == "bars" { x } else { y };
                image::Rgb([
                    (along / 40 % 2 * 150) as u8,
                    (x / 3 + number * 9) as u8,
                    (y / 3) as u8,
                ])
            });
            image
                .save(home.path("photos").join(class).join(format!("{number}.jpg")))
                .unwrap();
        }
    }
    home
}

#[test]
fn runs_with_the_losses_of_labels_that_are_killed_end_as_those_that_were_not() {
    let cases: [(Labelling, Settings); 3] = [
        (
            Labelling::Lists,
            &["--loss", "asymmetric", "--precision", "bf16", "--threads", "2"],
        ),
        (
            Labelling::OneHot,
            &["--loss", "focal", "--folds", "3", "--fold", "2", "--cutmix", "1"],
        ),
        (
            Labelling::Lists,
            &[
                "--positive-weights",
                "auto",
                "--group-column",
                "patient",
                "--erasing",
                "0.5",
                "--accumulate",
                "2",
            ],
        ),
    ];
    for (labels, settings) in cases {
        is_not_changed_by_a_kill(&with_patients(labels), "table.csv", settings);
    }
}

#[test]
fn runs_of_numbers_that_are_killed_end_as_those_that_were_not() {
    let cases: [Settings; 3] = [
        &EVERYTHING,
        &[
            "--loss",
            "huber",
            "--group-column",
            "patient",
            "--folds",
            "2",
            "--fold",
            "1",
            "--ema",
            "0.9",
        ],
        &[
            "--precision",
            "bf16",
            "--threads",
            "2",
            "--val",
            "images.csv",
            "--schedule",
            "cosine",
        ],
    ];
    for settings in cases {
        let home = if settings.contains(&"--group-column") {
            with_patients(Labelling::Number)
        } else {
            Home::with_table(18, Labelling::Number)
        };
        let table = fs::read_to_string(home.path("table.csv")).unwrap();
        let few: Vec<&str> = table.lines().take(7).collect();
        fs::write(home.path("images.csv"), few.join("\n")).unwrap();
        is_not_changed_by_a_kill(&home, "table.csv", settings);
    }
}

#[test]
fn runs_of_classes_that_are_killed_end_as_those_that_were_not() {
    let cases: [Settings; 3] = [
        &[
            "--decode",
            "fast",
            "--threads",
            "2",
            "--optimizer",
            "rmsprop-tf",
            "--precision",
            "bf16",
        ],
        &[
            "--head-epochs",
            "2",
            "--head-freeze",
            "features",
            "--cache-features",
            "plain",
            "--decode",
            "fast",
        ],
        // At this rate, nothing is learned, and the run stops early.
        &[
            "--patience",
            "2",
            "--epochs",
            "9",
            "--lr",
            "0.000000000001",
            "--freeze",
            "features",
        ],
    ];
    for settings in cases {
        let home = with_large_photos();
        is_not_changed_by_a_kill(&home, "photos", settings);
        let epochs = home
            .records("whole")
            .into_iter()
            .filter(|record| record["record"] == "epoch");
        assert_eq!(epochs.count(), 3, "{settings:?}");
    }
}

/// Kills a run once, after its first epoch, and compares what it leaves with what a whole one does.
fn is_not_changed_by_a_kill(home: &Home, data: &str, settings: &[&str]) {
    let threads = if settings.contains(&"--threads") { "2" } else { "1" };
    let arguments = |output| {
        let each_step = [
            "--epochs",
            "3",
            "--batch-size",
            "4",
            "--save-steps",
            "1",
            "--log-steps",
            "1",
            "--report",
            "false",
        ];
        let mut arguments = [&QUICK[..], &each_step, settings, &["--output", output]].concat();
        arguments[1] = data;
        arguments
    };
    succeeded(&home.run(&arguments("whole")));
    let steps = fs::read_to_string(home.path("whole/log.jsonl")).unwrap();
    let first_epoch = steps
        .lines()
        .position(|line| line.contains(r#""record":"epoch""#))
        .unwrap();
    let mut child = start(&mut home.command(&arguments("killed")));
    wait_for_steps(&mut child, &home.path("killed/log.jsonl"), first_epoch + 2);
    assert_eq!(child.try_wait().unwrap(), None, "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    succeeded(&home.resume("killed", &["--threads", threads]));
    ended_alike(home, &format!("{settings:?}"));
}

/// The runs `killed` and `whole` have the same weights, log and rows.
fn ended_alike(home: &Home, what: &str) {
    let [killed, whole] = ["killed", "whole"].map(|run| home.path(run));
    assert_eq!(results(&killed), results(&whole), "{what}");
    assert_eq!(rows(&killed), rows(&whole), "{what}");
}

fn is_not_changed_by_kills(home: &Home, data: &str, settings: &[&str]) {
    let arguments = |more: &[&'static str]| {
        let mut arguments = [&QUICK[..], settings, more].concat();
        arguments[1] = data;
        arguments
    };
    succeeded(&home.run(&arguments(&["--output", "whole"])));

    let log = home.path("killed/log.jsonl");
    let records = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let mut kills = 0;
    // What a process takes to begin depends on the machine: more is waited as long as nothing is done.
    let mut patience = Duration::from_millis(100);
    let mut begin: Vec<&str> = arguments(&["--output", "killed"]);
    loop {
        let done = records();
        let mut child = start(&mut home.command(&begin));
        // Somewhere within a step, a checkpoint or the beginning.
        sleep(patience + Duration::from_millis(13 * (kills * 7 % 17)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if records() <= done {
            patience += patience / 6;
        }
        assert!(kills < 100, "it does not come forward");
        if home.path("killed/config.json").exists() {
            begin = resuming("killed").to_vec();
        }
    }
    assert!(kills >= 3, "killed {kills} times only");
    ended_alike(home, &format!("after {kills} kills"));
    let left: Vec<_> = fs::read_dir(home.path("killed"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().ends_with(".part")),
        "{left:?}"
    );
}
