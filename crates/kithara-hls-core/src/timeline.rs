//! Successive snapshots of a media playlist on one presentation timeline.
//!
//! A snapshot lists a window of segments. The timeline gives every segment a presentation time that does not change
//! when the window moves on: it is anchored at the first snapshot, and each later one is anchored at a segment both
//! have in common.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::playlist::{MediaPlaylist, MediaSequence, Segment};

/// A media playlist placed in presentation time.
#[derive(Clone, Debug)]
pub struct Timeline {
    snapshot: Arc<MediaPlaylist>,
    origin: Duration,
    first_seen: MediaSequence,
}

/// What a new snapshot brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Nothing new.
    Unchanged,
    /// New segments, or an end.
    Grown,
    /// The window moved on by more than its length: segments between the two were never listed to us.
    Jumped {
        /// Segments nobody told us of.
        missed: u64,
    },
    /// The media sequence number went back: the encoder began anew. Its segments follow the ones we had.
    Restarted,
}

impl Timeline {
    /// The first snapshot: its first segment is at `origin`.
    pub fn new(snapshot: Arc<MediaPlaylist>, origin: Duration) -> Self {
        let first_seen = snapshot.media_sequence;
        Self { snapshot, origin, first_seen }
    }

    /// Takes a newer snapshot of the same playlist.
    pub fn merge(&mut self, newer: Arc<MediaPlaylist>) -> Merge {
        let old = self.msns();
        let (first, end) = (newer.media_sequence.0, newer.media_sequence.0.saturating_add(newer.segments.len() as u64));
        let grew = end > old.end || newer.ended != self.snapshot.ended;
        if end < old.end && !newer.segments.is_empty() && !newer.ended {
            self.origin = self.end();
            self.snapshot = newer;
            return Merge::Restarted;
        }
        if first > old.end {
            let missed = first - old.end;
            let hole = newer.target_duration.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
            self.origin = self.end().saturating_add(hole);
            self.snapshot = newer;
            return Merge::Jumped { missed };
        }
        if first >= old.start {
            self.origin = self.start_of(MediaSequence(first)).unwrap_or_else(|| self.end());
        } else {
            // The window reaches further back than before: anchor it at the first segment both have.
            let common = usize::try_from(old.start - first).unwrap_or(usize::MAX);
            let before = newer.segments.start(common).unwrap_or_default();
            self.origin = self.origin.saturating_sub(before);
            self.first_seen = self.first_seen.min(MediaSequence(first));
        }
        self.snapshot = newer;
        if grew { Merge::Grown } else { Merge::Unchanged }
    }

    /// The snapshot that is in force.
    pub fn snapshot(&self) -> &Arc<MediaPlaylist> {
        &self.snapshot
    }

    /// The first media sequence number that was ever listed.
    pub fn first_seen(&self) -> MediaSequence {
        self.first_seen
    }

    /// Media sequence numbers listed now.
    pub fn msns(&self) -> Range<u64> {
        let first = self.snapshot.media_sequence.0;
        first..first.saturating_add(self.snapshot.segments.len() as u64)
    }

    /// Whether no segment will be added any more.
    pub fn ended(&self) -> bool {
        self.snapshot.ended
    }

    /// The listed segment with this number.
    pub fn segment(&self, msn: MediaSequence) -> Option<&Segment> {
        self.snapshot.segments.by_msn(msn)
    }

    /// Presentation time of the start of a listed segment; of the end of the list for the number that comes next.
    pub fn start_of(&self, msn: MediaSequence) -> Option<Duration> {
        if msn.0 == self.msns().end {
            return Some(self.end());
        }
        let idx = msn.offset_in(self.snapshot.media_sequence)?;
        self.snapshot.segments.start(idx).map(|start| self.origin.saturating_add(start))
    }

    /// Presentation time of the first listed segment.
    pub fn start(&self) -> Duration {
        self.origin
    }

    /// Presentation time of the end of the last listed segment.
    pub fn end(&self) -> Duration {
        self.origin.saturating_add(self.snapshot.segments.duration())
    }

    /// The listed segment that covers `time`; the first one for an earlier time, `None` at or after the end.
    pub fn at(&self, time: Duration) -> Option<&Segment> {
        let segments = &self.snapshot.segments;
        segments.get(segments.at(time.saturating_sub(self.origin))?)
    }
}
