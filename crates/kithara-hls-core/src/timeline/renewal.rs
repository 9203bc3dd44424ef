//! What a newer snapshot is to the one in force: more of the same, older, further on, or of an encoder that began anew.

use std::time::Duration;

use crate::playlist::{MediaPlaylist, Segment};

/// The state a newer snapshot is compared with.
pub(super) struct Standing<'a> {
    pub(super) snapshot: &'a MediaPlaylist,
    /// What the timeline adds to the playlist's numbers.
    pub(super) shift: u64,
    /// Time since something new was listed.
    pub(super) since_change: Duration,
    /// For how long snapshots have shown an earlier state.
    pub(super) behind_for: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Same,
    Grown,
    Behind,
    Jumped { missed: u64, hole: Duration },
    Restarted,
}

/// Compares `newer` with what is in force. All numbers are those of the playlist.
pub(super) fn judge(old: &Standing<'_>, newer: &MediaPlaylist) -> Renewal {
    let before = old.snapshot;
    let (first, end) = (newer.media_sequence.0, newer.end_sequence().0);
    let old_end = before.end_sequence().0;
    if newer.segments.is_empty() {
        // A server that has nothing to list yet, or not any more, takes nothing back.
        return if newer.ended && !before.ended { Renewal::Grown } else { Renewal::Behind };
    }
    let went_back = end < old_end || first.saturating_add(old.shift) < first;
    if went_back {
        return judge_older(old, newer);
    }
    if old.behind_for.is_some() && differs(before, newer) {
        // What looked like a server that is behind was an encoder that began anew, and has caught up.
        return Renewal::Restarted;
    }
    if first > old_end {
        let missed = first - old_end;
        return jumped(old, newer, missed);
    }
    let progress = |playlist: &MediaPlaylist| (playlist.end_sequence().0, parts_of(playlist), playlist.ended);
    match progress(newer) == progress(before) {
        true => Renewal::Same,
        // Parts of the segment behind the last one may be listed before it; fewer of them are an older state.
        false if end == old_end && parts_of(newer) < parts_of(before) && !newer.ended => Renewal::Behind,
        false => Renewal::Grown,
    }
}

fn parts_of(playlist: &MediaPlaylist) -> usize {
    playlist.incomplete.as_ref().map_or(0, |segment| segment.parts.len())
}

/// The numbers went back. A server that is behind lists what we know; an encoder that began anew lists something else,
/// or never catches up.
fn judge_older(old: &Standing<'_>, newer: &MediaPlaylist) -> Renewal {
    let before = old.snapshot;
    let seen_before = old.behind_for.is_some();
    let too_long = old.behind_for.is_some_and(|time| time >= before.target_duration.saturating_mul(3));
    // A server that is behind by more than a window may be seen once; an encoder that began anew is seen again.
    let apart = newer.end_sequence() <= before.media_sequence && seen_before;
    // So is one that is behind by more than any cache may be.
    let far = lag(before, newer) >= before.target_duration.saturating_mul(3) && seen_before;
    let stays_behind = apart || (far || too_long) && !same_dates(before, newer);
    if newer.ended && !differs(before, newer) {
        // The end was moved forward.
        return Renewal::Grown;
    }
    if stays_behind || differs(before, newer) || are_cut_otherwise(before, newer) || is_far_behind(before, newer) {
        return Renewal::Restarted;
    }
    Renewal::Behind
}

/// Whether both list a number for which they do not mean the same segment.
fn differs(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    newer.segments.iter().any(|segment| {
        let same = before.segments.by_msn(segment.msn);
        same.is_some_and(|known| {
            let dates = known.program_date_time.zip(segment.program_date_time);
            let moved = |(one, other): (crate::time::WallTime, crate::time::WallTime)| {
                one.as_millis().abs_diff(other.as_millis()) > millis_of(before.target_duration)
            };
            file_of(&known) != file_of(&segment) || dates.is_some_and(moved)
        })
    })
}

/// Media that `before` lists behind the end of `newer`.
fn lag(before: &MediaPlaylist, newer: &MediaPlaylist) -> Duration {
    let end = newer.end_sequence();
    before.segments.iter().filter(|segment| segment.msn >= end).map(|segment| segment.duration).sum()
}

/// Whether several segments that both list are of other lengths. One may have been corrected.
fn are_cut_otherwise(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    let both = newer.segments.iter().filter_map(|segment| Some((before.segments.by_msn(segment.msn)?, segment)));
    both.filter(|(known, segment)| known.duration.abs_diff(segment.duration) > SAME_DURATION).nth(1).is_some()
}

/// The durations of one segment in two copies of its playlist differ by less, however they are rounded.
const SAME_DURATION: Duration = Duration::from_millis(1);

/// Whether both list a segment with the same number and date: then both are of one encoder, however late one is.
fn same_dates(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    newer.segments.iter().any(|segment| {
        let same = before.segments.by_msn(segment.msn);
        same.is_some_and(|known| known.program_date_time.is_some_and(|date| segment.program_date_time == Some(date)))
    })
}

/// Whether the newer window ends before the older one begins by more than a server can be behind.
fn is_far_behind(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    let window = before.segments.len() as u64;
    newer.end_sequence().0.saturating_add(window) < before.media_sequence.0
}

/// The name of the file, without what signatures change.
fn file_of(segment: &Segment<'_>) -> (String, Option<u64>) {
    let url = segment.uri.url();
    let name = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    (name, segment.byte_range.map(|range| range.start))
}

fn millis_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The window moved on by more than its length. Time passes no faster for the encoder than for us, so a leap that is much
/// longer than the time since the last change is a new count.
fn jumped(old: &Standing<'_>, newer: &MediaPlaylist, missed: u64) -> Renewal {
    let before = old.snapshot;
    let count = u32::try_from(before.segments.len().max(1)).unwrap_or(u32::MAX);
    let usual = (before.segments.duration() / count).max(Duration::from_millis(1));
    let by_count = usual.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
    let likely = old.since_change.saturating_mul(4).saturating_add(before.target_duration.saturating_mul(10));
    if by_count > likely.saturating_add(newer.segments.duration()) {
        return Renewal::Restarted;
    }
    let ends = before
        .segments
        .len()
        .checked_sub(1)
        .and_then(|last| before.date_of(last)?.checked_add(before.segments.get(last)?.duration));
    let by_date = ends.zip(newer.date_of(0)).and_then(|(end, start)| start.checked_since(end));
    let hole = by_date.filter(|hole| *hole <= likely).unwrap_or(by_count);
    Renewal::Jumped { missed, hole }
}
