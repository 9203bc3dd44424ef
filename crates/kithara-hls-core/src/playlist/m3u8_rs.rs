//! Playlists of the `m3u8-rs` crate, for applications that build or filter playlists with it.
//!
//! To us: [`from_m3u8_rs`], which reads what that crate writes. From us: `From`, for each kind of playlist.
//!
//! That crate has no place for part of the language. Gaps and bit rates are handed over as unknown tags, which is where
//! its own parser puts them. Parts, server control, preload hints, rendition reports, delta updates, content steering
//! and variables (which are substituted) are lost, as are all keys of a segment but one. Date ranges, which it ties to
//! segments, are converted one by one: [`DateRange::to_m3u8_rs`].

use std::sync::Arc;

use ::m3u8_rs as theirs;
use url::Url;

use super::{
    AttributeValue, ByteRange, ClosedCaptions, DateRange, HdcpLevel, InitSection, Key, MediaPlaylist,
    MultivariantPlaylist, ParseError, ParseOptions, Playlist, PlaylistType, Rendition, RenditionKind, Segment,
    SessionData, SessionValue, Start, UnknownTag, Variant, parse,
};

/// The snapshot that `playlist`, written out and loaded from `base`, stands for.
///
/// A segment that has a key and an initialization section is written with the section first, which makes the section
/// clear.
///
/// # Errors
/// As [`parse`]: not everything that crate can hold is a playlist.
pub fn from_m3u8_rs(
    playlist: &theirs::Playlist,
    base: &Url,
    options: &ParseOptions<'_>,
) -> Result<Playlist, ParseError> {
    let mut text = Vec::new();
    let written = match playlist {
        theirs::Playlist::MasterPlaylist(playlist) => playlist.write_to(&mut text),
        theirs::Playlist::MediaPlaylist(playlist) => playlist.write_to(&mut text),
    };
    written.expect("writing to memory does not fail");
    parse(&text, base, options)
}

impl From<&Playlist> for theirs::Playlist {
    fn from(playlist: &Playlist) -> Self {
        match playlist {
            Playlist::Multivariant(playlist) => Self::MasterPlaylist(playlist.into()),
            Playlist::Media(playlist) => Self::MediaPlaylist(playlist.into()),
        }
    }
}

impl From<&MultivariantPlaylist> for theirs::MasterPlaylist {
    fn from(playlist: &MultivariantPlaylist) -> Self {
        let variants = playlist.variants.iter().map(|it| variant(it, false));
        let iframes = playlist.iframe_variants.iter().map(|it| variant(it, true));
        Self {
            version: version(playlist.version),
            variants: variants.chain(iframes).collect(),
            session_data: playlist.session_data.iter().map(session_data).collect(),
            session_key: playlist.session_keys.iter().map(|it| theirs::SessionKey(key(it))).collect(),
            start: playlist.start.as_ref().map(start),
            independent_segments: playlist.independent_segments,
            alternatives: playlist.renditions.iter().map(rendition).collect(),
            unknown_tags: playlist.unknown.iter().filter_map(unknown).collect(),
        }
    }
}

impl From<&MediaPlaylist> for theirs::MediaPlaylist {
    fn from(playlist: &MediaPlaylist) -> Self {
        let mut before = None;
        let segments = playlist.segments.iter().map(|it| segment(playlist, &it, before.replace(it)));
        Self {
            version: version(playlist.version),
            target_duration: playlist.target_duration.as_secs(),
            media_sequence: playlist.media_sequence.0,
            segments: segments.collect(),
            discontinuity_sequence: playlist.discontinuity_sequence.unwrap_or_default().0,
            end_list: playlist.ended,
            playlist_type: playlist.playlist_type.map(|kind| match kind {
                PlaylistType::Event => theirs::MediaPlaylistType::Event,
                PlaylistType::Vod => theirs::MediaPlaylistType::Vod,
            }),
            i_frames_only: playlist.iframes_only,
            start: playlist.start.as_ref().map(start),
            independent_segments: playlist.independent_segments,
            unknown_tags: playlist.unknown.iter().filter(|it| it.before.is_none()).filter_map(unknown).collect(),
        }
    }
}

fn version(version: Option<u64>) -> Option<usize> {
    version.and_then(|version| usize::try_from(version).ok())
}

