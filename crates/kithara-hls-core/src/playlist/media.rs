//! The media playlist: segments and what is said about them.

use std::sync::Arc;
use std::time::Duration;

use crate::time::{MediaTime, WallTime};

use super::{
    DateRange, Delta, DiscontinuitySequence, InitSection, Key, Line, MediaSequence, Part, PreloadHint, RenditionReport,
    Rule, Segments, ServerControl, SharedList, UnknownTag, Variables, Violation,
};

/// One snapshot of a media playlist (RFC 8216 section 4.3.3). Immutable: a reload makes another one.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaPlaylist {
    /// EXT-X-VERSION; `None` means 1.
    pub version: Option<u64>,
    /// EXT-X-TARGETDURATION, at least a second and at most 292 years. When the playlist does not say: its longest segment, rounded.
    pub target_duration: Duration,
    /// The number of the first segment, also when a delta update leaves that segment out.
    pub media_sequence: MediaSequence,
    /// EXT-X-DISCONTINUITY-SEQUENCE, the number before the first discontinuity of this snapshot; `None` means 0. Many
    /// servers leave it out also when discontinuities have left their window; then numbers of segments change from snapshot
    /// to snapshot, see [`counts_discontinuities`](Self::counts_discontinuities).
    pub discontinuity_sequence: Option<DiscontinuitySequence>,
    /// EXT-X-PLAYLIST-TYPE; `None` when segments may come and go.
    pub playlist_type: Option<PlaylistType>,
    /// Whether EXT-X-ENDLIST says that no segment will be added.
    pub ended: bool,
    /// EXT-X-I-FRAMES-ONLY: each segment is one I-frame.
    pub iframes_only: bool,
    /// EXT-X-INDEPENDENT-SEGMENTS: each segment decodes without the others.
    pub independent_segments: bool,
    /// EXT-X-START.
    pub start: Option<Start>,
    /// The segments, in order. Those a delta update left out are missing at the front until it is merged.
    pub segments: Segments,
    /// The segment behind the last one, when parts of it are already there.
    pub incomplete: Option<IncompleteSegment>,
    /// PART-TARGET of EXT-X-PART-INF: no part is longer.
    pub part_target: Option<Duration>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: ServerControl,
    /// EXT-X-PRELOAD-HINT: what will come next, at most one of each kind.
    pub preload_hints: Vec<PreloadHint>,
    /// EXT-X-RENDITION-REPORT: how far the other renditions are.
    pub rendition_reports: Vec<RenditionReport>,
    /// EXT-X-SKIP: `Some` while this is a delta update that was not merged (see `apply_delta`).
    pub delta: Option<Delta>,
    /// EXT-X-DATERANGE, consolidated by ID, in order of first appearance.
    pub date_ranges: Vec<Arc<DateRange>>,
    /// EXT-X-DEFINE: all variables known at the end of the playlist.
    pub variables: Variables,
    /// Tags that this library does not know, in order.
    pub unknown: Vec<UnknownTag>,
    /// Where the text breaks the rules, in order of lines, without stopping the parser.
    pub violations: Vec<Violation>,
    /// Where the tags stand that speak of all of the playlist.
    pub lines: TagLines,
}

impl MediaPlaylist {
    /// Whether the text breaks `rule`.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }

    /// The number after the last segment, complete or not: what the next new segment will have.
    #[must_use]
    pub fn end_sequence(&self) -> MediaSequence {
        match &self.delta {
            None => MediaSequence(self.media_sequence.0.saturating_add(self.segments.len() as u64)),
            Some(delta) => {
                let listed = (delta.before.len() + self.segments.len()) as u64;
                let count = delta.skipped.saturating_add(listed);
                MediaSequence(self.media_sequence.0.saturating_add(count))
            }
        }
    }

