//! A media segment and its parts.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::BitRate;
use crate::time::WallTime;

use super::text::{Source, Span};
use super::{ByteRange, DiscontinuitySequence, InitSection, Key, Line, MediaSequence, SharedList, Uri};

/// A media segment (RFC 8216 section 3) with the tags that apply to it.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number: the playlist's, plus the discontinuities up to this segment.
    pub dsn: DiscontinuitySequence,
    /// The resource.
    pub uri: Uri,
    /// EXTINF.
    pub duration: Duration,
    /// The bytes of the resource that are the segment; `None` for all of it. Implied offsets are resolved.
    pub byte_range: Option<ByteRange>,
    /// The initialization section it needs; `None` when it carries its own.
    pub init: Option<Arc<InitSection>>,
    /// The keys in force, one for each KEYFORMAT; empty when it is clear.
    pub keys: SharedList<Key>,
    /// EXT-X-PROGRAM-DATE-TIME of this very segment.
    pub program_date_time: Option<WallTime>,
    /// Its partial segments, while the playlist lists them.
    pub parts: SharedList<Part>,
    /// Whether it begins a new media timeline or format.
    pub discontinuity: bool,
    /// Whether it is absent and should not be loaded.
    pub gap: bool,
    /// The line of its URI, in the text it was parsed from: a segment taken over from an earlier snapshot keeps it.
    pub line: Line,
    /// The title stands in the same source as the URI.
    pub(super) title: Span,
    /// EXT-X-BITRATE in force, also behind a byte range to which it does not apply.
    pub(super) kbps: Option<NonZeroU32>,
}

impl Segment {
    /// A clear segment of which nothing else is said.
    #[must_use]
    pub const fn new(msn: MediaSequence, uri: Uri, duration: Duration) -> Self {
        Self {
            msn,
            dsn: DiscontinuitySequence(0),
            uri,
            duration,
            byte_range: None,
            init: None,
            keys: SharedList::new(),
            program_date_time: None,
            parts: SharedList::new(),
            discontinuity: false,
            gap: false,
            line: Line(0),
            title: Span::EMPTY,
            kbps: None,
        }
    }

    /// The title of EXTINF; `None` when it is missing or blank.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        Some(self.uri.text().beside(self.title)).filter(|title| !title.is_empty())
    }

    /// The same segment with this title.
    #[must_use]
    pub fn with_title(mut self, title: &str) -> Self {
        (self.uri, self.title) = self.uri.joined_by(title);
        self
    }

    /// EXT-X-BITRATE in force, in whole kilobits per second; never for a byte range.
    #[must_use]
    pub fn bitrate(&self) -> Option<BitRate> {
        // It applies to whole resources, but goes on applying behind a byte range.
        self.kbps.filter(|_| self.byte_range.is_none()).map(|kbps| BitRate::from_kbps(kbps.get().into()))
    }

    /// The same segment with this rate, rounded down to kilobits per second.
    #[must_use]
    pub fn with_bitrate(mut self, rate: BitRate) -> Self {
        self.kbps = NonZeroU32::new(u32::try_from(rate.bits_per_second() / 1_000).unwrap_or(u32::MAX));
        self
    }
}

/// Moving strings to another source.
impl Segment {
    /// The same segment with a copy of its strings, and without its parts: for whoever keeps it longer than its playlist.
    pub(crate) fn detached(&self) -> Self {
        let (uri, title) = self.uri.joined_by(self.uri.text().beside(self.title));
        Self { uri, title, parts: SharedList::new(), ..self.clone() }
    }

    /// The strings of the segment, in the order in which [`Segment::moved_to`] expects them.
    pub(super) fn strings(&self) -> impl Iterator<Item = &str> {
        let own = [self.uri.as_str(), self.uri.text().beside(self.title)];
        own.into_iter().chain(self.parts.iter().map(|part| part.uri.as_str()))
    }

    /// The same segment with its strings in `source`, where they stand from `next` on; it is moved behind them. A URI
    /// with another base keeps its own.
    pub(super) fn moved_to(&self, source: &Arc<Source>, next: &mut u32) -> Self {
        let uri = self.uri.moved_to(source, next);
        let title = Span::next(next, self.uri.text().beside(self.title).len());
        let moved = uri.text().is_of(source);
        let parts = self.parts.iter().map(|part| Part { uri: part.uri.moved_to(source, next), ..part.clone() });
        let parts = parts.collect();
        let (uri, title) = if moved { (uri, title) } else { (self.uri.clone(), self.title) };
        Self { uri, title, parts, ..self.clone() }
    }
}

/// Segments are equal when the same is said of them, wherever it stands.
impl PartialEq for Segment {
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
