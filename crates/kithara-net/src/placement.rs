//! Where the bytes of a response belong in the resource: pure, and strict where a server contradicts itself.

use std::ops::Range;

use http::HeaderMap;

use crate::header::{ContentRange, content_length};
use crate::{ErrorKind, RequestRange};

/// Where the body of a successful response lies in its resource, and which part of it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Bytes at the front of the body to throw away: the origin ignored the range.
    pub(crate) skip: u64,
    /// Offset of the first wanted byte.
    pub(crate) start: u64,
    /// Offset behind the last wanted byte that exists; `None` when only the end of the body will tell.
    pub(crate) end: Option<u64>,
    /// Offset behind the last byte of the body where it is a part: its end is not that of the resource. `None` where it
    /// is.
    pub(crate) part_end: Option<u64>,
    /// Length of the whole resource.
    pub(crate) total: Option<u64>,
}

/// What is known of a body whose rest is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Offset of the lost byte.
    pub(crate) position: u64,
    /// Offset behind the last byte the caller wants; `None` for all there are.
    pub(crate) bound: Option<u64>,
    /// Offset behind the last wanted byte that exists, as far as known.
    pub(crate) end: Option<u64>,
    /// Length of the whole resource, as far as known.
    pub(crate) total: Option<u64>,
    /// Whether the resource is asked for as one that is still growing, which ends with its body.
    pub(crate) growing: bool,
    /// Whether strong validators prove this response to be of the same version.
    pub(crate) proven: bool,
    /// Whether a whole resource can be told to be the same one: by a validator both have, or by the bytes that come again.
    /// Also where nothing at all is known of the one before.
    pub(crate) known_again: bool,
}

impl Placement {
    /// Reads a first response (2xx) to `range`.
    pub(crate) fn of_first(range: Option<&RequestRange>, status: u16, headers: &HeaderMap) -> Result<Self, ErrorKind> {
        if status == 206 {
            let (part, total) = part_of(headers)?;
            // A part that nobody asked for is the resource, or its beginning, or nothing.
            return Self::of_part(range.unwrap_or(&RequestRange::From(0)), &part, total);
        }
        let whole = Self::whole(headers);
        range.map_or(Ok(whole), |range| whole.cut_to(range))
    }

    /// Reads a response (2xx) to a request for the rest of a body.
    pub(crate) fn of_rest(rest: &Rest, status: u16, headers: &HeaderMap) -> Result<Self, ErrorKind> {
        let (skip, part_end, total) = if status == 206 {
            let (part, total) = part_of(headers)?;
            let asked = rest.bound.map(|bound| rest.end.map_or(bound, |end| end.min(bound)));
            if part.start != rest.position || asked.is_some_and(|asked| part.end > asked) {
                return Err(ErrorKind::InvalidRange);
            }
            (0, if rest.growing && total.is_none() { None } else { Some(part.end) }, total)
        } else {
            (rest.position, None, content_length(headers))
        };
        // Equal strong validators outweigh a length that differs: the first one was a lie, and this is its correction.
        if !rest.proven && rest.total.zip(total).is_some_and(|(before, now)| before != now) {
            return Err(ErrorKind::Changed);
        }
        // A whole resource that neither is known again nor has the length ours had may be anything, an error page for one.
        if status != 206 && rest.position > 0 && !rest.known_again && (total.is_none() || total != rest.total) {
            return Err(ErrorKind::Changed);
        }
        let total = total.or(rest.total);
        let end = total.map(|total| rest.bound.map_or(total, |bound| bound.min(total))).or(rest.end);
        let too_short = end.is_some_and(|end| end < rest.position);
        if too_short || end.zip(part_end).is_some_and(|(end, part_end)| end < part_end) {
            return Err(ErrorKind::Changed);
        }
        Ok(Self { skip, start: rest.position, end, part_end, total })
    }

    fn whole(headers: &HeaderMap) -> Self {
        let total = content_length(headers);
        Self { skip: 0, start: 0, end: total, part_end: None, total }
    }

    /// The wanted part of a whole resource that was sent instead of it.
    fn cut_to(self, range: &RequestRange) -> Result<Self, ErrorKind> {
        let (start, end) = match *range {
            RequestRange::Bounded(Range { start, end }) => (start, self.total.map(|total| total.min(end))),
            RequestRange::From(start) | RequestRange::Growing(start) => (start, self.total),
            // The last bytes of something without known length can only be found by reading all of it.
            RequestRange::Suffix(len) => (self.total.ok_or(ErrorKind::RangeIgnored)?.saturating_sub(len), self.total),
        };
        if self.total.is_some_and(|total| start >= total) {
            return Err(ErrorKind::RangeNotSatisfiable { total: self.total });
        }
        Ok(Self { skip: start, start, end, ..self })
    }

