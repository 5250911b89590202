//! A training run that is killed again and again gives the same result as one that was not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use effnet::ModelMetadata;
use effnet_checkpoint::Checkpoint;
use effnet_train::{Checkpointer, EmaOptions, OptimizerKind, Snapshot, Trainer, TrainerOptions};
use serde_json::json;

use crate::{batch, narrow, network, phase, turn};

const KILLS: usize = 20;
const STEPS: u64 = 400;
const FOLDER: &str = "EFFNET_TEST_RUN_FOLDER";

/// The training run: it saves after each step, so that kills often hit a write.
#[test]
#[ignore = "a process of its own, started by the test below"]
#[allow(clippy::print_stdout)]
fn child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let turn = turn();
    let ema = EmaOptions::default().with_decay(0.99);
    let options = TrainerOptions::default().with_ema(ema).with_seed(4);
    let phases = vec![phase(OptimizerKind::RMS_PROP_TF, 1e-3, STEPS)];
    let mut trainer = Trainer::new(network(&narrow(), 1, &turn), options, phases).unwrap();
    let mut checkpointer = Checkpointer::new(folder, ModelMetadata::default()).unwrap();
    if let Some(snapshot) = checkpointer.resume(&json!({}), &[]).unwrap() {
        trainer.restore(&snapshot.trainer).unwrap();
    }
    println!("\nstarted");
    std::io::stdout().flush().unwrap();
    while !trainer.is_finished() {
        let step = trainer.position().step;
        trainer.step(&[batch(step as usize % 8, 4)]).unwrap();
        let (config, notes) = (json!({}), BTreeMap::new());
        let snapshot = Snapshot {
            trainer: trainer.state().unwrap(),
            best: None,
            config,
            notes,
        };
        checkpointer.save(&snapshot, step.is_multiple_of(3)).unwrap();
    }
}

/// Runs the training in a separate process; kills it this long after its start, if at all. Returns whether it
/// came to its end.
fn run(folder: &Path, kill_after: Option<Duration>) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env("OMP_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.any(|line| line.unwrap() == "started");
    assert!(started, "{:?}", child.wait());
    // Read on, or a full pipe would stop the child at its end.
    let reader = std::thread::spawn(move || lines.count());
    if let Some(delay) = kill_after {
        std::thread::sleep(delay);
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    status.success()
}

fn unfinished_writes(folder: &Path) -> usize {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "part"))
        .count()
}

#[test]
fn a_training_killed_twenty_times_ends_bit_for_bit_as_one_that_was_not() {
    let (straight, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(run(straight.path(), None));

    let (mut kills, mut in_a_write, mut state) = (0, 0, 1u64);
    while kills < KILLS {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        if run(
            killed.path(),
            Some(Duration::from_micros((state >> 33) % 150_000)),
        ) {
            break;
        }
        kills += 1;
        in_a_write += unfinished_writes(killed.path());
        // Whatever is there is whole.
        for name in ["last.state", "last.safetensors", "best.safetensors"] {
            let path = killed.path().join(name);
            assert!(
                !path.exists() || Checkpoint::open(&path).is_ok(),
                "kill {kills} broke {name}"
            );
        }
    }
    assert_eq!(
        kills, KILLS,
        "the training ended before it was killed often enough"
    );
    assert!(in_a_write > 0, "no kill hit a write");
    assert!(run(killed.path(), None));
    for name in ["last.state", "last.safetensors", "best.safetensors"] {
        let [expected, found] =
            [&straight, &killed].map(|folder| fs::read(folder.path().join(name)).unwrap());
        assert!(expected == found, "{name} differs after {kills} kills");
    }
}
