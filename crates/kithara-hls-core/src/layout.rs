//! The flat view: one media stream as one file of bytes.
//!
//! Its pieces are the initialization sections and segments in playlist order; a section stands before the first segment
//! that needs it, and again wherever it changes. A piece gets its offset when the lengths of all pieces before it are
//! known. Lengths come from byte ranges, from responses and from the store, never from estimates, so an offset that was
//! given never moves.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::session::{Place, UnitKey};

/// One unit in the flat view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The unit.
    pub unit: UnitKey,
    /// Presentation time of its start (of the segment it precedes, for an initialization section).
    pub start: Duration,
    /// Its duration; zero for an initialization section.
    pub duration: Duration,
}

/// Where an offset lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Before the first piece that is remembered.
    Gone,
    /// In this piece, so many bytes from its start.
    In {
        /// Place of the piece in the layout.
        idx: usize,
        /// Bytes from its start.
        within: u64,
    },
    /// Behind the start of this piece, whose length is not known.
    Beyond {
        /// Place of the first piece of unknown length.
        idx: usize,
        /// Bytes from its start.
        within: u64,
    },
    /// At or behind the end of all pieces there are.
    End,
}

/// Pieces in order, with what is known of their lengths. A piece keeps its place and its offset for ever; those of a live
/// stream are forgotten when nobody can read them any more.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The place of the first piece that is remembered.
    first: usize,
    pieces: VecDeque<Piece>,
    lens: VecDeque<Option<u64>>,
    /// Offsets of the pieces from the first to the first of unknown length, and one more: where the next one begins.
    offsets: VecDeque<u64>,
    places: BTreeMap<UnitKey, usize>,
    ended: bool,
}

impl Layout {
    /// An empty view.
    pub fn new() -> Self {
        Self { offsets: VecDeque::from([0]), ..Self::default() }
    }

    /// Adds the next piece. `len` is its length, where the playlist tells it.
    pub fn push(&mut self, piece: Piece, len: Option<u64>) {
        // The same section may stand at several places; its first one is where it is found by name.
        let place = self.first + self.pieces.len();
        self.places.entry(piece.unit).or_insert(place);
        self.pieces.push_back(piece);
        self.lens.push_back(len);
        self.advance();
    }

    /// No piece will be added any more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Pieces from a place on, with their places.
    pub fn from(&self, idx: usize) -> impl Iterator<Item = (usize, &Piece)> {
        let from = idx.saturating_sub(self.first).min(self.pieces.len());
        (self.first + from..).zip(self.pieces.range(from..))
    }

    /// The piece at a place.
    pub fn piece(&self, idx: usize) -> Option<&Piece> {
        self.pieces.get(idx.checked_sub(self.first)?)
    }

    /// The place of the first piece that is remembered.
    pub fn first_place(&self) -> usize {
        self.first
    }

    /// How many pieces are remembered.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether no piece is remembered.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The piece that was added last.
    pub fn last(&self) -> Option<&Piece> {
        self.pieces.back()
    }

    /// Where a unit stands first.
    pub fn position(&self, unit: UnitKey) -> Option<usize> {
        self.places.get(&unit).copied()
    }

    /// The length of a piece, if known.
    pub fn len_of(&self, idx: usize) -> Option<u64> {
        self.lens.get(idx.checked_sub(self.first)?).copied().flatten()
    }

    /// The offset of a piece, once all lengths before it are known.
    pub fn offset_of(&self, idx: usize) -> Option<u64> {
        self.offsets.get(idx.checked_sub(self.first)?).copied()
    }

    /// Where the first piece that is remembered begins.
    pub fn begin(&self) -> u64 {
        self.offsets.front().copied().unwrap_or(0)
    }

    /// The length of the whole, once all lengths are known and no piece will follow.
    pub fn total(&self) -> Option<u64> {
        self.offsets.get(self.pieces.len()).copied().filter(|_| self.ended)
    }

