//! Where a training begins: from nothing, or in a folder that it was left in.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use effnet_train::run::RunFolder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ranks::Ranks;
use super::setup::Start;
use effnet_cli::Printer;
use effnet_cli::arguments::TrainingArguments;
use effnet_cli::training::resolve::resolve;
use effnet_cli::training::settings::Settings;

/// What the first process tells the others.
#[derive(Serialize, Deserialize)]
struct Told {
    resumes: bool,
    /// Those of the run that is gone on with.
    saved: Option<Settings>,
}

/// The settings that the arguments and `defaults` make.
pub(super) fn settings(
    arguments: &TrainingArguments,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Settings> {
    let flags = arguments.settings.clone();
    resolve(flags, arguments.config.as_deref(), defaults, printer)
}

/// A run is gone on with, and measured, from any folder.
pub(super) fn with_absolute_paths(mut settings: Settings) -> anyhow::Result<Settings> {
    if !settings.data.as_os_str().is_empty() {
        settings.data = std::path::absolute(&settings.data)?;
    }
    if let Some(teacher) = settings.teacher().filter(|teacher| Path::new(teacher).exists()) {
        let absolute = std::path::absolute(teacher)?;
        settings.teacher = absolute
            .into_os_string()
            .into_string()
            .map_err(|path| anyhow!("`teacher` is {}, expected a path in UTF-8", path.display()))?;
    }
    Ok(settings)
}

/// The beginning of a group, in which the first process alone has the folder. A launcher starts the same
/// command again after a failure: the group goes on with the run that it finds in its folder then, if
/// the settings are those of the run.
pub(super) fn of_group(
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    ranks: &Ranks,
    printer: &Printer,
) -> anyhow::Result<(Start, Settings)> {
    let mut start = None;
    let told = ranks.first(|| {
        let found = match &arguments.resume {
            Some(folder) => Start::Resume(RunFolder::open(folder)?),
            None => in_folder(folder_of_group(command, arguments, ranks)?)?,
        };
        let saved = match &found {
            Start::Resume(folder) => Some(folder.read_config()?),
            _ => None,
        };
        let resumes = saved.is_some();
        if let (Start::Resume(folder), None) = (&found, &arguments.resume) {
            printer.note(format!("going on with {}", folder.path().display()));
        }
        start = Some(found);
        Ok(Told { resumes, saved })
    })?;
    let resumes = told.resumes;
    let settings = match told.saved {
        Some(saved) if arguments.resume.is_some() => settings(arguments, saved, printer)?,
        Some(saved) => settled_as(settings(arguments, defaults, printer)?, &saved)?,
        None => settings(arguments, defaults, printer)?,
    };
    let start = start.unwrap_or(Start::Follow { resumes });
    Ok((start, with_absolute_paths(settings)?))
}

fn in_folder(folder: PathBuf) -> anyhow::Result<Start> {
    Ok(if folder.join("config.json").is_file() {
        Start::Resume(RunFolder::open(folder)?)
    } else {
        Start::Begin(folder)
    })
}

/// The folder that was named, that of the group before it was started again, or a new one, which the store
/// remembers as long as the launcher serves it.
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

/// The name that the store remembers the folder by.
const FOLDER: &str = "folder";

/// `settings`, where what was to be found out is what `saved` has.
fn settled_as(settings: Settings, saved: &Settings) -> anyhow::Result<Settings> {
    let (mut settings, saved) = (serde_json::to_value(settings)?, serde_json::to_value(saved)?);
    if let (Value::Object(settings), Value::Object(saved)) = (&mut settings, &saved) {
        for (name, value) in settings {
            if value == "auto" {
                value.clone_from(&saved[name]);
            }
        }
    }
    Ok(serde_json::from_value(settings)?)
}

/// `runs/finetune-1`, or the first number of which there is nothing.
pub(super) fn unused_folder(command: &str) -> PathBuf {
    let name = |number: u32| PathBuf::from(format!("runs/{command}-{number}"));
    let mut names = (1..).map(name);
    names.find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_cli::training::values::Auto;

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
    }
}
