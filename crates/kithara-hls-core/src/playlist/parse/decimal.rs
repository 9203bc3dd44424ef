//! Numbers of the playlist text, exact: no floating point.

use std::time::Duration;

use crate::time::MediaTime;

/// A decimal number in units of 10^-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    pub(super) nanos: u128,
    /// Whether it was written as an integer.
    pub(super) whole: bool,
}

impl Decimal {
    /// Reads the number at the beginning of `text`; the second value is what stands behind it.
    ///
    /// More than nine decimals are rounded to the nearest. Signs and exponents are understood although the grammar has
    /// none. `None` when there is no number, or none that fits.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let negative = text.starts_with('-');
        let (integer, after) = digits(unsigned);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if integer.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = fraction.is_empty();
        let nanos = u128::from(number(integer)?) * NANOS + u128::from(nanos(fraction));
        match exponent(after) {
            None => Some((Self { negative, nanos, whole }, after)),
            Some((power, rest)) => Some((Self { negative, nanos: shifted(nanos, power)?, whole: false }, rest)),
        }
    }

    /// Seconds; zero for negative ones.
    pub(super) fn duration(self) -> Option<Duration> {
        if self.negative {
            return Some(Duration::ZERO);
        }
        let seconds = u64::try_from(self.nanos / NANOS).ok()?;
        let nanos = u32::try_from(self.nanos % NANOS).ok()?;
        Some(Duration::new(seconds, nanos))
    }

    /// Seconds, signed.
    pub(super) fn media_time(self) -> Option<MediaTime> {
        let nanos = i64::try_from(self.nanos).ok()?;
        Some(MediaTime::from_nanos(if self.negative { -nanos } else { nanos }))
    }
}

/// All of `text` as a decimal number of seconds that is not negative.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let (decimal, rest) = Decimal::read(text)?;
    rest.trim().is_empty().then_some(())?;
    decimal.duration()
}

/// The decimal integer at the beginning of `text` and what stands behind it.
pub(super) fn integer(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = digits(text);
    if digits.is_empty() {
        return None;
    }
    Some((number(digits)?, rest))
}

const NANOS: u128 = 1_000_000_000;

fn digits(text: &str) -> (&str, &str) {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(len)
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// The fraction `digits` in units of 10^-9, rounded; up to 10^9.
fn nanos(digits: &str) -> u32 {
    let bytes = digits.as_bytes();
    let head = bytes.iter().take(9).fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    let missing = 9u32.saturating_sub(u32::try_from(bytes.len()).unwrap_or(9));
    let round_up = bytes.get(9).is_some_and(|digit| *digit >= b'5');
    head * 10u32.pow(missing) + u32::from(round_up)
}

/// `e` or `E` with a power of ten of at most two digits.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let (digits, after) = digits(unsigned);
    let power: i32 = digits.parse().ok().filter(|power| *power < 100)?;
    Some((if rest.starts_with('-') { -power } else { power }, after))
}

fn shifted(nanos: u128, power: i32) -> Option<u128> {
    let factor = 10u128.checked_pow(power.unsigned_abs());
    match (power < 0, factor) {
        (true, Some(factor)) => Some(nanos.checked_add(factor / 2)? / factor),
        (true, None) => Some(0),
        (false, factor) => nanos.checked_mul(factor?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(u64, u32)>) {
        assert_eq!(seconds(text), want.map(|(s, n)| Duration::new(s, n)), "{text}");
    }

    #[test]
    fn seconds_are_exact() {
        check("9.009", Some((9, 9_000_000)));
        check("0.1", Some((0, 100_000_000)));
        check("10", Some((10, 0)));
        check(".5", Some((0, 500_000_000)));
        check("5.", Some((5, 0)));
        check("1.9999999999", Some((2, 0)));
        check("1.00000000049", Some((1, 0)));
        check("18446744073709551615.999999999", Some((u64::MAX, 999_999_999)));
    }

    #[test]
    fn forms_outside_the_grammar() {
        check("9.009e0", Some((9, 9_000_000)));
        check("1e-3", Some((0, 1_000_000)));
        check("1.5E2", Some((150, 0)));
        check("1e-99", Some((0, 0)));
        check("+4", Some((4, 0)));
        check("-1", Some((0, 0)));
        check("4 ", Some((4, 0)));
    }

    #[test]
    fn what_is_no_number_or_too_large_is_none() {
        for text in ["", ".", "-", "x", "1,5", "NaN", "inf", "18446744073709551616", "1e99", "1e19"] {
            check(text, None);
        }
        check("18446744073709551615.9999999999", None);
    }

    #[test]
    fn signed_times() {
        let read = |text| Decimal::read(text).and_then(|(it, _)| it.media_time());
        assert_eq!(read("-12.5"), Some(MediaTime::from_nanos(-12_500_000_000)));
        assert_eq!(read("9223372036.854775807"), Some(MediaTime::MAX));
        assert_eq!(read("9223372036.854775808"), None);
    }

    proptest! {
        #[test]
        fn every_duration_is_read_exactly(seconds_in: u64, nanos in 0..1_000_000_000u32) {
            let text = format!("{seconds_in}.{nanos:09}");
            prop_assert_eq!(seconds(&text), Some(Duration::new(seconds_in, nanos)));
        }

        #[test]
        fn any_text_is_answered(text in "[-+0-9.eE]{0,60}") {
            let _ = Decimal::read(&text).map(|(it, _)| (it.duration(), it.media_time()));
        }
    }
}
