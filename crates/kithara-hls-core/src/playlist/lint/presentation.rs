//! The media playlists of one presentation side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::super::{
    DateRange, Key, Line, MediaPlaylist, MultivariantPlaylist, PlaylistType, RenditionId, RenditionKind, Rule,
    SharedList, Uri, VariantId, Violation,
};
use super::{Found, sorted};

/// What a media playlist is in its presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// That of a variant.
    Variant(VariantId),
    /// That of an I-frame variant.
    IframeVariant(VariantId),
    /// That of a rendition.
    Rendition(RenditionId),
}

/// Where media playlists do not fit to their multivariant playlist or to each other (sections 4.4.6 and 6.2.4).
///
/// The answer has a list for each of `members`, in order, with the lines of that playlist; what concerns only the
/// multivariant playlist stands with the member that shows it. Playlists are compared with the first one of `members`;
/// those of live presentations must have been loaded about the same time.
#[must_use]
pub fn lint_presentation(
    multivariant: &MultivariantPlaylist,
    members: &[(Member, MediaPlaylist)],
) -> Vec<Vec<Violation>> {
    let least = members.iter().map(|(_, it)| it.target_duration).min().unwrap_or_default();
    let dated = members.iter().any(|(_, it)| is_dated(it));
    let ranges = members.iter().map(|(_, it)| it).find(|it| !it.date_ranges.is_empty());
    let first = members.first().map(|(_, it)| it);
    let lint = |(member, playlist): &(Member, MediaPlaylist)| {
        let mut found = Found::default();
        with_multivariant(multivariant, *member, playlist, &mut found);
        if let Some(first) = first {
            let elastic = is_elastic(multivariant, *member, playlist);
            compare(first, playlist, elastic, least, &mut found);
        }
        found.unless(!dated || is_dated(playlist), Line(1), Rule::DatesHereAndThere);
        if let Some(other) = ranges.filter(|_| !playlist.date_ranges.is_empty()) {
            let line = playlist.date_ranges[0].line;
            found.unless(same_ranges(other, playlist), line, Rule::DateRangesDiffer);
        }
        sorted(found.0)
    };
    members.iter().map(lint).collect()
}

/// Subtitles and I-frames may have another target duration when all is there.
fn is_elastic(multivariant: &MultivariantPlaylist, member: Member, playlist: &MediaPlaylist) -> bool {
    let subtitles = match member {
        Member::Rendition(id) => multivariant.renditions.get(id.0 as usize).map(|it| it.kind),
        _ => None,
    };
    let vod = playlist.playlist_type == Some(PlaylistType::Vod);
    vod && (subtitles == Some(RenditionKind::Subtitles) || playlist.iframes_only)
}

fn is_dated(playlist: &MediaPlaylist) -> bool {
    playlist.segments.iter().any(|it| it.program_date_time.is_some())
}

fn with_multivariant(all: &MultivariantPlaylist, member: Member, playlist: &MediaPlaylist, found: &mut Found) {
    if let (Some(start), Some(common)) = (playlist.start, all.start) {
        let line = playlist.lines.of("EXT-X-START");
        found.unless(false, line, Rule::StartTwice);
        found.unless(start == common, line, Rule::StartsDiffer);
    }
    let twice = all.independent_segments && playlist.independent_segments;
    found.unless(!twice, playlist.lines.of("EXT-X-INDEPENDENT-SEGMENTS"), Rule::IndependentTwice);
    session_keys(&all.session_keys, playlist, found);
    match member {
        Member::IframeVariant(_) => found.unless(playlist.iframes_only, Line(1), Rule::IframesOnlyMissing),
        Member::Variant(id) => {
            let stated = all.variants.iter().find(|it| it.id == id).map(|it| it.bandwidth.0);
            let peak = peak_bit_rate(playlist);
            let fits = stated.zip(peak).is_none_or(|(stated, peak)| stated == 0 || peak <= stated as f64);
            found.unless(fits, Line(1), Rule::PeakAboveBandwidth);
        }
        Member::Rendition(_) => {}
    }
}

