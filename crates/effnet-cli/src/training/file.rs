//! Reads settings from `--config` files and recipes.
//!
//! serde alone would reject a misspelt setting with a list of all settings; this module suggests the nearest name
//! instead.

use std::path::Path;

use anyhow::{Context, bail};

use super::settings::PartialSettings;

/// The largest file to read; settings never need more.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the file named by `--config`: TOML, or the config.json of a run.
///
/// # Errors
/// If the file cannot be read, is larger than 1 MiB or does not hold settings.
pub fn open(path: &Path) -> anyhow::Result<PartialSettings> {
    let shown = || path.display().to_string();
    let bytes = std::fs::metadata(path).with_context(shown)?.len();
    if bytes > MAX_BYTES {
        bail!(
            "{}: expected a settings file of at most {MAX_BYTES} bytes, found {bytes} bytes",
            path.display()
        );
    }
    let text = std::fs::read_to_string(path).with_context(shown)?;
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json {
        parse_json(&text)
    } else {
        parse_toml(&text)
    }
    .with_context(shown)
}

/// Parses settings in TOML.
///
/// # Errors
/// If the text does not hold settings. The error shows the offending line; for an unknown name, it suggests the nearest
/// setting.
pub fn parse_toml(text: &str) -> anyhow::Result<PartialSettings> {
    let table: toml::Table = toml::from_str(text)?;
    check_names(table.keys())?;
    // Parsed from the text rather than the table, so that errors show the line.
    Ok(toml::from_str(text)?)
}

fn parse_json(text: &str) -> anyhow::Result<PartialSettings> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    check_names(object.keys())?;
    Ok(serde_json::from_str(text)?)
}

fn check_names<'a>(names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    for name in names {
        if !PartialSettings::NAMES.contains(&name.as_str()) {
            match nearest(name) {
                Some(nearest) => bail!("unknown setting `{name}`; nearest: `{nearest}`"),
                None => bail!(
                    "unknown setting `{name}`, expected one of {}",
                    PartialSettings::NAMES.join(", ")
                ),
            }
        }
    }
    Ok(())
}

/// Returns the most similar setting, if any is similar enough.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.replace('-', "_");
    let similarity = |known: &&'static str| (strsim::jaro_winkler(&name, known), *known);
    let all = PartialSettings::NAMES.iter().map(similarity);
    let nearest = all.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (nearest.0 > 0.7).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::settings::Settings;
    use crate::training::values::Auto;

    #[test]
    fn a_misspelt_setting_is_refused_with_the_nearest_name() {
        for (misspelt, meant) in [
            ("batch-size", "batch_size"),
            ("label_smothing", "label_smoothing"),
            ("epoch", "epochs"),
        ] {
            let error = parse_toml(&format!("{misspelt} = 1")).unwrap_err().to_string();
            assert_eq!(error, format!("unknown setting `{misspelt}`; nearest: `{meant}`"));
        }
        let error = parse_json(r#"{"xyz": 1}"#).unwrap_err().to_string();
        assert!(error.contains("`xyz`") && error.contains("epochs"), "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_shown_with_its_line() {
        let error = parse_toml("seed = 1\nepochs = \"many\"").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("epochs"), "{error}");
        let error = parse_toml("optimizer = \"adam\"").unwrap_err().to_string();
        assert!(error.contains("`adamw`"), "{error}");
    }

    #[test]
    fn resolved_settings_can_be_fed_back_in_both_forms() {
        let mut settings = Settings::of_finetune();
        settings.data = "photos".into();
        settings.batch_size = Auto::Value(32);
        let json = parse_json(&serde_json::to_string(&settings).unwrap()).unwrap();
        let toml = parse_toml(&toml::to_string(&settings).unwrap()).unwrap();
        for settings_of_file in [json, toml] {
            assert_eq!(settings_of_file.or_defaults(Settings::of_train()), settings);
        }
    }
}
