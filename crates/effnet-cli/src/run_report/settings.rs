//! The settings of a run that are not the defaults of its command.

use effnet_run::RunFacts;
use serde_json::Value;

use crate::training::settings::Settings;

/// Settings that a report states elsewhere.
const ELSEWHERE: [&str; 1] = ["data"];

/// Returns the command that trained a run. A run of an earlier version does not say so; the weights that the commands start
/// from by default tell.
pub(super) fn command(settings: &Settings, facts: Option<&RunFacts>) -> &'static str {
    let stated = facts.and_then(|facts| facts.command.as_deref());
    match stated {
        Some("train") => "train",
        Some("finetune") => "finetune",
        _ if settings.weights == Settings::of_train().weights => "train",
        _ => "finetune",
    }
}

/// Returns the name, the value and the default of each setting whose value is not the default of `command`.
pub(super) fn differing(settings: &Settings, command: &str) -> Vec<[String; 3]> {
    let defaults = match command {
        "train" => Settings::of_train(),
        _ => Settings::of_finetune(),
    };
    let (Value::Object(settings), Value::Object(defaults)) =
        (serde_json::json!(settings), serde_json::json!(defaults))
    else {
        return Vec::new();
    };
    let differs = |(name, value): &(&String, &Value)| {
        !ELSEWHERE.contains(&name.as_str()) && defaults.get(*name) != Some(*value)
    };
    let row = |(name, value): (&String, &Value)| {
        let default = defaults.get(name).map_or_else(String::new, shown);
        [name.replace('_', "-"), shown(value), default]
    };
    settings.iter().filter(differs).map(row).collect()
}

/// Formats a value as a flag takes it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_were_changed_are_listed_with_their_defaults() {
        let mut settings = Settings::of_finetune();
        settings.epochs = 3;
        settings.data = "photos".into();
        settings.label_smoothing = 0.0;
        let found = differing(&settings, "finetune");
        assert_eq!(
            found,
            [["epochs", "3", "10"], ["label-smoothing", "0.0", "0.1"]].map(|row| row.map(str::to_owned))
        );
        assert_eq!(command(&settings, None), "finetune");
        assert_eq!(command(&Settings::of_train(), None), "train");
    }
}
