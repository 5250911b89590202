//! Determines the settings and the run folder with which training starts: those of a new run, or of a run to
//! resume.
//!
//! In a group, only rank 0 sees the folder, so it decides and broadcasts the decision. A launcher such as
//! torchrun restarts a failed group with the same command line. The group then has to find the run that it
//! created before and resume it, instead of starting a second run.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use effnet_train::run::{RunError, RunFolder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ranks::Ranks;
use effnet_cli::Printer;
use effnet_cli::arguments::TrainingArguments;
use effnet_cli::training::resolve::resolve;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;

/// How training starts. Only the first process has the run folder; the others follow what it decides.
pub(super) enum StartMode {
    /// A new run in this folder, which has not been created yet.
    New(NewFolder),
    /// A run to resume.
    Resume(RunFolder),
    /// Do what the first process does.
    Follow { resumes: bool },
}

/// The folder of a new run.
pub(super) enum NewFolder {
    /// The folder from `--output`, or the folder that a group uses.
    Chosen(PathBuf),
    /// The first unused folder for this command.
    Unused(String),
}

impl NewFolder {
    /// Rejects a folder that already holds a run before anything slow starts. Nothing is written.
    pub(super) fn check(&self) -> Result<(), RunError> {
        match self {
            Self::Chosen(folder) => RunFolder::check_unoccupied(folder),
            Self::Unused(_) => Ok(()),
        }
    }

    pub(super) fn create(&self) -> Result<RunFolder, RunError> {
        let command = match self {
            Self::Chosen(folder) => return RunFolder::create(folder),
            Self::Unused(command) => command,
        };
        loop {
            match RunFolder::create(unused_folder(command)) {
                // Another process has taken the name since it was looked up.
                Err(RunError::Locked { .. } | RunError::Occupied { .. }) => {}
                created => return created,
            }
        }
    }
}

/// The decision that the first process broadcasts to the others.
#[derive(Serialize, Deserialize)]
struct StartBroadcast {
    resumes: bool,
    /// The settings of the run being resumed.
    saved: Option<Settings>,
}

/// Returns the settings from the flags, the configuration file and `defaults`.
pub(super) fn settings(
    arguments: &TrainingArguments,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Settings> {
    let flags = arguments.settings.clone();
    let settings = resolve(flags, arguments.config.as_deref(), defaults, printer)?;
    settings.check_data()?;
    Ok(settings)
}

/// Makes paths absolute, so that a run can be resumed and evaluated from any folder.
pub(super) fn with_absolute_paths(mut settings: Settings) -> anyhow::Result<Settings> {
    for path in [&mut settings.data, &mut settings.val] {
        if !path.as_os_str().is_empty() {
            *path = std::path::absolute(&*path)?;
        }
    }
    if let Some(teacher) = settings.teacher().filter(|teacher| Path::new(teacher).exists()) {
        let absolute = std::path::absolute(teacher)?;
        settings.teacher = absolute
            .into_os_string()
            .into_string()
            .map_err(|path| anyhow!("--teacher {}: expected a path in UTF-8", path.display()))?;
    }
    Ok(settings)
}

/// Determines how a group starts, and with which settings. After a restart by the launcher, the group resumes
/// the run in its folder if the settings match.
pub(super) fn of_group(
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    ranks: &Ranks,
    printer: &Printer,
) -> anyhow::Result<(StartMode, Settings)> {
    let mut start = None;
    let broadcast = ranks.first(|| {
        let found = match &arguments.resume {
            Some(folder) => StartMode::Resume(RunFolder::open(folder)?),
            None => in_folder(folder_of_group(command, arguments, ranks)?)?,
        };
        let saved = match &found {
            StartMode::Resume(folder) => Some(folder.read_config()?),
            _ => None,
        };
        let resumes = saved.is_some();
        start = Some(found);
        Ok(StartBroadcast { resumes, saved })
    })?;
    let resumes = broadcast.resumes;
    let settings = match broadcast.saved {
        Some(saved) if arguments.resume.is_some() => settings(arguments, saved, printer)?,
        Some(saved) => settled_as(settings(arguments, defaults, printer)?, &saved)?,
        None => settings(arguments, defaults, printer)?,
    };
    let start = start.unwrap_or(StartMode::Follow { resumes });
    Ok((start, with_absolute_paths(settings)?))
}

fn in_folder(folder: PathBuf) -> anyhow::Result<StartMode> {
    Ok(if folder.join("config.json").is_file() {
        StartMode::Resume(RunFolder::open(folder)?)
    } else {
        StartMode::New(NewFolder::Chosen(folder))
    })
}

/// Returns the folder from `--output`, the folder that the group used before a restart, or a new folder. The
/// group's store remembers it for as long as the launcher runs.
fn folder_of_group(command: &str, arguments: &TrainingArguments, ranks: &Ranks) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &arguments.output {
        return Ok(folder.clone());
    }
    let Some(group) = ranks.group() else {
        return Ok(unused_folder(command));
    };
    let memory = group.run_store()?;
    if ranks.restarts > 0
        && let Some(folder) = memory.try_get(FOLDER)?
    {
        return Ok(PathBuf::from(String::from_utf8(folder)?));
    }
    let folder = std::path::absolute(unused_folder(command))?;
    memory.set(FOLDER, folder.display().to_string().as_bytes())?;
    Ok(folder)
}

