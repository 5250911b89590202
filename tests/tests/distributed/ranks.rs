//! The ranks of a group, each a process that runs one test of this binary.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use effnet_tests::free_port;
use launch_environment::Environment;
use torch_c10d::{ProcessGroup, ProcessGroupOptions};

/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The group that this process is a rank of; `None` in the process that is to start it.
pub(crate) fn group() -> Option<ProcessGroup> {
    group_within(Duration::from_secs(60))
}

/// The same with another timeout.
pub(crate) fn group_within(timeout: Duration) -> Option<ProcessGroup> {
    let environment = environment()?;
    let options = ProcessGroupOptions::default().with_timeout(timeout);
    Some(ProcessGroup::connect(&environment, &options).unwrap())
}

pub(crate) fn environment() -> Option<Environment> {
    let environment = Environment::from_env().unwrap();
    if environment.is_some() {
        tch::set_num_threads(1);
    }
    environment
}

/// What a rank left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Both streams.
    pub(crate) output: String,
    /// From the start of the group.
    pub(crate) after: Duration,
}

/// Processes that end with this.
pub(crate) struct Ranks {
    children: Vec<Child>,
    begin: Instant,
}

impl Ranks {
    /// Starts `world_size` ranks, each of which runs `test`, by its path in this binary.
    pub(crate) fn start(test: &str, world_size: usize) -> Self {
        let port = free_port();
        Self::of((0..world_size).map(|rank| command(test, rank, world_size, port)))
    }

    pub(crate) fn of(commands: impl Iterator<Item = Command>) -> Self {
        let begin = Instant::now();
        let spawn = |mut command: Command| {
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        Self {
            children: commands.map(spawn).collect(),
            begin,
        }
    }

    pub(crate) fn kill(&mut self, rank: usize) {
        self.children[rank].kill().unwrap();
    }

    /// Waits for all.
    pub(crate) fn end(mut self) -> Vec<Ended> {
        let mut after = vec![None; self.children.len()];
        while after.contains(&None) {
            for (child, after) in self.children.iter_mut().zip(&mut after) {
                if after.is_none() && child.try_wait().unwrap().is_some() {
                    *after = Some(self.begin.elapsed());
                }
            }
            if self.begin.elapsed() > PATIENCE {
                for child in &mut self.children {
                    let _ = child.kill();
                }
            }
            sleep(Duration::from_millis(10));
        }
        let children = std::mem::take(&mut self.children);
        let ended = |(child, after): (Child, Option<Duration>)| {
            let output = child.wait_with_output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ended {
                code: output.status.code(),
                output: text(&output.stdout) + &text(&output.stderr),
                after: after.unwrap_or_default(),
            }
        };
        children.into_iter().zip(after).map(ended).collect()
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A rank that has not been started.
pub(crate) fn command(test: &str, rank: usize, world_size: usize, port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    place(&mut command, rank, world_size, port);
    command
}

/// Gives a process its place in a group.
pub(crate) fn place(command: &mut Command, rank: usize, world_size: usize, port: u16) {
    command
        .env("RANK", rank.to_string())
        .env("LOCAL_RANK", rank.to_string())
        .env("WORLD_SIZE", world_size.to_string())
        .env("LOCAL_WORLD_SIZE", world_size.to_string())
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", port.to_string())
        .env("TORCH_CPP_LOG_LEVEL", "ERROR");
}

/// Runs `test` as `world_size` ranks, which all succeed.
pub(crate) fn all_succeed(test: &str, world_size: usize) -> Vec<Ended> {
    let ended = Ranks::start(test, world_size).end();
    for (rank, ended) in ended.iter().enumerate() {
        assert_eq!(ended.code, Some(0), "rank {rank}: {}", ended.output);
        assert!(ended.output.contains("1 passed"), "no test `{test}`");
    }
    ended
}
