//! `effnet train` as several processes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use effnet_tests::{effnet, finish, free_port, skip, torchrun};
use serde_json::Value;
use tempfile::TempDir;

use super::ranks::{Ended, Ranks, place};

/// Trainings of one thread a process, without anything that ranks draw on their own.
const SETTINGS: [&str; 22] = [
    "train",
    "photos",
    "--image-size",
    "32",
    "--epochs",
    "2",
    "--workers",
    "1",
    "--device",
    "cpu",
    "--threads",
    "1",
    "--dropout",
    "0",
    "--drop-connect",
    "0",
    "--optimizer",
    "sgd",
    "--lr",
    "0.0002",
    "--log-steps",
    "1",
];

struct Home(TempDir);

impl Home {
    /// With photos of two classes.
    fn new(images: u32) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        write_photos(&home.path("photos"), images);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = effnet();
        command.current_dir(self.0.path()).args(SETTINGS).args(arguments);
        command.env("EFFNET_CACHE", self.path("cache"));
        command
    }

    /// The same command as each of the ranks of a group.
    fn ranks(&self, world_size: usize, arguments: &[&str]) -> Vec<Ended> {
        let port = free_port();
        let command = |rank| {
            let mut command = self.command(arguments);
            place(&mut command, rank, world_size, port);
            command
        };
        Ranks::of((0..world_size).map(command)).end()
    }

    /// Lists the photos in `table.csv`, with what the row of each has after its path.
    fn write_table(&self, header: &str, row: impl Fn(&str, u32) -> String) {
        let mut table = format!("{header}\n");
        for number in 0..21 {
            for folder in ["bars", "rows"] {
                let row = row(folder, number);
                writeln!(table, "photos/{folder}/{number}.png,{row}").unwrap();
            }
        }
        fs::write(self.path("table.csv"), table).unwrap();
    }

    fn records(&self, run: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.path(run).join("log.jsonl")).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn write_photos(folder: &Path, images: u32) {
    for (class, name) in ["bars", "rows"].into_iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..images {
            let image = image::RgbImage::from_fn(36, 36, |x, y| {
                let along = if class == 0 { x } else { y };
                // With noise: of images that are nearly the same, normalisation enlarges the rounding.
                let noise = (x * 7919 + y * 104_729 + number * 1_299_709).wrapping_mul(2_654_435_761) >> 26;
                let value = (along / 4 % 2 * 100 + number * 3 + noise) as u8;
                image::Rgb([value, value / 2, 255 - value])
            });
            image
                .save(folder.join(name).join(format!("{number}.png")))
                .unwrap();
        }
    }
}

fn all_succeeded(ended: &[Ended]) {
    for (rank, ended) in ended.iter().enumerate() {
        assert_eq!(ended.code, Some(0), "rank {rank}: {}", ended.output);
    }
}

/// The numbers of a log, by what they are, in order.
fn numbers(records: &[Value]) -> BTreeMap<String, Vec<f64>> {
    let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for record in records {
        for (name, value) in record.as_object().unwrap() {
            let nested = value.as_object().into_iter().flatten();
            for (name, value) in [(name, value)].into_iter().chain(nested) {
                // The calibration error jumps where an image comes into another bin.
                if let Some(number) = value.as_f64().filter(|_| name != "ece") {
                    numbers.entry(name.clone()).or_default().push(number);
                }
            }
        }
    }
    numbers
}

#[test]
fn two_ranks_leave_the_run_of_one_process_with_batches_twice_as_large() {
    let home = Home::new(21);
    let alone = finish(&mut home.command(&["--batch-size", "8", "--output", "alone"]));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    let ended = home.ranks(2, &["--batch-size", "4", "--sync-bn", "--output", "together"]);
    all_succeeded(&ended);
    let (found, expected) = (home.records("together"), home.records("alone"));
    let (found, expected) = (numbers(&found), numbers(&expected));
    assert!(expected["loss"].len() > 4 && expected["images"].iter().all(|&images| images == 8.0));
    for (name, expected) in &expected {
        let close = |(found, expected): (&f64, &f64)| (found - expected).abs() <= 1e-4 * expected.abs();
        let found = &found[name];
        assert_eq!(found.len(), expected.len(), "{name}");
        assert!(
            found.iter().zip(expected).all(close),
            "{name}: {found:?}, {expected:?}"
        );
    }
    // The first rank alone speaks.
    assert!(
        ended[0].output.contains("best.safetensors"),
        "{}",
        ended[0].output
    );
    assert!(ended[1].output.is_empty(), "{}", ended[1].output);
}

