//! Inputs that no good training comes of, and what is said about them.

use std::fs;

use super::{CLASSES, Home, QUICK, refused, succeeded, write_images};

fn empty(home: &Home, folder: &str) {
    for entry in fs::read_dir(home.path(folder)).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn nothing_is_begun_without_data() {
    let home = Home::new();
    refused(&home.run(&["train"]), &["no training images"]);
    refused(&home.train(&["--output", "run"]), &["photos", "No such file"]);
    fs::create_dir(home.path("photos")).unwrap();
    refused(
        &home.train(&["--output", "run"]),
        &["photos", "one folder of images per class"],
    );
    assert!(!home.path("run").exists());
}

#[test]
fn features_of_mixed_images_are_not_kept() {
    let home = Home::with_photos(3);
    for (flags, words) in [
        (["--mixup", "0.2"], ["--mixup 0.2", "--cache-features"]),
        (["--cutmix", "1"], ["--cutmix 1", "--cache-features"]),
        (["--teacher", "big"], ["--teacher", "--cache-features"]),
    ] {
        let flags = [&flags[..], &["--cache-features", "repeat", "--output", "run"]].concat();
        refused(&home.train(&flags), &words);
    }
    assert!(!home.path("run").exists());
}

#[test]
fn one_class_is_nothing_to_learn() {
    let home = Home::new();
    write_images(&home.path("photos/cat"), 0, 3);
    refused(&home.train(&["--output", "run"]), &["two classes or more", "cat"]);
}

#[test]
fn an_empty_class_is_named() {
    let home = Home::with_photos(3);
    empty(&home, "photos/stripes");
    refused(&home.train(&["--output", "run"]), &["stripes"]);
}

#[test]
fn classes_that_differ_by_case_are_refused() {
    let home = Home::with_photos(2);
    write_images(&home.path("photos/Stripes"), 1, 2);
    refused(&home.train(&["--output", "run"]), &["Stripes", "stripes", "case"]);
}

#[test]
fn images_that_cannot_be_read_are_listed_and_left_out() {
    let home = Home::with_photos(6);
    for number in [1, 4] {
        fs::write(home.path(&format!("photos/squares/{number}.png")), "not an image").unwrap();
    }
    let run = home.train(&["--output", "run", "--epochs", "1"]);
    succeeded(&run);
    for expected in [
        "photos/squares/1.png",
        "photos/squares/4.png",
        "2 images cannot be read and are skipped",
    ] {
        assert!(run.stderr.contains(expected), "{expected} in {}", run.stderr);
    }
    assert!(
        run.stderr
            .contains("training: 13 images, validation: 3 images (20 % of each class, held out), 3 classes"),
        "{}",
        run.stderr
    );
    let kept = fs::read_to_string(home.path("run/unreadable.json")).unwrap();
    assert!(kept.contains("squares/4.png"), "{kept}");
}

#[test]
fn strict_stops_at_an_image_that_cannot_be_read() {
    let home = Home::with_photos(3);
    fs::write(home.path("photos/squares/1.png"), "not an image").unwrap();
    refused(
        &home.train(&["--output", "run", "--strict"]),
        &["photos/squares/1.png", "--strict"],
    );
}

#[test]
fn a_class_of_which_nothing_can_be_read_is_named() {
    let home = Home::with_photos(2);
    for number in [0, 1] {
        fs::write(home.path(&format!("photos/squares/{number}.png")), "not an image").unwrap();
    }
    refused(
        &home.train(&["--output", "run"]),
        &["no readable images of squares"],
    );
}

#[test]
fn nothing_but_broken_images_is_an_error() {
    let home = Home::with_photos(2);
    for class in CLASSES {
        for number in [0, 1] {
            fs::write(home.path(&format!("photos/{class}/{number}.png")), "not an image").unwrap();
        }
    }
    refused(
        &home.train(&["--output", "run"]),
        &["none of 6 images could be read"],
    );
}

#[test]
fn a_class_with_one_image_is_trained_on_with_a_warning() {
    let home = Home::with_photos(4);
    write_images(&home.path("photos/single"), 1, 1);
    let run = home.train(&["--output", "run", "--epochs", "1"]);
    succeeded(&run);
    assert!(
        run.stderr.contains("they are missing from validation: single"),
        "{}",
        run.stderr
    );
}

#[test]
fn batches_are_no_larger_than_the_data() {
    let home = Home::with_photos(3);
    let run = home.train(&["--output", "run", "--epochs", "1", "--batch-size", "500"]);
    succeeded(&run);
    assert!(
        run.stderr.contains("batch size reduced from 500 to 6"),
        "{}",
        run.stderr
    );
    let config = fs::read_to_string(home.path("run/config.json")).unwrap();
    assert!(config.contains("\"batch_size\": 6"), "{config}");
}

#[test]
fn a_list_with_missing_files_is_refused_with_their_names() {
    let home = Home::with_photos(2);
    let list = "path,label\nphotos/squares/0.png,a\nphotos/squares/7.png,a\nphotos/stripes/0.png,b\n";
    fs::write(home.path("list.csv"), list).unwrap();
    let quick = QUICK.map(|word| if word == "photos" { "list.csv" } else { word });
    let run = home.run(&[&quick[..], &["--output", "run"]].concat());
    refused(&run, &["list.csv", "photos/squares/7.png", "not found"]);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_read_as_images_and_refused_as_classes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let home = Home::with_photos(4);
    let odd = OsStr::from_bytes(b"caf\xe9.png");
    fs::rename(
        home.path("photos/squares/0.png"),
        home.path("photos/squares").join(odd),
    )
    .unwrap();
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    fs::create_dir(home.path("photos").join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    refused(&home.train(&["--output", "run2"]), &["class names in UTF-8"]);
}

#[test]
fn weights_of_another_network_are_refused() {
    let home = Home::with_photos(3);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let arguments = [
        "--weights",
        "run/best.safetensors",
        "--model",
        "b1",
        "--output",
        "run2",
    ];
    refused(
        &home.train(&arguments),
        &["expected the parameters of b1, found those of b0"],
    );
    assert!(!home.path("run2").exists());
}

#[test]
fn pretrained_weights_that_are_not_here_are_asked_for_by_name() {
    let home = Home::with_photos(3);
    let run = home.run(&["finetune", "photos", "--device", "cpu", "--output", "run"]);
    refused(&run, &["efficientnet-b0"]);
}

#[test]
fn a_training_that_diverges_stops_with_the_step_the_rate_and_the_last_good_checkpoint() {
    let home = Home::with_photos(6);
    let diverging = [
        "--optimizer",
        "sgd",
        "--lr",
        "900",
        "--schedule",
        "constant",
        "--clip",
        "0",
    ];
    let run = home.train(&[&["--output", "run", "--epochs", "20"], &diverging[..]].concat());
    refused(
        &run,
        &[
            "step",
            "learning rate of 9.000e2",
            "last.state",
            "try a lower learning rate",
        ],
    );
    succeeded(&home.run(&["inspect", "run/last.safetensors"]));
}

#[test]
fn a_folder_with_a_run_is_not_overwritten() {
    let home = Home::with_photos(3);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let before = fs::read(home.path("run/best.safetensors")).unwrap();
    refused(
        &home.train(&["--output", "run"]),
        &["already contains a run", "--resume"],
    );
    assert_eq!(fs::read(home.path("run/best.safetensors")).unwrap(), before);
}
