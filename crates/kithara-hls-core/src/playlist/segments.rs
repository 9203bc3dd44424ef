//! The list of segments of a snapshot.

use std::fmt;
use std::ops::{Index, Range};
use std::sync::Arc;
use std::time::Duration;

use super::parse::Parsed;
use super::{MediaSequence, Segment};

/// The segments of one snapshot, in order, with consecutive numbers.
///
/// Snapshots share what they have in common: cloning, and a reload that adds one segment to ten thousand, cost little.
#[derive(Clone, Default)]
pub struct Segments {
    blocks: Vec<Block>,
    duration: Duration,
}

/// A run of the list.
#[derive(Clone)]
pub(super) struct Block {
    /// All segments of one parse, and which of them are in the block. A parse makes one allocation for all, since the
    /// segments of a playlist mostly come and go together.
    store: Arc<Vec<Segment>>,
    range: Range<usize>,
    /// The text they were parsed from and what it meant, when parsing it again would give the same.
    pub(super) parsed: Option<Arc<Parsed>>,
    /// How many segments of the list lie before this block, and how long they play.
    index: usize,
    start: Duration,
}

impl Block {
    pub(super) fn segments(&self) -> &[Segment] {
        &self.store[self.range.clone()]
    }

    fn first(&self) -> MediaSequence {
        self.store[self.range.start].msn
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
        self.blocks.last().map_or(0, |block| block.index + block.segments().len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The segment at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Segment> {
        let block = self.block_of(index)?;
        block.segments().get(index - block.index)
    }

    /// The first segment.
    #[must_use]
    pub fn first(&self) -> Option<&Segment> {
        self.blocks.first()?.segments().first()
    }

    /// The last segment.
    #[must_use]
    pub fn last(&self) -> Option<&Segment> {
        self.blocks.last()?.segments().last()
    }

    /// The place of the segment numbered `msn`.
    #[must_use]
    pub fn index_of(&self, msn: MediaSequence) -> Option<usize> {
        msn.offset_in(self.first()?.msn).filter(|index| *index < self.len())
    }

    /// The segment numbered `msn`.
    #[must_use]
    pub fn by_msn(&self, msn: MediaSequence) -> Option<&Segment> {
        self.get(self.index_of(msn)?)
    }

    /// The sum of the durations before the segment at `index`; `index` may be the length, which gives the end.
    #[must_use]
    pub fn start(&self, index: usize) -> Option<Duration> {
        if index == self.len() {
            return Some(self.duration());
        }
        let block = self.block_of(index)?;
        let before = &block.segments()[..index - block.index];
        Some(block.start + before.iter().map(|segment| segment.duration).sum::<Duration>())
    }

    /// The segment that plays at `time` after the start of the first; `None` behind the end. Where segments without a
    /// duration stand, it is the one behind them.
    #[must_use]
    pub fn at(&self, time: Duration) -> Option<usize> {
        let block = self.blocks.partition_point(|block| block.start <= time).checked_sub(1)?;
        let block = &self.blocks[block];
        let mut end = block.start;
        let place = block.segments().iter().position(|segment| {
            end += segment.duration;
            time < end
        })?;
        Some(block.index + place)
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The segments, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.blocks.iter().flat_map(Block::segments)
    }

    /// The segments with their starts: the sums of the durations before them.
    pub fn iter_timed(&self) -> impl Iterator<Item = (Duration, &Segment)> + Clone {
        self.iter().scan(Duration::ZERO, |next, segment| {
            let start = *next;
            *next += segment.duration;
            Some((start, segment))
        })
    }

    fn block_of(&self, index: usize) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.index <= index);
        let block = &self.blocks[after.checked_sub(1)?];
        (index - block.index < block.segments().len()).then_some(block)
    }

    /// The block whose first segment is numbered `msn`.
    pub(super) fn block_at(&self, msn: MediaSequence) -> Option<&Block> {
        let place = self.blocks.binary_search_by(|block| block.first().cmp(&msn)).ok()?;
        Some(&self.blocks[place])
    }

