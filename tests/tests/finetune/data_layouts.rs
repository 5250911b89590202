//! What `train` and `evaluate` say about the data that they are given.

use std::fmt::Write as _;
use std::fs;

use effnet_tests::Finished;

use super::{Home, QUICK, refused, succeeded, write_images};

/// A training run on `data` with these arguments.
fn train(home: &Home, data: &str, arguments: &[&str]) -> Finished {
    let quick = QUICK.map(|word| if word == "photos" { data } else { word });
    let run = home.run(&[&quick[..], &["--output", "run", "--epochs", "1"], arguments].concat());
    succeeded(&run);
    run
}

fn says(run: &Finished, lines: &[&str]) {
    for line in lines {
        assert!(
            run.stderr.lines().any(|said| said == *line),
            "`{line}` in {}",
            run.stderr
        );
    }
}

#[test]
fn folders_of_parts_are_named_with_their_images_and_evaluated() {
    let home = Home::new();
    for (class, name) in ["glioma", "pituitary"].iter().enumerate() {
        write_images(&home.path("scans/Training").join(name), class as u32, 6);
        write_images(&home.path("scans/Testing").join(name), class as u32, 2);
    }
    write_images(&home.path("scans/unknown"), 0, 1);
    let run = train(&home, "scans", &[]);
    says(
        &run,
        &[
            "training: Training/ (12 images), validation: Testing/ (4 images), 2 classes",
            "classes: glioma 6/2, pituitary 6/2",
            "ignored: unknown/ (not a part of the data set)",
        ],
    );
    let run = home.evaluate("scans", "run", &[]);
    succeeded(&run);
    says(&run, &["evaluating Testing/ (4 images, 2 classes)"]);
    assert!(run.stdout.contains("\"images\":4"), "{}", run.stdout);
}

#[test]
fn a_column_of_a_table_splits_it() {
    let home = Home::with_photos(4);
    let mut table = "file_name;label;split;camera\n".to_owned();
    for class in ["squares", "stripes"] {
        for number in 0..4 {
            let part = if number == 3 { "val" } else { "train" };
            let row = format!("photos\\{class}\\{number}.png;{class};{part};x\n");
            table.push_str(&row);
        }
    }
    fs::write(home.path("list.csv"), table).unwrap();
    let run = train(&home, "list.csv", &[]);
    says(
        &run,
        &[
            "training: split = train (6 images), validation: split = val (2 images), 2 classes",
            "classes: squares 3/1, stripes 3/1",
            "ignored columns: camera",
        ],
    );
    let run = home.evaluate("list.csv", "run", &[]);
    says(&run, &["evaluating split = val (2 images, 2 classes)"]);
}

#[test]
fn test_images_without_labels_are_passed_over() {
    let home = Home::new();
    for (class, name) in ["cat", "dog"].iter().enumerate() {
        write_images(&home.path("pets/train").join(name), class as u32, 5);
    }
    write_images(&home.path("pets/test"), 0, 3);
    let run = train(&home, "pets", &[]);
    says(
        &run,
        &[
            "training: train/ (8 images), validation: 2 images (20 % of each class, held out), 2 classes",
            "ignored: test/ (3 images without class folders)",
        ],
    );
    let run = home.evaluate("pets", "run", &[]);
    says(
        &run,
        &["evaluating the 2 held-out images of this run (--all evaluates all images)"],
    );
}

#[test]
fn classes_of_very_different_sizes_are_hinted_at() {
    let home = Home::with_photos(2);
    write_images(&home.path("photos/many"), 1, 11);
    let run = train(&home, "photos", &["--val-split", "0"]);
    says(
        &run,
        &["the classes have 2 to 11 training images: see --class-weights balanced"],
    );
    fs::remove_dir_all(home.path("run")).unwrap();
    let run = train(
        &home,
        "photos",
        &["--val-split", "0", "--class-weights", "balanced"],
    );
    assert!(!run.stderr.contains("--class-weights"), "{}", run.stderr);
}

#[test]
fn frozen_random_features_are_warned_of() {
    let home = Home::with_photos(3);
    let run = train(&home, "photos", &["--freeze", "features"]);
    assert!(
        run.stderr
            .contains("--freeze features without pretrained weights"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_data_set_that_does_not_exist_is_the_only_error() {
    let home = Home::with_photos(3);
    train(&home, "photos", &[]);
    let mut copy = std::process::Command::new("cp");
    let copied = copy
        .arg("-r")
        .args([home.path("photos"), home.path("copy")])
        .status();
    assert!(copied.unwrap().success());
    let run = home.evaluate("copy", "run", &[]);
    succeeded(&run);
    assert!(run.stderr.contains("if it is a copy of"), "{}", run.stderr);
    let run = home.evaluate("photso", "run", &[]);
    refused(&run, &["photso", "No such file"]);
    assert!(!run.stderr.contains("photos"), "{}", run.stderr);
    // Data that were moved are another matter.
    fs::rename(home.path("photos"), home.path("moved")).unwrap();
    let run = home.evaluate("moved", "run", &[]);
    succeeded(&run);
    assert!(run.stderr.contains("no longer exists"), "{}", run.stderr);
}

/// The training loss of the only epoch.
fn loss(home: &Home, run: &str) -> f64 {
    let records = home.records(run);
    let epoch = records.iter().find(|record| record["record"] == "epoch").unwrap();
    epoch["train_loss"].as_f64().unwrap()
}

#[test]
fn fast_decoding_shows_nearly_the_same_images() {
    let home = Home::new();
    let mut table = "path,label\n".to_owned();
    let mut archive = tar::Builder::new(Vec::new());
    for (class, name) in ["cat", "dog"].into_iter().enumerate() {
        fs::create_dir_all(home.path("photos").join(name)).unwrap();
        for number in 0..6 {
            let image = image::RgbImage::from_fn(400, 300, |x, y| {
                let wave = (f64::from(x + 40 * number) / 30.0).sin() * (f64::from(y) / 45.0).cos();
                image::Rgb([(120.0 + 90.0 * wave) as u8, 80 * class as u8, (x / 2) as u8])
            });
            let path = format!("photos/{name}/{number}.jpg");
            image.save(home.path(&path)).unwrap();
            writeln!(table, "{path},{name}").unwrap();
        }
    }
    fs::write(home.path("table.csv"), table).unwrap();
    archive.append_dir_all(".", home.path("photos")).unwrap();
    fs::write(home.path("photos.tar"), archive.into_inner().unwrap()).unwrap();
    for data in ["photos", "table.csv", "photos.tar"] {
        let losses = ["exact", "fast"].map(|decode| {
            let run = format!("{decode}-{data}");
            // From PyTorch's initial weights, so few steps amplify small differences more.
            let arguments = [
                "--val-split",
                "0",
                "--decode",
                decode,
                "--output",
                &run,
                "--init",
                "tensorflow",
            ];
            train(&home, data, &arguments);
            loss(&home, &run)
        });
        let difference = (losses[0] - losses[1]).abs();
        assert!(difference > 0.0 && difference < 0.05, "{data}: {losses:?}");
    }
}
