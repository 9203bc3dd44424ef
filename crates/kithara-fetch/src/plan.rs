//! What to do next for a range that is stored in parts: pure decisions.

use std::ops::Range;

use kithara_assets::{Meta, Present, UnixMillis};
use kithara_net::RequestRange;

use crate::{Belief, CacheUse};

/// What to do at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything wanted was delivered.
    End,
    /// The store has these bytes; an end of `u64::MAX` means as many as there are.
    Stored(Range<u64>),
    /// The network must bring these; an end of `u64::MAX` means the end of the resource.
    Hole(Range<u64>),
}

/// The next step at `position` on the way to `end` (`u64::MAX`: the end of a resource whose length is not known), where `holes` are
/// the absent ranges from `position` on, in order.
pub(crate) fn next_step(position: u64, end: u64, holes: &[Range<u64>]) -> Step {
    if position >= end {
        return Step::End;
    }
    let hole = holes.iter().find(|hole| hole.end > position && hole.start < end);
    match hole {
        None => Step::Stored(position..end),
        Some(hole) if hole.start > position => Step::Stored(position..hole.start),
        Some(hole) => Step::Hole(position..hole.end.min(end)),
    }
}

/// The first of the holes on the way from `position` to `end`.
pub(crate) fn first_hole(position: u64, end: u64, holes: &[Range<u64>]) -> Option<Range<u64>> {
    match next_step(position, end, holes) {
        Step::End => None,
        Step::Hole(hole) => Some(hole),
        Step::Stored(stored) => match next_step(stored.end, end, holes) {
            Step::Hole(hole) => Some(hole),
            _ => None,
        },
    }
}

/// The end of what is wanted: that of `range`, but not beyond the resource. `u64::MAX` where neither is known.
pub(crate) fn wanted_end(range: Option<&Range<u64>>, total_len: Option<u64>) -> u64 {
    range.map_or(u64::MAX, |range| range.end).min(total_len.unwrap_or(u64::MAX))
}

/// A hole as it is asked for: no range at all for everything, so that origins without ranges serve it, too.
pub(crate) fn request_range(hole: &Range<u64>) -> Option<RequestRange> {
    match (hole.start, hole.end) {
        (0, u64::MAX) => None,
        (start, u64::MAX) => Some(RequestRange::From(start)),
        (start, end) => Some(RequestRange::Bounded(start..end)),
    }
}

/// Whether stored bytes may be used although nobody was asked.
pub(crate) fn is_believed(belief: Belief, cache: CacheUse, stored: &Present, now: UnixMillis) -> bool {
    let is_since = |since| stored.committed.is_some_and(|committed| committed >= since);
    match belief {
        Belief::All => true,
        _ if cache == CacheUse::OfflineOnly => true,
        Belief::SinceOrFresh(since) => is_since(since) || stored.meta.as_ref().is_some_and(|meta| meta.is_fresh(now)),
        Belief::Since(since) => is_since(since),
    }
}

/// How a whole resource is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholePlan {
    /// The stored bytes are the answer.
    Stored,
    /// The network is asked whether the stored bytes are still right.
    Confirm,
    /// The network is asked for the bytes.
    Fetch,
    /// There is no answer.
    Miss,
}

