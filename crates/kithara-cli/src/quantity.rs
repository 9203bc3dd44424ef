//! Sizes and times as people write them.

use std::time::Duration;

/// Bytes: a number, with `k`, `M`, `G` or `T` for powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "a number of bytes, such as 500M or 2G";
    const UNITS: [(&str, u32); 5] = [("k", 1), ("m", 2), ("g", 3), ("t", 4), ("", 0)];
    let (number, power) = split(text, &UNITS).ok_or(WANTED)?;
    let number: u64 = number.parse().map_err(|_| WANTED)?;
    1024_u64.checked_pow(power).and_then(|unit| number.checked_mul(unit)).ok_or(WANTED)
}

/// A time of at most a century: seconds and parts of them, or a number with `s`, `m`, `h` or `d`.
pub(crate) fn time(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "a time, such as 90, 12.5, 90s, 45m, 12h or 30d";
    const UNITS: [(&str, f64); 5] = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("", 1.0)];
    const CENTURY: f64 = 3.2e9;
    let (number, unit) = split(text, &UNITS).ok_or(WANTED)?;
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let seconds = seconds.filter(|seconds| (0.0..CENTURY).contains(seconds)).ok_or(WANTED)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| WANTED)
}

/// A time that is more than none, as [`time`].
pub(crate) fn length(text: &str) -> Result<Duration, &'static str> {
    time(text).and_then(|length| if length.is_zero() { Err("more than no time at all") } else { Ok(length) })
}

/// What stands in front of the first unit that fits, and what that unit stands for.
fn split<'a, T: Copy>(text: &'a str, units: &[(&str, T)]) -> Option<(&'a str, T)> {
    let fits = |(unit, means): &(&str, T)| {
        let (number, end) = text.split_at_checked(text.len().checked_sub(unit.len())?)?;
        end.eq_ignore_ascii_case(unit).then_some((number, *means))
    };
    units.iter().find_map(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, want) in [("0", 0), ("1000", 1000), ("64k", 65_536), ("500M", 500 << 20), ("2G", 2 << 30)] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "k", "-1", "1.5G", "17000000T", "2GB", "3s", "ü", "üG"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_unless_they_have_units() {
        let cases =
            [("90", 90.0), ("12.5", 12.5), ("90s", 90.0), ("45m", 2700.0), ("1.5H", 5400.0), ("30d", 2_592_000.0)];
        for (text, want) in cases {
            assert_eq!(time(text), Ok(Duration::from_secs_f64(want)), "{text}");
        }
        for text in ["", "s", "d", "-1", "-1d", "nan", "inf", "1:30", "1e300", "18446744073709551615d", "ü"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
    #[test]
    fn a_length_is_more_than_nothing() {
        assert_eq!(length("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "0s", "0.0h", "-1", ""] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
