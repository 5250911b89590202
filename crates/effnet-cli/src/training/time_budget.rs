//! [`TimeBudget`]: the value of `--time`.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The time that a run may take: `none`, or a text such as `90s`, `10m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBudget(pub Option<Duration>);

/// The units, largest first, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for TimeBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        match seconds(text) {
            Some(seconds @ 1..) => Ok(Self(Some(Duration::from_secs(seconds)))),
            _ => Err("expected a time such as 90s, 10m or 1h30m, or none".to_owned()),
        }
    }
}

/// Returns the sum of whole numbers with units, each unit at most once and the largest first.
fn seconds(text: &str) -> Option<u64> {
    let mut sum = 0u64;
    let (mut rest, mut units) = (text, &UNITS[..]);
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let unit = rest[end..].chars().next()?;
        let index = units.iter().position(|&(name, _)| name == unit)?;
        let number: u64 = rest[..end].parse().ok()?;
        sum = sum.checked_add(number.checked_mul(units[index].1)?)?;
        units = &units[index + 1..];
        rest = &rest[end + unit.len_utf8()..];
    }
    Some(sum)
}

impl Display for TimeBudget {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Some(time) = self.0 else {
            return f.write_str("none");
        };
        let mut rest = time.as_secs();
        for (name, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{name}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

impl Serialize for TimeBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_in_one_form() {
        for (text, seconds, written) in [
            ("90s", 90, "1m30s"),
            ("10m", 600, "10m"),
            ("1h30m", 5400, "1h30m"),
            ("36h", 129_600, "1d12h"),
            ("1d0h5s", 86405, "1d5s"),
        ] {
            let budget: TimeBudget = text.parse().unwrap();
            assert_eq!(budget, TimeBudget(Some(Duration::from_secs(seconds))), "{text}");
            assert_eq!(budget.to_string(), written);
            assert_eq!(written.parse(), Ok(budget));
        }
        assert_eq!("none".parse(), Ok(TimeBudget(None)));
        assert_eq!(TimeBudget(None).to_string(), "none");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10",
            "0s",
            "m",
            "-5m",
            "5m1h",
            "5m5m",
            "1.5h",
            "10 m",
            "5min",
            "1µs",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(text.parse::<TimeBudget>().is_err(), "{text}");
        }
    }
}
