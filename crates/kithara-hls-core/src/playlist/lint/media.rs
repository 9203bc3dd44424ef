//! One media playlist as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::parse::decimal::Decimal;
use super::super::{AttributeValue, Cue, DateRange, Line, MediaPlaylist, Part, PlaylistType, Rule, Uri, Violation};
use super::Found;
use super::text::is_hexadecimal;

/// What a look at the whole snapshot shows beyond what the parser noticed.
pub(super) fn lint(playlist: &MediaPlaylist) -> Vec<Violation> {
    let mut found = Found::default();
    start(playlist, &mut found);
    window(playlist, &mut found);
    parts(playlist, &mut found);
    dates(playlist, &mut found);
    for segment in playlist.segments.iter() {
        let one = segment.keys.windows(2).all(|pair| pair[0].method == pair[1].method);
        found.unless(one, segment.line, Rule::MethodsDiffer);
    }
    for range in &playlist.date_ranges {
        date_range(range, &mut found);
    }
    overlaps(&playlist.date_ranges, &mut found);
    found.0
}

fn start(playlist: &MediaPlaylist, found: &mut Found) {
    let Some(start) = playlist.start else { return };
    let line = playlist.lines.of("EXT-X-START");
    let length = playlist.duration();
    let offset = Duration::from_nanos(start.time_offset.as_nanos().unsigned_abs());
    let from_end = if start.time_offset.as_nanos() < 0 { Some(offset) } else { length.checked_sub(offset) };
    found.unless(offset <= length, line, Rule::StartOutside);
    let far = from_end.is_none_or(|it| it >= playlist.target_duration.saturating_mul(3));
    found.unless(playlist.ended || far, line, Rule::StartNearTheEnd);
}

fn window(playlist: &MediaPlaylist, found: &mut Found) {
    let vod = playlist.playlist_type == Some(PlaylistType::Vod);
    found.unless(!vod || playlist.ended, playlist.lines.of("EXT-X-PLAYLIST-TYPE"), Rule::EndlessVod);
    let cut = playlist.media_sequence.0 > 0 && !playlist.ended && playlist.delta.is_none();
    let long = playlist.duration() >= playlist.target_duration.saturating_mul(3);
    found.unless(!cut || long, playlist.lines.of("EXT-X-MEDIA-SEQUENCE"), Rule::LiveTooShort);
    if let Some(line) = playlist.lines.get("EXT-X-SKIP") {
        let offered = !playlist.ended && playlist.server_control.can_skip_until.is_some();
        found.unless(offered, line, Rule::SkipNotOffered);
    }
    let line = playlist.lines.of("EXT-X-RENDITION-REPORT");
    for report in &playlist.rendition_reports {
        found.unless(!is_absolute(&report.uri), line, Rule::AbsoluteReport);
    }
}

fn is_absolute(uri: &Uri) -> bool {
    url::Url::parse(uri.as_str()).is_ok()
}

fn parts(playlist: &MediaPlaylist, found: &mut Found) {
    let end = playlist.duration();
    let oldest = playlist.target_duration.saturating_mul(3);
    let complete = playlist.segments.iter_timed().filter(|(_, it)| !it.parts.is_empty());
    for (start, segment) in complete {
        part_lengths(playlist, segment.parts, true, found);
        let behind = start + segment.duration;
        found.unless(end.saturating_sub(behind) <= oldest, segment.parts[0].line, Rule::PartsTooOld);
        found.unless(!playlist.iframes_only, segment.parts[0].line, Rule::PartsOfIframes);
    }
    if let Some(incomplete) = &playlist.incomplete {
        part_lengths(playlist, &incomplete.parts, false, found);
    }
    let line = playlist.lines.of("EXT-X-SERVER-CONTROL");
    let enough = playlist.part_target.zip(playlist.server_control.part_hold_back);
    let enough = enough.is_none_or(|(target, hold_back)| hold_back >= target.saturating_mul(3));
    found.unless(enough, line, Rule::PartHoldBackShort);
}