fn string(text: &Option<Arc<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn start(start: &Start) -> theirs::Start {
    theirs::Start {
        time_offset: start.time_offset.as_nanos() as f64 / 1e9,
        precise: Some(start.precise),
        other_attributes: Default::default(),
    }
}

fn unknown(tag: &UnknownTag) -> Option<theirs::ExtTag> {
    Some(theirs::ExtTag { tag: tag.name.strip_prefix("EXT-")?.to_owned(), rest: string(&tag.value) })
}

fn byte_range(range: ByteRange) -> theirs::ByteRange {
    theirs::ByteRange { length: range.len, offset: Some(range.start) }
}

fn key(key: &Key) -> theirs::Key {
    theirs::Key {
        method: match key.method.as_str() {
            "AES-128" => theirs::KeyMethod::AES128,
            "SAMPLE-AES" => theirs::KeyMethod::SampleAES,
            other => theirs::KeyMethod::Other(other.to_owned()),
        },
        uri: key.uri.as_ref().map(|uri| uri.as_str().to_owned()),
        iv: key.iv.map(|iv| format!("0x{iv}")),
        keyformat: (!key.is_identity()).then(|| key.keyformat.to_string()),
        keyformatversions: (&*key.keyformatversions != "1").then(|| key.keyformatversions.to_string()),
    }
}

fn init(init: &InitSection) -> theirs::Map {
    theirs::Map {
        uri: init.uri.as_str().to_owned(),
        byte_range: init.byte_range.map(byte_range),
        other_attributes: Default::default(),
    }
}

/// Keys and initialization sections stand at the segment they begin with.
fn segment(playlist: &MediaPlaylist, it: &Segment<'_>, before: Option<Segment<'_>>) -> theirs::MediaSegment {
    let same_keys = before.is_some_and(|before| before.keys == it.keys);
    let same_init = before.is_some_and(|before| before.init == it.init);
    let present = it.keys.iter().find(|key| key.is_identity()).or(it.keys.first()).map(key);
    let none = before.map(|_| theirs::Key { method: theirs::KeyMethod::None, ..theirs::Key::default() });
    let tag = |name: &str, rest| theirs::ExtTag { tag: name.to_owned(), rest };
    let gap = it.gap.then(|| tag("X-GAP", None));
    let rate = it.bitrate().filter(|rate| before.is_none_or(|before| before.bitrate() != Some(*rate)));
    let rate = rate.map(|rate| tag("X-BITRATE", Some((rate.bits_per_second() / 1000).to_string())));
    let tags = &playlist.unknown[playlist.unknown.partition_point(|tag| tag.before < Some(it.msn))..];
    let own = tags.iter().take_while(|tag| tag.before == Some(it.msn)).filter_map(unknown);
    theirs::MediaSegment {
        uri: it.uri.as_str().to_owned(),
        duration: it.duration.as_secs_f32(),
        title: it.title().map(str::to_owned),
        byte_range: it.byte_range.map(byte_range),
        discontinuity: it.discontinuity,
        key: if same_keys { None } else { present.or(none) },
        map: it.init.filter(|_| !same_init).map(|it| init(it)),
        program_date_time: it.program_date_time.and_then(|date| date.to_string().parse().ok()),
        daterange: None,
        unknown_tags: own.chain(gap).chain(rate).collect(),
    }
}

impl DateRange {
    /// The range as `m3u8-rs` has it; `None` without a START-DATE, which that crate requires. It ties ranges to segments,
    /// which the language does not, so playlists are converted without.
    #[must_use]
    pub fn to_m3u8_rs(&self) -> Option<theirs::DateRange> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.to_string(), attribute(value)));
        let (extension, other): (Vec<_>, Vec<_>) = attributes.partition(|(name, _)| name.starts_with("X-"));
        Some(theirs::DateRange {
            id: self.id.to_string(),
            class: string(&self.class),
            start_date: self.start_date?.to_string().parse().ok()?,
            end_date: self.end_date.and_then(|date| date.to_string().parse().ok()),
            duration: self.duration.map(|duration| duration.as_secs_f64()),
            planned_duration: self.planned_duration.map(|duration| duration.as_secs_f64()),
            x_prefixed: others(extension),
            end_on_next: self.end_on_next,
            other_attributes: others(other),
        })
    }
}

fn attribute(value: &AttributeValue) -> theirs::QuotedOrUnquoted {
    match value {
        AttributeValue::Quoted(text) => theirs::QuotedOrUnquoted::Quoted(text.to_string()),
        AttributeValue::Plain(text) => theirs::QuotedOrUnquoted::Unquoted(text.to_string()),
    }
}

