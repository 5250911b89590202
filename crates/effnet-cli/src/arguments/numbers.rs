//! Parsers for flags that take numbers.
//!
//! clap's own parsers report "invalid digit found in string" for `-1`, unless they mistake it for a flag in the first
//! place. These parsers say what is expected, in the same words for every flag.

use std::ops::{Bound, RangeBounds};

/// One value per channel.
pub type Triple = [f32; 3];

/// Returns a parser for whole numbers within `range`.
pub(super) fn count(
    range: impl RangeBounds<usize> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(expected(&range)),
    }
}

fn expected(range: &impl RangeBounds<usize>) -> String {
    let low = match range.start_bound() {
        Bound::Included(&low) => low,
        Bound::Excluded(&low) => low.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match range.end_bound() {
        Bound::Included(high) => format!("expected a whole number from {low} to {high}"),
        Bound::Excluded(high) => format!("expected a whole number from {low} to {}", high.saturating_sub(1)),
        Bound::Unbounded => format!("expected a whole number, {low} or more"),
    }
}

/// Lets every flag of a command take a negative number as its value, so that the flag's parser can say what is
/// expected.
pub(super) fn may_be_negative(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let takes_value = argument.get_action().takes_values() && !argument.is_positional();
        argument.allow_negative_numbers(takes_value)
    })
}

pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("expected a number above 0 and at most 1".to_owned()),
    }
}

pub(super) fn triple(text: &str) -> Result<Triple, String> {
    let parsed: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse::<f32>()).collect();
    match parsed.as_deref() {
        Ok(&[r, g, b]) if [r, g, b].iter().all(|value| value.is_finite()) => Ok([r, g, b]),
        // A single number applies to all three channels.
        Ok(&[value]) if value.is_finite() => Ok([value; 3]),
        _ => Err("expected three numbers, such as 0.5,0.5,0.5".to_owned()),
    }
}

pub(super) fn positive_triple(text: &str) -> Result<Triple, String> {
    match triple(text)? {
        values if values.iter().all(|&value| value > 0.0) => Ok(values),
        _ => Err("expected numbers above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `visit` with each command and the words that lead to it.
    fn each_command(command: &clap::Command, words: &[&str], visit: &mut dyn FnMut(&clap::Command, &[&str])) {
        visit(command, words);
        for inner in command.get_subcommands() {
            each_command(inner, &[words, &[inner.get_name()]].concat(), visit);
        }
    }

    #[test]
    fn every_flag_for_a_number_says_what_it_expects() {
        let definition = super::super::Arguments::definition();
        let mut tried = 0;
        each_command(&definition, &["effnet"], &mut |command, words| {
            for argument in command.get_arguments() {
                let value = argument.get_value_names().and_then(|names| names.first());
                let (Some(flag), Some(value)) = (argument.get_long(), value) else {
                    continue;
                };
                if !["N", "N|auto", "F", "F|auto", "P", "SECONDS", "R,G,B"].contains(&value.as_str()) {
                    continue;
                }
                tried += 1;
                let flag = format!("--{flag}");
                for text in ["x", "-1"] {
                    let call = [words, &[flag.as_str(), text]].concat();
                    let Err(error) = definition.clone().try_get_matches_from(call) else {
                        continue;
                    };
                    let message = error.to_string();
                    // Some numbers may be negative, and the range of a setting is checked later.
                    let is_accepted =
                        text == "-1" && error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                    let is_told =
                        message.contains(&format!("'{text}' for '{flag}")) && message.contains(": expected ");
                    assert!(is_told || is_accepted, "{words:?}: {message}");
                }
            }
        });
        assert!(tried > 40, "{tried}");
    }

    #[test]
    fn a_number_out_of_range_is_told_the_range() {
        let parse = count(1..=1024);
        assert_eq!(parse("7"), Ok(7));
        for text in ["0", "-1", "1025", "1.5", "x", "", "99999999999999999999999"] {
            assert_eq!(
                parse(text).unwrap_err(),
                "expected a whole number from 1 to 1024",
                "{text}"
            );
        }
        assert_eq!(
            count(0..)("-1").unwrap_err(),
            "expected a whole number, 0 or more"
        );
    }
}
