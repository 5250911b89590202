//! Numbers of any magnitude, such as the errors of regression.

/// Formats a number with four significant digits.
pub fn short(value: f64) -> String {
    let magnitude = if value == 0.0 {
        0
    } else {
        value.abs().log10().floor() as i32
    };
    if (-4..7).contains(&magnitude) {
        let digits = usize::try_from(3 - magnitude).unwrap_or(0);
        format!("{value:.digits$}")
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let found = [0.0, 1.0, 12.345_6, -0.001_234_56, 123_456.0, 1.5e12].map(short);
        assert_eq!(
            found,
            ["0.000", "1.000", "12.35", "-0.001235", "123456", "1.500e12"]
        );
    }
}
