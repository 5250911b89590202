//! What a run is computed with: the lines printed before training, and `run.json` in the run folder.

use std::time::{SystemTime, UNIX_EPOCH};

use effnet_cli::counted;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::HeadFreeze;
use effnet_train::Trainer;
use effnet_train::run::{RunFacts, RunStart};
use serde::Serialize;
use serde_json::Value;
use tch::Device;

use super::plan::{head_epochs, peak_rate};

/// The libtorch version for which this program is built.
const LIBTORCH: &str = "2.11.0";

/// Returns what this process computes with from now on.
pub(super) fn start(trainer: &Trainer, threads: usize, processes: usize) -> RunStart {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let device = match trainer.network().device() {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    };
    RunStart::new(device, trainer.precision().name())
        .with_time(trainer.position().step, since.map_or(0, |since| since.as_secs()))
        .with_versions(env!("CARGO_PKG_VERSION"), LIBTORCH)
        .with_threads(threads, processes)
}

/// Returns the facts of a run of `command` that starts now.
pub(super) fn facts(command: &str, trainer: &Trainer, settings: &Settings, start: RunStart) -> RunFacts {
    RunFacts::new(command, parameters(trainer), settings.seed, start)
}

fn parameters(trainer: &Trainer) -> u64 {
    let is_buffer = |name: &str| {
        ["running_mean", "running_var", "num_batches_tracked"]
            .iter()
            .any(|buffer| name.ends_with(buffer))
    };
    let tensors = trainer.network().named_tensors();
    let counted = tensors.filter(|(name, _)| !is_buffer(name));
    counted.map(|(_, tensor)| tensor.numel() as u64).sum()
}

/// Returns the line about the steps: `4.0 million parameters, adamw with learning rate 2.0e-3 (one-cycle), ...`. The
/// learning rate is the highest one of steps that `ranks` processes take together, after the first epochs of a new classifier.
pub(super) fn describe_steps(
    trainer: &Trainer,
    settings: &Settings,
    steps_per_epoch: u64,
    ranks: usize,
) -> String {
    let rate = settings.lr.value().map_or("auto".to_owned(), |rate| {
        format!("{:.1e}", peak_rate(settings, rate, ranks))
    });
    let batch = settings.batch_size.value().unwrap_or(1);
    let accumulated = match settings.accumulate {
        1 => String::new(),
        count => format!(" x {count}"),
    };
    format!(
        "{:.1} million parameters, {} with learning rate {rate} ({}), batch size {batch}{accumulated}, {} of {}, seed {}",
        parameters(trainer) as f64 / 1e6,
        name_of(settings.optimizer),
        name_of(settings.schedule),
        counted(u64::from(settings.epochs), "epoch"),
        counted(steps_per_epoch, "step"),
        settings.seed
    )
}

/// Returns the line about the initial epochs that train less than the others, if there are any.
pub(super) fn describe_head_epochs(settings: &Settings) -> Option<String> {
    let epochs = match head_epochs(settings) {
        0 => return None,
        1 => "epoch 1 trains".to_owned(),
        last => format!("epochs 1 to {last} train"),
    };
    let layers = match settings.head_freeze {
        HeadFreeze::Convolutions => "batch norm and the classifier",
        HeadFreeze::Features => "the classifier",
    };
    Some(format!(
        "{epochs} {layers} alone, at {} times the learning rate",
        settings.head_rate
    ))
}

/// Returns the name of a value on the command line and in config.json.
pub(super) fn name_of(value: impl Serialize) -> String {
    match serde_json::json!(value) {
        Value::String(name) => name,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_epochs_that_train_less_are_told() {
        let mut settings = Settings::of_finetune();
        let line = |settings: &Settings| describe_head_epochs(settings);
        assert_eq!(
            line(&settings).as_deref(),
            Some("epoch 1 trains the classifier alone, at 2 times the learning rate")
        );
        settings.head_epochs = 3;
        settings.head_freeze = HeadFreeze::Convolutions;
        settings.head_rate = 0.5;
        assert_eq!(
            line(&settings).as_deref(),
            Some("epochs 1 to 3 train batch norm and the classifier alone, at 0.5 times the learning rate")
        );
        settings.head_epochs = 0;
        assert_eq!(line(&settings), None);
    }
}
