//! A playlist as JSON in the neutral form that conformance suites compare.
//!
//! Facts that are absent, false or empty are left out; URIs stand as the playlist writes them, variables substituted;
//! times are seconds, dates milliseconds since 1970.

use std::{collections::BTreeSet, time::Duration};

use kithara::{
    options::BitRate,
    playlist::{
        ByteRange, Channels, Characteristics, ClosedCaptions, Codecs, FrameRate, HdcpLevel, InitSection, Iv, Key,
        MediaPlaylist, MultivariantPlaylist, Part, Playlist, PlaylistType, PreloadKind, Rendition, Rule, Segment,
        Start, Uri, Variant, VideoRange,
    },
};
use serde_json::{Map, Value, json};

/// Places of segments left out that are listed.
const MAX_MISSING: u64 = 10_000;

/// The facts of `playlist`.
#[must_use]
pub(super) fn neutral(playlist: &Playlist) -> Value {
    match playlist {
        Playlist::Media(playlist) => media(playlist),
        Playlist::Multivariant(playlist) => multivariant(playlist),
    }
}

/// An object without the facts that say nothing.
fn object<const N: usize>(facts: [(&str, Value); N]) -> Value {
    let telling = facts.into_iter().filter(|(_, value)| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    });
    Value::Object(telling.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn list<T>(items: impl IntoIterator<Item = T>, fact: impl FnMut(T) -> Value) -> Value {
    Value::Array(items.into_iter().map(fact).collect())
}

fn seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

fn start(start: &Start) -> Value {
    let offset = start.time_offset.as_nanos() as f64 / 1e9;
    object([("time_offset", json!(offset)), ("precise", json!(start.precise))])
}

fn media(playlist: &MediaPlaylist) -> Value {
    let trailing = playlist.incomplete.iter().flat_map(|segment| segment.parts.iter());
    let parts = playlist.segments.iter().flat_map(|segment| segment.parts.iter()).chain(trailing.clone());
    let skipped = playlist.delta.as_ref().map_or(0, |delta| delta.skipped);
    let interstitials = playlist.date_ranges.iter().filter(|range| range.is_interstitial());
    // What a delta update leaves out has a place in the list, so that places do not depend on it.
    let before = playlist.delta.iter().flat_map(|delta| delta.before.iter_timed());
    let before = before.map(|(at, it)| segment(playlist, at, &it));
    let missing = (0..skipped.min(MAX_MISSING)).map(|_| Value::Null);
    let segments = playlist.segments.iter_timed().map(|(at, it)| segment(playlist, at, &it));
    let segments: Vec<Value> = before.chain(missing).chain(segments).collect();
    // A part whose extent is known counts, though it is only hinted at.
    let hinted = playlist
        .preload_hints
        .iter()
        .any(|hint| hint.kind == PreloadKind::Part && (hint.byte_start == 0 || hint.byte_len.is_some()));
    let control = &playlist.server_control;
    let guessed = [Rule::MissingTargetDuration, Rule::TargetDurationTooShort];
    let declared = !guessed.into_iter().any(|rule| playlist.breaks(rule));
    object([
        ("type", json!("media")),
        ("version", json!(playlist.version)),
        ("target_duration", if declared { seconds(playlist.target_duration) } else { Value::Null }),
        ("media_sequence", media_sequence(playlist)),
        ("discontinuity_sequence", json!(playlist.discontinuity_sequence.unwrap_or_default())),
        (
            "playlist_type",
            match playlist.playlist_type {
                Some(PlaylistType::Event) => json!("EVENT"),
                Some(PlaylistType::Vod) => json!("VOD"),
                None => Value::Null,
            },
        ),
        ("endlist", json!(playlist.ended)),
        ("iframes_only", json!(playlist.iframes_only)),
        ("independent_segments", json!(playlist.independent_segments)),
        ("n_segments", json!(segments.len())),
        ("total_duration", seconds(stated_duration(playlist))),
        ("start", playlist.start.as_ref().map_or(Value::Null, start)),
        ("part_target", playlist.part_target.map_or(Value::Null, seconds)),
        (
            "server_control",
            object([
                ("can_block_reload", json!(control.can_block_reload)),
                ("can_skip_until", control.can_skip_until.map_or(Value::Null, seconds)),
                ("hold_back", control.hold_back.map_or(Value::Null, seconds)),
                ("part_hold_back", control.part_hold_back.map_or(Value::Null, seconds)),
                ("can_skip_dateranges", json!(control.can_skip_date_ranges)),
            ]),
        ),
        ("skipped_segments", json!(skipped)),
        ("segments", Value::Array(segments)),
        ("n_parts", json!(parts.clone().count())),
        ("parts", list(parts, part)),
        ("n_trailing_parts", json!(trailing.count() + usize::from(hinted))),
        (
            "preload_hints",
            list(&playlist.preload_hints, |hint| {
                let kind = match hint.kind {
                    PreloadKind::Part => "PART",
                    PreloadKind::Init => "MAP",
                };
                object([("type", json!(kind)), ("uri", json!(hint.uri.as_str()))])
            }),
        ),
        (
            "rendition_reports",
            list(&playlist.rendition_reports, |report| {
                object([
                    ("uri", json!(report.uri.as_str())),
                    ("last_msn", json!(report.last_msn)),
                    ("last_part", json!(report.last_part)),
                ])
            }),
        ),
        ("n_rendition_reports", json!(playlist.rendition_reports.len())),
        ("dateranges", list(&playlist.date_ranges, |range| json!(&*range.id))),
        ("n_interstitials", json!(interstitials.clone().count())),
        ("interstitials", list(interstitials, |range| object([("id", json!(&*range.id))]))),
    ])
}

/// The sum of the durations that the playlist states; the model guesses those that are missing.
fn stated_duration(playlist: &MediaPlaylist) -> Duration {
    let missing = playlist.violations.iter().filter(|violation| violation.rule == Rule::MissingExtinf);
    let lines: BTreeSet<u32> = missing.map(|violation| violation.line.0).collect();
    let stated = playlist.segments.iter().filter(|segment| !lines.contains(&segment.line.0));
    stated.map(|segment| segment.duration).sum()
}

/// The number as the playlist states it, which may be negative; the model counts from zero then.
fn media_sequence(playlist: &MediaPlaylist) -> Value {
    let mut violations = playlist.violations.iter();
    let negative = violations.find(|violation| violation.rule == Rule::NegativeSequence);
    let stated = negative.and_then(|violation| violation.found.as_ref()?.parse::<i64>().ok());
    stated.map_or(json!(playlist.media_sequence), |number| json!(number))
}

fn segment(playlist: &MediaPlaylist, start: Duration, segment: &Segment<'_>) -> Value {
    let relative = segment.dsn.0.saturating_sub(playlist.discontinuity_sequence.unwrap_or_default().0);
    object([
        ("uri", json!(segment.uri.as_str())),
        ("duration", seconds(segment.duration)),
        ("title", json!(segment.title())),
        ("discontinuity", json!(segment.discontinuity)),
        ("cc", json!(segment.dsn)),
        ("relative_cc", json!(relative)),
        ("media_sequence", json!(segment.msn)),
        ("start", seconds(start)),
        ("gap", json!(segment.gap)),
        ("pdt_ms", json!(segment.program_date_time)),
        ("byte_range", byte_range(segment.byte_range)),
        ("key", preferred(segment.keys).map_or(json!({ "method": "NONE" }), |it| key(it, it.iv_for(segment.msn)))),
        ("map", segment.init.map_or(Value::Null, |it| init(it))),
        ("n_parts", json!(segment.parts.len())),
        ("parts", list(segment.parts, part)),
    ])
}

/// The key that a client without content protection would use.
fn preferred(keys: &[Key]) -> Option<&Key> {
    keys.iter().find(|key| key.is_identity()).or(keys.first())
}

fn key(key: &Key, effective: Option<Iv>) -> Value {
    let keyformat = if key.is_identity() { Value::Null } else { json!(&*key.keyformat) };
    object([
        ("method", json!(key.method.as_str())),
        ("uri", json!(key.uri.as_ref().map(Uri::as_str))),
        ("iv", json!(key.iv.map(|iv| iv.to_string()))),
        ("iv_effective", json!(effective.map(|iv| iv.to_string()))),
        ("keyformat", keyformat),
    ])
}

fn init(init: &InitSection) -> Value {
    object([("uri", json!(init.uri.as_str())), ("byte_range", byte_range(init.byte_range))])
}

fn byte_range(range: Option<ByteRange>) -> Value {
    range.map_or(Value::Null, |range| json!({ "length": range.len, "offset": range.start }))
}

fn part(part: &Part) -> Value {
    object([
        ("uri", json!(part.uri.as_str())),
        ("duration", seconds(part.duration)),
        ("independent", json!(part.independent)),
        ("gap", json!(part.gap)),
        ("byte_range", byte_range(part.byte_range)),
    ])
}

fn multivariant(playlist: &MultivariantPlaylist) -> Value {
    object([
        ("type", json!("multivariant")),
        ("version", json!(playlist.version)),
        ("independent_segments", json!(playlist.independent_segments)),
        ("start", playlist.start.as_ref().map_or(Value::Null, start)),
        ("variants", list(&playlist.variants, variant)),
        ("n_variants", json!(playlist.variants.len())),
        ("iframe_variants", list(&playlist.iframe_variants, variant)),
        ("n_iframe_variants", json!(playlist.iframe_variants.len())),
        ("media", list(&playlist.renditions, rendition)),
        ("n_media", json!(playlist.renditions.len())),
        (
            "content_steering",
            playlist.content_steering.as_ref().map_or(Value::Null, |steering| {
                object([
                    ("server_uri", json!(steering.server_uri.as_str())),
                    ("pathway_id", json!(steering.pathway_id.as_deref())),
                ])
            }),
        ),
    ])
}

fn variant(variant: &Variant) -> Value {
    let captions = match &variant.closed_captions {
        Some(ClosedCaptions::Group(group)) => Some(&**group),
        Some(ClosedCaptions::None) => Some("NONE"),
        None => None,
    };
    object([
        ("uri", json!(variant.uri.as_str())),
        ("bandwidth", json!(variant.bandwidth.bits_per_second())),
        ("average_bandwidth", json!(variant.average_bandwidth.map(BitRate::bits_per_second))),
        ("codecs", json!(variant.codecs.as_ref().map(Codecs::as_str))),
        ("resolution", json!(variant.resolution.map(|resolution| resolution.to_string()))),
        ("frame_rate", json!(variant.frame_rate.map(FrameRate::as_f64))),
        ("name", json!(variant.name.as_deref())),
        ("audio", json!(variant.audio.as_deref())),
        ("video", json!(variant.video.as_deref())),
        ("subtitles", json!(variant.subtitles.as_deref())),
        ("closed_captions", json!(captions)),
        ("video_range", json!(variant.video_range.as_ref().map(VideoRange::as_str))),
        ("hdcp_level", json!(variant.hdcp_level.as_ref().map(HdcpLevel::as_str))),
        ("pathway_id", json!(variant.pathway_id.as_deref())),
        ("stable_variant_id", json!(variant.stable_variant_id.as_deref())),
    ])
}

fn rendition(rendition: &Rendition) -> Value {
    object([
        ("type", json!(rendition.kind.as_str())),
        ("group_id", json!(&*rendition.group_id)),
        ("name", json!(&*rendition.name)),
        ("language", json!(rendition.language.as_deref())),
        ("assoc_language", json!(rendition.assoc_language.as_deref())),
        ("uri", json!(rendition.uri.as_ref().map(Uri::as_str))),
        ("default", json!(rendition.default)),
        ("autoselect", json!(rendition.autoselect)),
        ("forced", json!(rendition.forced)),
        ("channels", json!(rendition.channels.as_ref().map(Channels::as_str))),
        ("characteristics", json!(rendition.characteristics.as_ref().map(Characteristics::as_str))),
        ("instream_id", json!(rendition.instream_id.as_deref())),
    ])
}