/// The key of the folder in the group's store.
const FOLDER: &str = "folder";

/// Returns `settings`, with what the run found out from `saved`: in place of `auto`, the epochs that a time allowed, and a
/// batch size that was reduced to the number of images.
fn settled_as(settings: Settings, saved: &Settings) -> anyhow::Result<Settings> {
    let asked = settings.clone();
    let (mut settings, found) = (serde_json::to_value(settings)?, serde_json::to_value(saved)?);
    if let (Value::Object(settings), Value::Object(saved)) = (&mut settings, &found) {
        for (name, value) in settings {
            if value == "auto" {
                value.clone_from(&saved[name]);
            }
        }
    }
    let mut settings: Settings = serde_json::from_value(settings)?;
    if asked.time.0.is_some() {
        settings.epochs = saved.epochs;
    }
    if asked.lr == Auto::Auto {
        settings.lr_batch = saved.lr_batch;
    }
    if let (Auto::Value(asked), Auto::Value(used)) = (asked.batch_size, saved.batch_size) {
        settings.batch_size = Auto::Value(used.min(asked));
    }
    Ok(settings)
}

/// Returns `runs/finetune-1`, or the same with the first unused number.
fn unused_folder(command: &str) -> PathBuf {
    let name = |number: u32| PathBuf::from(format!("runs/{command}-{number}"));
    let mut names = (1..).map(name);
    names.find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_found_out_is_not_looked_for_again() {
        let asked = Settings::of_finetune();
        let mut saved = asked.clone();
        saved.batch_size = Auto::Value(16);
        saved.image_size = Auto::Value(224);
        saved.epochs = 3;
        let settled = settled_as(asked.clone(), &saved).unwrap();
        assert_eq!(settled.batch_size, Auto::Value(16));
        assert_eq!(settled.image_size, Auto::Value(224));
        assert_eq!(settled.epochs, asked.epochs);
        let mut in_time = asked;
        in_time.time = "10m".parse().unwrap();
        assert_eq!(settled_as(in_time, &saved).unwrap().epochs, 3);
        // A batch is not larger than the data, and a rate that was found is not scaled.
        let mut asked = saved.clone();
        (asked.batch_size, asked.lr, asked.lr_batch) = (Auto::Value(64), Auto::Auto, 256);
        (saved.lr, saved.lr_batch) = (Auto::Value(1e-3), 0);
        assert_eq!(settled_as(asked, &saved).unwrap(), saved);
    }
}
