//! Conditional and range requests (RFC 9110, sections 13 and 14), as pure decisions.

use std::ops::Range;

/// What a `Range` field asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no field, or one this origin ignores (several ranges, another unit, bad syntax).
    Whole,
    /// These bytes; never empty.
    Part(Range<u64>),
    /// Nothing that exists: answer 416.
    Unsatisfiable,
}

/// Reads a `Range` value for a representation of `len` bytes.
pub(crate) fn wanted(value: Option<&str>, len: u64) -> Wanted {
    let Some((first, last)) = value.and_then(|value| value.trim().strip_prefix("bytes=")?.split_once('-')) else {
        return Wanted::Whole;
    };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..len,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => len.saturating_sub(suffix)..len,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

/// Whether an `If-None-Match` value names `etag` (weak comparison), so that 304 is the answer.
pub(crate) fn none_match_hits(value: &str, etag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    value.trim() == "*" || value.split(',').any(|tag| plain(tag) == plain(etag))
}

/// Whether an `If-Range` value still holds, so that the range may be sent (strong comparison).
pub(crate) fn if_range_holds(value: &str, etag: Option<&str>, modified: Option<&str>) -> bool {
    let value = value.trim();
    !value.starts_with("W/") && (Some(value) == etag || Some(value) == modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, len: u64, want: Wanted) {
        assert_eq!(wanted(Some(value), len), want, "{value} of {len}");
    }

    #[test]
    fn single_ranges_are_half_open_and_clamped() {
        check("bytes=0-0", 10, Wanted::Part(0..1));
        check("bytes=2-5", 10, Wanted::Part(2..6));
        check("bytes=2-", 10, Wanted::Part(2..10));
        check("bytes=2-99", 10, Wanted::Part(2..10));
        check("bytes=2-18446744073709551615", 10, Wanted::Part(2..10));
        check("bytes=-3", 10, Wanted::Part(7..10));
        check("bytes=-30", 10, Wanted::Part(0..10));
    }

    #[test]
    fn ranges_behind_the_end_are_unsatisfiable() {
        check("bytes=10-", 10, Wanted::Unsatisfiable);
        check("bytes=10-12", 10, Wanted::Unsatisfiable);
        check("bytes=-0", 10, Wanted::Unsatisfiable);
        check("bytes=0-", 0, Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_byte_range_is_ignored() {
        for value in ["bytes=0-1,3-4", "items=0-1", "bytes=5-2", "bytes=-", "bytes=a-b", "bytes=1"] {
            check(value, 10, Wanted::Whole);
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    #[test]
    fn validators_compare_as_the_rfc_says() {
        assert!(none_match_hits("\"a\", W/\"b\"", "\"b\""));
        assert!(none_match_hits("*", "\"b\""));
        assert!(!none_match_hits("\"a\"", "\"b\""));
        assert!(if_range_holds("\"a\"", Some("\"a\""), None));
        assert!(!if_range_holds("W/\"a\"", Some("W/\"a\""), None), "a weak tag never allows a range");
        assert!(if_range_holds("Thu, 01 Jan 2026 00:00:00 GMT", Some("\"a\""), Some("Thu, 01 Jan 2026 00:00:00 GMT")));
    }
}
