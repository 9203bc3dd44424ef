//! Two snapshots of one media playlist.

use std::collections::BTreeMap;

use super::super::{DateRange, Line, MediaPlaylist, PlaylistType, Rule, Segment, Violation};
use super::{Found, sorted};

/// Where `after`, a later snapshot of the playlist that was `before`, differs from it as an update must not (sections
/// 6.2.1, 6.2.2 and 6.3.4), with the lines of `after`.
///
/// A delta update must have been merged: it was parsed with the snapshot before.
#[must_use]
pub fn lint_update(before: &MediaPlaylist, after: &MediaPlaylist) -> Vec<Violation> {
    let mut found = Found::default();
    let lines = &after.lines;
    let same_target = before.target_duration == after.target_duration;
    found.unless(same_target, lines.of("EXT-X-TARGETDURATION"), Rule::TargetDurationChanged);
    let line = lines.of("EXT-X-PLAYLIST-TYPE");
    found.unless(before.playlist_type == after.playlist_type, line, Rule::TypeChanged);
    let vod = before.playlist_type == Some(PlaylistType::Vod);
    let same = before.segments == after.segments && before.ended == after.ended;
    found.unless(!vod || same, line, Rule::VodChanged);
    found.unless(after.ended || !before.ended, Line(1), Rule::EndTakenBack);
    let line = lines.of("EXT-X-MEDIA-SEQUENCE");
    found.unless(before.media_sequence <= after.media_sequence, line, Rule::SequenceWentBack);
    let event = before.playlist_type == Some(PlaylistType::Event);
    let kept = !event || before.media_sequence >= after.media_sequence;
    found.unless(kept, line, Rule::RemovedFromTheFront);
    let last = after.segments.last().map_or(Line(1), |it| it.line);
    let listed = |it: &MediaPlaylist| it.segments.last().map(|it| it.msn);
    found.unless(listed(before) <= listed(after), last, Rule::RemovedFromTheEnd);
    for segment in after.segments.iter() {
        if let Some(known) = before.segments.by_msn(segment.msn) {
            compare(&known, &segment, &mut found);
        }
    }
    date_ranges(before, after, &mut found);
    sorted(found.0)
}

fn compare(before: &Segment<'_>, after: &Segment<'_>, found: &mut Found) {
    let line = after.line;
    let same = (&before.uri, before.byte_range, before.duration) == (&after.uri, after.byte_range, after.duration);
    found.unless(same, line, Rule::SegmentChanged);
    found.unless(before.dsn == after.dsn, line, Rule::DiscontinuityRenumbered);
    found.unless(before.keys == after.keys, line, Rule::KeyChanged);
    found.unless(before.init == after.init, line, Rule::InitSectionChanged);
    found.unless(before.program_date_time == after.program_date_time, line, Rule::DateChanged);
    // Parts go away from the front, one after the other.
    let gone = before.parts.len().saturating_sub(after.parts.len());
    let parts = after.parts.is_empty() || before.parts[gone..].iter().zip(after.parts).all(|(one, other)| one == other);
    found.unless(parts, line, Rule::PartChanged);
}

fn date_ranges(before: &MediaPlaylist, after: &MediaPlaylist, found: &mut Found) {
    let known: BTreeMap<&str, &DateRange> = after.date_ranges.iter().map(|it| (&*it.id, &**it)).collect();
    let oldest = after.date_of(0);
    for range in &before.date_ranges {
        match known.get(&*range.id) {
            Some(now) => found.named(extends(range, now), now.line, Rule::DateRangeChanged, &range.id),
            None => {
                let over = range.end().zip(oldest).is_some_and(|(end, oldest)| end <= oldest);
                let unknown = range.end().is_none() || oldest.is_none();
                found.named(over || unknown, Line(1), Rule::DateRangeRemoved, &range.id);
            }
        }
    }
}

/// Whether `now` says all that `before` said, and perhaps more.
fn extends(before: &DateRange, now: &DateRange) -> bool {
    fn keeps<T: PartialEq>(before: &Option<T>, now: &Option<T>) -> bool {
        before.is_none() || before == now
    }
    keeps(&before.class, &now.class)
        && keeps(&before.start_date, &now.start_date)
        && keeps(&before.end_date, &now.end_date)
        && keeps(&before.duration, &now.duration)
        && keeps(&before.planned_duration, &now.planned_duration)
        && before.attributes.iter().all(|(name, value)| now.attributes.get(name) == Some(value))
}
