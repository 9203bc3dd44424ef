//! Segments and parts, and the tags that apply to them (section 4.4.4).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::time::WallTime;

use super::super::block::{Entry, State, nanos_of};
use super::super::segments::Builder;
use super::super::text::Span;
use super::super::{
    ByteRange, DiscontinuitySequence, IncompleteSegment, InitSection, KeyMethod, Line, MediaSequence, ParseErrorKind,
    Part, Rule, Segment, Segments, SharedList,
};
use super::attributes::Attributes;
use super::decimal::Decimal;
use super::key::read_key;
use super::lexer::{behind, trimmed};
use super::scope::{LONGEST_NANOS, Place, RawByteRange, Scope};

/// What the tags so far mean for the segments to come. Two texts that go on equally from equal carries mean the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Carry {
    /// The number of the next segment.
    pub(in super::super) msn: MediaSequence,
    pub(in super::super) state: State,
    pub(in super::super) kbps: Option<NonZeroU32>,
    /// Where a byte range without an offset continues.
    pub(in super::super) range_end: Option<u64>,
    /// How long a segment plays that does not tell: the target duration.
    pub(in super::super) usual_duration: Duration,
    /// PART-TARGET.
    pub(in super::super) part_target: Option<Duration>,
    /// EXT-X-I-FRAMES-ONLY.
    pub(in super::super) iframes_only: bool,
}

impl Carry {
    /// The same behind the segment `last`.
    pub(super) fn behind(&self, last: &Segment<'_>) -> Self {
        Self {
            msn: last.msn.next(),
            state: State { dsn: last.dsn, keys: last.keys.clone(), init: last.init.cloned() },
            kbps: last.kbps,
            range_end: last.byte_range.map(ByteRange::end),
            usual_duration: self.usual_duration,
            part_target: self.part_target,
            iframes_only: self.iframes_only,
        }
    }
}

/// Tags read since the last segment that wait for the next one.
#[derive(Default)]
struct Pending {
    extinf: Option<(Duration, Span)>,
    byte_range: Option<RawByteRange>,
    discontinuities: u64,
    gap: bool,
    date: Option<WallTime>,
    parts: Vec<Part>,
}

/// Builds segments from their tags.
#[derive(Default)]
pub(super) struct SegmentParser {
    pub(super) carry: Carry,
    pending: Pending,
    /// How many segments there are, and how many nanoseconds they play.
    pub(super) count: usize,
    elapsed: u64,
    pub(super) parts: usize,
    /// The first EXT-X-PART, and whether there was an EXT-X-PROGRAM-DATE-TIME.
    pub(super) first_part: Option<Line>,
    pub(super) dated: bool,
}

impl SegmentParser {
    /// Whether no tag waits for a segment.
    pub(super) fn is_idle(&self) -> bool {
        let Pending { extinf, byte_range, discontinuities, gap, date, parts } = &self.pending;
        let plain = extinf.is_none() && byte_range.is_none() && date.is_none();
        plain && *discontinuities == 0 && !gap && parts.is_empty()
    }

    /// Whether a discontinuity has been read.
    pub(super) fn has_discontinuity(&self) -> bool {
        self.pending.discontinuities > 0
    }

    /// EXTINF.
    pub(super) fn extinf(&mut self, scope: &mut Scope<'_>, at: Place<'_>, value: &str) -> Result<(), ParseErrorKind> {
        let (duration, title) = match Decimal::read(value) {
            Some((decimal, rest)) => {
                let title = match behind(rest, b',') {
                    Some(title) => title,
                    None => self.title_behind_junk(scope, at, rest),
                };
                if decimal.negative {
                    scope.violation_of(at, Rule::InvalidDuration, value);
                }
                if !decimal.whole {
                    scope.needs(at, 3);
                }
                (decimal.duration(), trimmed(title))
            }
            None if value.starts_with(|it: char| it.is_ascii_digit()) => return Err(ParseErrorKind::OutOfRange),
            None => {
                scope.violation_of(at, Rule::InvalidDuration, value);
                (self.carry.usual_duration, value.trim_start_matches(','))
            }
        };
        let title = if title.is_empty() { None } else { Span::of(title, at.source) };
        let title = title.unwrap_or(Span::EMPTY);
        // The target duration bounds durations rounded to whole seconds.
        let target = self.carry.usual_duration;
        if !target.is_zero() && duration >= target + Duration::from_millis(500) {
            scope.violation_of(at, Rule::LongerThanTarget, value);
        }
        self.pending.extinf = Some((duration, title));
        Ok(())
    }

