//! Readers of header values: total functions over whatever a server sends.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// A `Content-Range` in bytes (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes first-last/total`: what a 206 holds. `start < end`, and `end <= total` when that is known.
    Part {
        /// Offset of the first byte.
        start: u64,
        /// Offset behind the last byte.
        end: u64,
        /// Length of the whole resource; `None` for `*`.
        total: Option<u64>,
    },
    /// `bytes */total`: what a 416 says of the resource.
    Unsatisfied {
        /// Length of the whole resource.
        total: u64,
    },
}

impl ContentRange {
    /// Reads a header value; `None` for anything that is not exactly a range of bytes or contradicts itself.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim_start().split_once('/')?;
        if range == "*" {
            return Some(Self::Unsatisfied { total: number(total)? });
        }
        let (first, last) = range.split_once('-')?;
        let (start, end) = (number(first)?, number(last)?.checked_add(1)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let sound = start < end && total.is_none_or(|total| end <= total);
        sound.then_some(Self::Part { start, end, total })
    }

    /// The `Content-Range` of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(text(headers, &header::CONTENT_RANGE)?)
    }
}

/// The `Content-Length` of a response; `None` when it is absent, not a number or not the same everywhere, or the message
/// has a transfer coding, which says itself where it ends (RFC 9112 section 6.3).
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    // A list of equal lengths is one length (RFC 9110 section 8.6).
    let mut lengths = headers
        .get_all(header::CONTENT_LENGTH)
        .into_iter()
        .flat_map(|value| value.to_str().unwrap_or("").split(',').map(|part| number(part.trim())));
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

/// How long to wait by a `Retry-After` header: seconds, or a date seen from `now` (RFC 9110 section 10.2.3). A date in
/// the past means no wait. `None` when there is none or it is neither.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    parse_retry_after(text(headers, &header::RETRY_AFTER)?, now)
}

fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds is still a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// What a response says about reusing it (RFC 9111 section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// `Age`.
    pub age: Option<Duration>,
    /// `Date`.
    pub date: Option<SystemTime>,
    /// `max-age`, else `Expires` minus `Date`; zero for `no-store` and `no-cache`.
    pub max_age: Option<Duration>,
    /// `no-store`.
    pub no_store: bool,
}

impl Freshness {
    /// Reads the headers of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let date = text(headers, &header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let age = text(headers, &header::AGE).and_then(number).map(Duration::from_secs);
        let control = CacheControl::of(headers);
        let max_age = if control.no_cache || control.no_store {
            Some(Duration::ZERO)
        } else {
            control.max_age.or_else(|| expires_in(headers, date))
        };
        Self { age, date, max_age, no_store: control.no_store }
    }
}

/// `Expires` minus `Date`. An invalid date, `0` for instance, means expired (RFC 9111 section 5.3).
fn expires_in(headers: &HeaderMap, date: Option<SystemTime>) -> Option<Duration> {
    let Ok(expires) = httpdate::parse_http_date(text(headers, &header::EXPIRES)?) else {
        return Some(Duration::ZERO);
    };
    Some(expires.duration_since(date?).unwrap_or(Duration::ZERO))
}

#[derive(Default)]
struct CacheControl {
    max_age: Option<Duration>,
    no_cache: bool,
    no_store: bool,
}

impl CacheControl {
    fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for directive in value.to_str().unwrap_or("").split(',') {
                control.read(directive.trim());
            }
        }
        control
    }

    fn read(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") {
            self.no_store = true;
        } else if name.eq_ignore_ascii_case("no-cache") {
            self.no_cache = true;
        } else if name.eq_ignore_ascii_case("max-age") {
            let seconds = number(value.trim_matches('"'));
            self.max_age = seconds.map(Duration::from_secs).or(self.max_age);
        }
    }
}

/// How the bytes of a body are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As they are. Unknown codings count as this: `aws-chunked`, `utf-8` and the like are mistakes, not codings.
    Identity,
    /// gzip.
    Gzip,
    /// A compression we never ask for.
    Other,
}