    /// The sum of the durations of all segments and of the parts behind them.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let incomplete = self.incomplete.iter().flat_map(|segment| segment.parts.iter());
        self.segments.duration() + incomplete.map(|part| part.duration).sum::<Duration>()
    }

    /// Whether more segments may be added.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.ended && self.playlist_type != Some(PlaylistType::Vod)
    }

    /// Whether the discontinuity sequence numbers of its segments can be compared with those of other playlists, and of
    /// other versions of this one: it says where they begin, or no discontinuity can have left it yet.
    #[must_use]
    pub fn counts_discontinuities(&self) -> bool {
        self.discontinuity_sequence.is_some() || self.playlist_type.is_some() || self.media_sequence.0 <= 1
    }

    /// The date of the segment at `index` of [`segments`](Self::segments): its own, else counted from the last one
    /// before it, else back from the first one after it (RFC 8216 section 6.3.3).
    #[must_use]
    pub fn date_of(&self, index: usize) -> Option<WallTime> {
        self.segments.get(index)?;
        let start = self.segments.start(index)?;
        let before = (0..=index).rev().find_map(|at| Some((at, self.segments.get(at)?.program_date_time?)));
        if let Some((at, date)) = before {
            return date.checked_add(start - self.segments.start(at)?);
        }
        let (at, date) =
            (index + 1..self.segments.len()).find_map(|at| Some((at, self.segments.get(at)?.program_date_time?)))?;
        date.checked_sub(self.segments.start(at)? - start)
    }
}

/// Lines of the tags that speak of a playlist as a whole.
///
/// All of them compare equal, as lines do.
#[derive(Clone, Debug, Default)]
pub struct TagLines(Vec<(&'static str, Line)>);

impl PartialEq for TagLines {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for TagLines {}

impl TagLines {
    /// The tags whose lines are known.
    const TAGS: [&'static str; 16] = [
        "EXT-X-VERSION",
        "EXT-X-INDEPENDENT-SEGMENTS",
        "EXT-X-START",
        "EXT-X-DEFINE",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-PLAYLIST-TYPE",
        "EXT-X-ENDLIST",
        "EXT-X-I-FRAMES-ONLY",
        "EXT-X-PART-INF",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-PRELOAD-HINT",
        "EXT-X-RENDITION-REPORT",
        "EXT-X-SKIP",
        "EXT-X-SESSION-KEY",
    ];

    /// The line of the first tag of this name, `EXT-X-TARGETDURATION` for example; `None` when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Line> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, line)| *line)
    }

    /// The line of the first tag of this name, else the first line: where a violation of it is to be shown.
    #[must_use]
    pub fn of(&self, name: &str) -> Line {
        self.get(name).unwrap_or(Line(1))
    }

    pub(super) fn note(&mut self, name: &str, line: Line) {
        if let Some(name) = Self::TAGS.iter().find(|known| **known == name).filter(|name| self.get(name).is_none()) {
            self.0.push((name, line));
        }
    }
}

/// EXT-X-PLAYLIST-TYPE (RFC 8216 section 4.3.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaylistType {
    /// Segments are only added.
    Event,
    /// Nothing changes.
    Vod,
}

/// EXT-X-START: where to begin (RFC 8216 section 4.3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// From the beginning of the playlist, or, when negative, from its end. It may lie outside.
    pub time_offset: MediaTime,
    /// Whether samples of the first segment before the offset should not be rendered.
    pub precise: bool,
}

/// A segment some of whose parts are listed while it is not itself.
#[derive(Clone, Debug, PartialEq)]
pub struct IncompleteSegment {
    /// The number it will have.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number.
    pub dsn: DiscontinuitySequence,
    /// The initialization section it needs.
    pub init: Option<Arc<InitSection>>,
    /// The keys in force.
    pub keys: SharedList<Key>,
    /// Its EXT-X-PROGRAM-DATE-TIME.
    pub program_date_time: Option<WallTime>,
    /// Whether it begins a new media timeline or format.
    pub discontinuity: bool,
    /// Its parts so far; may be empty when only such tags are there.
    pub parts: SharedList<Part>,
}
