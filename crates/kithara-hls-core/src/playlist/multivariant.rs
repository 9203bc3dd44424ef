//! The multivariant playlist: variants, renditions, and what holds for all of them.

use std::fmt;
use std::sync::Arc;

use crate::BitRate;

use super::{
    FrameRate, Key, Line, RenditionId, Resolution, Score, Start, TagLines, UnknownTag, Uri, Variables, VariantId,
    Violation,
};

/// A playlist of playlists (RFC 8216 section 4.3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct MultivariantPlaylist {
    /// EXT-X-VERSION; `None` means 1.
    pub version: Option<u64>,
    /// EXT-X-STREAM-INF, in order.
    pub variants: Vec<Variant>,
    /// EXT-X-I-FRAME-STREAM-INF, in order; their ids count within this list.
    pub iframe_variants: Vec<Variant>,
    /// EXT-X-MEDIA, in order.
    pub renditions: Vec<Rendition>,
    /// EXT-X-SESSION-KEY: keys that the media playlists will name.
    pub session_keys: Vec<Key>,
    /// EXT-X-SESSION-DATA, in order.
    pub session_data: Vec<SessionData>,
    /// EXT-X-START, for all media playlists.
    pub start: Option<Start>,
    /// EXT-X-INDEPENDENT-SEGMENTS, for all media playlists.
    pub independent_segments: bool,
    /// EXT-X-CONTENT-STEERING.
    pub content_steering: Option<ContentSteering>,
    /// EXT-X-DEFINE: what the media playlists may import.
    pub variables: Variables,
    /// Tags that this library does not know, in order.
    pub unknown: Vec<UnknownTag>,
    /// Where the text breaks the rules, in order of lines, without stopping the parser.
    pub violations: Vec<Violation>,
    /// Where the tags stand that speak of all of the playlist.
    pub lines: TagLines,
}

impl MultivariantPlaylist {
    /// The renditions of one kind in one group, in order.
    pub fn group<'a>(&'a self, kind: RenditionKind, group_id: &'a str) -> impl Iterator<Item = &'a Rendition> {
        self.renditions.iter().filter(move |it| it.kind == kind && &*it.group_id == group_id)
    }
}

/// A variant stream (RFC 8216 section 4.3.4.2), or an I-frame variant stream (section 4.3.4.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its place in the list it stands in.
    pub id: VariantId,
    /// Its media playlist.
    pub uri: Uri,
    /// BANDWIDTH: the peak, all renditions included. Zero when the playlist, against the rules, does not say.
    pub bandwidth: BitRate,
    /// AVERAGE-BANDWIDTH.
    pub average_bandwidth: Option<BitRate>,
    /// SCORE: higher is preferred.
    pub score: Option<Score>,
    /// CODECS.
    pub codecs: Option<Codecs>,
    /// SUPPLEMENTAL-CODECS.
    pub supplemental_codecs: Option<Codecs>,
    /// RESOLUTION.
    pub resolution: Option<Resolution>,
    /// FRAME-RATE, of its fastest video.
    pub frame_rate: Option<FrameRate>,
    /// HDCP-LEVEL.
    pub hdcp_level: Option<HdcpLevel>,
    /// ALLOWED-CPC, as written.
    pub allowed_cpc: Option<Arc<str>>,
    /// VIDEO-RANGE; SDR when the playlist does not say.
    pub video_range: Option<VideoRange>,
    /// REQ-VIDEO-LAYOUT, as written.
    pub req_video_layout: Option<Arc<str>>,
    /// STABLE-VARIANT-ID.
    pub stable_variant_id: Option<Arc<str>>,
    /// PATHWAY-ID; `.` when the playlist does not say.
    pub pathway_id: Option<Arc<str>>,
    /// AUDIO: the group of its audio renditions.
    pub audio: Option<Arc<str>>,
    /// VIDEO: the group of its video renditions.
    pub video: Option<Arc<str>>,
    /// SUBTITLES: the group of its subtitle renditions.
    pub subtitles: Option<Arc<str>>,
    /// CLOSED-CAPTIONS.
    pub closed_captions: Option<ClosedCaptions>,
    /// NAME, which no specification defines and many packagers write.
    pub name: Option<Arc<str>>,
    /// The line of its tag.
    pub line: Line,
}

/// HDCP-LEVEL: the output protection a variant may need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HdcpLevel {
    /// `NONE`.
    None,
    /// `TYPE-0`.
    Type0,
    /// `TYPE-1`.
    Type1,
    /// Not recognized.
    Other(Arc<str>),
}

impl HdcpLevel {
    /// The name in the playlist.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "NONE",
            Self::Type0 => "TYPE-0",
            Self::Type1 => "TYPE-1",
            Self::Other(name) => name,
        }
    }
}

/// VIDEO-RANGE: the transfer characteristics of the video.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VideoRange {
    /// `SDR`.
    Sdr,
    /// `HLG`.
    Hlg,
    /// `PQ`.
    Pq,
    /// Not recognized: such a variant should not be selected.
    Other(Arc<str>),
}

impl VideoRange {
    /// The name in the playlist.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sdr => "SDR",
            Self::Hlg => "HLG",
            Self::Pq => "PQ",
            Self::Other(name) => name,
        }
    }
}

/// The CLOSED-CAPTIONS attribute of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClosedCaptions {
    /// `NONE`: there are none.
    None,
    /// The group of its closed-caption renditions.
    Group(Arc<str>),
}

