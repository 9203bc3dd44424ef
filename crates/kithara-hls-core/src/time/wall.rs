//! The date, and its ISO 8601 text.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// [`FromStr`](std::str::FromStr) reads the ISO 8601 forms that `EXT-X-PROGRAM-DATE-TIME` and `EXT-X-DATERANGE` carry (RFC 8216 section 4.3.2.6):
/// extended and basic format, fractions of any length (cut at the millisecond), `Z` or an offset, and no offset at all, which means UTC.
/// [`Display`](fmt::Display) writes `YYYY-MM-DDThh:mm:ss.sssZ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct WallTime {
    /// Milliseconds since the earliest `i64`, which is none: so an `Option` takes no more room, of which every segment
    /// has one.
    millis: NonZeroU64,
}

impl WallTime {
    const MAX: Self = Self::from_millis(i64::MAX);

    /// The date `millis` milliseconds after 1970-01-01T00:00:00Z. The earliest `i64` is taken for the one after it.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        let millis = NonZeroU64::new(millis.cast_unsigned() ^ SIGN);
        Self { millis: if let Some(millis) = millis { millis } else { NonZeroU64::MIN } }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; negative before it.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        (self.millis.get() ^ SIGN).cast_signed()
    }

    /// `self + time`, or `None` when it cannot be represented. Fractions of a millisecond are dropped.
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.as_millis().checked_add(i64::try_from(time.as_millis()).ok()?).map(Self::from_millis)
    }

    /// `self - time`, or `None` when it cannot be represented. Fractions of a millisecond are dropped.
    #[must_use]
    pub fn checked_sub(self, time: Duration) -> Option<Self> {
        self.as_millis().checked_sub(i64::try_from(time.as_millis()).ok()?).map(Self::from_millis)
    }

    /// `self + time`, at most the last date that can be represented.
    #[must_use]
    pub fn saturating_add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self::MAX)
    }

    /// Time from `earlier` to `self`, or `None` when `earlier` is later.
    #[must_use]
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        let millis = i128::from(self.as_millis()) - i128::from(earlier.as_millis());
        u64::try_from(millis).ok().map(Duration::from_millis)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.checked_since(earlier).unwrap_or_default()
    }
}