    /// The title of an EXTINF whose duration is not followed by a comma.
    fn title_behind_junk<'t>(&self, scope: &mut Scope<'_>, at: Place<'_>, rest: &'t str) -> &'t str {
        let (junk, title) = rest.split_once(',').unwrap_or((rest, ""));
        if !junk.trim().is_empty() {
            scope.violation_of(at, Rule::InvalidDuration, rest);
        }
        title
    }

    /// EXT-X-BYTERANGE.
    pub(super) fn byte_range(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        value: &str,
    ) -> Result<(), ParseErrorKind> {
        scope.needs(at, 4);
        let range = RawByteRange::read(value);
        self.pending.byte_range = Some(range.ok_or(ParseErrorKind::Invalid { tag: "EXT-X-BYTERANGE" })?);
        Ok(())
    }

    /// EXT-X-DISCONTINUITY.
    pub(super) fn discontinuity(&mut self, scope: &mut Scope<'_>, at: Place<'_>) {
        if !self.pending.parts.is_empty() {
            scope.violation(at, Rule::TagAfterPart);
        }
        self.pending.discontinuities += 1;
    }

    /// EXT-X-GAP.
    pub(super) fn gap(&mut self) {
        self.pending.gap = true;
    }

    /// EXT-X-PROGRAM-DATE-TIME.
    pub(super) fn date(&mut self, scope: &mut Scope<'_>, at: Place<'_>, value: &str) {
        match value.parse() {
            Ok(date) => {
                self.pending.date = Some(date);
                self.dated = true;
            }
            Err(_) => scope.violation_of(at, Rule::InvalidDate, value),
        }
    }

    /// EXT-X-BITRATE.
    pub(super) fn bitrate(&mut self, scope: &mut Scope<'_>, at: Place<'_>, value: &str) {
        if let Some(kbps) = scope.integer(at, value) {
            self.carry.kbps = NonZeroU32::new(u32::try_from(kbps).unwrap_or(u32::MAX));
        }
    }

    /// EXT-X-KEY.
    pub(super) fn key(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        if !self.pending.parts.is_empty() {
            scope.violation(at, Rule::TagAfterPart);
        }
        let Some(key) = read_key(scope, at, list, "EXT-X-KEY")? else {
            self.carry.state.keys = SharedList::new();
            return Ok(());
        };
        let others = self.carry.state.keys.iter().filter(|other| other.keyformat != key.keyformat);
        let mut keys = Vec::with_capacity(1);
        keys.extend(others.cloned());
        keys.push(key);
        let limit = scope.limits.keys;
        if keys.len() > limit {
            return Err(ParseErrorKind::TooLarge { what: "keys for one segment", limit });
        }
        self.carry.state.keys = keys.into();
        Ok(())
    }

    /// EXT-X-MAP.
    pub(super) fn map(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-MAP";
        if !self.pending.parts.is_empty() {
            scope.violation(at, Rule::TagAfterPart);
        }
        let glued = list.contains("\"#EXT");
        if glued {
            scope.violation(at, Rule::LostLineEnd);
        }
        let (mut uri, mut byte_range) = (None, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "URI" => uri = Some(scope.lasting_uri(at, attribute.value)?),
                "BYTERANGE" => {
                    let value = scope.expand(attribute.value)?;
                    let range = RawByteRange::read(&value);
                    byte_range = Some(range.ok_or(ParseErrorKind::Invalid { tag: TAG })?);
                }
                _ => {}
            }
        }
        if byte_range.is_some_and(|range| range.start.is_none()) {
            scope.violation(at, Rule::MapRangeWithoutOffset);
        }
        let uri = uri.ok_or(ParseErrorKind::Missing { tag: TAG, attribute: "URI" })?;
        let byte_range = byte_range.map(|range| range.resolved(0)).transpose()?;
        let keys = self.carry.state.keys.clone();
        if keys.iter().any(|it| it.method == KeyMethod::Aes128 && it.iv.is_none() && it.is_identity()) {
            scope.violation(at, Rule::EncryptedMapWithoutIv);
            // What players make of a missing vector is a guess, which a mutilated line does not deserve.
            if glued {
                return Err(ParseErrorKind::NoIv);
            }
        }
        self.carry.state.init = Some(Arc::new(InitSection { uri, byte_range, keys }));
        Ok(())
    }

    /// EXT-X-PART.
    pub(super) fn part(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-PART";
        let (mut uri, mut duration, mut byte_range) = (None, None, None);
        let (mut independent, mut gap) = (false, false);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "URI" => uri = Some(scope.uri(at, attribute.value)?),
                "DURATION" => duration = scope.seconds(at, attribute.value),
                "INDEPENDENT" => independent = attribute.is_yes(),
                "GAP" => gap = attribute.is_yes(),
                "BYTERANGE" => {
                    let value = scope.expand(attribute.value)?;
                    let range = RawByteRange::read(&value);
                    byte_range = Some(range.ok_or(ParseErrorKind::Invalid { tag: TAG })?);
                }
                _ => {}
            }
        }
        let (Some(uri), Some(duration)) = (uri, duration) else {
            scope.violation(at, Rule::PartLacksAttribute);
            return Ok(());
        };
        let implied = self.pending.parts.last().filter(|part| part.uri == uri);
        let implied = implied.and_then(|part| part.byte_range).map_or(0, ByteRange::end);
        let byte_range = byte_range.map(|range| range.resolved(implied)).transpose()?;
        self.count_parts(scope, 1)?;
        let line = at.line();
        self.first_part.get_or_insert(line);
        if self.carry.part_target.is_some_and(|target| duration > target) {
            scope.violation(at, Rule::LongerThanPartTarget);
        }
        self.pending.parts.push(Part { uri, duration, byte_range, independent, gap, line });
        Ok(())
    }

    /// The URI line of a segment.
    pub(super) fn finish(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        raw: &str,
        segments: &mut Builder,
    ) -> Result<(), ParseErrorKind> {
        let pending = &mut self.pending;
        let (duration, title) = pending.extinf.take().unwrap_or_else(|| {
            scope.violation(at, Rule::MissingExtinf);
            (self.carry.usual_duration, Span::EMPTY)
        });
        let (byte_range, date) = (pending.byte_range.take(), pending.date.take());
        let discontinuities = std::mem::take(&mut pending.discontinuities);
        let gap = std::mem::take(&mut pending.gap);
        let parts =
            if pending.parts.is_empty() { SharedList::new() } else { std::mem::take(&mut pending.parts).into() };
        self.count(scope, 1, duration)?;
        let uri = scope.located_uri(at, raw)?;
        let byte_range = match byte_range {
            Some(range) => Some(self.resolved(scope, at, range)?),
            None => None,
        };
        let carry = &mut self.carry;
        carry.range_end = byte_range.map(ByteRange::end);
        carry.state.dsn.0 = carry.state.dsn.0.saturating_add(discontinuities);
        let msn = carry.msn;
        carry.msn = msn.checked_add(1).ok_or(ParseErrorKind::OutOfRange)?;
        let entry = Entry {
            uri,
            title,
            duration,
            byte_range,
            program_date_time: date,
            parts,
            discontinuity: discontinuities > 0,
            gap,
            line: at.line(),
            kbps: carry.kbps,
        };
        segments.push(msn, entry, &carry.state);
        Ok(())
    }

    /// Makes what follows continue the segments of another list before `end`.
    pub(super) fn continue_from(&mut self, segments: &Segments, end: MediaSequence) {
        let before = segments.index_of(MediaSequence(end.0.saturating_sub(1)));
        let Some(last) = before.and_then(|index| segments.get(index)).filter(|last| last.msn < end) else { return };
        self.carry = self.carry.behind(&last);
    }

    /// The segment whose URI is not there yet, when something of it is.
    pub(super) fn incomplete(&mut self) -> Option<IncompleteSegment> {
        let pending = std::mem::take(&mut self.pending);
        if pending.parts.is_empty() && pending.discontinuities == 0 && pending.date.is_none() {
            return None;
        }
        let dsn = self.carry.state.dsn.0.saturating_add(pending.discontinuities);
        Some(IncompleteSegment {
            msn: self.carry.msn,
            dsn: DiscontinuitySequence(dsn),
            init: self.carry.state.init.clone(),
            keys: self.carry.state.keys.clone(),
            program_date_time: pending.date,
            discontinuity: pending.discontinuities > 0,
            parts: pending.parts.into(),
        })
    }

    pub(super) fn count_parts(&mut self, scope: &Scope<'_>, count: usize) -> Result<(), ParseErrorKind> {
        self.parts += count;
        let limit = scope.limits.parts;
        if self.parts > limit { Err(ParseErrorKind::TooLarge { what: "parts", limit }) } else { Ok(()) }
    }

    /// Counts segments, which play that long together.
    pub(super) fn count(&mut self, scope: &Scope<'_>, count: usize, duration: Duration) -> Result<(), ParseErrorKind> {
        self.count += count;
        if self.count > scope.limits.segments {
            let limit = scope.limits.segments;
            return Err(ParseErrorKind::TooLarge { what: "segments", limit });
        }
        // Presentation time counts signed nanoseconds.
        self.elapsed = self.elapsed.saturating_add(nanos_of(duration));
        if self.elapsed > LONGEST_NANOS { Err(ParseErrorKind::OutOfRange) } else { Ok(()) }
    }

    /// Where no offset is written, the range continues the one before it, as all players have it also when the resource
    /// is another; where there is none before it, it begins with the resource.
    fn resolved(&self, scope: &mut Scope<'_>, at: Place<'_>, range: RawByteRange) -> Result<ByteRange, ParseErrorKind> {
        if range.start.is_none() && self.carry.range_end.is_none() {
            scope.violation(at, Rule::RangeWithoutOffset);
        }
        range.resolved(self.carry.range_end.unwrap_or(0))
    }
}
