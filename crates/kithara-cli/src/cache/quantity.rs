//! Sizes and times as people write them.

use std::time::Duration;

/// Bytes: a number, with `k`, `M`, `G` or `T` for powers of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "a number of bytes, such as 500M or 2G";
    let (number, power) = split(text, &[("k", 1), ("m", 2), ("g", 3), ("t", 4), ("", 0)]).ok_or(WANTED)?;
    1024_u64.checked_pow(power).and_then(|unit| number.checked_mul(unit)).ok_or(WANTED)
}

/// A time: a number with `s`, `m`, `h` or `d`.
pub(super) fn time(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "a time, such as 90s, 45m, 12h or 30d";
    let (number, unit) = split(text, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]).ok_or(WANTED)?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or(WANTED)
}

/// The number in front of the first unit that fits, and what that unit stands for.
fn split<T: Copy>(text: &str, units: &[(&str, T)]) -> Option<(u64, T)> {
    let text = text.to_ascii_lowercase();
    let fits = |(unit, means): &(&str, T)| Some((text.strip_suffix(unit)?.parse().ok()?, *means));
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
        for text in ["", "k", "-1", "1.5G", "17000000T", "2GB", "3s"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_need_units() {
        for (text, want) in [("90s", 90), ("45m", 2700), ("12H", 43_200), ("30d", 2_592_000)] {
            assert_eq!(time(text), Ok(Duration::from_secs(want)), "{text}");
        }
        for text in ["", "d", "30", "-1d", "1.5h", "18446744073709551615d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
