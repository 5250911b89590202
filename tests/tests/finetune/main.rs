//! `effnet train` and `effnet finetune` as their user sees them, on images of 32 pixels.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod automatic;
mod bad_inputs;
mod config;
mod continuation;
mod data_layouts;
mod disks;
mod distillation;
mod kills;
mod learning;
mod printed;
mod resume;
mod run_folder;
mod tasks;
mod validation;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;
use tempfile::TempDir;

/// A folder that commands run in.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With `photos`: so many images of stripes, of squares and of a gradient each.
    fn with_photos(images: u32) -> Self {
        let home = Self::new();
        for (class, name) in CLASSES.iter().enumerate() {
            write_images(&home.path("photos").join(name), class as u32, images);
        }
        home
    }

    /// With `table.csv` of images with several labels or with a number: the brightness of the red and of the blue
    /// channel, in units of no scale in particular.
    fn with_table(images: u32, labels: Labelling) -> Self {
        let home = Self::new();
        std::fs::create_dir_all(home.path("images")).unwrap();
        let mut table = labels.header().to_owned();
        for number in 0..images {
            let [red, blue] = [5, 3].map(|step| f64::from(number * step % 8) / 7.0);
            let image = image::RgbImage::from_fn(36, 36, |x, y| {
                let noise = f64::from((x * 31 + y * 17 + number * 7) % 23);
                let channel = |share: f64| (20.0 + 200.0 * share + noise) as u8;
                image::Rgb([channel(red), channel(0.3), channel(blue)])
            });
            image.save(home.path(&format!("images/{number}.png"))).unwrap();
            writeln!(table, "images/{number}.png,{}", labels.of(red, blue)).unwrap();
        }
        std::fs::write(home.path("table.csv"), table).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command with these arguments, on the CPU with one thread.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = effnet();
        command.current_dir(self.0.path()).args(arguments);
        command.env("EFFNET_CACHE", self.path("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// The records in the log of a run.
    fn records(&self, run: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.path(run).join("log.jsonl")).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// `effnet evaluate DATA` on the weights of `run`, and these.
    fn evaluate(&self, data: &str, run: &str, arguments: &[&str]) -> Finished {
        let fixed = [
            "evaluate",
            data,
            "--weights",
            run,
            "--device",
            "cpu",
            "--format",
            "json",
        ];
        self.run(&[&fixed[..], arguments].concat())
    }

    /// `effnet train --resume RUN` on the CPU with one thread, and these arguments.
    fn resume(&self, run: &str, arguments: &[&str]) -> Finished {
        self.run(&[&resuming(run)[..], arguments].concat())
    }

    /// `effnet train photos` with settings that are quick, and these.
    fn train(&self, arguments: &[&str]) -> Finished {
        self.run(&[&QUICK[..], arguments].concat())
    }
}

/// How a table labels its images.
#[derive(Clone, Copy, PartialEq)]
enum Labelling {
    /// `blue;red`, or only one, or none.
    Lists,
    /// A column of 0 and 1 per label.
    OneHot,
    /// A number.
    Number,
}

impl Labelling {
    fn header(self) -> &'static str {
        match self {
            Self::Lists => "path,labels\n",
            Self::OneHot => "path,blue,red\n",
            Self::Number => "path,price\n",
        }
    }

    fn of(self, red: f64, blue: f64) -> String {
        match self {
            Self::Lists => {
                let labels = [("blue", blue), ("red", red)]
                    .into_iter()
                    .filter(|(_, share)| *share > 0.5);
                labels.map(|(name, _)| name).collect::<Vec<_>>().join(";")
            }
            Self::OneHot => format!("{},{}", u8::from(blue > 0.5), u8::from(red > 0.5)),
            Self::Number => format!("{:.1}", 5000.5 + 1000.0 * red),
        }
    }
}

const CLASSES: [&str; 3] = ["gradient", "squares", "stripes"];

/// A deterministic training run that takes a few seconds.
const QUICK: [&str; 14] = [
    "train",
    "photos",
    "--image-size",
    "32",
    "--batch-size",
    "8",
    "--epochs",
    "2",
    "--workers",
    "2",
    "--device",
    "cpu",
    "--threads",
    "1",
];

/// The arguments to resume a run as [`QUICK`] began it.
fn resuming(run: &str) -> [&str; 7] {
    ["train", "--resume", run, "--device", "cpu", "--threads", "1"]
}

/// Images of a class, each in colours of its own.
fn write_images(folder: &Path, class: u32, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let image = image::RgbImage::from_fn(36, 36, |x, y| {
            let bright = match class % 3 {
                0 => x * 7,
                1 => 250 * ((x / 6 + y / 6) % 2),
                _ => 250 * ((y / 4) % 2),
            };
            let channel = |k: u32| (bright * (50 + (number * k) % 50) / 100 + (number * 3) % 20) as u8;
            image::Rgb([channel(7), channel(13), channel(29)])
        });
        image.save(folder.join(format!("{number}.png"))).unwrap();
    }
}

fn succeeded(run: &Finished) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

/// Nothing could be done, and the reason names all of `words`.
fn refused(run: &Finished, words: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "`{word}` in {}", run.stderr);
    }
}