/// 1970-01-01T00:00:00Z.
impl Default for WallTime {
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl From<i64> for WallTime {
    fn from(millis: i64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<WallTime> for i64 {
    fn from(date: WallTime) -> Self {
        date.as_millis()
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallTime({self})")
    }
}

/// Flipping it turns the order of signed numbers into that of unsigned ones.
const SIGN: u64 = 1 << 63;

/// The text is no ISO 8601 date this library reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 8601 date and time")]
pub struct InvalidDate;

impl FromStr for WallTime {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let text = text.as_bytes().trim_ascii();
        parse_usual(text).or_else(|| parse(text)).ok_or(InvalidDate)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.as_millis().div_euclid(DAY_MILLIS), self.as_millis().rem_euclid(DAY_MILLIS));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, milli) = (millis / 1000 % 60, millis % 1000);
        let sign = if year < 0 { "-" } else { "" };
        let year = year.unsigned_abs();
        write!(f, "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

const DAY_MILLIS: i64 = 86_400_000;

/// What is left of the text; each reading step shortens it.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn digits<const COUNT: usize>(&mut self) -> Option<i64> {
        let (head, rest) = self.0.split_first_chunk::<COUNT>()?;
        if !head.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(head.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    /// Milliseconds of a fraction whose point was just read; at least one digit, any number of them.
    fn fraction(&mut self) -> Option<i64> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        let padded = head.iter().copied().chain(std::iter::repeat(b'0')).take(3);
        (len > 0).then(|| padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }
}

/// The form that nearly all playlists use, `YYYY-MM-DDThh:mm:ss.sssZ`, much faster than [`parse`] reads it.
fn parse_usual(text: &[u8]) -> Option<WallTime> {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let mut text: [u8; 24] = text.try_into().ok()?;
    // All at once: what is left of a digit is its value, and nothing of a mark.
    let mut wrong = false;
    for (byte, shape) in text.iter_mut().zip(SHAPE) {
        *byte = byte.wrapping_sub(*shape);
        wrong |= *byte > if *shape == b'0' { 9 } else { 0 };
    }
    let number =
        |range: std::ops::Range<usize>| text[range].iter().fold(0, |value, digit| value * 10 + i64::from(*digit));
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (hour, minute, second, milli) = (number(11..13), number(14..16), number(17..19), number(20..23));
    let in_range = (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    (!wrong && in_range).then_some(())?;
    let seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(WallTime::from_millis(seconds * 1000 + milli))
}

fn parse(text: &[u8]) -> Option<WallTime> {
    let mut scanner = Scanner(text);
    let days = date(&mut scanner)?;
    if scanner.0.is_empty() {
        return days.checked_mul(DAY_MILLIS).map(WallTime::from_millis);
    }
    if !(scanner.skip(b'T') || scanner.skip(b't') || scanner.skip(b' ')) {
        return None;
    }
    let time = time_of_day(&mut scanner)?;
    let offset = zone(&mut scanner)?;
    scanner.0.is_empty().then_some(())?;
    days.checked_mul(DAY_MILLIS)?.checked_add(time - offset).map(WallTime::from_millis)
}

/// Days since 1970-01-01 of `YYYY-MM-DD` or `YYYYMMDD`.
fn date(scanner: &mut Scanner<'_>) -> Option<i64> {
    let year = scanner.digits::<4>()?;
    let extended = scanner.skip(b'-');
    let month = scanner.digits::<2>()?;
    if extended && !scanner.skip(b'-') {
        return None;
    }
    let day = scanner.digits::<2>()?;
    (1..=12).contains(&month).then_some(())?;
    (1..=days_in(year, month)).contains(&day).then_some(())?;
    Some(days_from_civil(year, month, day))
}

/// Milliseconds since midnight of `hh[:mm[:ss[.fraction]]]`, the colons optional. A leap second counts as the next minute.
fn time_of_day(scanner: &mut Scanner<'_>) -> Option<i64> {
    let hour = scanner.digits::<2>()?;
    let (mut minute, mut second, mut milli) = (0, 0, 0);
    if scanner.skip(b':') || scanner.0.first().is_some_and(u8::is_ascii_digit) {
        minute = scanner.digits::<2>()?;
        if scanner.skip(b':') || scanner.0.first().is_some_and(u8::is_ascii_digit) {
            second = scanner.digits::<2>()?;
            if scanner.skip(b'.') || scanner.skip(b',') {
                milli = scanner.fraction()?;
            }
        }
    }
    let in_range = hour <= 24 && minute <= 59 && second <= 60;
    in_range.then_some(((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

/// Milliseconds east of Greenwich of `Z`, `+hh:mm`, `+hhmm`, `+hh` or nothing.
fn zone(scanner: &mut Scanner<'_>) -> Option<i64> {
    if scanner.0.is_empty() || scanner.skip(b'Z') || scanner.skip(b'z') {
        return Some(0);
    }
    let sign = if scanner.skip(b'+') {
        1
    } else if scanner.skip(b'-') {
        -1
    } else {
        return None;
    };
    let hour = scanner.digits::<2>()?;
    let colon = scanner.skip(b':');
    let minute = if colon || !scanner.0.is_empty() { scanner.digits::<2>()? } else { 0 };
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 60 + minute) * 60_000)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day is the last of its year,
/// and grouped by 400, after which the calendar repeats.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let read = text.parse::<WallTime>().map(|date| date.to_string());
        assert_eq!(read.as_deref(), Ok(want), "{text}");
    }

    #[track_caller]
    fn refuse(text: &str) {
        assert_eq!(text.parse::<WallTime>(), Err(InvalidDate), "{text}");
    }

    #[test]
    fn forms_of_a_date_that_players_read() {
        check("2010-02-19T14:54:23.031+08:00", "2010-02-19T06:54:23.031Z");
        check("2010-02-19T14:54:23.031-0830", "2010-02-19T23:24:23.031Z");
        check("2010-02-19T14:54:23.031+08", "2010-02-19T06:54:23.031Z");
        check("2010-02-19T14:54:23Z", "2010-02-19T14:54:23.000Z");
        check("2010-02-19T14:54:23", "2010-02-19T14:54:23.000Z");
        check("2010-02-19 14:54:23.5z", "2010-02-19T14:54:23.500Z");
        check("20100219T145423,123456789Z", "2010-02-19T14:54:23.123Z");
        check("2010-02-19T14:54Z", "2010-02-19T14:54:00.000Z");
        check("2010-02-19", "2010-02-19T00:00:00.000Z");
        check(" 2010-02-19T14:54:23Z ", "2010-02-19T14:54:23.000Z");
    }

    #[test]
    fn edges_of_the_calendar() {
        check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z");
        check("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        check("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z");
        check("2020-01-01T24:00:00Z", "2020-01-02T00:00:00.000Z");
        check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "x",
            "2010",
            "2010-2-19",
            "2010-13-01",
            "2010-00-01",
            "2010-02-30",
            "1900-02-29T00:00:00Z",
            "2010-02-19T",
            "2010-02-19T25:00:00Z",
            "2010-02-19T14:60:00Z",
            "2010-02-19T14:54:23.Z",
            "2010-02-19T14:54:23X",
            "2010-02-19T14:54:23+",
            "2010-02-19T14:54:23+08:0",
            "2010-02-19T14:54:23Zjunk",
        ] {
            refuse(text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in -62_167_219_200_000..253_402_300_800_000_i64) {
            let date = WallTime::from_millis(millis);
            prop_assert_eq!(date.to_string().parse(), Ok(date));
        }

        #[test]
        fn the_usual_form_is_read_like_any_other(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9].[0-9]{3}Z") {
            if let Some(date) = parse_usual(text.as_bytes()) {
                prop_assert_eq!(parse(text.as_bytes()), Some(date));
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = text.parse::<WallTime>();
        }

        #[test]
        fn any_number_is_kept_in_order(one: i64, other: i64) {
            let dates = [one, other].map(WallTime::from_millis);
            prop_assert_eq!(dates.map(WallTime::as_millis), [one.max(i64::MIN + 1), other.max(i64::MIN + 1)]);
            prop_assert_eq!(dates[0].cmp(&dates[1]), dates[0].as_millis().cmp(&dates[1].as_millis()));
        }

        #[test]
        fn any_number_is_printed(millis: i64) {
            prop_assert!(WallTime::from_millis(millis).to_string().ends_with('Z'));
        }
    }
}
