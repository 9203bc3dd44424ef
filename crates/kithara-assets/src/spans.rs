//! The spans of one resource: which byte ranges are present, and which file or buffer holds each.

use std::ops::Range;

/// A present byte range that is stored in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset of the first byte in its resource.
    pub(crate) start: u64,
    /// Bytes of the resource. Never zero, except while unread (see [`Resource`](crate::index::Resource)).
    pub(crate) len: u64,
    /// Bytes on the medium: the data and what is stored with it.
    pub(crate) stored: u64,
    /// Stamp of the commit, which tells it from others of the same start and length.
    pub(crate) committed: u64,
}

impl Span {
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.len
    }

    pub(crate) const fn range(&self) -> Range<u64> {
        self.start..self.end()
    }
}

/// Spans in order of their start. They may overlap, but none lies within another: so their ends are in order, too.
///
/// Most resources are one span, which is why it is kept in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spans {
    #[default]
    None,
    One(Span),
    /// Two or more.
    Many(Vec<Span>),
}

/// What became of a span that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is there now; these spans lie within it and are not needed any more.
    Yes { replaced: Vec<Span> },
    /// What it brings was there before.
    Redundant,
}

impl Spans {
    pub(crate) fn as_slice(&self) -> &[Span] {
        match self {
            Self::None => &[],
            Self::One(span) => std::slice::from_ref(span),
            Self::Many(spans) => spans,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The span that holds the byte at `offset`: of two, the one that goes on longer.
    pub(crate) fn at(&self, offset: u64) -> Option<Span> {
        let spans = self.as_slice();
        let after = spans.partition_point(|span| span.start <= offset);
        let span = *spans[..after].last()?;
        (offset < span.end()).then_some(span)
    }

    /// The span that begins at `start`.
    pub(crate) fn beginning_at(&self, start: u64) -> Option<&Span> {
        let spans = self.as_slice();
        spans.binary_search_by_key(&start, |span| span.start).ok().map(|at| &spans[at])
    }

    /// Present byte ranges, in order, neither touching nor overlapping.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for span in self.as_slice() {
            match ranges.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end()),
                _ => ranges.push(span.range()),
            }
        }
        ranges
    }

    /// Absent byte ranges within `wanted`, in order.
    pub(crate) fn holes(&self, wanted: Range<u64>) -> Vec<Range<u64>> {
        let mut holes = Vec::new();
        let mut at = wanted.start;
        let first = self.as_slice().partition_point(|span| span.end() <= at);
        for span in &self.as_slice()[first..] {
            if span.start >= wanted.end {
                break;
            }
            if at < span.start {
                holes.push(at..span.start);
            }
            at = at.max(span.end());
        }
        if at < wanted.end {
            holes.push(at..wanted.end);
        }
        holes
    }

    /// True where `span` lies within one that is present.
    pub(crate) fn holds(&self, span: &Span) -> bool {
        let spans = self.as_slice();
        let from = spans.partition_point(|other| other.start < span.start);
        let within_previous = from > 0 && spans[from - 1].end() >= span.end();
        let within_next = spans.get(from).is_some_and(|next| next.start == span.start && next.end() >= span.end());
        within_previous || within_next
    }

    pub(crate) fn insert(&mut self, span: Span) -> Inserted {
        // What comes first or behind the last, as nearly all do, needs no place to be looked for.
        let is_behind = |last: &Span| last.start < span.start && last.end() < span.end();
        match self {
            Self::None => *self = Self::One(span),
            Self::One(last) if is_behind(last) => *self = Self::Many(vec![*last, span]),
            Self::Many(spans) if spans.last().is_some_and(is_behind) => spans.push(span),
            _ => return self.insert_between(span),
        }
        Inserted::Yes { replaced: Vec::new() }
    }

    fn insert_between(&mut self, span: Span) -> Inserted {
        if self.holds(&span) {
            return Inserted::Redundant;
        }
        let spans = self.as_slice();
        let from = spans.partition_point(|other| other.start < span.start);
        let to = from + spans[from..].partition_point(|other| other.end() <= span.end());
        let mut all = self.take();
        let replaced = all.splice(from..to, [span]).collect();
        self.put(all);
        Inserted::Yes { replaced }
    }

    /// Takes out the span that begins at `start`.
    pub(crate) fn remove(&mut self, start: u64) -> Option<Span> {
        let at = self.as_slice().binary_search_by_key(&start, |span| span.start).ok()?;
        let mut all = self.take();
        let span = all.remove(at);
        self.put(all);
        Some(span)
    }

    pub(crate) fn take(&mut self) -> Vec<Span> {
        match std::mem::take(self) {
            Self::None => Vec::new(),
            Self::One(span) => vec![span],
            Self::Many(spans) => spans,
        }
    }

    fn put(&mut self, spans: Vec<Span>) {
        *self = match spans.as_slice() {
            [] => Self::None,
            [span] => Self::One(*span),
            _ => Self::Many(spans),
        };
    }
}