/// How to come by a whole resource of which `stored` is known. `caller_has_it`: the caller brought validators of its own, so it is
/// about changes, and stored bytes are of no use to it unless the network may not be asked.
pub(crate) fn plan_whole(cache: CacheUse, stored: Option<&Meta>, caller_has_it: bool, now: UnixMillis) -> WholePlan {
    match (cache, stored) {
        (CacheUse::OfflineOnly, None) => WholePlan::Miss,
        (CacheUse::OfflineOnly | CacheUse::StoredFirst, Some(_)) => WholePlan::Stored,
        (CacheUse::WriteOnly | CacheUse::Bypass, _) | (_, None) => WholePlan::Fetch,
        (CacheUse::ReadWrite | CacheUse::ReadOnly, Some(_)) if caller_has_it => WholePlan::Fetch,
        (CacheUse::ReadWrite | CacheUse::ReadOnly, Some(meta)) if meta.is_fresh(now) => WholePlan::Stored,
        (CacheUse::ReadWrite | CacheUse::ReadOnly, Some(meta)) if meta.validators.is_empty() => WholePlan::Fetch,
        (CacheUse::ReadWrite | CacheUse::ReadOnly, Some(_)) => WholePlan::Confirm,
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, not ranges of numbers")]
mod tests {
    use kithara_assets::Validators;

    use super::*;

    const END: u64 = u64::MAX;

    #[track_caller]
    fn check(position: u64, end: u64, holes: &[Range<u64>], want: Step) {
        assert_eq!(next_step(position, end, holes), want);
    }

    #[test]
    fn what_is_stored_is_read_and_what_is_not_is_fetched() {
        check(0, 10, &[], Step::Stored(0..10));
        check(0, 10, &[0..10], Step::Hole(0..10));
        check(0, 10, &[4..6], Step::Stored(0..4));
        check(4, 10, &[4..6], Step::Hole(4..6));
        check(5, 10, &[4..6], Step::Hole(5..6));
        check(6, 10, &[4..6], Step::Stored(6..10));
        check(6, 10, &[4..6, 9..20], Step::Stored(6..9));
        check(9, 10, &[4..6, 9..20], Step::Hole(9..10));
        check(10, 10, &[10..20], Step::End);
    }

    #[test]
    fn a_resource_of_unknown_length_ends_in_a_hole() {
        check(0, END, &[0..END], Step::Hole(0..END));
        check(0, END, &[7..END], Step::Stored(0..7));
        check(7, END, &[7..END], Step::Hole(7..END));
    }

    #[test]
    fn the_first_hole_is_found_behind_what_is_stored() {
        assert_eq!(first_hole(0, 10, &[4..6, 8..9]), Some(4..6));
        assert_eq!(first_hole(5, 10, &[4..6, 8..9]), Some(5..6));
        assert_eq!(first_hole(6, 10, &[4..6, 8..20]), Some(8..10));
        assert_eq!(first_hole(0, 10, &[]), None);
        assert_eq!(first_hole(0, 10, &[10..20]), None);
        assert_eq!(first_hole(10, 10, &[10..20]), None);
    }

    #[test]
    fn the_wanted_end_is_not_beyond_the_resource() {
        assert_eq!(wanted_end(None, None), END);
        assert_eq!(wanted_end(None, Some(10)), 10);
        assert_eq!(wanted_end(Some(&(2..7)), Some(10)), 7);
        assert_eq!(wanted_end(Some(&(2..70)), Some(10)), 10);
        assert_eq!(wanted_end(Some(&(2..END)), None), END);
    }

    #[test]
    fn only_a_part_is_asked_for_with_a_range() {
        assert_eq!(request_range(&(0..END)), None);
        assert_eq!(request_range(&(5..END)), Some(RequestRange::From(5)));
        assert_eq!(request_range(&(0..5)), Some(RequestRange::Bounded(0..5)));
    }

    fn stored(etag: Option<&str>, fresh_until: Option<u64>) -> Meta {
        let validators = Validators { etag: etag.map(Into::into), last_modified: None };
        let fresh_until = fresh_until.map(UnixMillis);
        let mut meta = Meta::default().with_base_url(&"http://a.example/".parse().unwrap());
        (meta.validators, meta.stored_at, meta.fresh_until) = (validators, UnixMillis(100), fresh_until);
        meta
    }

    fn present(meta: Meta) -> Present {
        let mut present = Present::default();
        present.meta = Some(meta);
        present
    }

    #[test]
    fn what_is_older_than_a_live_stream_is_believed_while_it_is_fresh() {
        use Belief::{All, Since, SinceOrFresh};
        // It was stored at 100. (belief, until when it is fresh, now, whether it is used)
        let table = [
            (All, None, 200, true),
            (SinceOrFresh(UnixMillis(100)), None, 200, true),
            (SinceOrFresh(UnixMillis(101)), None, 200, false),
            (SinceOrFresh(UnixMillis(101)), Some(250), 200, true),
            (SinceOrFresh(UnixMillis(101)), Some(250), 251, false),
            // The clock went back.
            (SinceOrFresh(UnixMillis(101)), Some(250), 50, false),
            (Since(UnixMillis(100)), None, 200, true),
            (Since(UnixMillis(101)), Some(250), 200, false),
        ];
        for (belief, fresh_until, now, want) in table {
            let mut stored = present(stored(None, fresh_until));
            stored.committed = Some(UnixMillis(100));
            let found = is_believed(belief, CacheUse::ReadWrite, &stored, UnixMillis(now));
            assert_eq!(found, want, "{belief:?}, fresh until {fresh_until:?}, at {now}");
            assert!(is_believed(belief, CacheUse::OfflineOnly, &stored, UnixMillis(now)), "there is nothing else");
        }
    }

    #[track_caller]
    fn check_whole(stored: Option<&Meta>, wants: [(CacheUse, WholePlan); 6]) {
        for (cache, want) in wants {
            assert_eq!(plan_whole(cache, stored, false, UnixMillis(200)), want, "{cache:?}");
        }
    }

    #[test]
    fn a_whole_resource_is_come_by_as_the_request_allows() {
        use CacheUse::{Bypass, OfflineOnly, ReadOnly, ReadWrite, StoredFirst, WriteOnly};
        use WholePlan::{Confirm, Fetch, Miss, Stored};
        let old = stored(Some("\"a\""), Some(150));
        let fresh = stored(Some("\"a\""), Some(250));
        let nameless = stored(None, None);
        let wants = |read, first, offline| {
            let never = [(WriteOnly, Fetch), (Bypass, Fetch)];
            [(ReadWrite, read), (ReadOnly, read), (StoredFirst, first), (OfflineOnly, offline), never[0], never[1]]
        };
        check_whole(None, wants(Fetch, Fetch, Miss));
        check_whole(Some(&old), wants(Confirm, Stored, Stored));
        check_whole(Some(&fresh), wants(Stored, Stored, Stored));
        check_whole(Some(&nameless), wants(Fetch, Stored, Stored));
    }

    #[test]
    fn a_caller_that_asks_for_changes_is_not_answered_from_the_store() {
        let fresh = stored(Some("\"a\""), Some(250));
        assert_eq!(plan_whole(CacheUse::ReadWrite, Some(&fresh), true, UnixMillis(200)), WholePlan::Fetch);
        assert_eq!(plan_whole(CacheUse::OfflineOnly, Some(&fresh), true, UnixMillis(200)), WholePlan::Stored);
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_fresh() {
        let fresh = stored(Some("\"a\""), Some(250));
        assert_eq!(plan_whole(CacheUse::ReadWrite, Some(&fresh), false, UnixMillis(50)), WholePlan::Confirm);
    }
}
