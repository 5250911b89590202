//! Padding and batch-norm epsilon, where a file or its folder states them one by one.
//!
//! timm records the arguments with which its user changed a network (`pad_type`, `bn_eps`) apart from the name of
//! the network. The profile that the name implies would then be wrong, and so would the logits, without an error.

use effnet_architecture::{Padding, Profile};

/// The constants that arguments of timm state, before the name of the network fills in the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatedConstants {
    padding: Option<StatedPadding>,
    epsilon: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum StatedPadding {
    Known(Padding),
    /// No padding at all, which no profile has.
    Valid,
}

/// Constants that no profile combines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct UnknownConstants {
    pub(crate) padding: &'static str,
    pub(crate) epsilon: f64,
}

impl StatedConstants {
    /// Takes the value of an argument of timm, unless one was taken before. Ignores other arguments, and values
    /// that are not understood.
    pub(crate) fn take(&mut self, argument: &str, value: &str) {
        match argument {
            "pad_type" => {
                self.padding.get_or_insert(padding(value));
            }
            "bn_eps" => self.epsilon = self.epsilon.or_else(|| value.parse().ok()),
            _ => {}
        }
    }

    /// Returns the profile with these constants, and those of `network` where none is stated. Returns `None` if
    /// that leaves several profiles, or nothing is stated at all.
    ///
    /// # Errors
    /// [`UnknownConstants`] if no profile has this combination.
    pub(crate) fn profile(&self, network: Option<Profile>) -> Result<Option<Profile>, UnknownConstants> {
        if self.padding.is_none() && self.epsilon.is_none() {
            return Ok(network);
        }
        let padding = network.map(|profile| StatedPadding::Known(profile.padding()));
        let padding = self.padding.or(padding);
        let epsilon = self.epsilon.or(network.map(Profile::batch_norm_epsilon));
        let mut fitting = Profile::ALL.into_iter().filter(|profile| {
            padding.is_none_or(|padding| padding == StatedPadding::Known(profile.padding()))
                && epsilon.is_none_or(|epsilon| is_epsilon(*profile, epsilon))
        });
        match (fitting.next(), fitting.next()) {
            (Some(profile), None) => Ok(Some(profile)),
            // What is still missing has timm's default.
            (None, ..) => Err(unknown(
                padding.unwrap_or(StatedPadding::Known(Padding::Symmetric)),
                epsilon.unwrap_or(Profile::Timm.batch_norm_epsilon()),
            )),
            _ => Ok(None),
        }
    }
}

/// Returns the profile with this padding and epsilon.
///
/// # Errors
/// [`UnknownConstants`] if there is none.
pub(crate) fn profile_of(padding: Padding, epsilon: f64) -> Result<Profile, UnknownConstants> {
    let fits = |profile: &Profile| profile.padding() == padding && is_epsilon(*profile, epsilon);
    let found = Profile::ALL.into_iter().find(fits);
    found.ok_or_else(|| unknown(StatedPadding::Known(padding), epsilon))
}

fn is_epsilon(profile: Profile, epsilon: f64) -> bool {
    let expected = profile.batch_norm_epsilon();
    (epsilon - expected).abs() < 1e-3 * expected
}

fn unknown(padding: StatedPadding, epsilon: f64) -> UnknownConstants {
    let padding = match padding {
        StatedPadding::Known(Padding::Symmetric) => "symmetric",
        StatedPadding::Known(Padding::Same | Padding::StaticSame) => "same",
        StatedPadding::Valid => "valid",
    };
    UnknownConstants { padding, epsilon }
}

/// Reads a padding as timm does: whatever is not the name of another is symmetric.
fn padding(text: &str) -> StatedPadding {
    match text.to_ascii_lowercase().as_str() {
        "same" => StatedPadding::Known(Padding::Same),
        "valid" => StatedPadding::Valid,
        _ => StatedPadding::Known(Padding::Symmetric),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(arguments: &[(&str, &str)]) -> StatedConstants {
        let mut stated = StatedConstants::default();
        for (argument, value) in arguments {
            stated.take(argument, value);
        }
        stated
    }

    #[test]
    fn what_is_stated_replaces_what_the_network_has() {
        for (arguments, network, expected) in [
            (&[][..], None, None),
            (&[], Some(Profile::Tf), Some(Profile::Tf)),
            (
                &[("bn_eps", "null"), ("drop_rate", "0.2")],
                Some(Profile::Timm),
                Some(Profile::Timm),
            ),
            (
                &[("pad_type", "same"), ("bn_eps", "0.001")],
                Some(Profile::Timm),
                Some(Profile::Tf),
            ),
            (
                &[("bn_eps", "1e-3")],
                Some(Profile::Timm),
                Some(Profile::Torchvision),
            ),
            (&[("pad_type", "")], Some(Profile::Timm), Some(Profile::Timm)),
            (&[("pad_type", "")], Some(Profile::Tf), Some(Profile::Torchvision)),
            (&[("pad_type", "SAME")], None, Some(Profile::Tf)),
            (&[("bn_eps", "1e-05")], None, Some(Profile::Timm)),
            // Two profiles have this epsilon.
            (&[("bn_eps", "1e-3")], None, None),
            (
                &[("bn_eps", "1e-3"), ("bn_eps", "1e-5")],
                Some(Profile::Tf),
                Some(Profile::Tf),
            ),
        ] {
            assert_eq!(
                stated(arguments).profile(network),
                Ok(expected),
                "{arguments:?} {network:?}"
            );
        }
    }

    #[test]
    fn a_combination_of_no_profile_is_an_error_with_both_values() {
        for (arguments, network, padding, epsilon) in [
            (&[("pad_type", "same")][..], Some(Profile::Timm), "same", 1e-5),
            (&[("bn_eps", "1e-4")], Some(Profile::Tf), "same", 1e-4),
            (&[("pad_type", "valid")], Some(Profile::Timm), "valid", 1e-5),
            (&[("pad_type", "valid")], None, "valid", 1e-5),
            (&[("bn_eps", "0.5")], None, "symmetric", 0.5),
        ] {
            let error = UnknownConstants { padding, epsilon };
            assert_eq!(
                stated(arguments).profile(network),
                Err(error),
                "{arguments:?} {network:?}"
            );
        }
        assert!(profile_of(Padding::Same, 1e-5).is_err());
        assert_eq!(
            profile_of(Padding::Symmetric, f64::from(1e-5_f32)),
            Ok(Profile::Timm)
        );
    }
}
