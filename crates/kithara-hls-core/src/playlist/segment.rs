//! A media segment and its parts.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::BitRate;
use crate::time::WallTime;

use super::{
    ByteRange, DiscontinuitySequence, InitSection, Key, Line, MediaSequence, Segments, SharedList, Uri, UriRef,
};

/// A media segment (RFC 8216 section 3) with the tags that apply to it: a view of a [`Segments`] list, cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its number.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number: the playlist's, plus the discontinuities up to this segment.
    pub dsn: DiscontinuitySequence,
    /// The resource.
    pub uri: UriRef<'a>,
    /// EXTINF; at most 292 years.
    pub duration: Duration,
    /// The bytes of the resource that are the segment; `None` for all of it. Implied offsets are resolved.
    pub byte_range: Option<ByteRange>,
    /// The initialization section it needs; `None` when it carries its own.
    pub init: Option<&'a Arc<InitSection>>,
    /// The keys in force, one for each KEYFORMAT; empty when it is clear.
    pub keys: &'a SharedList<Key>,
    /// EXT-X-PROGRAM-DATE-TIME of this very segment.
    pub program_date_time: Option<WallTime>,
    /// Its partial segments, while the playlist lists them.
    pub parts: &'a SharedList<Part>,
    /// Whether it begins a new media timeline or format.
    pub discontinuity: bool,
    /// Whether it is absent and should not be loaded.
    pub gap: bool,
    /// The line of its URI, in the text it was parsed from: a segment taken over from an earlier snapshot keeps it.
    pub line: Line,
    pub(super) title: UriRef<'a>,
    /// EXT-X-BITRATE in force, also behind a byte range to which it does not apply.
    pub(super) kbps: Option<NonZeroU32>,
}

impl<'a> Segment<'a> {
    /// The title of EXTINF; `None` when it is missing or blank.
    #[must_use]
    pub fn title(&self) -> Option<&'a str> {
        Some(self.title.as_str()).filter(|title| !title.is_empty())
    }

    /// EXT-X-BITRATE in force, in whole kilobits per second; never for a byte range.
    #[must_use]
    pub fn bitrate(&self) -> Option<BitRate> {
        // It applies to whole resources, but goes on applying behind a byte range.
        self.kbps.filter(|_| self.byte_range.is_none()).map(|kbps| BitRate::from_kbps(kbps.get().into()))
    }

    /// A list of a copy of it without its parts: for whoever keeps it longer than its playlist.
    pub(crate) fn detached(self) -> Segments {
        Segments::copy_of(Self { parts: Part::NONE, ..self })
    }
}

/// Segments are equal when the same is said of them, wherever it stands.
impl PartialEq for Segment<'_> {
    fn eq(&self, other: &Self) -> bool {
        let Self { msn, dsn, uri, duration, byte_range, init, keys, program_date_time, .. } = self;
        let Self { parts, discontinuity, gap, line: _, title: _, kbps: _, .. } = self;
        (*msn, *dsn, *duration, *byte_range) == (other.msn, other.dsn, other.duration, other.byte_range)
            && (*discontinuity, *gap) == (other.discontinuity, other.gap)
            && (uri, init, keys, parts) == (&other.uri, &other.init, &other.keys, &other.parts)
            && *program_date_time == other.program_date_time
            && self.title() == other.title()
            && self.bitrate() == other.bitrate()
    }
}

/// A partial segment (RFC 8216bis section 4.4.4.9).
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The resource.
    pub uri: Uri,
    /// How long it plays.
    pub duration: Duration,
    /// The bytes of the resource that are the part; `None` for all of it. Implied offsets are resolved.
    pub byte_range: Option<ByteRange>,
    /// Whether it contains a frame that decodes on its own.
    pub independent: bool,
    /// Whether it is absent and should not be loaded.
    pub gap: bool,
    /// The line of its tag.
    pub line: Line,
}

impl Part {
    /// Those of a segment that has none.
    pub(super) const NONE: &SharedList<Self> = &SharedList::new();
}
