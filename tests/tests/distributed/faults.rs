//! Ranks that are killed in every part of a training run, and networks that are cut.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::sleep;
use std::time::Duration;

use effnet::ModelMetadata;
use effnet_checkpoint::StateDict;
use effnet_tests::{free_port, skip};
use effnet_train::{Checkpointer, Position, RunningLoss, Snapshot, TrainerState};
use tch::{Device, Kind, Tensor};
use torch_c10d::{ProcessGroup, Reducer, Reduction};

use super::ranks::{Ranks, command, environment, group_within};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Where a rank is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Forward = 1,
    Backward,
    AllReduce,
    Checkpoint,
}

const PARTS: [Part; 4] = [Part::Forward, Part::Backward, Part::AllReduce, Part::Checkpoint];

/// Kills this process in the midst of `part`, `delay` after it has begun for the third time.
fn be_killed(part: Part, delay: Duration, now: &Arc<AtomicU8>) {
    let now = Arc::clone(now);
    std::thread::spawn(move || {
        let is_there = |wanted: bool| {
            while (now.load(Ordering::SeqCst) == part as u8) != wanted {
                sleep(Duration::from_micros(20));
            }
        };
        for _ in 0..2 {
            is_there(true);
            is_there(false);
        }
        is_there(true);
        sleep(delay);
        let own = std::process::id().to_string();
        let _ = Command::new("kill").args(["-KILL", &own]).status();
    });
}

fn snapshot(step: u64, weights: &Tensor) -> Snapshot {
    let mut dict = StateDict::new();
    dict.insert("weights".to_owned(), effnet_core::from_torch(weights).unwrap());
    Snapshot {
        trainer: TrainerState {
            position: Position {
                step,
                ..Position::default()
            },
            seed: 0,
            weights: dict,
            optimizer: StateDict::new(),
            average: None,
            scaler: None,
            running_loss: RunningLoss::default(),
        },
        best: None,
        config: serde_json::json!({}),
        notes: std::collections::BTreeMap::default(),
    }
}

/// Steps whose parts last for some milliseconds each, until the group fails.
fn train(group: &ProcessGroup, folder: &Path, now: &AtomicU8) -> torch_c10d::GroupError {
    let enter = |part: Part| now.store(part as u8, Ordering::SeqCst);
    let weights = Tensor::randn([1000, 1000], CPU).set_requires_grad(true);
    let mut reducer = Reducer::new(group, &[weights.shallow_clone()]).unwrap();
    let mut checkpointer =
        (group.rank() == 0).then(|| Checkpointer::new(folder, ModelMetadata::default()).unwrap());
    let images = Tensor::randn([400, 1000], CPU);
    for step in 0.. {
        enter(Part::Forward);
        let loss = images
            .matmul(&weights)
            .tanh()
            .matmul(&weights)
            .square()
            .mean(Kind::Float);
        enter(Part::Backward);
        if let Err(error) = reducer.backward(&loss) {
            return error;
        }
        enter(Part::AllReduce);
        let statistics = Tensor::ones([3_000_000], CPU);
        if let Err(error) = group.all_reduce(&statistics, Reduction::Sum) {
            return error;
        }
        enter(Part::Checkpoint);
        if let Some(checkpointer) = &mut checkpointer {
            checkpointer
                .save(&snapshot(step, &weights.detach()), false)
                .unwrap();
        }
        if let Err(error) = group.barrier() {
            return error;
        }
    }
    unreachable!("a step without a number")
}

/// How often each part is tried: once with all other tests, more often in scripts/fault-distributed.
fn tries() -> u64 {
    std::env::var("EFFNET_FAULT_TRIES").map_or(1, |text| text.parse().unwrap())
}

