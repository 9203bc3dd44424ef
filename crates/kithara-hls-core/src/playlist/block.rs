//! Blocks: how a snapshot holds its segments.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::time::WallTime;

use super::parse::Parsed;
use super::text::{Source, Span};
use super::{
    ByteRange, DiscontinuitySequence, InitSection, Key, Line, MediaSequence, Part, Segment, SharedList, Uri, UriRef,
};

/// Consecutive segments and the text they stand in.
///
/// Most segments say no more than a duration and a URI, under the same key and section as the one before. So what few
/// say has a list of its own, and so has what many share; nothing is counted or allocated for a single plain segment.
pub(super) struct Block {
    source: Arc<Source>,
    first: MediaSequence,
    records: Vec<Record>,
    states: Vec<State>,
    extras: Vec<Extra>,
    /// The parts of those that have some, by place.
    parts: Vec<(usize, SharedList<Part>)>,
    /// URIs that do not stand in the source as they are, or have another base, by place.
    uris: Vec<(usize, Uri)>,
    /// How long they play.
    duration: Duration,
    /// What the text meant, when parsing it again would give the same.
    parsed: Option<Parsed>,
}

/// What every segment says.
#[derive(Clone, Copy)]
struct Record {
    /// The URI in the source, unless the block has another one for the place.
    uri: Span,
    title: Span,
    /// The duration in nanoseconds.
    nanos: u64,
    line: u32,
    kbps: Option<NonZeroU32>,
    /// Which of the extras is its own, from 1.
    extra: Option<NonZeroU32>,
    /// Which of the states applies.
    state: u16,
    discontinuity: bool,
    gap: bool,
}

/// What a segment has in common with those around it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) dsn: DiscontinuitySequence,
    pub(super) keys: SharedList<Key>,
    pub(super) init: Option<Arc<InitSection>>,
}

impl State {
    /// Whether both are the same, found without a look into lists and sections.
    fn is(&self, other: &Self) -> bool {
        let same_init = match (&self.init, &other.init) {
            (Some(init), Some(other)) => Arc::ptr_eq(init, other),
            (None, None) => true,
            _ => false,
        };
        same_init && self.dsn == other.dsn && self.keys.is(&other.keys)
    }
}

/// What many segments of some playlists say, and none of most.
#[derive(Clone, Copy)]
struct Extra {
    byte_range: Option<ByteRange>,
    program_date_time: Option<WallTime>,
}

/// What a list by place has for `place`.
fn at<T>(list: &[(usize, T)], place: usize) -> Option<&T> {
    let idx = list.binary_search_by_key(&place, |(place, _)| *place).ok()?;
    Some(&list[idx].1)
}

/// A segment on its way into a block.
pub(super) struct Entry {
    pub(super) uri: Located,
    pub(super) title: Span,
    pub(super) duration: Duration,
    pub(super) byte_range: Option<ByteRange>,
    pub(super) program_date_time: Option<WallTime>,
    pub(super) parts: SharedList<Part>,
    pub(super) discontinuity: bool,
    pub(super) gap: bool,
    pub(super) line: Line,
    pub(super) kbps: Option<NonZeroU32>,
}

/// Where a URI stands.
pub(super) enum Located {
    /// In the source of the block.
    Here(Span),
    Elsewhere(Uri),
}

impl Block {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn msn(&self, place: usize) -> MediaSequence {
        MediaSequence(self.first.0.saturating_add(place as u64))
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Where the text goes on behind the line of the segment at `place`: the offset, and the number of the line. `None` when
    /// the URI does not stand in the text.
    pub(super) fn behind(&self, place: usize, terminator: u8) -> Option<(usize, u32)> {
        let record = self.records.get(place).filter(|_| at(&self.uris, place).is_none())?;
        let end = record.uri.end() as usize;
        let line_end = memchr::memchr(terminator, self.source.text.as_bytes().get(end..)?)?;
        Some((end + line_end + 1, record.line + 1))
    }

    pub(super) fn parsed(&self) -> Option<&Parsed> {
        self.parsed.as_ref()
    }