    /// A part may be shorter than asked (RFC 9110 section 15.3.7), and what is missing is asked for afterwards. Where the
    /// length of the resource is unknown, it is not known either whether something is missing.
    fn of_part(range: &RequestRange, part: &Range<u64>, total: Option<u64>) -> Result<Self, ErrorKind> {
        let (fits, end) = match *range {
            RequestRange::Bounded(Range { start, end }) => {
                let exists = total.map_or(end, |total| total.min(end));
                let known = total.is_some() || part.end == end;
                (part.start == start && part.end <= exists, known.then_some(exists))
            }
            RequestRange::From(start) | RequestRange::Growing(start) => (part.start == start, total),
            RequestRange::Suffix(len) => {
                let start = total.map(|total| total.saturating_sub(len));
                // Only the beginning of the resource can be nearer to its end than asked.
                let end = total.or((part.start > 0).then(|| part.start.saturating_add(len)));
                let reaches = total.is_none() && part.end - part.start == len;
                (
                    start.is_none_or(|start| part.start == start) && part.end - part.start <= len,
                    if reaches { Some(part.end) } else { end },
                )
            }
        };
        let growing = matches!(range, RequestRange::Growing(_)) && total.is_none();
        let part_end = (!growing).then_some(part.end);
        let placement = Self { skip: 0, start: part.start, end, part_end, total };
        if fits { Ok(placement) } else { Err(ErrorKind::InvalidRange) }
    }
}

