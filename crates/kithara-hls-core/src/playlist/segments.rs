//! The list of segments of a snapshot.

use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use super::{MediaSequence, Segment};

/// The segments of one snapshot, in order, with consecutive numbers.
///
/// Stored in blocks that snapshots share: cloning, and a reload that adds one segment to ten thousand, cost little.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    slices: Vec<Slice>,
    duration: Duration,
}

/// A run of segments out of a block.
#[derive(Clone, Debug)]
struct Slice {
    block: Arc<Block>,
    /// The segments of the block that belong to the list.
    from: usize,
    to: usize,
    /// How many segments of the list lie before this slice, and how long they play.
    index: usize,
    start: Duration,
}

/// Segments parsed in one go; never changed.
#[derive(Debug)]
struct Block {
    segments: Box<[Segment]>,
}

impl Slice {
    fn segments(&self) -> &[Segment] {
        &self.block.segments[self.from..self.to]
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

    pub(super) fn push_block(&mut self, segments: Box<[Segment]>) {
        if segments.is_empty() {
            return;
        }
        let (index, start) = (self.len(), self.duration);
        self.duration += segments.iter().map(|segment| segment.duration).sum::<Duration>();
        let to = segments.len();
        self.slices.push(Slice { block: Arc::new(Block { segments }), from: 0, to, index, start });
    }
}

impl Index<usize> for Segments {
    type Output = Segment;

    /// # Panics
    /// When `index` is not below the length.
    fn index(&self, index: usize) -> &Segment {
        self.get(index).expect("the index is below the length")
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
            list.push_block(block);
        }
    }
}
