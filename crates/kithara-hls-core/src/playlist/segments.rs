//! The list of segments of a snapshot.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::block::{Block, BlockBuilder, Copies, Entry, State};
use super::parse::Parsed;
use super::text::Source;
use super::{MediaSequence, Segment};

/// The segments of one snapshot, in order, with consecutive numbers.
///
/// Snapshots share what they have in common: cloning, and a reload that adds one segment to ten thousand, cost little.
#[derive(Clone, Default)]
pub struct Segments {
    runs: Vec<Run>,
    duration: Duration,
}

/// A run of the list: a block, or what is left of it.
#[derive(Clone)]
pub(super) struct Run {
    block: Arc<Block>,
    /// Which segments of the block are in the list.
    range: Range<usize>,
    /// How many segments of the list lie before, and how long they play.
    index: usize,
    start: Duration,
}

impl Run {
    fn first(&self) -> MediaSequence {
        self.block.msn(self.range.start)
    }

    fn segment(&self, index: usize) -> Option<Segment<'_>> {
        let place = self.range.start + index.checked_sub(self.index)?;
        (place < self.range.end).then(|| self.block.segment(place))
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> + Clone {
        self.range.clone().map(|place| self.block.segment(place))
    }

    /// Whether the list has the last segment of the block.
    fn has_end(&self) -> bool {
        self.range.end == self.block.len()
    }
}

/// Segments of a full block, which begins at a multiple of it: large enough to make blocks cheap, small enough to parse
/// the last one again at each reload.
pub(super) const BLOCK_LEN: usize = 128;

/// Whether a block ends behind the segment numbered `msn`.
fn ends_block(msn: MediaSequence) -> bool {
    msn.next().0.is_multiple_of(BLOCK_LEN as u64)
}

impl Segments {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.index + run.range.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The segment at `index`; `None` unless that is below the length.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Segment<'_>> {
        self.run_of(index)?.segment(index)
    }

    /// The first segment.
    #[must_use]
    pub fn first(&self) -> Option<Segment<'_>> {
        self.get(0)
    }

    /// The last segment.
    #[must_use]
    pub fn last(&self) -> Option<Segment<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The place of the segment numbered `msn`.
    #[must_use]
    pub fn index_of(&self, msn: MediaSequence) -> Option<usize> {
        msn.offset_in(self.runs.first()?.first()).filter(|index| *index < self.len())
    }

    /// The segment numbered `msn`.
    #[must_use]
    pub fn by_msn(&self, msn: MediaSequence) -> Option<Segment<'_>> {
        self.get(self.index_of(msn)?)
    }

    /// The sum of the durations before the segment at `index`; `index` may be the length, which gives the end.
    #[must_use]
    pub fn start(&self, index: usize) -> Option<Duration> {
        if index == self.len() {
            return Some(self.duration());
        }
        let run = self.run_of(index)?;
        let before = run.range.start..run.range.start + (index - run.index);
        (before.end < run.range.end).then(|| run.start + run.block.duration_of(before))
    }

    /// The segment that plays at `time` after the start of the first; `None` behind the end. Where segments without a
    /// duration stand, it is the one behind them.
    #[must_use]
    pub fn at(&self, time: Duration) -> Option<usize> {
        let after = self.runs.partition_point(|run| run.start <= time);
        let run = &self.runs[after.checked_sub(1)?];
        let place = run.block.place_at(run.range.clone(), time - run.start)?;
        Some(run.index + (place - run.range.start))
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The segments, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> + Clone {
        self.runs.iter().flat_map(Run::segments)
    }

    /// The segments with their starts: the sums of the durations before them.
    pub fn iter_timed(&self) -> impl Iterator<Item = (Duration, Segment<'_>)> + Clone {
        self.iter().scan(Duration::ZERO, |next, segment| {
            let start = *next;
            *next += segment.duration;
            Some((start, segment))
        })
    }

    /// A list of one copied segment.
    pub(super) fn copy_of(segment: Segment<'_>) -> Self {
        let mut copies = Copies::default();
        copies.push(segment);
        let mut list = Self { runs: Vec::with_capacity(1), duration: Duration::ZERO };
        list.extend_by(copies.finish());
        list
    }

    /// The blocks from the segment numbered `msn` on, as far as the list has all segments of them behind that one, and the
    /// place of the first of these in each.
    pub(super) fn blocks_from(&self, msn: MediaSequence) -> impl Iterator<Item = (&Arc<Block>, usize)> {
        let index = self.index_of(msn);
        let at = index.map_or(self.runs.len(), |index| self.runs.partition_point(|run| run.index <= index) - 1);
        let runs = self.runs[at..].iter().take_while(|run| run.has_end());
        runs.map(move |run| (&run.block, run.range.start + index.unwrap_or(0).saturating_sub(run.index)))
    }

    /// Adds `base` to the discontinuity sequence numbers before the segment numbered `end`.
    pub(super) fn renumber(&mut self, end: MediaSequence, base: u64) {
        for run in self.runs.iter_mut().take_while(|run| run.first() < end) {
            Arc::make_mut(&mut run.block).renumber(end, base);
        }
    }

    fn run_of(&self, index: usize) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.index <= index);
        Some(&self.runs[after.checked_sub(1)?])
    }

    /// Adds a part of a block behind the last segment, whose number must be the one before.
    fn push(&mut self, block: Arc<Block>, range: Range<usize>) {
        let (index, start) = (self.len(), self.duration);
        self.duration += block.duration_of(range.clone());
        self.runs.push(Run { block, range, index, start });
    }

    fn extend_by(&mut self, block: Option<Block>) {
        if let Some(block) = block {
            let range = 0..block.len();
            self.push(Arc::new(block), range);
        }
    }
}

