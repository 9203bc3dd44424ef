//! The flat view: one media stream as one file of bytes.
//!
//! Its pieces are the initialization sections and segments in playlist order; a section stands before the first segment
//! that needs it, and again wherever it changes. A piece gets its offset when the lengths of all pieces before it are
//! known. Lengths come from byte ranges, from responses and from the store, never from estimates, so an offset that was
//! given never moves.

use std::{collections::BTreeMap, time::Duration};

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

/// Pieces in order, with what is known of their lengths.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pieces: Vec<Piece>,
    lens: Vec<Option<u64>>,
    /// Offsets of the pieces from the first to the first of unknown length, and one more: where the next one begins.
    offsets: Vec<u64>,
    places: BTreeMap<UnitKey, usize>,
    ended: bool,
}

impl Layout {
    /// An empty view.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Adds the next piece. `len` is its length, where the playlist tells it.
    pub fn push(&mut self, piece: Piece, len: Option<u64>) {
        // The same section may stand at several places; its first one is where it is found by name.
        self.places.entry(piece.unit).or_insert(self.pieces.len());
        self.pieces.push(piece);
        self.lens.push(len);
        self.advance();
    }

    /// No piece will be added any more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Pieces so far.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The piece that was added last.
    pub fn last(&self) -> Option<&Piece> {
        self.pieces.last()
    }

    /// Where a unit stands first.
    pub fn position(&self, unit: UnitKey) -> Option<usize> {
        self.places.get(&unit).copied()
    }

    /// The length of a piece, if known.
    pub fn len_of(&self, idx: usize) -> Option<u64> {
        self.lens.get(idx).copied().flatten()
    }

    /// The offset of a piece, once all lengths before it are known.
    pub fn offset_of(&self, idx: usize) -> Option<u64> {
        self.offsets.get(idx).copied()
    }

    /// How many pieces have an offset.
    pub fn placed(&self) -> usize {
        self.offsets.len().min(self.pieces.len())
    }

    /// The length of the whole, once all lengths are known and no piece will follow.
    pub fn total(&self) -> Option<u64> {
        (self.ended && self.offsets.len() > self.pieces.len()).then(|| self.offsets[self.pieces.len()])
    }

    /// Pieces of unknown length, in order.
    pub fn unknown(&self) -> impl Iterator<Item = usize> + '_ {
        // Everything before the last known offset has a length.
        let first = self.offsets.len().saturating_sub(1);
        (first..self.pieces.len()).filter(|&idx| self.lens[idx].is_none())
    }

    /// Learns the length of a unit. A length that is known already does not change.
    pub fn learn(&mut self, unit: UnitKey, len: u64) {
        match unit.place {
            Place::Segment(_) => {
                if let Some(&idx) = self.places.get(&unit) {
                    self.lens[idx].get_or_insert(len);
                }
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
        let after = self.offsets.partition_point(|&start| start <= offset);
        // The first offset is zero, so at least one is not behind.
        let mut idx = after.saturating_sub(1);
        // Pieces without bytes hold nothing; the last one that starts here is meant, and it may be past the end.
        while idx < self.pieces.len() && self.lens[idx] == Some(0) {
            idx += 1;
        }
        let Some(&start) = self.offsets.get(idx) else { return Located::End };
        if idx >= self.pieces.len() {
            return Located::End;
        }
        let within = offset.saturating_sub(start);
        match self.lens[idx] {
            None if within > 0 => Located::Beyond { idx, within },
            _ => Located::In { idx, within },
        }
    }

    fn advance(&mut self) {
        while let Some(Some(len)) = self.lens.get(self.offsets.len() - 1) {
            let end = self.offsets[self.offsets.len() - 1].saturating_add(*len);
            self.offsets.push(end);
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
}
