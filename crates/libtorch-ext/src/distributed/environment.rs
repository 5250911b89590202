//! What a launcher tells each process of a group.

use std::env;
use std::fmt;
use std::ops::RangeInclusive;

use super::slurm;

/// Where rank 0 is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// A host name or an address.
    pub address: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.contains(':') {
            write!(f, "[{}]:{}", self.address, self.port)
        } else {
            write!(f, "{}:{}", self.address, self.port)
        }
    }
}

/// Whose variables describe the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`, as PyTorch's `env://` reads them: torchrun,
    /// the Kubernetes PyTorchJob, a shell.
    Variables,
    /// `srun`.
    Slurm,
}

/// A process's place in a group, as its launcher tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Whose variables these are.
    pub launcher: Launcher,
    /// This process, from 0 to below `world_size`.
    pub rank: usize,
    /// The number of processes.
    pub world_size: usize,
    /// This process among those of its machine; the rank itself where the launcher does not tell.
    pub local_rank: usize,
    /// The number of processes on this machine, where the launcher tells it (`LOCAL_WORLD_SIZE`).
    pub local_world_size: Option<usize>,
    /// Where the group meets.
    pub master: Master,
    /// Whether torchrun's agent already serves the store at `master`, so that every rank is a client of it
    /// (`TORCHELASTIC_USE_AGENT_STORE`). Otherwise rank 0 serves it.
    pub agent_store: bool,
    /// How often the group was started before (`TORCHELASTIC_RESTART_COUNT`, `SLURM_RESTART_COUNT`).
    pub restart_count: u64,
    /// The name of the run, the same over restarts (`TORCHELASTIC_RUN_ID`, `SLURM_JOB_ID`).
    pub run_id: Option<String>,
}

/// Variables that do not describe a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Some of the variables of a group are there, and one is not.
    #[error("the variable {missing} is not set, but {present} is: {hint}")]
    Missing {
        /// The variable that lacks.
        missing: &'static str,
        /// One that asks for it.
        present: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A variable has a value that it cannot have.
    #[error("the variable {name} is `{value}`, expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: String,
    },
}

