//! The range of an axis and its ticks. Every tick has a label, and all labels of an axis have one style.

use crate::drawing::grouped;

/// An axis from `low` to `high`.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
    logarithmic: bool,
}

/// Maximum number of ticks along an axis.
const MOST: f64 = 8.0;

impl Axis {
    /// Creates an axis for values of any size, with a margin. It goes below 0 only if the values do.
    pub fn numbers((low, high): (f64, f64)) -> Self {
        let margin = match (high - low) * 0.06 {
            margin if margin > 0.0 => margin,
            _ if high == 0.0 => 1.0,
            _ => high.abs() * 0.1,
        };
        let bottom = if low >= 0.0 {
            // A value of 0 is drawn as thick as any other value.
            (low - margin).max(-margin / 4.0)
        } else {
            low - margin
        };
        let top = high + margin;
        let step = step_of(top - bottom);
        Self {
            low: bottom,
            high: top,
            ticks: multiples(step, bottom, top, |value| decimal(value, step)),
            logarithmic: false,
        }
    }

    /// Like [`numbers`](Self::numbers), but ends just above 100 if no value is higher.
    pub fn percentages((low, high): (f64, f64)) -> Self {
        let mut axis = Self::numbers((low, high));
        let most = 100.0;
        if high <= most {
            axis.high = axis.high.min(most + (axis.high - axis.low) * 0.02);
            axis.ticks.retain(|(value, _)| *value <= most);
        }
        axis
    }

    /// Creates an axis for epochs and steps, with ticks only at whole numbers.
    pub fn whole_numbers((low, high): (f64, f64)) -> Self {
        let margin = ((high - low) * 0.02).max(0.2);
        let (low, high) = (low - margin, high + margin);
        let step = step_of(high - low).max(1.0);
        Self {
            low,
            high,
            ticks: multiples(step, low.max(0.0), high, |value| grouped(value as u64)),
            logarithmic: false,
        }
    }

    /// Creates a logarithmic axis with a tick per power of ten; the values must be above 0.
    pub fn decades((low, high): (f64, f64)) -> Self {
        let (low, high) = (low.log10() - 0.1, high.log10() + 0.1);
        let every = ((high - low) / MOST).ceil().max(1.0);
        Self {
            low,
            high,
            ticks: multiples(every, low, high, |power| format!("1e{power:.0}"))
                .into_iter()
                .map(|(power, text)| (10f64.powf(power), text))
                .collect(),
            logarithmic: true,
        }
    }

    /// Returns the position of `value` along the axis, 0 to 1.
    pub fn fraction(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// Returns the values and labels of the ticks.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        self.ticks.clone().into_iter()
    }
}

/// Returns the smallest of 1, 2, 5, 10, 20, ... (or 0.1, 0.2, 0.5, ...) that divides `range` into at most
/// `MOST` steps.
fn step_of(range: f64) -> f64 {
    let least = range / MOST;
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|digit| digit * power >= least);
    step.unwrap_or(10.0) * power
}

/// Returns the multiples of `step` between `low` and `high`.
fn multiples(step: f64, low: f64, high: f64, text: impl Fn(f64) -> String) -> Vec<(f64, String)> {
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    let count = (last - first).clamp(-1.0, 2.0 * MOST) as i32;
    (0..=count)
        .map(|index| (first + f64::from(index)) * step)
        .map(|value| (value, text(value)))
        .collect()
}

/// Formats `value` with as many decimals as multiples of `step` need.
fn decimal(value: f64, step: f64) -> String {
    // Logarithms of powers of ten are not exact: that of 0.001 is just above or below -3.
    let power = (step.log10() + 1e-9).floor() as i32;
    if !(-4..=5).contains(&power) {
        let digits = (value / 10f64.powi(power)).round();
        return if digits == 0.0 {
            "0".to_owned()
        } else {
            format!("{digits:.0}e{power}")
        };
    }
    let decimals = usize::try_from(-power).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| c == '0' || c == '.') => zero.to_owned(),
        _ if value >= 1000.0 => grouped(value.round() as u64),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().map(|(_, text)| text).collect()
    }

    #[test]
    fn labels_of_an_axis_have_one_style() {
        let rates = Axis::numbers((0.0, 0.002));
        assert_eq!(labels(&rates), ["0.0000", "0.0005", "0.0010", "0.0015", "0.0020"]);
        let accuracy = Axis::numbers((75.0, 100.0));
        assert_eq!(labels(&accuracy), ["75", "80", "85", "90", "95", "100"]);
        let perfect = Axis::percentages((100.0, 100.0));
        assert_eq!(labels(&perfect), ["90", "95", "100"]);
        assert!(perfect.fraction(100.0) < 1.0);
        assert_eq!(Axis::percentages((0.0, 60.0)), Axis::numbers((0.0, 60.0)));
        let tiny = Axis::numbers((1e-7, 2e-5));
        assert_eq!(labels(&tiny), ["0", "5e-6", "10e-6", "15e-6", "20e-6"]);
    }

    #[test]
    fn epochs_are_whole_numbers_and_every_tick_has_a_label() {
        for last in [1.0, 2.0, 3.0, 7.0, 10.0, 90.0, 350.0, 12_000.0] {
            let axis = Axis::whole_numbers((1.0, last));
            let ticks: Vec<_> = axis.ticks().collect();
            assert!((1..=9).contains(&ticks.len()), "{ticks:?}");
            for (value, text) in ticks {
                assert_eq!(value.fract(), 0.0);
                assert_eq!(text.replace(',', ""), format!("{value:.0}"));
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_per_decade() {
        let axis = Axis::decades((1e-7, 0.5));
        assert_eq!(
            labels(&axis),
            ["1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1"]
        );
        assert!(axis.fraction(1e-7) > 0.0 && axis.fraction(0.5) < 1.0);
    }

    #[test]
    fn values_that_are_all_equal_have_an_axis_too() {
        for value in [0.0, 1.0, -3.0, 99.9, 1e-9] {
            let axis = Axis::numbers((value, value));
            let fraction = axis.fraction(value);
            assert!(fraction > 0.0 && fraction < 1.0, "{fraction} for {value}");
        }
    }
}