#[cfg(test)]
mod tests {
    // Lists of ranges are what is compared here.
    #![allow(clippy::single_range_in_vec_init)]

    use proptest::prelude::*;

    use super::*;

    fn span(range: Range<u64>) -> Span {
        Span { start: range.start, len: range.end - range.start, stored: range.end - range.start, committed: 0 }
    }

    fn spans(ranges: &[Range<u64>]) -> Spans {
        let mut spans = Spans::default();
        for range in ranges {
            spans.insert(span(range.clone()));
        }
        spans
    }

    #[track_caller]
    fn check(present: &[Range<u64>], wanted: Range<u64>, holes: &[Range<u64>]) {
        assert_eq!(spans(present).holes(wanted), holes);
    }

    #[test]
    fn holes_are_what_is_not_there() {
        check(&[], 0..10, &[0..10]);
        check(&[], 5..5, &[]);
        check(&[0..10], 0..10, &[]);
        check(&[0..10], 2..12, &[10..12]);
        check(&[2..4, 6..8], 0..10, &[0..2, 4..6, 8..10]);
        check(&[2..4, 4..8], 2..8, &[]);
        check(&[0..6, 4..8], 0..9, &[8..9]);
        check(&[0..2, 20..30], 5..10, &[5..10]);
    }

    #[test]
    fn a_span_within_others_is_redundant_only_if_one_holds_it() {
        let mut present = spans(&[0..10, 10..20]);
        assert_eq!(present.insert(span(2..5)), Inserted::Redundant);
        assert_eq!(present.insert(span(0..10)), Inserted::Redundant);
        assert_eq!(present.insert(span(10..12)), Inserted::Redundant);
        assert_eq!(present.insert(span(5..15)), Inserted::Yes { replaced: vec![] });
        assert_eq!(
            present.insert(span(0..20)),
            Inserted::Yes { replaced: vec![span(0..10), span(5..15), span(10..20)] }
        );
        assert_eq!(present, Spans::One(span(0..20)));
    }

    #[test]
    fn one_span_is_kept_in_place() {
        let mut present = spans(&[0..4, 8..9]);
        assert_eq!(present.remove(8), Some(span(8..9)));
        assert_eq!(present.remove(8), None);
        assert!(matches!(present, Spans::One(_)));
        present.remove(0);
        assert!(present.is_empty());
    }

    proptest! {
        #[test]
        fn spans_agree_with_a_map_of_single_bytes(
            ops in prop::collection::vec((0_u64..40, 1_u64..12, any::<bool>()), 0..24), from in 0_u64..50, len in 0_u64..30,
        ) {
            let mut model: Vec<Range<u64>> = Vec::new();
            let mut present = Spans::default();
            for (start, len, insert) in ops {
                if insert {
                    if let Inserted::Yes { replaced } = present.insert(span(start..start + len)) {
                        model.retain(|range| !replaced.contains(&span(range.clone())));
                        model.push(start..start + len);
                    }
                } else if let Some(gone) = present.remove(start) {
                    model.retain(|range| *range != gone.range());
                }
            }
            let there = |byte: &u64| model.iter().any(|range| range.contains(byte));
            let wanted = from..from + len;
            let absent: Vec<u64> = present.holes(wanted.clone()).into_iter().flatten().collect();
            prop_assert_eq!(&absent, &wanted.clone().filter(|byte| !there(byte)).collect::<Vec<_>>());
            let ranges: Vec<u64> = present.ranges().into_iter().flatten().collect();
            prop_assert_eq!(ranges, (0..60).filter(there).collect::<Vec<_>>());
            for byte in wanted {
                prop_assert_eq!(present.at(byte).is_some(), there(&byte));
            }
            let ends = present.as_slice().windows(2).all(|two| two[0].start < two[1].start && two[0].end() < two[1].end());
            prop_assert!(ends, "no span lies within another");
        }
    }
}
