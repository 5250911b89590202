//! Which images `train` holds out: whole groups, folds, or those of another seed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use effnet_tests::Finished;
use serde_json::Value;

use super::resume::{results, start, wait_for_steps};
use super::{CLASSES, Home, QUICK, refused, succeeded};

impl Home {
    /// With `photos`, and `table.csv` that lists them: three images of each of eight patients, one per class.
    fn with_patients() -> Self {
        let home = Self::with_photos(8);
        let mut table = "path,label,patient\n".to_owned();
        for patient in 0..8 {
            for class in CLASSES {
                writeln!(table, "photos/{class}/{patient}.png,{class},p{patient}").unwrap();
            }
        }
        fs::write(home.path("table.csv"), table).unwrap();
        home
    }

    /// One epoch of `effnet train` with this data and these arguments.
    fn train_on(&self, data: &str, arguments: &[&str]) -> Finished {
        let mut all = [&QUICK[..], &["--epochs", "1", "--report", "false"], arguments].concat();
        all[1] = data;
        self.run(&all)
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(file)).unwrap()).unwrap()
    }

    /// The names of the images that a run held out.
    fn held_out(&self, run: &str) -> BTreeSet<String> {
        let images = self.json(&format!("{run}/images.json"));
        let names = images["validation"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

/// The patient of an image, which is the name of its file.
fn patient(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

#[test]
fn the_images_of_a_group_stay_together_and_are_evaluated() {
    let home = Home::with_patients();
    let run = home.train_on("table.csv", &["--group-column", "patient", "--output", "run"]);
    succeeded(&run);
    assert!(
        run.stderr
            .contains("training: 18 images, validation: 6 images (2 of 8 groups, held out), 3 classes"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("ignored columns"), "{}", run.stderr);
    let names = home.held_out("run");
    let patients: BTreeSet<&str> = names.iter().map(|name| patient(name)).collect();
    assert_eq!((names.len(), patients.len()), (6, 2), "{names:?}");
    assert_eq!(home.json("run/config.json")["group_column"], "patient");
    let run = home.evaluate("table.csv", "run", &[]);
    succeeded(&run);
    assert!(
        run.stderr.contains("evaluating the 6 held-out images"),
        "{}",
        run.stderr
    );
}

#[test]
fn data_without_groups_are_refused() {
    let home = Home::with_patients();
    let table = fs::read_to_string(home.path("table.csv")).unwrap();
    let mut split = String::new();
    for (number, line) in table.lines().enumerate() {
        let part = match number {
            0 => "split",
            1..=6 => "val",
            _ => "train",
        };
        writeln!(split, "{line},{part}").unwrap();
    }
    fs::write(home.path("split.csv"), split).unwrap();
    for (data, column, words) in [
        (
            "table.csv",
            "camera",
            &["--group-column camera", "table.csv", "path, label, patient"][..],
        ),
        (
            "photos",
            "patient",
            &["--group-column patient", "photos", "class folders", "CSV"],
        ),
        (
            "split.csv",
            "patient",
            &["--group-column patient", "split.csv", "split = val"],
        ),
    ] {
        let run = home.train_on(data, &["--group-column", column, "--output", "run"]);
        refused(&run, words);
    }
    assert!(!home.path("run").exists());
}

#[test]
fn the_named_column_is_learned_and_kept_for_later_commands() {
    let home = Home::with_patients();
    let names = ["--label-column", "patient", "--output", "run"];
    let run = home.train_on("table.csv", &[&names[..], &["--report", "true"]].concat());
    succeeded(&run);
    assert!(
        run.stderr.contains("8 classes") && run.stderr.contains("ignored columns: label"),
        "{}",
        run.stderr
    );
    assert!(home.path("run/report.html").is_file());
    assert_eq!(home.json("run/config.json")["label_column"], "patient");
    let evaluated = home.evaluate("table.csv", "run", &[]);
    succeeded(&evaluated);
    assert!(
        evaluated.stderr.contains("held-out images"),
        "{}",
        evaluated.stderr
    );
    refused(
        &home.run(&["train", "--resume", "run", "--label-column", "label"]),
        &["--label-column label: the run run was started with patient"],
    );
    for (data, column) in [("table.csv", "camera"), ("photos", "label")] {
        let run = home.train_on(data, &["--label-column", column, "--output", "none"]);
        refused(&run, &[&format!("--label-column {column}"), data]);
    }
    assert!(!home.path("none").exists());
}

#[test]
fn the_folds_of_runs_partition_the_images() {
    let home = Home::with_patients();
    for (data, more) in [
        ("photos", &[][..]),
        ("table.csv", &[]),
        ("table.csv", &["--group-column", "patient"]),
    ] {
        let mut all = Vec::new();
        for fold in ["1", "2", "3"] {
            let run = home.path("run");
            let arguments = ["--folds", "3", "--fold", fold, "--output", "run"];
            let trained = home.train_on(data, &[&arguments, more].concat());
            succeeded(&trained);
            let said = format!("(fold {fold} of 3");
            assert!(trained.stderr.contains(&said), "{}", trained.stderr);
            let names = home.held_out("run");
            if !more.is_empty() {
                let patients: BTreeSet<&str> = names.iter().map(|name| patient(name)).collect();
                assert_eq!(names.len(), 3 * patients.len(), "{names:?}");
            }
            all.extend(names);
            fs::remove_dir_all(run).unwrap();
        }
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (24, 24), "{data} {more:?}");
    }
}

#[test]
fn the_next_fold_is_trained_with_the_config_of_a_run() {
    let home = Home::with_photos(4);
    succeeded(&home.train_on("photos", &["--folds", "2", "--fold", "1", "--output", "one"]));
    let config = home.json("one/config.json");
    assert_eq!(
        [&config["folds"], &config["fold"], &config["val_split"]],
        [&Value::from(2), &Value::from(1), &Value::from(0.0)]
    );
    let next = ["--config", "one/config.json", "--fold", "2", "--output", "two"];
    succeeded(&home.train_on("photos", &next));
    assert!(home.held_out("one").is_disjoint(&home.held_out("two")));
    let evaluated = home.evaluate("photos", "two", &[]);
    assert!(
        evaluated.stderr.contains("the 6 held-out images"),
        "{}",
        evaluated.stderr
    );
}

#[test]
fn folds_that_are_not_possible_are_refused() {
    let home = Home::with_patients();
    fs::create_dir(home.path("parts")).unwrap();
    fs::rename(home.path("photos"), home.path("parts/train")).unwrap();
    super::write_images(&home.path("parts/val/squares"), 1, 1);
    fs::write(
        home.path("table.csv"),
        fs::read_to_string(home.path("table.csv"))
            .unwrap()
            .replace("photos", "parts/train"),
    )
    .unwrap();
    let folds = |count, fold| ["--folds", count, "--fold", fold];
    let grouped = [&folds("9", "1")[..], &["--group-column", "patient"]].concat();
    let both = [&folds("3", "1")[..], &["--val-split", "0.1"]].concat();
    for (data, arguments, words) in [
        (
            "table.csv",
            &folds("1", "1")[..],
            &["--folds 1", "at least 2"][..],
        ),
        (
            "table.csv",
            &folds("25", "1"),
            &["--folds 25", "from 2 to 24 folds", "found 25"],
        ),
        (
            "table.csv",
            &grouped,
            &["--folds 9 --group-column patient", "2 to 8 folds"],
        ),
        ("table.csv", &["--folds", "3"], &["--folds 3", "--fold"]),
        ("table.csv", &["--fold", "3"], &["--fold 3", "--folds"]),
        ("table.csv", &folds("3", "4"), &["--fold 4", "1 to 3"]),
        ("table.csv", &both, &["--folds 3", "--val-split", "0.1"]),
        ("parts", &folds("3", "1"), &["--folds 3", "val/"]),
    ] {
        let run = home.train_on(data, &[arguments, &["--output", "run"]].concat());
        refused(&run, words);
    }
    assert!(!home.path("run").exists());
}

#[test]
fn a_run_with_groups_and_folds_that_is_killed_ends_as_one_that_was_not() {
    let home = Home::with_patients();
    let arguments = |output| {
        let settings = [
            "--group-column",
            "patient",
            "--folds",
            "4",
            "--fold",
            "3",
            "--split-seed",
            "5",
            "--batch-size",
            "4",
            "--log-steps",
            "1",
            "--save-steps",
            "1",
            "--quiet",
            "--output",
            output,
        ];
        let mut all = [&QUICK[..], &settings].concat();
        all[1] = "table.csv";
        all
    };
    succeeded(&home.run(&arguments("whole")));
    let mut child = start(&mut home.command(&arguments("killed")));
    wait_for_steps(&mut child, &home.path("killed/log.jsonl"), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    succeeded(&home.run(&["train", "--resume", "killed", "--device", "cpu", "--threads", "1"]));
    assert_eq!(results(&home.path("killed")), results(&home.path("whole")));
    assert_eq!(home.held_out("killed"), home.held_out("whole"));
    let config = home.json("killed/config.json");
    assert_eq!(
        [&config["folds"], &config["fold"], &config["split_seed"]],
        [4, 3, 5]
    );
    let refused_run = home.run(&["train", "--resume", "killed", "--fold", "2", "--device", "cpu"]);
    refused(
        &refused_run,
        &["the images or their labels differ from those with which the run"],
    );
}

#[test]
fn runs_with_other_seeds_hold_out_the_same_images_if_the_split_has_a_seed() {
    let home = Home::with_photos(8);
    for (run, arguments) in [
        ("a", &["--seed", "1"][..]),
        ("b", &["--seed", "2"]),
        ("c", &["--seed", "2", "--split-seed", "1"]),
    ] {
        succeeded(&home.train_on("photos", &[arguments, &["--output", run]].concat()));
    }
    assert_ne!(home.held_out("a"), home.held_out("b"));
    assert_eq!(home.held_out("a"), home.held_out("c"));
    let weights = |run: &str| fs::read(home.path(run).join("best.safetensors")).unwrap();
    assert_ne!(weights("a"), weights("c"));
}

/// The lines that a run prints about its data.
fn says(run: &Finished, lines: &[&str]) {
    for line in lines {
        assert!(run.stderr.contains(line), "`{line}` in {}", run.stderr);
    }
}

#[test]
fn another_data_set_validates_and_is_evaluated_and_shown() {
    let home = Home::with_photos(4);
    for (class, number) in [("squares", 1), ("stripes", 2)] {
        super::write_images(&home.path("later").join(class), number, 3);
    }
    // A training image of the same name is read.
    fs::write(home.path("later/squares/0.png"), "damaged").unwrap();
    let run = home.train_on(
        "photos",
        &["--val", "later", "--report", "true", "--output", "run"],
    );
    succeeded(&run);
    let later = std::path::absolute(home.path("later")).unwrap();
    let later = later.display();
    says(
        &run,
        &[
            &format!("training: 12 images, validation: {later} (5 images), 3 classes"),
            "classes: gradient 4/0, squares 4/2, stripes 4/3",
            "no validation images of these classes: gradient",
            &format!("evaluate it with `effnet evaluate {later} --weights run`"),
        ],
    );
    let names = [
        "squares/1.png",
        "squares/2.png",
        "stripes/0.png",
        "stripes/1.png",
        "stripes/2.png",
    ];
    assert_eq!(home.held_out("run"), names.map(str::to_owned).into());
    assert_eq!(home.json("run/unreadable.json")[0]["validation"], true);
    let epochs = home.records("run");
    let epoch = epochs.iter().find(|record| record["record"] == "epoch").unwrap();
    assert_eq!(epoch["validation"]["images"], 5);

    // One epoch leaves mistakes, whose thumbnails are captioned below the validation data.
    let page = fs::read_to_string(home.path("run/mistakes.html")).unwrap();
    let captions = names
        .iter()
        .filter(|name| page.contains(&name.replace('/', "/<wbr>")));
    assert!(captions.count() > 0 && page.contains("data:image/"), "{page}");
    let report = fs::read_to_string(home.path("run/report.html")).unwrap();
    assert!(report.contains("of later"), "{report}");

    let run = home.evaluate("later", "run", &[]);
    says(&run, &["evaluating later (6 images, 2 classes)"]);
    assert!(!run.stderr.contains("if it is a copy"), "{}", run.stderr);
    let run = home.evaluate("photos", "run", &[]);
    succeeded(&run);
    says(&run, &["the run was trained on all of these images"]);
}

#[test]
fn tables_validate_runs_of_any_task() {
    for labelling in [
        super::Labelling::Lists,
        super::Labelling::OneHot,
        super::Labelling::Number,
    ] {
        let home = Home::with_table(12, labelling);
        let table = fs::read_to_string(home.path("table.csv")).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        fs::write(home.path("train.csv"), lines[..9].join("\n")).unwrap();
        fs::write(
            home.path("val.csv"),
            [&lines[..1], &lines[9..]].concat().join("\n"),
        )
        .unwrap();
        let run = home.train_on("train.csv", &["--val", "val.csv", "--output", "run"]);
        succeeded(&run);
        says(&run, &["training: 8 images, validation: ", "val.csv (4 images)"]);
        assert_eq!(home.held_out("run").len(), 4);
        // Class folders are for another task.
        fs::create_dir_all(home.path("folders/red")).unwrap();
        fs::copy(home.path("images/1.png"), home.path("folders/red/1.png")).unwrap();
        let run = home.train_on("train.csv", &["--val", "folders", "--output", "other"]);
        refused(&run, &["--val", "folders", "class folders"]);
    }
}

#[test]
fn validation_images_with_other_classes_are_refused_and_shared_ones_warned_of() {
    let home = Home::with_photos(4);
    super::write_images(&home.path("later/circles"), 1, 1);
    super::write_images(&home.path("later/squares"), 1, 1);
    let val = ["--val", "later", "--output", "run"];
    refused(
        &home.train_on("photos", &val),
        &["--val", "later", "circles", "classes of the training set"],
    );
    for (flag, value) in [("--val-split", "0.1"), ("--folds", "2"), ("--group-column", "x")] {
        let both = [&val[..], &[flag, value]].concat();
        refused(&home.train_on("photos", &both), &["--val", flag]);
    }
    fs::remove_dir_all(home.path("later/circles")).unwrap();
    fs::write(
        home.path("list.csv"),
        "path,label\nlater/squares/0.png,squares\nphotos/squares/../stripes/1.png,stripes\n",
    )
    .unwrap();
    let run = home.train_on("photos", &["--val", "list.csv", "--output", "run"]);
    succeeded(&run);
    says(
        &run,
        &[
            "1 image is listed for training and for validation",
            "stripes/1.png",
        ],
    );
}

#[test]
fn validation_images_of_the_data_are_passed_over_for_another_data_set() {
    let home = Home::new();
    for (class, name) in CLASSES.iter().enumerate() {
        super::write_images(&home.path("photos/train").join(name), class as u32, 3);
        super::write_images(&home.path("photos/val").join(name), class as u32, 1);
        super::write_images(&home.path("other/Testing").join(name), class as u32, 2);
        super::write_images(&home.path("other/Training").join(name), class as u32, 1);
    }
    let run = home.train_on("photos", &["--val", "other", "--output", "run"]);
    succeeded(&run);
    says(
        &run,
        &[
            "training: train/ (9 images), validation: Testing/ of ",
            "ignored: val/ (",
        ],
    );
    assert_eq!(home.held_out("run").len(), 6);
}

#[test]
fn a_run_with_another_data_set_is_resumed_wherever_it_has_moved() {
    let home = Home::with_photos(6);
    super::write_images(&home.path("later/squares"), 1, 3);
    let arguments = |output| {
        let settings = [
            "--val",
            "later",
            "--batch-size",
            "4",
            "--log-steps",
            "1",
            "--save-steps",
            "1",
            "--report",
            "false",
            "--output",
            output,
        ];
        [&QUICK[..], &settings].concat()
    };
    succeeded(&home.run(&arguments("whole")));
    let mut child = start(&mut home.command(&arguments("killed")));
    wait_for_steps(&mut child, &home.path("killed/log.jsonl"), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::rename(home.path("later"), home.path("moved")).unwrap();
    let resume = ["train", "--resume", "killed", "--device", "cpu", "--threads", "1"];
    refused(&home.run(&resume), &["--val", "later"]);
    succeeded(&home.run(&[&resume[..], &["--val", "moved"]].concat()));
    assert_eq!(results(&home.path("killed")), results(&home.path("whole")));
    // From now on, they are found where they are.
    let moved = std::path::absolute(home.path("moved")).unwrap();
    assert_eq!(home.json("killed/config.json")["val"].as_str(), moved.to_str());
    succeeded(&home.run(&["report", "killed", "--device", "cpu", "--threads", "1"]));
    assert!(home.path("killed/mistakes.html").exists());
}
