//! The names by which a session and its driver speak of things.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::playlist::{MediaSequence, RenditionId, VariantId};

/// One of the streams a session can play side by side, on one presentation timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// The variant stream: video, muxed audio and video, or audio alone.
    Main,
    /// A separate audio rendition (EXT-X-MEDIA, TYPE=AUDIO).
    Audio,
    /// A subtitle rendition (EXT-X-MEDIA, TYPE=SUBTITLES).
    Subtitles,
    /// Single pictures for trick play (EXT-X-I-FRAME-STREAM-INF).
    IFrames,
}

/// The stream that one media playlist describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaId {
    /// An EXT-X-STREAM-INF entry, or the only stream when a media playlist was opened directly.
    Variant(VariantId),
    /// An EXT-X-MEDIA entry that has a URI.
    Rendition(RenditionId),
    /// An EXT-X-I-FRAME-STREAM-INF entry.
    IFrames(VariantId),
}

/// A playlist the session wants loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaylistId {
    /// The playlist at the URL the session was opened with.
    Primary,
    /// The media playlist of a variant or rendition.
    Media(MediaId),
    /// The manifest of the steering server (RFC 8216bis section 7).
    Steering,
}

/// Which unit of a media stream: where it stands, not where it is fetched from.
///
/// A playlist that comes back with new, re-signed URLs still names the same units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A media initialization section, numbered in the order the session met them.
    Init(u32),
    /// A media segment.
    Segment(MediaSequence),
    /// The rest of a media segment, from one of its parts on: reading began there.
    Rest {
        /// The segment.
        msn: MediaSequence,
        /// The index of the first part that is read.
        part: u32,
    },
}

/// The identity of a unit: something that is fetched as a whole and handed to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitKey {
    /// The stream it belongs to.
    pub media: MediaId,
    /// Its place in that stream.
    pub place: Place,
}

impl UnitKey {
    /// The segment `msn` of `media`.
    pub fn segment(media: MediaId, msn: MediaSequence) -> Self {
        Self { media, place: Place::Segment(msn) }
    }

    /// The segment `msn` of `media` from part `part` on; all of it from part 0.
    pub fn from_part(media: MediaId, msn: MediaSequence, part: u32) -> Self {
        let place = if part == 0 { Place::Segment(msn) } else { Place::Rest { msn, part } };
        Self { media, place }
    }

    /// The initialization section `init` of `media`.
    pub fn init(media: MediaId, init: u32) -> Self {
        Self { media, place: Place::Init(init) }
    }

    /// The media sequence number, when this is a segment or the rest of one.
    pub fn msn(self) -> Option<MediaSequence> {
        match self.place {
            Place::Segment(msn) | Place::Rest { msn, .. } => Some(msn),
            Place::Init(_) => None,
        }
    }
}

impl UnitKey {
    /// The index of the first part of its segment that is read.
    pub(super) fn first_part(self) -> u32 {
        match self.place {
            Place::Rest { part, .. } => part,
            Place::Segment(_) | Place::Init(_) => 0,
        }
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

numbered!(
    /// One wanted object with its retries. Never used twice in a session.
    FetchId, "f"
);
numbered!(
    /// One reader of a session, registered by its driver.
    ReaderId, "r"
);
numbered!(
    /// A decryption key, by the URL it comes from.
    KeyId, "k"
);
numbered!(
    /// A stretch of the log that one demuxer reads as one file.
    RunId, "run"
);

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::IFrames => "iframes",
        })
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variant(id) => write!(f, "v{}", id.0),
            Self::Rendition(id) => write!(f, "a{}", id.0),
            Self::IFrames(id) => write!(f, "i{}", id.0),
        }
    }
}

impl fmt::Display for PlaylistId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Media(media) => media.fmt(f),
            Self::Steering => f.write_str("steering"),
        }
    }
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Init(init) => write!(f, "{}/init{init}", self.media),
            Place::Segment(msn) => write!(f, "{}/{}", self.media, msn.0),
            Place::Rest { msn, part } => write!(f, "{}/{}+{part}", self.media, msn.0),
        }
    }
}