#[test]
fn two_ranks_learn_several_labels_as_one_process_does() {
    let home = Home::new(21);
    home.write_table("path,labels", |folder, number| {
        format!("{folder}{}", if number % 3 == 0 { ";third" } else { "" })
    });
    let settings = |more: &[&'static str]| {
        let mut settings = SETTINGS.to_vec();
        settings[1] = "table.csv";
        // In so short a run, the first values of the running statistics would hide what tells the images apart.
        settings.extend(["--bn-momentum", "0.5"]);
        settings.extend(more);
        settings
    };
    let command = |arguments: &[&'static str]| {
        let mut command = effnet();
        command.current_dir(home.0.path()).args(settings(arguments));
        command.env("EFFNET_CACHE", home.path("cache"));
        command
    };
    let alone = finish(&mut command(&["--batch-size", "8", "--output", "alone"]));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    let port = free_port();
    let rank = |rank| {
        let mut command = command(&["--batch-size", "4", "--sync-bn", "--output", "together"]);
        place(&mut command, rank, 2, port);
        command
    };
    all_succeeded(&Ranks::of((0..2).map(rank)).end());
    let (found, expected) = (home.records("together"), home.records("alone"));
    let (found, expected) = (numbers(&found), numbers(&expected));
    assert!(expected["mean_average_precision"].len() == 2, "{expected:?}");
    // Of nine images, two whose outputs differ by rounding may trade places.
    for (name, most) in [("loss", 1e-3), ("images", 0.0), ("mean_average_precision", 0.02)] {
        for (found, expected) in found[name].iter().zip(&expected[name]) {
            assert!(
                (found - expected).abs() <= most * expected.abs(),
                "{name}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn slurms_variables_make_a_group_too() {
    let home = Home::new(10);
    let port = free_port().to_string();
    let command = |rank: usize| {
        let mut command = home.command(&["--batch-size", "4", "--output", "run", "--epochs", "1"]);
        command
            .env("SLURM_PROCID", rank.to_string())
            .env("SLURM_LOCALID", rank.to_string())
            .env("SLURM_NTASKS", "2")
            .env("SLURM_JOB_NODELIST", "localhost")
            .env("MASTER_PORT", &port);
        command
    };
    all_succeeded(&Ranks::of((0..2).map(command)).end());
    assert!(!home.records("run").is_empty());
}

/// All ranks end before the first step, and say what differs where.
fn all_refuse(ended: &[Ended], words: &str) {
    for (rank, ended) in ended.iter().enumerate() {
        assert_eq!(ended.code, Some(2), "rank {rank}: {}", ended.output);
        assert!(ended.output.contains(words), "`{words}` in {}", ended.output);
    }
}

/// Two ranks, the second of which has `arguments` of its own.
fn unlike(home: &Home, arguments: [&[&str]; 2]) -> Vec<Ended> {
    let port = free_port();
    let command = |(rank, own): (usize, &&[&str])| {
        let mut command = home.command(&[&["--output", "run"], *own].concat());
        place(&mut command, rank, 2, port);
        command
    };
    Ranks::of(arguments.iter().enumerate().map(command)).end()
}

#[test]
fn a_rank_with_another_batch_size_model_or_data_is_refused_before_the_first_step() {
    let home = Home::new(10);
    let ended = unlike(&home, [&["--batch-size", "4"], &["--batch-size", "2"]]);
    all_refuse(&ended, "batch_size: 2 on rank 1, 4 on rank 0");
    let ended = unlike(&home, [&["--model", "b0"], &["--model", "b1"]]);
    all_refuse(&ended, "model: \"b1\" on rank 1, \"b0\" on rank 0");
    fs::create_dir(home.path("other")).unwrap();
    write_photos(&home.path("other/photos"), 11);
    let port = free_port();
    let command = |rank: usize| {
        let mut command = home.command(&["--batch-size", "4", "--output", "../run"]);
        command.current_dir(home.path(["other", "."][rank]));
        place(&mut command, rank, 2, port);
        command
    };
    let ended = Ranks::of((0..2).map(command)).end();
    all_refuse(&ended, "the images: 20 images, listing");
    assert!(!home.path("run/config.json").exists());
}

#[test]
fn ranks_learn_from_one_teacher_and_from_no_two() {
    let home = Home::new(10);
    for (name, seed) in [("first", "1"), ("second", "2")] {
        let run = finish(&mut home.command(&["--output", name, "--epochs", "1", "--seed", seed]));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    let [first, second] = ["first/last.safetensors", "second/last.safetensors"];
    let ended = unlike(&home, [&["--teacher", first], &["--teacher", second]]);
    all_refuse(&ended, "the teacher's sha256");

    let with = |batch, output| ["--teacher", first, "--batch-size", batch, "--output", output];
    let alone = finish(&mut home.command(&with("8", "alone")));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    all_succeeded(&home.ranks(2, &[&with("4", "together")[..], &["--sync-bn"]].concat()));
    let losses = |run| numbers(&home.records(run)).remove("loss").unwrap();
    let (found, expected) = (losses("together"), losses("alone"));
    assert!(expected.len() > 3 && found.len() == expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-4 * expected, "{found}, {expected}");
    }
}

#[test]
fn a_group_that_is_started_again_goes_on_with_its_run() {
    goes_on_when_started_again(&Home::new(21), "photos", &[]);
}

#[test]
fn groups_that_are_started_again_go_on_with_labels_and_numbers() {
    let home = Home::new(21);
    home.write_table("path,labels,patient", |folder, number| {
        format!(
            "{folder}{},p{}",
            if number % 3 == 0 { ";third" } else { "" },
            number / 4
        )
    });
    let settings = [
        "--loss",
        "asymmetric",
        "--group-column",
        "patient",
        "--folds",
        "3",
        "--fold",
        "2",
    ];
    goes_on_when_started_again(&home, "table.csv", &settings);

    let home = Home::new(21);
    home.write_table("path,price", |folder, number| {
        format!(
            "{}.5",
            if folder == "bars" {
                100 + number
            } else {
                50 - number
            }
        )
    });
    goes_on_when_started_again(&home, "table.csv", &["--loss", "huber", "--precision", "bf16"]);
}

/// A group that loses a rank, and is started again, leaves what one does that did not.
fn goes_on_when_started_again(home: &Home, data: &str, settings: &[&str]) {
    let command = |rank, port, run| {
        let mut command = effnet();
        let mut fixed = SETTINGS;
        fixed[1] = data;
        command.current_dir(home.0.path()).args(fixed).args(settings);
        command.args(["--batch-size", "4", "--save-steps", "1", "--output", run]);
        command.env("EFFNET_CACHE", home.path("cache"));
        place(&mut command, rank, 2, port);
        command
    };
    let group = |run| {
        let port = free_port();
        Ranks::of((0..2).map(|rank| command(rank, port, run)))
    };
    all_succeeded(&group("whole").end());
    // The second rank dies in the midst of the first start.
    let mut ranks = group("halved");
    let log = home.path("halved/log.jsonl");
    let begin = Instant::now();
    while fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 3 {
        assert!(begin.elapsed() < Duration::from_secs(120), "no step was logged");
        std::thread::sleep(Duration::from_millis(5));
    }
    ranks.kill(1);
    let ended = ranks.end();
    assert_eq!(ended[0].code, Some(2), "{}", ended[0].output);
    assert!(
        ended[0].output.contains("rank 1 (127.0.0.1) does not respond"),
        "{}",
        ended[0].output
    );
    let ended = group("halved").end();
    all_succeeded(&ended);
    assert!(ended[0].output.contains("resuming "), "{}", ended[0].output);
    for name in ["log.jsonl", "last.safetensors", "best.safetensors"] {
        let [whole, halved] = ["whole", "halved"].map(|run| fs::read(home.path(run).join(name)).unwrap());
        assert!(whole == halved, "{name}");
    }
}

#[test]
fn another_number_of_ranks_does_not_go_on() {
    let home = Home::new(10);
    let arguments = ["--batch-size", "4", "--epochs", "1", "--output", "run"];
    all_succeeded(&home.ranks(2, &arguments));
    all_refuse(
        &home.ranks(3, &arguments),
        "expected 2 ranks, as when the run was started, found 3 ranks; resume with the same setup",
    );
}

/// torchrun ends the others, and starts all again with another count.
#[test]
fn torchrun_starts_a_group_again_that_has_lost_a_rank() {
    const TEST: &str = "command::torchrun_starts_a_group_again_that_has_lost_a_rank";
    let mut command = match torchrun() {
        Ok(torchrun) => torchrun,
        Err(reason) => return skip(TEST, &reason),
    };
    let home = Home::new(21);
    let arguments = ["--batch-size", "4", "--save-steps", "2", "--rank-timeout", "60"];
    all_succeeded(&home.ranks(2, &[&arguments[..], &["--output", "whole"]].concat()));
    // The first start of rank 1 is a process that kills itself once there is a checkpoint to go on from.
    let program = home.command(&[]).get_program().to_owned();
    let script = home.path("rank");
    let text = format!(
        "if [ $RANK = 1 ] && [ $TORCHELASTIC_RESTART_COUNT = 0 ]; then\n\
           (until [ $(cat runs/*/log.jsonl 2>/dev/null | wc -l) -ge 3 ]; do sleep 0.01; done; kill -9 $$) &\n\
         fi\n\
         exec {} \"$@\"\n",
        program.display()
    );
    fs::write(&script, text).unwrap();
    command
        .current_dir(home.path("."))
        .args(["sh", "rank"])
        .args(SETTINGS)
        .args(arguments)
        .env("EFFNET_CACHE", home.path("cache"))
        .env("EFFNET_OFFLINE", "1");
    let ended = Ranks::of([command].into_iter()).end();
    assert_eq!(ended[0].code, Some(0), "{}", ended[0].output);
    assert!(ended[0].output.contains("resuming "), "{}", ended[0].output);
    for name in ["log.jsonl", "last.safetensors"] {
        let [whole, restarted] =
            ["whole", "runs/train-1"].map(|run| fs::read(home.path(run).join(name)).unwrap());
        assert!(whole == restarted, "{name}");
    }
}
