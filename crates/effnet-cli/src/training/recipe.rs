//! Named presets.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::file;
use super::settings::Given;

/// `--recipe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// The defaults of the command
    None,
    /// The paper's for ImageNet from scratch, as the reference implementation has it
    Paper,
    /// timm's RandAugment recipe, which its own B0 and B2 are from
    #[value(name = "timm-ra2")]
    #[serde(rename = "timm-ra2")]
    TimmRa2,
    /// Small data sets, and training on a CPU
    Small,
}

impl Recipe {
    /// Its settings in the form of a `--config` file.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Paper => include_str!("recipes/paper.toml"),
            Self::TimmRa2 => include_str!("recipes/timm-ra2.toml"),
            Self::Small => include_str!("recipes/small.toml"),
        }
    }

    /// What it sets.
    ///
    /// # Errors
    /// Never in a build whose tests pass: they read the same text.
    pub fn settings(self) -> anyhow::Result<Given> {
        file::parse_toml(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::settings::Settings;

    #[test]
    fn every_recipe_is_complete_and_within_the_ranges() {
        for recipe in Recipe::value_variants() {
            let mut settings = recipe.settings().unwrap().or_defaults(Settings::of_train());
            settings.data = "photos".into();
            settings.check().unwrap();
        }
    }

    #[test]
    fn the_rate_of_the_paper_is_for_256_images() {
        let paper = Recipe::Paper.settings().unwrap();
        let lr = paper.lr.and_then(crate::training::values::Auto::value);
        assert_eq!((lr, paper.lr_batch), (Some(0.016), Some(256)));
    }
}