fn variant(variant: &Variant, is_i_frame: bool) -> theirs::VariantStream {
    let quoted = [
        ("SUPPLEMENTAL-CODECS", variant.supplemental_codecs.as_ref().map(super::Codecs::as_str)),
        ("ALLOWED-CPC", variant.allowed_cpc.as_deref()),
        ("REQ-VIDEO-LAYOUT", variant.req_video_layout.as_deref()),
        ("STABLE-VARIANT-ID", variant.stable_variant_id.as_deref()),
        ("PATHWAY-ID", variant.pathway_id.as_deref()),
        ("NAME", variant.name.as_deref()),
    ];
    let quoted = quoted.into_iter().filter_map(|(name, value)| Some((name, quoted_string(value?))));
    let plain = [
        ("VIDEO-RANGE", variant.video_range.as_ref().map(|range| range.as_str().to_owned())),
        ("SCORE", variant.score.map(|score| score.to_string())),
    ];
    let plain = plain.into_iter().filter_map(|(name, value)| Some((name, theirs::QuotedOrUnquoted::Unquoted(value?))));
    theirs::VariantStream {
        is_i_frame,
        uri: variant.uri.as_str().to_owned(),
        bandwidth: variant.bandwidth.bits_per_second(),
        average_bandwidth: variant.average_bandwidth.map(crate::BitRate::bits_per_second),
        codecs: variant.codecs.as_ref().map(|codecs| codecs.as_str().to_owned()),
        resolution: variant
            .resolution
            .map(|it| theirs::Resolution { width: it.width.into(), height: it.height.into() }),
        frame_rate: variant.frame_rate.map(super::FrameRate::as_f64),
        hdcp_level: variant.hdcp_level.as_ref().map(|level| match level {
            HdcpLevel::None => theirs::HDCPLevel::None,
            HdcpLevel::Type0 => theirs::HDCPLevel::Type0,
            HdcpLevel::Type1 => theirs::HDCPLevel::Type1,
            HdcpLevel::Other(name) => theirs::HDCPLevel::Other(name.to_string()),
        }),
        audio: string(&variant.audio),
        video: string(&variant.video),
        subtitles: string(&variant.subtitles),
        closed_captions: variant.closed_captions.as_ref().map(|captions| match captions {
            ClosedCaptions::None => theirs::ClosedCaptionGroupId::None,
            ClosedCaptions::Group(group) => theirs::ClosedCaptionGroupId::GroupId(group.to_string()),
        }),
        other_attributes: others(quoted.chain(plain).map(|(name, value)| (name.to_owned(), value))),
    }
}

/// Attributes without a field of their own; that crate has no map for none.
fn others<M: FromIterator<(String, theirs::QuotedOrUnquoted)>>(
    attributes: impl IntoIterator<Item = (String, theirs::QuotedOrUnquoted)>,
) -> Option<M> {
    let mut attributes = attributes.into_iter().peekable();
    attributes.peek()?;
    Some(attributes.collect())
}

fn quoted_string(text: &str) -> theirs::QuotedOrUnquoted {
    theirs::QuotedOrUnquoted::Quoted(text.to_owned())
}

fn rendition(rendition: &Rendition) -> theirs::AlternativeMedia {
    let depth = rendition.bit_depth.map(|depth| ("BIT-DEPTH", depth));
    let rate = rendition.sample_rate.map(|rate| ("SAMPLE-RATE", rate));
    let numbers = depth.into_iter().chain(rate);
    let numbers = numbers.map(|(name, value)| (name.to_owned(), theirs::QuotedOrUnquoted::Unquoted(value.to_string())));
    let id = rendition.stable_rendition_id.as_deref();
    let id = id.map(|id| ("STABLE-RENDITION-ID".to_owned(), quoted_string(id)));
    theirs::AlternativeMedia {
        media_type: match rendition.kind {
            RenditionKind::Audio => theirs::AlternativeMediaType::Audio,
            RenditionKind::Video => theirs::AlternativeMediaType::Video,
            RenditionKind::Subtitles => theirs::AlternativeMediaType::Subtitles,
            RenditionKind::ClosedCaptions => theirs::AlternativeMediaType::ClosedCaptions,
        },
        uri: rendition.uri.as_ref().map(|uri| uri.as_str().to_owned()),
        group_id: rendition.group_id.to_string(),
        language: string(&rendition.language),
        assoc_language: string(&rendition.assoc_language),
        name: rendition.name.to_string(),
        default: rendition.default,
        autoselect: rendition.autoselect,
        forced: rendition.forced,
        instream_id: rendition.instream_id.as_deref().and_then(|id| id.parse().ok()),
        characteristics: rendition.characteristics.as_ref().map(|it| it.as_str().to_owned()),
        channels: rendition.channels.as_ref().map(|it| it.as_str().to_owned()),
        other_attributes: others(numbers.chain(id)),
    }
}

fn session_data(data: &SessionData) -> theirs::SessionData {
    let format = matches!(data.value, SessionValue::Raw(_))
        .then(|| ("FORMAT".to_owned(), theirs::QuotedOrUnquoted::Unquoted("RAW".to_owned())));
    theirs::SessionData {
        data_id: data.id.to_string(),
        field: match &data.value {
            SessionValue::Text(text) => theirs::SessionDataField::Value(text.to_string()),
            SessionValue::Json(uri) | SessionValue::Raw(uri) => theirs::SessionDataField::Uri(uri.as_str().to_owned()),
        },
        language: string(&data.language),
        other_attributes: others(format),
    }
}