    /// How long the segments of `range` play.
    pub(super) fn duration_of(&self, range: Range<usize>) -> Duration {
        if range.len() == self.len() {
            return self.duration;
        }
        Duration::from_nanos(self.records[range].iter().map(|record| record.nanos).sum())
    }

    /// The parts of the segments from `place` on.
    pub(super) fn parts_from(&self, place: usize) -> impl Iterator<Item = &SharedList<Part>> {
        let before = self.parts.partition_point(|(other, _)| *other < place);
        self.parts[before..].iter().map(|(_, parts)| parts)
    }

    /// Whether a segment from `place` on has a date.
    pub(super) fn is_dated_from(&self, place: usize) -> bool {
        let mut extras = self.records[place..].iter().filter_map(|record| self.extra(record));
        extras.any(|extra| extra.program_date_time.is_some())
    }

    fn extra(&self, record: &Record) -> Option<&Extra> {
        self.extras.get(record.extra?.get() as usize - 1)
    }

    /// The first segment of `range` at whose end `time` has not passed, `time` counting from the start of the range.
    pub(super) fn place_at(&self, range: Range<usize>, time: Duration) -> Option<usize> {
        let mut end = Duration::ZERO;
        let place = self.records[range.clone()].iter().position(|record| {
            end += Duration::from_nanos(record.nanos);
            time < end
        })?;
        Some(range.start + place)
    }

    /// The segment at `place`, which lies below the length.
    pub(super) fn segment(&self, place: usize) -> Segment<'_> {
        let record = &self.records[place];
        let state = &self.states[usize::from(record.state)];
        let extra = self.extra(record);
        Segment {
            msn: self.msn(place),
            dsn: state.dsn,
            uri: at(&self.uris, place).map_or(UriRef::at(&self.source, record.uri), Uri::as_ref),
            duration: Duration::from_nanos(record.nanos),
            byte_range: extra.and_then(|extra| extra.byte_range),
            init: state.init.as_ref(),
            keys: &state.keys,
            program_date_time: extra.and_then(|extra| extra.program_date_time),
            parts: at(&self.parts, place).unwrap_or(Part::NONE),
            discontinuity: record.discontinuity,
            gap: record.gap,
            line: Line(record.line),
            title: UriRef::at(&self.source, record.title),
            kbps: record.kbps,
        }
    }

    /// Adds `base` to the discontinuity sequence numbers before the segment numbered `end`, in which another state begins.
    /// What it means is not what its text means any more.
    pub(super) fn renumber(&mut self, end: MediaSequence, base: u64) {
        self.parsed = None;
        let before = end.offset_in(self.first).unwrap_or(0).min(self.len());
        let Some(last) = before.checked_sub(1) else { return };
        for state in &mut self.states[..=usize::from(self.records[last].state)] {
            state.dsn.0 = state.dsn.0.saturating_add(base);
        }
    }
}

impl Clone for Block {
    /// Without what the text meant.
    fn clone(&self) -> Self {
        let Self { source, first, records, states, extras, parts, uris, duration, parsed: _ } = self;
        Self {
            source: source.clone(),
            first: *first,
            records: records.clone(),
            states: states.clone(),
            extras: extras.clone(),
            parts: parts.clone(),
            uris: uris.clone(),
            duration: *duration,
            parsed: None,
        }
    }
}

/// A block that is being made.
#[derive(Default)]
pub(super) struct BlockBuilder {
    first: MediaSequence,
    records: Vec<Record>,
    states: Vec<State>,
    extras: Vec<Extra>,
    parts: Vec<(usize, SharedList<Part>)>,
    uris: Vec<(usize, Uri)>,
    nanos: u64,
}

impl BlockBuilder {
    /// For so many segments.
    pub(super) fn expect(&mut self, segments: usize) {
        self.records.reserve_exact(segments);
    }

