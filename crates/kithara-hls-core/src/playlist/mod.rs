//! Playlists: from text to immutable snapshots.
//!
//! A *snapshot* is what one parse of one text gives: a [`MultivariantPlaylist`] or a [`MediaPlaylist`]. It is never
//! changed; a reload makes another one.

mod block;
mod error;
mod key;
mod lint;
mod low_latency;
#[cfg(feature = "m3u8-rs")]
mod m3u8_rs;
mod media;
mod metadata;
mod multivariant;
mod numbers;
mod parse;
mod segment;
mod segments;
mod shared_list;
mod swar;
mod text;
mod uri;
mod variables;

pub use error::{ParseError, ParseErrorKind};
pub use key::{InitSection, Iv, Key, KeyMethod};
pub use lint::{Member, Rule, Severity, Violation, lint_presentation, lint_text, lint_update};
pub use low_latency::{Delta, PreloadHint, PreloadKind, RenditionReport, ServerControl};
#[cfg(feature = "m3u8-rs")]
pub use m3u8_rs::from_m3u8_rs;
pub use media::{IncompleteSegment, MediaPlaylist, PlaylistType, Start, TagLines};
pub use metadata::{AttributeValue, Cue, DateRange, UnknownTag};
pub use multivariant::{
    Channels, Characteristics, ClosedCaptions, Codecs, ContentSteering, HdcpLevel, MultivariantPlaylist, Rendition,
    RenditionKind, SessionData, SessionValue, Variant, VideoRange,
};
pub use numbers::{
    ByteRange, DiscontinuitySequence, FrameRate, Line, MediaSequence, RenditionId, Resolution, Score, VariantId,
};
pub use parse::{Limits, ParseOptions, parse};
pub use segment::{Part, Segment};
pub use segments::Segments;
pub use shared_list::SharedList;
pub use uri::{Uri, UriRef};
pub use variables::Variables;

/// One snapshot of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// A list of playlists.
    Multivariant(MultivariantPlaylist),
    /// A list of segments.
    Media(MediaPlaylist),
}
