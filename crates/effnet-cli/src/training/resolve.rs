//! Determines the value of each setting from the flags, the `--config` file, the recipe or the defaults, in this order.
//!
//! `--print-config` and training both resolve their settings here, so that both see the same values.

use std::path::Path;

use serde_json::{Map, Value};

use super::file;
use super::held_out;
use super::settings::{PartialSettings, Settings};
use super::values::Recipe;
use crate::printer::Printer;

/// Resolves the settings: `flags` take precedence over the file `config`, the file over the recipe that either of them
/// names, and the recipe over `defaults`. Prints the settings of the recipe.
///
/// # Errors
/// If the file cannot be read, or if a setting is out of range.
pub fn resolve(
    flags: PartialSettings,
    config: Option<&Path>,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Settings> {
    let mut file = config.map(file::open).transpose()?.unwrap_or_default();
    if flags.epochs.is_some() {
        // It would choose other epochs.
        file.time = None;
    }
    let user = held_out::combine(flags, file);
    let recipe = user.recipe.unwrap_or(Recipe::None);
    let preset = recipe.settings()?;
    let settings = user.or(preset.clone()).or_defaults(defaults);
    settings.check()?;
    for line in explain(&preset, &settings) {
        printer.note(line);
    }
    Ok(settings)
}

/// Returns one line per setting of a recipe, with the value that overrides it, if any.
fn explain(preset: &PartialSettings, settings: &Settings) -> Vec<String> {
    let (preset, settings) = (object(preset), object(settings));
    let line = |(name, value): (&String, &Value)| match settings.get(name) {
        Some(actual) if actual != value => format!("recipe: {name} = {value}, replaced by {actual}"),
        _ => format!("recipe: {name} = {value}"),
    };
    preset.iter().map(line).collect()
}

fn object(settings: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::json!(settings) {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColorChoice;

    fn resolved(flags: PartialSettings, config: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let printer = Printer::new(true, false, ColorChoice::Never);
        let flags = PartialSettings {
            data: Some("photos".into()),
            ..flags
        };
        resolve(flags, Some(&path), Settings::of_train(), &printer).unwrap()
    }

    fn three_epochs() -> PartialSettings {
        PartialSettings {
            epochs: Some(3),
            ..PartialSettings::default()
        }
    }

    #[test]
    fn flags_count_more_than_the_file_more_than_the_recipe_more_than_the_defaults() {
        let settings = resolved(three_epochs(), "recipe = \"paper\"\nepochs = 7\nema = 0.5\n");
        assert_eq!(settings.epochs, 3);
        assert_eq!(settings.ema, 0.5);
        assert_eq!(settings.decay_epochs, 2.4);
        assert_eq!(settings.weight_decay, 1e-5);
        assert_eq!(settings.flip, Settings::of_train().flip);
    }

    #[test]
    fn epochs_replace_the_time_of_a_file() {
        let settings = resolved(three_epochs(), "epochs = 7\ntime = \"10m\"\n");
        assert_eq!((settings.epochs, settings.time.0), (3, None));
    }

    #[test]
    fn what_a_recipe_sets_is_told_with_what_replaces_it() {
        let settings = resolved(three_epochs(), "recipe = \"small\"\n");
        let lines = explain(&Recipe::Small.settings().unwrap(), &settings);
        assert!(
            lines.contains(&"recipe: epochs = 30, replaced by 3".to_owned()),
            "{lines:?}"
        );
        assert!(lines.contains(&"recipe: mixup = 0.2".to_owned()), "{lines:?}");
    }
}