    /// Adds the segment numbered `msn`, whose number must be the one after the last.
    #[inline(always)]
    pub(super) fn push(&mut self, msn: MediaSequence, entry: Entry, state: &State) {
        if self.records.is_empty() {
            self.first = msn;
        }
        if self.states.last().is_none_or(|last| !last.is(state)) {
            self.states.push(state.clone());
        }
        let place = self.records.len();
        let uri = match entry.uri {
            Located::Here(span) => span,
            Located::Elsewhere(uri) => {
                self.uris.push((place, uri));
                Span::EMPTY
            }
        };
        if !entry.parts.is_empty() {
            self.parts.push((place, entry.parts));
        }
        let extra = if entry.byte_range.is_none() && entry.program_date_time.is_none() {
            None
        } else {
            if self.extras.is_empty() {
                // If one segment says more, most do.
                self.extras.reserve_exact(self.records.capacity() - place);
            }
            self.extras.push(Extra { byte_range: entry.byte_range, program_date_time: entry.program_date_time });
            u32::try_from(self.extras.len()).ok().and_then(NonZeroU32::new)
        };
        let nanos = nanos_of(entry.duration);
        self.nanos = self.nanos.saturating_add(nanos);
        self.records.push(Record {
            uri,
            title: entry.title,
            nanos,
            line: entry.line.0,
            kbps: entry.kbps,
            extra,
            state: u16::try_from(self.states.len() - 1).expect("a block has few segments"),
            discontinuity: entry.discontinuity,
            gap: entry.gap,
        });
    }

    /// The block of all that was added, which stands in `source`; `None` when that is nothing.
    pub(super) fn finish(&mut self, source: &Arc<Source>, parsed: Option<Parsed>) -> Option<Block> {
        let Self { first, mut records, states, mut extras, parts, uris, nanos } = std::mem::take(self);
        if records.is_empty() {
            return None;
        }
        records.shrink_to_fit();
        extras.shrink_to_fit();
        Some(Block {
            source: source.clone(),
            first,
            records,
            states,
            extras,
            parts,
            uris,
            duration: Duration::from_nanos(nanos),
            parsed,
        })
    }
}

/// Durations in a list are at most 292 years, and so is their sum.
#[inline]
pub(super) fn nanos_of(duration: Duration) -> u64 {
    let nanos = duration.as_secs().saturating_mul(1_000_000_000);
    nanos.saturating_add(duration.subsec_nanos().into())
}

/// A block of copies, which does not keep alive the texts they come from.
#[derive(Default)]
pub(super) struct Copies {
    block: BlockBuilder,
    /// The URI and the title of each segment, then the URIs of its parts.
    text: String,
    base: Option<Arc<url::Url>>,
}

impl Copies {
    /// Adds a copy of `segment`, whose number must be the one after the last.
    pub(super) fn push(&mut self, segment: Segment<'_>) {
        let base = self.base.get_or_insert_with(|| segment.uri.base().clone());
        let is_near = Arc::ptr_eq(base, segment.uri.base()) || base == segment.uri.base();
        let uri = if is_near {
            Located::Here(Span::append(&mut self.text, segment.uri.as_str()))
        } else {
            Located::Elsewhere(segment.uri.to_uri().detached())
        };
        let title = Span::append(&mut self.text, segment.title().unwrap_or_default());
        let state = State { dsn: segment.dsn, init: segment.init.cloned(), keys: segment.keys.clone() };
        let entry = Entry {
            uri,
            title,
            duration: segment.duration,
            byte_range: segment.byte_range,
            program_date_time: segment.program_date_time,
            parts: segment.parts.clone(),
            discontinuity: segment.discontinuity,
            gap: segment.gap,
            line: segment.line,
            kbps: segment.kbps,
        };
        self.block.push(segment.msn, entry, &state);
        for part in segment.parts {
            self.text.push_str(part.uri.as_str());
        }
    }

    /// The block of all copies; `None` when there is none.
    pub(super) fn finish(self) -> Option<Block> {
        let source = Arc::new(Source { base: self.base?, text: self.text.into() });
        let mut block = { self.block }.finish(&source, None)?;
        for (place, parts) in &mut block.parts {
            let mut next = block.records[*place].title.end();
            let moved = parts.iter().map(|part| Part { uri: part.uri.moved_to(&source, &mut next), ..part.clone() });
            *parts = moved.collect();
        }
        Some(block)
    }
}