fn session_keys(session: &[Key], playlist: &MediaPlaylist, found: &mut Found) {
    let mut known: BTreeMap<Option<Url>, Vec<&Key>> = BTreeMap::new();
    for key in session {
        known.entry(key.uri.as_ref().map(Uri::url)).or_default().push(key);
    }
    let fits = |key: &Key| {
        let what = |it: &Key| (it.method.clone(), it.keyformat.clone(), it.keyformatversions.clone());
        known.get(&key.uri.as_ref().map(Uri::url)).is_none_or(|all| all.iter().all(|it| what(it) == what(key)))
    };
    let mut before = SharedList::new();
    for segment in playlist.segments.iter().filter(|_| !session.is_empty()) {
        if !segment.keys.is(&before) {
            found.unless(segment.keys.iter().all(fits), segment.line, Rule::SessionKeyDiffers);
            before = segment.keys.clone();
        }
    }
}

/// The peak segment bit rate (section 4.1) as far as byte ranges tell: the highest rate of neighbours that play for half
/// a target duration to one and a half.
fn peak_bit_rate(playlist: &MediaPlaylist) -> Option<f64> {
    let target = playlist.target_duration;
    let (least, most) = (target / 2, target.saturating_add(target / 2).saturating_add(Duration::from_millis(500)));
    let all: Vec<(Duration, u64)> =
        playlist.segments.iter().map(|it| Some((it.duration, it.byte_range?.len))).collect::<Option<_>>()?;
    let mut peak: Option<f64> = None;
    for first in 0..all.len() {
        let (mut time, mut bytes) = (Duration::ZERO, 0u64);
        for (duration, len) in &all[first..(first + MAX_NEIGHBOURS).min(all.len())] {
            time += *duration;
            bytes = bytes.saturating_add(*len);
            if time > most {
                break;
            }
            if time >= least && !time.is_zero() {
                let rate = bytes as f64 * 8.0 / time.as_secs_f64();
                peak = Some(peak.map_or(rate, |peak| peak.max(rate)));
            }
        }
    }
    peak
}

/// Segments of next to no duration are not looked at for ever.
const MAX_NEIGHBOURS: usize = 64;

fn compare(first: &MediaPlaylist, playlist: &MediaPlaylist, elastic: bool, least: Duration, found: &mut Found) {
    let lines = &playlist.lines;
    let same_target = elastic || playlist.target_duration == first.target_duration;
    found.unless(same_target, lines.of("EXT-X-TARGETDURATION"), Rule::TargetDurationsDiffer);
    let same_type = playlist.playlist_type == first.playlist_type;
    found.unless(same_type, lines.of("EXT-X-PLAYLIST-TYPE"), Rule::PlaylistTypesDiffer);
    let line = lines.of("EXT-X-SERVER-CONTROL");
    found.unless(playlist.server_control == first.server_control, line, Rule::ServerControlDiffers);
    if !(playlist.ended && first.ended) {
        return;
    }
    // All is there, so all of it can be compared. An I-frame playlist has no segment where there is no I-frame.
    let apart = playlist.duration().abs_diff(first.duration());
    found.unless(playlist.iframes_only || apart <= least, lines.of("EXT-X-ENDLIST"), Rule::DurationsDiffer);
    let last = |it: &MediaPlaylist| it.segments.last().map(|it| it.dsn);
    found.unless(last(playlist) == last(first), Line(1), Rule::DiscontinuitiesDiffer);
    let vod = playlist.playlist_type == Some(PlaylistType::Vod);
    let dates = playlist.date_of(0).zip(first.date_of(0));
    let line = playlist.segments.first().map_or(Line(1), |it| it.line);
    // Dates are written in milliseconds, which is how exact they are.
    let close = dates.is_none_or(|(one, other)| one.as_millis().abs_diff(other.as_millis()) <= 1);
    found.unless(!vod || playlist.iframes_only || close, line, Rule::FirstDatesDiffer);
}

fn same_ranges(one: &MediaPlaylist, other: &MediaPlaylist) -> bool {
    let sorted = |it: &MediaPlaylist| -> Vec<DateRange> {
        let mut all: Vec<DateRange> = it.date_ranges.iter().map(|it| DateRange::clone(it)).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    };
    sorted(one) == sorted(other)
}