    /// Adds segments behind the last one, whose number must be the one before.
    fn push(&mut self, store: Arc<Vec<Segment>>, range: Range<usize>, parsed: Option<Arc<Parsed>>) {
        let (index, start) = (self.len(), self.duration);
        self.duration += store[range.clone()].iter().map(|segment| segment.duration).sum::<Duration>();
        self.blocks.push(Block { store, range, parsed, index, start });
    }
}

/// A list that is being made.
#[derive(Default)]
pub(super) struct Builder {
    list: Segments,
    /// Segments behind those of the list, and where blocks of them end.
    store: Vec<Segment>,
    cuts: Vec<(usize, Option<Arc<Parsed>>)>,
}

impl Builder {
    pub(super) fn push(&mut self, segment: Segment) {
        self.store.push(segment);
    }

    /// Makes room for so many segments, if there is not room for a block. Growing step by step would move them often.
    pub(super) fn expect(&mut self, segments: usize) {
        if self.store.capacity() - self.store.len() < BLOCK_LEN {
            self.store.reserve(segments);
        }
    }

    /// Ends a block behind the last segment.
    pub(super) fn end_block(&mut self, parsed: Option<Parsed>) {
        if self.store.len() > self.cuts.last().map_or(0, |(end, _)| *end) {
            self.cuts.push((self.store.len(), parsed.map(Arc::new)));
        }
    }

    /// Adds a block of another list.
    pub(super) fn share(&mut self, block: &Block) {
        self.flush();
        self.list.push(block.store.clone(), block.range.clone(), block.parsed.clone());
    }

    /// Takes over the segments of `other` whose numbers are in `range`, all of which it must have. Full blocks are
    /// shared, others made full where the range fills them, so that many small updates do not make many small blocks.
    pub(super) fn adopt(&mut self, other: &Segments, range: &Range<MediaSequence>) {
        for block in &other.blocks {
            let clip = |msn: MediaSequence| msn.offset_in(block.first()).unwrap_or(0).min(block.segments().len());
            let (from, to) = (clip(range.start), clip(range.end));
            if from >= to {
                continue;
            }
            let taken = block.range.start + from..block.range.start + to;
            // At the front, where the window leaves its block, less than all of one is as good.
            let begins = self.list.is_empty() || block.first().0 % BLOCK_LEN as u64 == 0;
            if self.store.is_empty() && begins && ends_block(block.store[taken.end - 1].msn) {
                let parsed = block.parsed.clone().filter(|_| taken == block.range);
                self.list.push(block.store.clone(), taken, parsed);
                continue;
            }
            for segment in &block.store[taken] {
                self.store.push(segment.clone());
                if ends_block(segment.msn) {
                    self.store = compacted(&self.store);
                    self.flush();
                }
            }
        }
    }

    /// The segments so far.
    pub(super) fn finish(mut self) -> Segments {
        self.flush();
        self.list
    }

    fn flush(&mut self) {
        self.end_block(None);
        let store = Arc::new(std::mem::take(&mut self.store));
        let mut start = 0;
        for (end, parsed) in self.cuts.drain(..) {
            self.list.push(store.clone(), start..end, parsed);
            start = end;
        }
    }
}

/// The same segments with their strings in one place, so that they do not keep the texts they come from.
fn compacted(segments: &[Segment]) -> Vec<Segment> {
    let strings: String = segments.iter().flat_map(Segment::strings).collect();
    let Some(first) = segments.first() else { return Vec::new() };
    let source = first.uri.text().source_beside(strings);
    let mut next = 0;
    segments.iter().map(|segment| segment.moved_to(&source, &mut next)).collect()
}

impl Index<usize> for Segments {
    type Output = Segment;

    /// # Panics
    /// When `index` is not below the length.
    fn index(&self, index: usize) -> &Segment {
        self.get(index).expect("the index is below the length")
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

/// The numbers of the segments must be consecutive.
impl FromIterator<Segment> for Segments {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        let mut builder = Builder::default();
        for segment in segments {
            let full = ends_block(segment.msn);
            builder.push(segment);
            if full {
                builder.end_block(None);
            }
        }
        builder.finish()
    }
}
