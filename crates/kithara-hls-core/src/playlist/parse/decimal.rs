//! Numbers of the playlist text, exact: no floating point.

use std::time::Duration;

use crate::time::MediaTime;

use super::super::swar;

/// A decimal number of seconds, or of anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Decimal {
    pub(super) negative: bool,
    /// The integer part, and 10^-9 parts.
    pub(super) units: u64,
    pub(super) nanos: u32,
    /// Whether it was written as an integer.
    pub(super) whole: bool,
}

impl Decimal {
    /// Reads the number at the beginning of `text`; the second value is what stands behind it.
    ///
    /// More than nine decimals are rounded to the nearest. Signs and exponents are understood although the grammar has
    /// none. `None` when there is no number, or none that fits.
    pub(in super::super) fn read(text: &str) -> Option<(Self, &str)> {
        let bytes = text.as_bytes();
        let (negative, signed) = match bytes.first() {
            Some(b'-') => (true, 1),
            Some(b'+') => (false, 1),
            _ => (false, 0),
        };
        let (units, whole_len) = leading_digits(&bytes[signed..]);
        let point = signed + whole_len;
        let (carry, nanos, fraction_len) = match bytes.get(point) {
            Some(b'.') => nanos(&bytes[point + 1..]),
            _ => (0, 0, 0),
        };
        if whole_len + fraction_len == 0 {
            return None;
        }
        let end = point + fraction_len + usize::from(bytes.get(point) == Some(&b'.'));
        let decimal = Self { negative, units: units?.checked_add(carry)?, nanos, whole: fraction_len == 0 };
        let rest = &text[end..];
        match bytes.get(end) {
            Some(b'e' | b'E') => match exponent(rest) {
                None => Some((decimal, rest)),
                Some((power, rest)) => Some((decimal.shifted(power)?, rest)),
            },
            _ => Some((decimal, rest)),
        }
    }

    /// Seconds; zero for negative ones.
    pub(super) fn duration(self) -> Duration {
        if self.negative { Duration::ZERO } else { Duration::new(self.units, self.nanos) }
    }

    /// Seconds, signed.
    pub(super) fn media_time(self) -> Option<MediaTime> {
        let nanos = i64::try_from(self.units).ok()?.checked_mul(NANOS.into())?;
        let nanos = nanos.checked_add(self.nanos.into())?;
        Some(MediaTime::from_nanos(if self.negative { -nanos } else { nanos }))
    }

    /// The number of 10^-9 parts.
    pub(super) fn total_nanos(self) -> Option<u64> {
        self.units.checked_mul(NANOS.into())?.checked_add(self.nanos.into())
    }

    /// The number times ten to the `power`.
    fn shifted(self, power: i32) -> Option<Self> {
        let total = u128::from(self.units) * u128::from(NANOS) + u128::from(self.nanos);
        let factor = 10u128.checked_pow(power.unsigned_abs());
        let total = match (power < 0, factor) {
            (true, Some(factor)) => total.checked_add(factor / 2)? / factor,
            (true, None) => 0,
            (false, factor) => total.checked_mul(factor?)?,
        };
        let units = u64::try_from(total / u128::from(NANOS)).ok()?;
        let nanos = u32::try_from(total % u128::from(NANOS)).ok()?;
        Some(Self { units, nanos, whole: false, ..self })
    }
}

/// The decimal integer at the beginning of `text` and what stands behind it; `None` when there is none, or none that
/// fits.
pub(in super::super) fn integer(text: &str) -> Option<(u64, &str)> {
    let (value, len) = leading_digits(text.as_bytes());
    value.filter(|_| len > 0).map(|value| (value, &text[len..]))
}

const NANOS: u32 = 1_000_000_000;

/// The number that the digits at the beginning make, if it fits, and how many they are.
fn leading_digits(text: &[u8]) -> (Option<u64>, usize) {
    let (mut value, mut rest) = (0u64, text);
    while let Some((digits, tail)) = rest.split_first_chunk()
        && let Some(number) = swar::number(*digits)
    {
        value = value.wrapping_mul(100_000_000).wrapping_add(number);
        rest = tail;
    }
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = tail;
    }
    let len = text.len() - rest.len();
    // Nineteen digits always fit.
    (if len < 20 { Some(value) } else { checked_number(&text[..len]) }, len)
}

fn checked_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// The fraction at the beginning of `text` as a carry and 10^-9 parts, rounded, and how many digits it has.
fn nanos(text: &[u8]) -> (u64, u32, usize) {
    let head = &text[..text.len().min(9)];
    let (mut value, mut rest) = (0u32, head);
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        value = value * 10 + u32::from(digit - b'0');
        rest = tail;
    }
    let mut len = head.len() - rest.len();
    let mut nanos = value * POWERS[len];
    if len == 9 {
        nanos += u32::from(matches!(text.get(9), Some(b'5'..=b'9')));
        len += text[9..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    if nanos == NANOS { (1, 0, len) } else { (0, nanos, len) }
}

/// What a fraction of so many digits is multiplied by.
const POWERS: [u32; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// `e` or `E` with a power of ten of at most two digits.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let (power, after) = integer(unsigned)?;
    let power = i32::try_from(power).ok().filter(|power| *power < 100)?;
    Some((if rest.starts_with('-') { -power } else { power }, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of `text` as seconds.
    fn seconds(text: &str) -> Option<Duration> {
        let (decimal, rest) = Decimal::read(text)?;
        rest.trim().is_empty().then(|| decimal.duration())
    }

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
        for text in ["", ".", "-", "x", "1,5", "NaN", "inf", "18446744073709551616", "1e99", "1e20"] {
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