impl Coding {
    /// Reads `Content-Encoding`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::CONTENT_ENCODING);
        let mut compressions = values
            .into_iter()
            .flat_map(|value| value.to_str().unwrap_or("").split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| ["gzip", "x-gzip", "deflate", "compress", "br", "zstd"].contains(&coding.as_str()));
        match (compressions.next().as_deref(), compressions.next()) {
            (None, _) => Self::Identity,
            (Some("gzip" | "x-gzip"), None) => Self::Gzip,
            _ => Self::Other,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A run of ASCII digits; no sign, no space, no overflow.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        let part = |start, end, total| Some(ContentRange::Part { start, end, total });
        let table = [
            ("bytes 0-0/1", part(0, 1, Some(1))),
            ("bytes 5-9/10", part(5, 10, Some(10))),
            ("Bytes  5-9/*", part(5, 10, None)),
            ("bytes */10", Some(ContentRange::Unsatisfied { total: 10 })),
            ("bytes */*", None),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes 5-9", None),
            ("bytes=5-9/10", None),
            ("items 5-9/10", None),
            ("bytes -5/10", None),
            ("bytes +5-9/10", None),
            ("bytes 5 - 9/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-18446744073709551614/18446744073709551615", part(0, u64::MAX, Some(u64::MAX))),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ];
        for (value, want) in table {
            assert_eq!(ContentRange::parse(value), want, "{value}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let secs = |n| Some(Duration::from_secs(n));
        let table = [
            ("0", secs(0)),
            (" 120 ", secs(120)),
            ("99999999999999999999999", secs(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", secs(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", secs(60)),
            ("Sun Nov  6 08:50:37 1994", secs(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", secs(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, want) in table {
            assert_eq!(parse_retry_after(value, now), want, "{value}");
        }
    }

    #[test]
    fn lengths_must_agree() {
        let length = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| (header::CONTENT_LENGTH, *value)).collect();
            content_length(&headers(&fields))
        };
        assert_eq!(length(&[]), None);
        assert_eq!(length(&["10"]), Some(10));
        assert_eq!(length(&["10, 10"]), Some(10));
        assert_eq!(length(&["10", "11"]), None);
        assert_eq!(length(&["-1"]), None);
    }

    #[test]
    fn freshness_comes_from_cache_control_then_expires() {
        let date = (header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = (header::EXPIRES, "Sun, 06 Nov 1994 08:50:37 GMT");
        let control = |value| (header::CACHE_CONTROL, value);
        let table = [
            (vec![control("public, max-age=5"), date.clone(), later.clone()], Some(5)),
            (vec![date.clone(), later.clone()], Some(60)),
            (vec![later.clone()], None),
            (vec![date.clone(), (header::EXPIRES, "0")], Some(0)),
            (vec![control("max-age=5, no-cache")], Some(0)),
            (vec![control("No-Store")], Some(0)),
            (vec![control("max-age=\"7\"")], Some(7)),
            (vec![control("max-age=x")], None),
            (vec![], None),
        ];
        for (fields, want) in table {
            let freshness = Freshness::of(&headers(&fields));
            assert_eq!(freshness.max_age, want.map(Duration::from_secs), "{fields:?}");
        }
        let aged = Freshness::of(&headers(&[(header::AGE, "30"), control("no-store")]));
        assert_eq!((aged.age, aged.no_store), (Some(Duration::from_secs(30)), true));
    }

    #[test]
    fn only_real_compressions_count_as_codings() {
        let coding = |value| Coding::of(&headers(&[(header::CONTENT_ENCODING, value)]));
        assert_eq!(Coding::of(&HeaderMap::new()), Coding::Identity);
        for (value, want) in [
            ("identity", Coding::Identity),
            ("aws-chunked", Coding::Identity),
            ("utf-8, gzip", Coding::Gzip),
            ("X-GZIP", Coding::Gzip),
            ("br", Coding::Other),
            ("gzip, gzip", Coding::Other),
        ] {
            assert_eq!(coding(value), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(value in "\\PC{0,60}", seconds in any::<u32>()) {
            let now = UNIX_EPOCH + Duration::from_secs(seconds.into());
            let _ = parse_retry_after(&value, now);
            if let Some(ContentRange::Part { start, end, total }) = ContentRange::parse(&value) {
                prop_assert!(start < end && total.is_none_or(|total| end <= total));
            }
        }

        #[test]
        fn every_content_range_reads_back(start in any::<u64>(), len in 1..=u64::MAX, rest in any::<Option<u64>>()) {
            let end = start.saturating_add(len).max(1);
            let start = start.min(end - 1);
            let total = rest.map(|rest| end.saturating_add(rest));
            let shown = total.map_or("*".to_owned(), |total| total.to_string());
            let value = format!("bytes {start}-{}/{shown}", end - 1);
            prop_assert_eq!(ContentRange::parse(&value), Some(ContentRange::Part { start, end, total }));
        }

        #[test]
        fn near_misses_of_a_content_range_are_sound_or_refused(value in "bytes [0-9*]{0,22}[-/ ][0-9*]{0,22}[-/ ][0-9*]{0,22}") {
            if let Some(ContentRange::Part { start, end, total }) = ContentRange::parse(&value) {
                prop_assert!(start < end && total.is_none_or(|total| end <= total));
            }
        }

        #[test]
        fn every_date_ahead_is_waited_for_exactly(now in 0..4_000_000_000u64, ahead in 0..4_000_000u64) {
            let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
            let value = httpdate::fmt_http_date(at(now + ahead));
            prop_assert_eq!(parse_retry_after(&value, at(now)), Some(Duration::from_secs(ahead)));
        }
    }
}
