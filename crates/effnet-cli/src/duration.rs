//! Durations as people read them.

/// Formats a duration as `8s`, `2m 5s` or `3h 12m`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_have_two_units_at_most() {
        let found = [7.6, 60.0, 125.0, 11_520.0].map(duration);
        assert_eq!(found, ["8s", "1m 0s", "2m 5s", "3h 12m"]);
    }
}