/// A comma-separated list of codecs (RFC 6381), as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codecs(Arc<str>);

impl Codecs {
    /// The list as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The codecs, without surrounding blanks and empty entries.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim).filter(|codec| !codec.is_empty())
    }
}

impl From<&str> for Codecs {
    fn from(list: &str) -> Self {
        Self(list.into())
    }
}

impl fmt::Display for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rendition (`EXT-X-MEDIA`, RFC 8216 section 4.3.4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Rendition {
    /// Its place in the list.
    pub id: RenditionId,
    /// TYPE.
    pub kind: RenditionKind,
    /// GROUP-ID. Groups of different kinds may share an id.
    pub group_id: Arc<str>,
    /// NAME, for people.
    pub name: Arc<str>,
    /// LANGUAGE (RFC 5646).
    pub language: Option<Arc<str>>,
    /// ASSOC-LANGUAGE (RFC 5646).
    pub assoc_language: Option<Arc<str>>,
    /// Its media playlist; `None` when the variants carry it.
    pub uri: Option<Uri>,
    /// DEFAULT: play it unless the user chose otherwise.
    pub default: bool,
    /// AUTOSELECT: it may be chosen by the environment, such as the system's language.
    pub autoselect: bool,
    /// FORCED: essential subtitles.
    pub forced: bool,
    /// INSTREAM-ID.
    pub instream_id: Option<Arc<str>>,
    /// CHARACTERISTICS.
    pub characteristics: Option<Characteristics>,
    /// CHANNELS.
    pub channels: Option<Channels>,
    /// BIT-DEPTH.
    pub bit_depth: Option<u32>,
    /// SAMPLE-RATE in Hz.
    pub sample_rate: Option<u32>,
    /// STABLE-RENDITION-ID.
    pub stable_rendition_id: Option<Arc<str>>,
    /// The line of its tag.
    pub line: Line,
}

/// TYPE of EXT-X-MEDIA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RenditionKind {
    /// `AUDIO`.
    Audio,
    /// `VIDEO`.
    Video,
    /// `SUBTITLES`.
    Subtitles,
    /// `CLOSED-CAPTIONS`, which live in the video.
    ClosedCaptions,
}

impl RenditionKind {
    /// The name in the playlist.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "AUDIO",
            Self::Video => "VIDEO",
            Self::Subtitles => "SUBTITLES",
            Self::ClosedCaptions => "CLOSED-CAPTIONS",
        }
    }
}

/// The CHARACTERISTICS attribute: a comma-separated list of uniform type identifiers, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Characteristics(Arc<str>);

impl Characteristics {
    /// The list as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The characteristics, without surrounding blanks and empty entries.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim).filter(|it| !it.is_empty())
    }

    /// Whether `characteristic` is in the list.
    #[must_use]
    pub fn contains(&self, characteristic: &str) -> bool {
        self.iter().any(|it| it == characteristic)
    }
}

impl From<&str> for Characteristics {
    fn from(list: &str) -> Self {
        Self(list.into())
    }
}

/// The CHANNELS attribute: parameters separated by slashes, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channels(Arc<str>);

impl Channels {
    /// The parameters as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first parameter: how many channels; `None` when it is no number.
    #[must_use]
    pub fn count(&self) -> Option<u32> {
        self.0.split('/').next()?.trim().parse().ok()
    }

    /// The second parameter: identifiers of spatial audio coding, such as `JOC`; none for channels only.
    pub fn coding(&self) -> impl Iterator<Item = &str> {
        self.parameter(1)
    }

    /// The third parameter: special usage, such as `BINAURAL`, `IMMERSIVE`, `DOWNMIX`.
    pub fn usage(&self) -> impl Iterator<Item = &str> {
        self.parameter(2)
    }

    fn parameter(&self, index: usize) -> impl Iterator<Item = &str> {
        let list = self.0.split('/').nth(index).unwrap_or_default();
        list.split(',').filter(|it| !it.is_empty() && *it != "-")
    }
}

impl From<&str> for Channels {
    fn from(list: &str) -> Self {
        Self(list.into())
    }
}

/// EXT-X-SESSION-DATA (RFC 8216 section 4.3.4.4).
#[derive(Clone, Debug, PartialEq)]
pub struct SessionData {
    /// DATA-ID.
    pub id: Arc<str>,
    /// The data, or where it is.
    pub value: SessionValue,
    /// LANGUAGE of the data.
    pub language: Option<Arc<str>>,
    /// The line of its tag.
    pub line: Line,
}

/// The data of [`SessionData`].
#[derive(Clone, Debug, PartialEq)]
pub enum SessionValue {
    /// VALUE.
    Text(Arc<str>),
    /// URI of a JSON file.
    Json(Uri),
    /// URI of a binary file (FORMAT=RAW).
    Raw(Uri),
}

/// EXT-X-CONTENT-STEERING (RFC 8216bis section 4.4.6.6).
#[derive(Clone, Debug, PartialEq)]
pub struct ContentSteering {
    /// SERVER-URI: the steering manifest.
    pub server_uri: Uri,
    /// PATHWAY-ID: the pathway until the manifest is there; `None` leaves the choice to the client.
    pub pathway_id: Option<Arc<str>>,
    /// The line of its tag.
    pub line: Line,
}