impl Environment {
    /// The group that this process was started in; `None` where it was started by itself. A step of Slurm
    /// with a single task, and the script of a batch job, are no group.
    ///
    /// # Errors
    /// [`EnvironmentError`] when the variables of a group are there in part, or contradict each other.
    pub fn from_env() -> Result<Option<Self>, EnvironmentError> {
        // What is not UTF-8 is no number and no host; it is reported with its value.
        Self::from_lookup(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// [`from_env`](Self::from_env) of the variables that `lookup` knows.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let variables = Variables(&lookup);
        if variables.has("RANK") || variables.has("WORLD_SIZE") {
            return of_variables(variables).map(Some);
        }
        slurm::environment(variables)
    }

    /// Whether this process writes and prints for all.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }
}

/// The variables of a process.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// Empty ones count as not set.
    pub(super) fn get(self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn require(
        self,
        missing: &'static str,
        present: &'static str,
        hint: &'static str,
    ) -> Result<String, EnvironmentError> {
        self.get(missing).ok_or(EnvironmentError::Missing {
            missing,
            present,
            hint,
        })
    }

    /// A whole number in `range`, if the variable is set.
    pub(super) fn number(
        self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, EnvironmentError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.parse().ok().filter(|number| range.contains(number));
        let invalid = |value| EnvironmentError::Invalid {
            name,
            value,
            expected: if *range.end() == u64::MAX {
                format!("a whole number of {} or more", range.start())
            } else {
                format!("a whole number from {} to {}", range.start(), range.end())
            },
        };
        number.map(Some).ok_or_else(|| invalid(value))
    }

    /// `rank_name` and `size_name` together.
    pub(super) fn place(
        self,
        rank_name: &'static str,
        size_name: &'static str,
        hint: &'static str,
    ) -> Result<(usize, usize), EnvironmentError> {
        self.require(size_name, rank_name, hint)?;
        self.require(rank_name, size_name, hint)?;
        let world_size = self.number(size_name, 1..=LARGEST_WORLD)?.unwrap_or(1);
        let rank = self.number(rank_name, 0..=world_size - 1)?.unwrap_or(0);
        Ok((rank as usize, world_size as usize))
    }
}

/// c10d counts ranks in 32 bits with a sign.
const LARGEST_WORLD: u64 = i32::MAX as u64;

/// The port of the store where none is named, PyTorch's own.
pub(super) const DEFAULT_PORT: u16 = 29500;

fn of_variables(variables: Variables<'_>) -> Result<Environment, EnvironmentError> {
    const HINT: &str = "a launcher such as torchrun sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT";
    let (rank, world_size) = variables.place("RANK", "WORLD_SIZE", HINT)?;
    let address = variables.require("MASTER_ADDR", "RANK", HINT)?;
    variables.require("MASTER_PORT", "RANK", HINT)?;
    let port = port(variables)?.unwrap_or(DEFAULT_PORT);
    let local_rank = variables.number("LOCAL_RANK", 0..=rank as u64)?;
    let local_world_size = variables.number("LOCAL_WORLD_SIZE", 1..=world_size as u64)?;
    let agent_store = variables
        .get("TORCHELASTIC_USE_AGENT_STORE")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(Environment {
        launcher: Launcher::Variables,
        rank,
        world_size,
        local_rank: local_rank.unwrap_or(rank as u64) as usize,
        local_world_size: local_world_size.map(|size| size as usize),
        master: Master { address, port },
        agent_store,
        restart_count: variables
            .number("TORCHELASTIC_RESTART_COUNT", 0..=u64::MAX)?
            .unwrap_or(0),
        run_id: variables.get("TORCHELASTIC_RUN_ID"),
    })
}

pub(super) fn port(variables: Variables<'_>) -> Result<Option<u16>, EnvironmentError> {
    let port = variables.number("MASTER_PORT", 1..=u64::from(u16::MAX))?;
    Ok(port.map(|port| port as u16))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The environment of a process with these variables.
    pub(in super::super) fn of(variables: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
        Environment::from_lookup(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const PLAIN: [(&str, &str); 4] = [
        ("RANK", "1"),
        ("WORLD_SIZE", "3"),
        ("MASTER_ADDR", "10.0.0.1"),
        ("MASTER_PORT", "1234"),
    ];

    /// `PLAIN` with `name` set to `value`.
    fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let others = PLAIN.into_iter().filter(|(other, _)| *other != name);
        others.chain([(name, value)]).collect()
    }

    #[test]
    fn a_process_by_itself_is_in_no_group() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("MASTER_ADDR", "host"), ("PATH", "/bin")]), Ok(None));
    }

    #[test]
    fn the_four_variables_of_pytorch_make_a_group() {
        let group = of(&PLAIN).unwrap().unwrap();
        assert_eq!((group.rank, group.world_size, group.local_rank), (1, 3, 1));
        assert_eq!(group.master.to_string(), "10.0.0.1:1234");
        assert_eq!(
            (group.agent_store, group.restart_count, group.run_id),
            (false, 0, None)
        );
    }

    #[test]
    fn torchrun_tells_of_its_store_and_of_restarts() {
        let mut variables = PLAIN.to_vec();
        variables.extend([
            ("LOCAL_RANK", "0"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
            ("TORCHELASTIC_RUN_ID", "b0"),
        ]);
        let group = of(&variables).unwrap().unwrap();
        assert_eq!((group.local_rank, group.local_world_size), (0, Some(2)));
        assert!(group.agent_store);
        assert_eq!((group.restart_count, group.run_id.as_deref()), (2, Some("b0")));
    }

    #[test]
    fn each_variable_that_lacks_is_named() {
        for (name, _) in PLAIN {
            let error = of(&with(name, "")).unwrap_err();
            assert!(
                matches!(error, EnvironmentError::Missing { missing, .. } if missing == name),
                "{error}"
            );
        }
    }

    #[test]
    fn a_variable_without_sense_is_named_with_its_value() {
        for (name, value) in [
            ("RANK", "3"),
            ("RANK", "-1"),
            ("RANK", "first"),
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "4294967296"),
            ("MASTER_PORT", "0"),
            ("MASTER_PORT", "65536"),
            ("LOCAL_RANK", "2"),
            ("LOCAL_WORLD_SIZE", "4"),
            ("TORCHELASTIC_RESTART_COUNT", "once"),
        ] {
            let message = of(&with(name, value)).unwrap_err().to_string();
            assert!(
                message.contains(&format!("{name} is `{value}`, expected a whole number")),
                "{message}"
            );
        }
    }

    #[test]
    fn an_address_of_version_6_is_written_in_brackets() {
        let master = Master {
            address: "fe80::1".to_owned(),
            port: 29500,
        };
        assert_eq!(master.to_string(), "[fe80::1]:29500");
    }
}