fn part_lengths(playlist: &MediaPlaylist, parts: &[Part], complete: bool, found: &mut Found) {
    let Some(target) = playlist.part_target else { return };
    let least = target.mul_f64(0.85);
    for (at, part) in parts.iter().enumerate() {
        let next = parts.get(at + 1);
        let last = next.is_none() && complete;
        // What comes behind the last part of a segment that goes on is not known.
        let excused = part.independent || part.gap || last || next.is_none_or(|next| next.gap);
        found.unless(excused || part.duration >= least, part.line, Rule::PartTooShort);
    }
}

fn dates(playlist: &MediaPlaylist, found: &mut Found) {
    let dated = playlist.segments.iter().any(|it| it.program_date_time.is_some());
    let mut expected = None;
    for segment in playlist.segments.iter() {
        let date = segment.program_date_time;
        found.unless(!dated || !segment.discontinuity || date.is_some(), segment.line, Rule::DiscontinuityWithoutDate);
        if let (Some(expected), Some(date)) = (expected, date) {
            // A later date is a leap over time that has no segments, which is not ambiguous.
            let early = crate::time::WallTime::checked_since(expected, date).unwrap_or_default();
            found.unless(early < Duration::from_secs(1), segment.line, Rule::DatesOverlap);
        }
        expected = date.or(expected).and_then(|it| it.checked_add(segment.duration));
    }
}

fn date_range(range: &DateRange, found: &mut Found) {
    for (name, value) in &range.attributes {
        match value {
            AttributeValue::Plain(text) if name.starts_with("X-") => {
                let unsigned = text.strip_prefix('-').unwrap_or(text);
                let number = Decimal::read(unsigned).is_some_and(|(_, rest)| rest.is_empty());
                found.named(number || is_hexadecimal(text), range.line, Rule::InvalidClientAttribute, name);
            }
            _ if name.starts_with("SCTE35-") => {
                found.named(is_hexadecimal(value.as_str()), range.line, Rule::InvalidScte35, name);
            }
            _ => {}
        }
    }
    if range.is_interstitial() {
        let (uri, list) = (range.text("X-ASSET-URI"), range.text("X-ASSET-LIST"));
        found.unless(uri.is_some() != list.is_some(), range.line, Rule::InterstitialAssets);
        let absolute = uri.is_none_or(|uri| url::Url::parse(uri).is_ok());
        found.unless(absolute, range.line, Rule::RelativeAsset);
        let label = range.text("X-SKIP-CONTROL-LABEL-ID").unwrap_or_default();
        let allowed = label.bytes().all(|it| it.is_ascii_alphabetic() || matches!(it, b'-' | b'_'));
        found.unless(allowed, range.line, Rule::InvalidSkipLabel);
    }
    if range.class.as_deref() == Some(DateRange::PRELOAD) {
        let complete = ["X-URI", "X-TARGET-ID", "X-TARGET-CLASS"].iter().all(|it| range.text(it).is_some());
        let ends = range.duration.is_some() || range.end_date.is_some();
        let plain = range.cue == Cue::default() && !range.end_on_next;
        found.unless(complete && ends && plain, range.line, Rule::IncompletePreload);
    }
}

/// Ranges of a class that ends one range where the next begins must not overlap.
fn overlaps(ranges: &[Arc<DateRange>], found: &mut Found) {
    let mut classes: BTreeMap<&str, Vec<&DateRange>> = BTreeMap::new();
    for range in ranges {
        if let Some(class) = &range.class {
            classes.entry(class).or_default().push(range);
        }
    }
    for mut list in classes.into_values().filter(|list| list.iter().any(|it| it.end_on_next)) {
        list.sort_by_key(|it| it.start_date);
        let mut end = None;
        for range in list {
            let clear = end.zip(range.start_date).is_none_or(|(end, start)| start >= end);
            found.unless(clear, Line(range.line.0), Rule::OverlappingRanges);
            end = end.max(range.end());
        }
    }
}