#[allow(clippy::print_stdout)]
#[test]
fn a_rank_that_is_killed_in_any_part_of_a_step_ends_the_others_and_tears_no_file() {
    const TEST: &str =
        "faults::a_rank_that_is_killed_in_any_part_of_a_step_ends_the_others_and_tears_no_file";
    let variable = |name: &str| std::env::var(name).unwrap();
    if let Some(group) = group_within(Duration::from_secs(30)) {
        let now = Arc::new(AtomicU8::new(0));
        if group.rank().to_string() == variable("EFFNET_VICTIM") {
            let part = PARTS[variable("EFFNET_PART").parse::<usize>().unwrap()];
            let delay = variable("EFFNET_DELAY").parse().unwrap();
            be_killed(part, Duration::from_micros(delay), &now);
        }
        let error = train(&group, Path::new(&variable("EFFNET_FOLDER")), &now);
        println!("error: {error}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for number in 0..tries() {
        let groups: Vec<_> = (0..PARTS.len())
            .map(|part| {
                // Rank 0 alone writes checkpoints; of the others, each of three has its turn.
                let victim = if part == 3 {
                    0
                } else {
                    (number as usize + part) % 3
                };
                let folder = home.path().join(format!("{number}-{part}"));
                let port = free_port();
                let rank = |rank| {
                    let mut command = command(TEST, rank, 3, port);
                    command
                        .env("EFFNET_VICTIM", victim.to_string())
                        .env("EFFNET_PART", part.to_string())
                        .env("EFFNET_DELAY", (number * 700).to_string())
                        .env("EFFNET_FOLDER", &folder);
                    command
                };
                (part, victim, folder.clone(), Ranks::of((0..3).map(rank)))
            })
            .collect();
        for (part, victim, folder, ranks) in groups {
            let what = format!("{:?}, try {number}", PARTS[part]);
            let named = match victim {
                0 => "rank 0 (127.0.0.1".to_owned(),
                other => format!("rank {other} (127.0.0.1) does not respond"),
            };
            for (rank, ended) in ranks.end().iter().enumerate() {
                if rank == victim {
                    assert_eq!(
                        ended.code, None,
                        "{what}: rank {rank} was not killed: {}",
                        ended.output
                    );
                    continue;
                }
                assert_eq!(ended.code, Some(0), "{what}: rank {rank}: {}", ended.output);
                assert!(ended.output.contains("error: rank"), "{what}: {}", ended.output);
                assert!(ended.output.contains(&named), "{what}: {}", ended.output);
                // Long before the timeout would have ended them.
                assert!(
                    ended.after < Duration::from_secs(30),
                    "{what}: after {:?}",
                    ended.after
                );
            }
            let checkpointer = Checkpointer::new(&folder, ModelMetadata::default()).unwrap();
            let snapshot = checkpointer.resume(&serde_json::json!({}), &[]).unwrap();
            assert!(snapshot.is_some(), "{what}: no checkpoint");
            let left: Vec<String> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert!(
                left.iter().all(|name| name.starts_with("last.")),
                "{what}: {left:?}"
            );
        }
    }
}

/// Two network namespaces with a cable between them.
struct Namespaces {
    names: [String; 2],
}

const ADDRESSES: [&str; 2] = ["10.91.7.1", "10.91.7.2"];

impl Namespaces {
    fn new() -> Result<Self, String> {
        let own = std::process::id();
        let names = [format!("effnet-{own}-a"), format!("effnet-{own}-b")];
        let made = Self { names };
        let [a, b] = &made.names;
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&[
            "-n", a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b,
        ])?;
        for (name, address) in made.names.iter().zip(ADDRESSES) {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                "cable",
            ])?;
            ip(&["-n", name, "link", "set", "cable", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(made)
    }

    /// `command` in the namespace of `rank`.
    fn enter(&self, rank: usize, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.names[rank]]);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside.env("MASTER_ADDR", ADDRESSES[0]);
        inside
    }

    fn cut(&self) {
        ip(&["-n", &self.names[0], "link", "set", "cable", "down"]).unwrap();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("ip cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("ip {}: {words}", arguments.join(" ")))
}

#[allow(clippy::print_stdout)]
#[test]
fn ranks_with_addresses_of_their_own_exchange_tensors_until_the_cable_is_cut() {
    const TEST: &str = "faults::ranks_with_addresses_of_their_own_exchange_tensors_until_the_cable_is_cut";
    if environment().is_some() {
        let group = group_within(Duration::from_secs(5)).unwrap();
        for number in 0.. {
            let ranks = Tensor::from_slice(&[group.rank() as i64 + 1]);
            if let Err(error) = group.all_reduce(&ranks, Reduction::Sum) {
                println!("error: {error}");
                return;
            }
            assert_eq!(ranks.int64_value(&[0]), 3);
            if number == 3 {
                fs::write(std::env::var("EFFNET_SIGNAL").unwrap(), "exchanging").unwrap();
            }
            sleep(Duration::from_millis(50));
        }
    }
    let namespaces = match Namespaces::new() {
        Ok(namespaces) => namespaces,
        Err(reason) => return skip(TEST, &reason),
    };
    let home = tempfile::tempdir().unwrap();
    let signals = [0, 1].map(|rank| home.path().join(rank.to_string()));
    let rank = |rank: usize| {
        let mut command = command(TEST, rank, 2, 29500);
        command.env("EFFNET_SIGNAL", &signals[rank]);
        namespaces.enter(rank, &command)
    };
    let ranks = Ranks::of((0..2).map(rank));
    let begin = std::time::Instant::now();
    while !signals.iter().all(|signal| signal.exists()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is exchanged");
        sleep(Duration::from_millis(20));
    }
    namespaces.cut();
    let cut = begin.elapsed();
    let named = [
        "rank 1 (10.91.7.2) does not respond",
        "rank 0 (10.91.7.1:29500) does not respond",
    ];
    for (ended, named) in ranks.end().iter().zip(named) {
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        assert!(ended.output.contains(named), "`{named}` in {}", ended.output);
        // The timeout of 5 seconds, and the search for the reason.
        assert!(
            ended.after < cut + Duration::from_secs(25),
            "after {:?}",
            ended.after
        );
    }
}