    /// Pieces of unknown length, in order.
    pub fn unknown(&self) -> impl Iterator<Item = &Piece> + '_ {
        // Everything before the last known offset has a length.
        let first = self.offsets.len().saturating_sub(1).min(self.pieces.len());
        self.pieces
            .range(first..)
            .zip(self.lens.range(first..))
            .filter(|(_, len)| len.is_none())
            .map(|(piece, _)| piece)
    }

    /// Learns the length of a unit. A length that is known already does not change.
    pub fn learn(&mut self, unit: UnitKey, len: u64) {
        match unit.place {
            Place::Segment(_) | Place::Rest { .. } => {
                let known = self.places.get(&unit).and_then(|idx| self.lens.get_mut(idx - self.first));
                known.map(|known| known.get_or_insert(len));
            }
            Place::Init(_) => {
                let same = self.pieces.iter().zip(&mut self.lens).filter(|(piece, _)| piece.unit == unit);
                same.for_each(|(_, known)| {
                    known.get_or_insert(len);
                });
            }
        }
        self.advance();
    }

    /// Finds the piece that holds `offset`.
    pub fn locate(&self, offset: u64) -> Located {
        let Some(idx) = self.offsets.partition_point(|&start| start <= offset).checked_sub(1) else {
            return Located::Gone;
        };
        // Pieces without bytes hold nothing; the last one that starts here is meant, and it may be past the end.
        let empty = self.lens.iter().skip(idx).take_while(|len| **len == Some(0)).count();
        let idx = idx + empty;
        let Some((&start, len)) = self.offsets.get(idx).zip(self.lens.get(idx)) else { return Located::End };
        let within = offset.saturating_sub(start);
        let idx = self.first + idx;
        match len {
            None if within > 0 => Located::Beyond { idx, within },
            _ => Located::In { idx, within },
        }
    }

    /// Forgets pieces whose segment is gone: from the first on, those before the place `read_from`, and those that no offset
    /// was given yet. Answers with the place behind the latter and how long they would have lasted.
    pub fn forget(&mut self, read_from: usize, is_gone: impl Fn(UnitKey) -> bool) -> Option<(usize, Duration)> {
        while self.first < read_from && self.is_gone_at(0, &is_gone) {
            self.remove_first();
        }
        let (place, from) = (self.first + self.offsets.len(), self.offsets.len());
        let mut missed = Duration::ZERO;
        let mut at = from;
        while at < self.pieces.len() && self.is_gone_at(at, &is_gone) {
            missed += self.pieces[at].duration;
            at += 1;
        }
        if at == from {
            return None;
        }
        // The initialization section in force behind them is still needed.
        let init = (from..at).rev().find(|idx| self.pieces[*idx].unit.msn().is_none());
        let stays = init.map(|idx| (Piece { start: self.pieces[at - 1].start, ..self.pieces[idx] }, self.lens[idx]));
        self.pieces.drain(from..at);
        self.lens.drain(from..at);
        if let Some((piece, len)) = stays.filter(|_| self.pieces.get(from).is_none_or(|next| next.unit.msn().is_some()))
        {
            self.pieces.insert(from, piece);
            self.lens.insert(from, len);
        }
        self.places.clear();
        for (idx, piece) in self.pieces.iter().enumerate() {
            self.places.entry(piece.unit).or_insert(self.first + idx);
        }
        (!missed.is_zero()).then_some((place, missed))
    }

    /// Whether a piece is of a segment that is gone, or of the section that stands before one.
    fn is_gone_at(&self, at: usize, is_gone: &impl Fn(UnitKey) -> bool) -> bool {
        let Some(piece) = self.pieces.get(at) else { return false };
        let segment = if piece.unit.msn().is_some() { Some(piece) } else { self.pieces.get(at + 1) };
        segment.is_some_and(|piece| is_gone(piece.unit))
    }

    fn remove_first(&mut self) {
        let (Some(piece), Some(len)) = (self.pieces.pop_front(), self.lens.pop_front()) else { return };
        if self.places.get(&piece.unit) == Some(&self.first) {
            self.places.remove(&piece.unit);
        }
        self.first += 1;
        if len.is_some() {
            self.offsets.pop_front();
        }
        // Where one without a known length began, the next one begins.
        self.advance();
    }

    fn advance(&mut self) {
        while let Some((end, Some(len))) = self.offsets.back().copied().zip(self.lens.get(self.offsets.len() - 1)) {
            self.offsets.push_back(end.saturating_add(*len));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        playlist::{MediaSequence, VariantId},
        session::MediaId,
    };

    fn unit(msn: u64) -> UnitKey {
        UnitKey::segment(MediaId::Variant(VariantId(0)), MediaSequence(msn))
    }

    fn layout(lens: &[Option<u64>]) -> Layout {
        let mut layout = Layout::new();
        for (msn, len) in (0..).zip(lens) {
            layout.push(Piece { unit: unit(msn), start: Duration::ZERO, duration: Duration::ZERO }, *len);
        }
        layout
    }

    #[track_caller]
    fn check(lens: &[Option<u64>], offset: u64, want: Located) {
        assert_eq!(layout(lens).locate(offset), want);
    }

    #[test]
    fn offsets_are_found_in_known_pieces() {
        check(&[Some(10), Some(5)], 0, Located::In { idx: 0, within: 0 });
        check(&[Some(10), Some(5)], 9, Located::In { idx: 0, within: 9 });
        check(&[Some(10), Some(5)], 10, Located::In { idx: 1, within: 0 });
        check(&[Some(10), Some(5)], 15, Located::End);
        check(&[], 0, Located::End);
    }

    #[test]
    fn the_start_of_a_piece_of_unknown_length_is_known() {
        check(&[Some(10), None, None], 10, Located::In { idx: 1, within: 0 });
        check(&[Some(10), None, None], 11, Located::Beyond { idx: 1, within: 1 });
    }

    #[test]
    fn pieces_without_bytes_are_passed_over() {
        check(&[Some(10), Some(0), Some(4)], 10, Located::In { idx: 2, within: 0 });
        check(&[Some(10), Some(0)], 10, Located::End);
        check(&[Some(0), None], 0, Located::In { idx: 1, within: 0 });
    }

    #[test]
    fn the_total_is_known_when_every_length_is_and_no_piece_follows() {
        let mut layout = layout(&[Some(10), None]);
        layout.end();
        assert_eq!(layout.total(), None);
        layout.learn(unit(1), 7);
        layout.learn(unit(1), 9);
        assert_eq!(layout.total(), Some(17));
    }

    #[test]
    fn what_was_read_and_is_gone_is_forgotten_and_offsets_stay() {
        let mut layout = layout(&[Some(10), Some(5), Some(7), None]);
        assert_eq!(layout.forget(2, |unit| unit.msn() < Some(MediaSequence(2))), None);
        assert_eq!((layout.len(), layout.first_place(), layout.begin()), (2, 2, 15));
        assert_eq!(layout.locate(14), Located::Gone);
        assert_eq!(layout.locate(16), Located::In { idx: 2, within: 1 });
        layout.learn(unit(3), 4);
        assert_eq!((layout.position(unit(3)), layout.len_of(3), layout.offset_of(3)), (Some(3), Some(4), Some(22)));
    }

    #[test]
    fn a_reader_that_stands_still_keeps_its_piece_and_loses_those_that_have_no_place() {
        let mut layout = Layout::new();
        let second = Duration::from_secs(1);
        for msn in 0..6 {
            layout.push(Piece { unit: unit(msn), start: second * msn as u32, duration: second }, None);
        }
        layout.learn(unit(0), 10);
        // The second one has a place; the third and the fourth have none.
        let missed = layout.forget(0, |unit| unit.msn() < Some(MediaSequence(4)));
        assert_eq!(missed, Some((2, 2 * second)));
        let left: Vec<_> = layout.from(0).map(|(idx, piece)| (idx, piece.unit)).collect();
        assert_eq!(left, [(0, unit(0)), (1, unit(1)), (2, unit(4)), (3, unit(5))]);
        layout.learn(unit(1), 0);
        assert_eq!(layout.locate(10), Located::In { idx: 2, within: 0 });
        assert_eq!(layout.position(unit(5)), Some(3));
    }

    #[test]
    fn the_section_in_force_stays_when_its_segments_are_gone() {
        let init = UnitKey::init(MediaId::Variant(VariantId(0)), 0);
        let mut layout = layout(&[None, None]);
        for unit in [init, unit(2), unit(3)] {
            let duration = Duration::from_secs(unit.msn().map_or(0, |_| 1));
            layout.push(Piece { unit, start: Duration::ZERO, duration }, None);
        }
        assert_eq!(layout.forget(0, |unit| unit.msn() < Some(MediaSequence(3))), Some((1, Duration::from_secs(1))));
        let left: Vec<_> = layout.from(0).map(|(_, piece)| piece.unit).collect();
        assert_eq!(left, [unit(0), init, unit(3)]);
    }
}
