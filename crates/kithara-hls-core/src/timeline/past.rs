//! Segments that left the window and may still be had.

use std::{collections::VecDeque, time::Duration};

use crate::playlist::{DiscontinuitySequence, MediaSequence, Segment, Segments};

/// Remembered segments at most, however short they are.
const MOST: usize = 1 << 16;

/// A segment that is not listed any more.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) msn: MediaSequence,
    pub(super) dsn: DiscontinuitySequence,
    pub(super) start: Duration,
    pub(super) duration: Duration,
    /// A list of nothing else.
    segment: Segments,
}

impl Left {
    pub(super) fn segment(&self) -> Segment<'_> {
        self.segment.first().expect("it is a list of one segment")
    }

    fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }
}

/// All of them, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    left: VecDeque<Left>,
    keep: Duration,
}

impl Past {
    pub(super) fn keep(&mut self, time: Duration) {
        self.keep = time;
    }

    pub(super) fn push(
        &mut self,
        msn: MediaSequence,
        dsn: DiscontinuitySequence,
        start: Duration,
        segment: Segment<'_>,
    ) {
        if self.left.back().is_none_or(|last| last.msn < msn) {
            // A copy of its own: the text of a whole playlist would live on with each of them.
            let duration = segment.duration;
            self.left.push_back(Left { msn, dsn, start, duration, segment: segment.detached() });
        }
    }

    /// Forgets what ended more than a time before `origin`, and what is listed again.
    pub(super) fn trim(&mut self, origin: Duration, at_least: Duration, listed: u64) {
        let keep = self.keep.max(at_least);
        while self.left.back().is_some_and(|last| last.msn.0 >= listed) {
            self.left.pop_back();
        }
        let old = |it: &Left| it.end().saturating_add(keep) < origin;
        while self.left.len() > MOST || self.left.front().is_some_and(old) {
            self.left.pop_front();
        }
    }

    /// Forgets all before `msn`.
    pub(super) fn forget_before(&mut self, msn: MediaSequence) {
        while self.left.front().is_some_and(|it| it.msn < msn) {
            self.left.pop_front();
        }
    }

    /// Forgets what ended before `time`, unless it is kept elsewhere.
    pub(super) fn lose_before(&mut self, time: Duration, is_kept: impl Fn(MediaSequence) -> bool) {
        let ended = |it: &Left| it.end() <= time;
        self.left.retain(|it| !ended(it) || is_kept(it.msn));
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Left> {
        self.left.iter()
    }

    /// Those from `msn` on.
    pub(super) fn iter_from(&self, msn: MediaSequence) -> impl Iterator<Item = &Left> {
        let idx = self.left.partition_point(|it| it.msn < msn);
        self.left.range(idx..)
    }

    pub(super) fn get(&self, msn: MediaSequence) -> Option<&Left> {
        let idx = self.left.binary_search_by(|it| it.msn.cmp(&msn)).ok()?;
        self.left.get(idx)
    }

    pub(super) fn next_from(&self, msn: MediaSequence) -> Option<MediaSequence> {
        let idx = self.left.partition_point(|it| it.msn < msn);
        self.left.get(idx).map(|it| it.msn)
    }

    /// The one that covers `time`, else the first behind it.
    pub(super) fn at(&self, time: Duration) -> Option<&Left> {
        let idx = self.left.partition_point(|it| it.end() <= time);
        self.left.get(idx)
    }

    pub(super) fn each_start(&mut self, change: impl Fn(Duration) -> Duration) {
        self.left.iter_mut().for_each(|it| it.start = change(it.start));
    }
}
