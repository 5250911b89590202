//! Presets of training settings, in the format of `--config` files.

use super::file;
use super::settings::PartialSettings;
use super::values::Recipe;

impl Recipe {
    /// Returns the settings as the text of a `--config` file.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Paper => include_str!("recipes/paper.toml"),
            Self::TimmRa2 => include_str!("recipes/timm-ra2.toml"),
            Self::Small => include_str!("recipes/small.toml"),
        }
    }

    /// Returns the settings of the recipe.
    ///
    /// # Errors
    /// Never in a build whose tests pass, because they parse the same text.
    pub fn settings(self) -> anyhow::Result<PartialSettings> {
        file::parse_toml(self.text())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

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