/// A list that is being made.
#[derive(Default)]
pub(super) struct Builder {
    list: Segments,
    /// The block behind those of the list.
    block: BlockBuilder,
}

impl Builder {
    #[inline(always)]
    pub(super) fn push(&mut self, msn: MediaSequence, entry: Entry, state: &State) {
        self.block.push(msn, entry, state);
    }

    /// Makes room for so many segments in the next block.
    pub(super) fn expect(&mut self, segments: usize) {
        self.block.expect(segments);
    }

    /// Ends a block behind the last segment; all that was added since the last one stands in `source`.
    pub(super) fn end_block(&mut self, source: &Arc<Source>, parsed: Option<Parsed>) {
        self.list.extend_by(self.block.finish(source, parsed));
    }

    /// Adds the segments of a block of another list from `place` on.
    pub(super) fn share(&mut self, block: &Arc<Block>, place: usize) {
        self.list.push(block.clone(), place..block.len());
    }

    /// Takes over the segments of `other` whose numbers are in `range`, all of which it must have. Full blocks are
    /// shared, others made full where the range fills them, so that many small updates do not make many small blocks.
    pub(super) fn adopt(&mut self, other: &Segments, range: &Range<MediaSequence>) {
        let mut copies = Copies::default();
        let mut are_there = false;
        for run in &other.runs {
            let clip = |msn: MediaSequence| msn.offset_in(run.first()).unwrap_or(0).min(run.range.len());
            let (from, to) = (clip(range.start), clip(range.end));
            if from >= to {
                continue;
            }
            let taken = run.range.start + from..run.range.start + to;
            // At the front, where the window leaves its block, less than all of one is as good.
            let begins = self.list.is_empty() || run.first().0.is_multiple_of(BLOCK_LEN as u64);
            if !are_there && begins && ends_block(run.block.msn(taken.end - 1)) {
                self.list.push(run.block.clone(), taken);
                continue;
            }
            for place in taken {
                let segment = run.block.segment(place);
                copies.push(segment);
                are_there = !ends_block(segment.msn);
                if !are_there {
                    self.list.extend_by(std::mem::take(&mut copies).finish());
                }
            }
        }
        self.list.extend_by(copies.finish());
    }

    /// The segments of all blocks that were ended.
    pub(super) fn finish(self) -> Segments {
        self.list
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Equal segments in equal order, however they are stored.
impl PartialEq for Segments {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}
