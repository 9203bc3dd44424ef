//! The list of segments of a snapshot.

use std::fmt;
use std::ops::{Index, Range};
use std::sync::Arc;
use std::time::Duration;

use super::parse::Parsed;
use super::{MediaSequence, Segment};

/// The segments of one snapshot, in order, with consecutive numbers.
///
/// Stored in blocks that snapshots share: cloning, and a reload that adds one segment to ten thousand, cost little.
#[derive(Clone, Default)]
pub struct Segments {
    slices: Vec<Slice>,
    duration: Duration,
}

/// A run of segments out of a block.
#[derive(Clone)]
struct Slice {
    block: Arc<Block>,
    /// The segments of the block that belong to the list.
    range: Range<usize>,
    /// How many segments of the list lie before this slice, and how long they play.
    index: usize,
    start: Duration,
}

/// Consecutive segments; never changed. A full block begins at a multiple of [`BLOCK_LEN`].
pub(super) struct Block {
    pub(super) segments: Box<[Segment]>,
    /// The text they were parsed from and what it meant, when parsing it again would give the same.
    pub(super) parsed: Option<Parsed>,
}

impl Slice {
    fn segments(&self) -> &[Segment] {
        &self.block.segments[self.range.clone()]
    }

    fn first(&self) -> MediaSequence {
        self.block.segments[self.range.start].msn
    }
}

/// Segments of a block: large enough to make blocks cheap, small enough to parse the last one again at each reload.
pub(super) const BLOCK_LEN: usize = 128;

impl Segments {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.last().map_or(0, |slice| slice.index + slice.segments().len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The segment at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Segment> {
        let slice = self.slice_of(index)?;
        slice.segments().get(index - slice.index)
    }

    /// The first segment.
    #[must_use]
    pub fn first(&self) -> Option<&Segment> {
        self.slices.first()?.segments().first()
    }

    /// The last segment.
    #[must_use]
    pub fn last(&self) -> Option<&Segment> {
        self.slices.last()?.segments().last()
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
        let slice = self.slice_of(index)?;
        let before = &slice.segments()[..index - slice.index];
        Some(slice.start + before.iter().map(|segment| segment.duration).sum::<Duration>())
    }

    /// The segment that plays at `time` after the start of the first; `None` behind the end. Where segments without a
    /// duration stand, it is the one behind them.
    #[must_use]
    pub fn at(&self, time: Duration) -> Option<usize> {
        let slice = self.slices.partition_point(|slice| slice.start <= time).checked_sub(1)?;
        let slice = &self.slices[slice];
        let mut end = slice.start;
        let place = slice.segments().iter().position(|segment| {
            end += segment.duration;
            time < end
        })?;
        Some(slice.index + place)
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The segments, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.slices.iter().flat_map(Slice::segments)
    }

    /// The segments with their starts: the sums of the durations before them.
    pub fn iter_timed(&self) -> impl Iterator<Item = (Duration, &Segment)> + Clone {
        self.iter().scan(Duration::ZERO, |next, segment| {
            let start = *next;
            *next += segment.duration;
            Some((start, segment))
        })
    }

    fn slice_of(&self, index: usize) -> Option<&Slice> {
        let after = self.slices.partition_point(|slice| slice.index <= index);
        let slice = &self.slices[after.checked_sub(1)?];
        (index - slice.index < slice.segments().len()).then_some(slice)
    }

    /// Adds a block behind the last segment, whose number must be the one before.
    pub(super) fn push_block(&mut self, segments: Box<[Segment]>, parsed: Option<Parsed>) {
        if !segments.is_empty() {
            let range = 0..segments.len();
            self.push_slice(Arc::new(Block { segments, parsed }), range);
        }
    }

    /// Adds a block of another list.
    pub(super) fn push_shared(&mut self, block: &Arc<Block>) {
        self.push_slice(block.clone(), 0..block.segments.len());
    }

    /// The block of which all segments are in the list and the first is numbered `msn`.
    pub(super) fn block_at(&self, msn: MediaSequence) -> Option<&Arc<Block>> {
        let place = self.slices.binary_search_by(|slice| slice.first().cmp(&msn)).ok()?;
        let slice = &self.slices[place];
        (slice.segments().len() == slice.block.segments.len()).then_some(&slice.block)
    }

    /// Takes over the segments of `other` whose numbers are in `range`, all of which it must have. Full blocks are
    /// shared, others made full where the range fills them. What remains at the end, less than a block, is returned.
    pub(super) fn adopt(&mut self, other: &Self, range: Range<MediaSequence>) -> Vec<Segment> {
        let mut rest: Vec<Segment> = Vec::new();
        for slice in &other.slices {
            let clip = |msn: MediaSequence| msn.offset_in(slice.first()).unwrap_or(0).min(slice.segments().len());
            let (from, to) = (clip(range.start), clip(range.end));
            if from >= to {
                continue;
            }
            // Only the window's front, which it leaves behind, and full blocks are worth keeping as they are.
            let begins = self.is_empty() || slice.first().0 % BLOCK_LEN as u64 == 0;
            let ends = slice.block.segments[slice.range.start + to - 1].msn.next().0 % BLOCK_LEN as u64 == 0;
            if rest.is_empty() && begins && ends {
                self.push_slice(slice.block.clone(), slice.range.start + from..slice.range.start + to);
                continue;
            }
            for segment in &slice.segments()[from..to] {
                rest.push(segment.clone());
                if segment.msn.next().0 % BLOCK_LEN as u64 == 0 {
                    self.push_block(compacted(&rest), None);
                    rest.clear();
                }
            }
        }
        rest
    }

    fn push_slice(&mut self, block: Arc<Block>, range: Range<usize>) {
        let (index, start) = (self.len(), self.duration);
        self.duration += block.segments[range.clone()].iter().map(|segment| segment.duration).sum::<Duration>();
        self.slices.push(Slice { block, range, index, start });
    }
}

/// The same segments with their strings in one place, so that they do not keep the texts they come from.
fn compacted(segments: &[Segment]) -> Box<[Segment]> {
    let strings: String = segments.iter().flat_map(Segment::strings).collect();
    let Some(first) = segments.first() else { return Box::default() };
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
        let mut segments = segments.into_iter();
        let mut list = Self::default();
        loop {
            let block: Box<[Segment]> = segments.by_ref().take(BLOCK_LEN).collect();
            if block.is_empty() {
                return list;
            }
            list.push_block(block, None);
        }
    }
}