fn part_of(headers: &HeaderMap) -> Result<(Range<u64>, Option<u64>), ErrorKind> {
    match ContentRange::of(headers) {
        Some(ContentRange::Part { start, end, total }) => Ok((start..end, total)),
        _ => Err(ErrorKind::InvalidRange),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn headers(length: Option<u64>, range: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if let Some(range) = range {
            headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(range).unwrap());
        }
        headers
    }

    fn placed(skip: u64, start: u64, end: Option<u64>, total: Option<u64>) -> Result<Placement, ErrorKind> {
        Ok(Placement { skip, start, end, part_end: None, total })
    }

    /// A body that is the part from `start` to `part_end`.
    fn part(start: u64, part_end: u64, end: Option<u64>, total: Option<u64>) -> Result<Placement, ErrorKind> {
        Ok(Placement { skip: 0, start, end, part_end: Some(part_end), total })
    }

    #[track_caller]
    fn first(range: Option<RequestRange>, status: u16, headers: &HeaderMap, want: Result<Placement, ErrorKind>) {
        assert_eq!(Placement::of_first(range.as_ref(), status, headers), want);
    }

    #[test]
    fn what_is_still_growing_ends_with_its_body() {
        let growing = || Some(RequestRange::Growing(5));
        first(growing(), 206, &headers(None, Some("bytes 5-9007199254740991/*")), placed(0, 5, None, None));
        first(growing(), 206, &headers(Some(5), Some("bytes 5-9/10")), part(5, 10, Some(10), Some(10)));
        first(growing(), 206, &headers(None, Some("bytes 4-9007199254740991/*")), Err(ErrorKind::InvalidRange));
        first(growing(), 200, &headers(None, None), placed(5, 5, None, None));
    }

    #[test]
    fn without_a_range_the_body_is_the_resource() {
        first(None, 200, &headers(Some(10), None), placed(0, 0, Some(10), Some(10)));
        first(None, 200, &headers(None, None), placed(0, 0, None, None));
        first(None, 206, &headers(Some(10), Some("bytes 0-9/10")), part(0, 10, Some(10), Some(10)));
        first(None, 206, &headers(Some(5), Some("bytes 0-4/10")), part(0, 5, Some(10), Some(10)));
        first(None, 206, &headers(Some(5), Some("bytes 5-9/10")), Err(ErrorKind::InvalidRange));
        let mut coded = headers(Some(7), None);
        coded.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        first(None, 200, &coded, placed(0, 0, None, None));
    }

    #[test]
    fn a_bounded_range_is_answered_as_asked_or_refused() {
        let asked = || Some(RequestRange::Bounded(5..8));
        first(asked(), 206, &headers(None, Some("bytes 5-7/10")), part(5, 8, Some(8), Some(10)));
        first(asked(), 206, &headers(None, Some("bytes 5-7/*")), part(5, 8, Some(8), None));
        first(asked(), 206, &headers(None, Some("bytes 5-6/7")), part(5, 7, Some(7), Some(7)));
        first(asked(), 206, &headers(None, Some("bytes 5-6/10")), part(5, 7, Some(8), Some(10)));
        for wrong in [
            "bytes 4-7/10",
            "bytes 6-7/10",
            "bytes 5-8/10",
            "bytes 0-9/10",
            "bytes 5-100/*",
            "bytes 5-8/*",
            "bytes */10",
            "x",
        ] {
            first(asked(), 206, &headers(None, Some(wrong)), Err(ErrorKind::InvalidRange));
        }
        first(asked(), 206, &headers(Some(3), None), Err(ErrorKind::InvalidRange));
    }

    #[test]
    fn a_short_part_of_unknown_length_does_not_say_where_the_resource_ends() {
        let bounded = || Some(RequestRange::Bounded(5..8));
        first(bounded(), 206, &headers(None, Some("bytes 5-6/*")), part(5, 7, None, None));
        first(Some(RequestRange::From(5)), 206, &headers(None, Some("bytes 5-6/*")), part(5, 7, None, None));
        let last = || Some(RequestRange::Suffix(3));
        first(last(), 206, &headers(None, Some("bytes 0-1/*")), part(0, 2, None, None));
        first(last(), 206, &headers(None, Some("bytes 0-2/*")), part(0, 3, Some(3), None));
        first(last(), 206, &headers(None, Some("bytes 7-8/*")), part(7, 9, Some(10), None));
        let open = Rest { end: None, total: None, ..REST };
        rest(open, 206, &headers(None, Some("bytes 4-5/*")), part(4, 6, None, None));
        rest(Rest { bound: Some(8), ..open }, 206, &headers(None, Some("bytes 4-5/*")), part(4, 6, None, None));
        let growing = Rest { growing: true, ..open };
        rest(growing, 206, &headers(None, Some("bytes 4-5/*")), placed(0, 4, None, None));
        rest(growing, 206, &headers(None, Some("bytes 4-5/6")), part(4, 6, Some(6), Some(6)));
    }

    #[test]
    fn a_rest_beyond_what_was_asked_or_exists_is_refused() {
        let bounded = Rest { bound: Some(6), end: None, total: None, ..REST };
        rest(bounded, 206, &headers(None, Some("bytes 4-6/*")), Err(ErrorKind::InvalidRange));
        rest(bounded, 206, &headers(None, Some("bytes 4-6/10")), Err(ErrorKind::InvalidRange));
        rest(Rest { end: Some(5), ..bounded }, 206, &headers(None, Some("bytes 4-5/*")), Err(ErrorKind::InvalidRange));
        rest(REST, 206, &headers(None, Some("bytes 4-10/*")), Err(ErrorKind::Changed));
    }

    #[test]
    fn the_range_counts_and_not_a_false_length_beside_it() {
        let lie = headers(Some(1003), Some("bytes 5-7/10"));
        first(Some(RequestRange::Bounded(5..8)), 206, &lie, part(5, 8, Some(8), Some(10)));
    }

    #[test]
    fn an_ignored_range_is_cut_out_of_the_whole() {
        let ten = headers(Some(10), None);
        first(Some(RequestRange::Bounded(5..8)), 200, &ten, placed(5, 5, Some(8), Some(10)));
        first(Some(RequestRange::Bounded(5..80)), 200, &ten, placed(5, 5, Some(10), Some(10)));
        first(Some(RequestRange::From(5)), 200, &ten, placed(5, 5, Some(10), Some(10)));
        first(Some(RequestRange::Suffix(3)), 200, &ten, placed(7, 7, Some(10), Some(10)));
        first(Some(RequestRange::Suffix(30)), 200, &ten, placed(0, 0, Some(10), Some(10)));
        let past = Err(ErrorKind::RangeNotSatisfiable { total: Some(10) });
        first(Some(RequestRange::From(10)), 200, &ten, past);
        first(Some(RequestRange::Bounded(12..13)), 200, &ten, past);
        let unknown = headers(None, None);
        first(Some(RequestRange::Bounded(5..8)), 200, &unknown, placed(5, 5, None, None));
        first(Some(RequestRange::From(5)), 200, &unknown, placed(5, 5, None, None));
        first(Some(RequestRange::Suffix(3)), 200, &unknown, Err(ErrorKind::RangeIgnored));
    }

    #[test]
    fn open_and_suffix_ranges_are_checked_too() {
        let from = || Some(RequestRange::From(5));
        first(from(), 206, &headers(None, Some("bytes 5-9/10")), part(5, 10, Some(10), Some(10)));
        first(from(), 206, &headers(None, Some("bytes 5-7/10")), part(5, 8, Some(10), Some(10)));
        first(from(), 206, &headers(None, Some("bytes 5-9/*")), part(5, 10, None, None));
        first(from(), 206, &headers(None, Some("bytes 4-9/10")), Err(ErrorKind::InvalidRange));
        let last = || Some(RequestRange::Suffix(3));
        first(last(), 206, &headers(None, Some("bytes 7-9/10")), part(7, 10, Some(10), Some(10)));
        first(last(), 206, &headers(None, Some("bytes 0-1/2")), part(0, 2, Some(2), Some(2)));
        first(last(), 206, &headers(None, Some("bytes 7-9/*")), part(7, 10, Some(10), None));
        first(last(), 206, &headers(None, Some("bytes 6-9/10")), Err(ErrorKind::InvalidRange));
        first(last(), 206, &headers(None, Some("bytes 5-9/*")), Err(ErrorKind::InvalidRange));
    }

    const REST: Rest = Rest {
        position: 4,
        bound: None,
        end: Some(10),
        total: Some(10),
        growing: false,
        proven: false,
        known_again: true,
    };

    #[track_caller]
    fn rest(rest: Rest, status: u16, headers: &HeaderMap, want: Result<Placement, ErrorKind>) {
        assert_eq!(Placement::of_rest(&rest, status, headers), want);
    }

    #[test]
    fn the_rest_begins_at_the_lost_byte() {
        rest(REST, 206, &headers(None, Some("bytes 4-9/10")), part(4, 10, Some(10), Some(10)));
        rest(REST, 206, &headers(None, Some("bytes 4-9/*")), part(4, 10, Some(10), Some(10)));
        rest(REST, 206, &headers(None, Some("bytes 5-9/10")), Err(ErrorKind::InvalidRange));
        rest(REST, 206, &headers(None, None), Err(ErrorKind::InvalidRange));
        rest(REST, 200, &headers(Some(10), None), placed(4, 4, Some(10), Some(10)));
        rest(REST, 200, &headers(None, None), placed(4, 4, Some(10), Some(10)));
    }

    #[test]
    fn another_length_is_another_resource_unless_validators_prove_the_first_one_a_lie() {
        let proven = Rest { proven: true, ..REST };
        for (status, told) in [(206, headers(None, Some("bytes 4-7/8"))), (200, headers(Some(8), None))] {
            rest(REST, status, &told, Err(ErrorKind::Changed));
            let want = if status == 200 { placed(4, 4, Some(8), Some(8)) } else { part(4, 8, Some(8), Some(8)) };
            rest(proven, status, &told, want);
        }
        rest(proven, 200, &headers(Some(3), None), Err(ErrorKind::Changed));
    }

    #[test]
    fn a_whole_resource_is_taken_for_the_rest_when_it_is_known_again_or_repeats_the_length() {
        let unknown = Rest { known_again: false, ..REST };
        rest(unknown, 200, &headers(Some(10), None), placed(4, 4, Some(10), Some(10)));
        rest(unknown, 200, &headers(None, None), Err(ErrorKind::Changed));
        rest(unknown, 206, &headers(None, Some("bytes 4-9/*")), part(4, 10, Some(10), Some(10)));
        rest(Rest { position: 0, ..unknown }, 200, &headers(None, None), placed(0, 0, Some(10), Some(10)));
        let open = Rest { end: None, total: None, ..unknown };
        rest(open, 200, &headers(Some(10), None), Err(ErrorKind::Changed));
        rest(open, 200, &headers(None, None), Err(ErrorKind::Changed));
        rest(Rest { known_again: true, ..open }, 200, &headers(Some(10), None), placed(4, 4, Some(10), Some(10)));
    }

    #[test]
    fn a_rest_of_unknown_length_learns_it() {
        let open = Rest { end: None, total: None, ..REST };
        rest(open, 206, &headers(None, Some("bytes 4-9/10")), part(4, 10, Some(10), Some(10)));
        rest(open, 206, &headers(None, Some("bytes 4-9/*")), part(4, 10, None, None));
        rest(open, 200, &headers(Some(10), None), placed(4, 4, Some(10), Some(10)));
    }

    #[test]
    fn a_bounded_rest_stays_bounded() {
        let bounded = Rest { bound: Some(6), end: Some(6), ..REST };
        rest(bounded, 206, &headers(None, Some("bytes 4-5/10")), part(4, 6, Some(6), Some(10)));
        rest(bounded, 200, &headers(Some(10), None), placed(4, 4, Some(6), Some(10)));
        let unsized_ = Rest { total: None, ..bounded };
        rest(unsized_, 206, &headers(None, Some("bytes 4-5/*")), part(4, 6, Some(6), None));
    }
}
