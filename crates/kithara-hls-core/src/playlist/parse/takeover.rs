//! Taking over what an earlier snapshot made of the same text.

use std::sync::Arc;

use super::super::block::Block;
use super::super::segments::BLOCK_LEN;
use super::super::text::Source;
use super::super::{DateRange, Line, ParseErrorKind, Rule, UnknownTag, Violation};
use super::lexer::Extent;
use super::segment::Carry;
use super::{Kind, Parser};

/// How many pieces are looked at together. What is known of them is fetched into the caches at once, and stays there
/// while their text goes through.
const PIECES_AT_ONCE: usize = 16;

/// What a piece of text said that spoke of nothing but segments, and ended with a line end. Where the same text follows under the same
/// circumstances, it says the same; and so does what is left of it when the window has left its first segments.
pub(in super::super) struct Parsed {
    /// Its first line, and how many it has.
    line: u32,
    lines: u32,
    entry: Carry,
    exit: Carry,
    date_ranges: Vec<Arc<DateRange>>,
    unknown: Vec<UnknownTag>,
    /// But contradictions among date ranges, which are a matter of the tags before, too.
    violations: Vec<Violation>,
    /// The highest EXT-X-VERSION it needs, and where.
    needs: (u64, u32),
    dated: bool,
}

/// Where the parser stood at the beginning of a piece.
pub(super) struct Mark {
    line: u32,
    entry: Option<Carry>,
    unknown: usize,
    violations: usize,
    /// Whether there was a date before, in place of which the piece tells whether it has one.
    dated: bool,
}

/// A piece of the snapshot before, or the end of one.
struct Piece<'a> {
    block: &'a Arc<Block>,
    parsed: &'a Parsed,
    /// The first segment that is left of it.
    place: usize,
    /// The text of that and what follows, and its first line.
    text: &'a [u8],
    line: u32,
}

impl<'a> Piece<'a> {
    /// The segments of `block` from `place` on, if their text can be told from the text before.
    fn new(block: &'a Arc<Block>, place: usize, terminator: u8) -> Option<Self> {
        let parsed = block.parsed()?;
        let (before, line) = match place.checked_sub(1) {
            Some(last) => block.behind(last, terminator)?,
            None => (0, parsed.line),
        };
        // Lines may have ended otherwise then.
        let text = block.source().text.as_bytes().get(before..).filter(|text| text.last() == Some(&terminator))?;
        Some(Self { block, parsed, place, text, line })
    }

    fn lines(&self) -> u32 {
        self.parsed.lines - (self.line - self.parsed.line)
    }

    fn len(&self) -> usize {
        self.block.len() - self.place
    }

    /// Whether it was read under the circumstances `carry`.
    fn follows(&self, carry: &Carry) -> bool {
        match self.place.checked_sub(1) {
            Some(last) => self.parsed.entry.behind(&self.block.segment(last)) == *carry,
            None => self.parsed.entry == *carry,
        }
    }

    /// The highest EXT-X-VERSION it needs, and where; `None` when a line that was left needs as much as any.
    fn needs(&self) -> Option<(u64, u32)> {
        let (version, line) = self.parsed.needs;
        (self.place == 0 || line >= self.line).then_some((version, line.max(self.line)))
    }
}

impl<'a> Parser<'a> {
    /// How many segments the next piece should have: up to the next multiple of the block length.
    pub(super) fn piece_len(&self) -> usize {
        let behind = self.media.segment.carry.msn.0 % BLOCK_LEN as u64;
        BLOCK_LEN - usize::try_from(behind).expect("it is below the block length")
    }

    /// Takes over the next pieces from the snapshot before, as long as `rest` goes on with the same text; tells how far
    /// they reach.
    pub(super) fn take_over(&mut self, rest: &[u8], line: u32) -> Result<Option<Extent>, ParseErrorKind> {
        let mut extent = Extent { len: 0, lines: 0, uris: 0 };
        for piece in self.next_pieces() {
            if !rest[extent.len..].starts_with(piece.text) {
                break;
            }
            self.repeat(&piece, line + extent.lines)?;
            extent.len += piece.text.len();
            extent.lines += piece.lines();
            extent.uris += piece.len();
            self.line = line + extent.lines - 1;
        }
        Ok((extent.len > 0).then_some(extent))
    }

    /// To be called before a piece is read, and its result given to [`Parser::end_piece`].
    pub(super) fn begin_piece(&mut self, line: u32, text: &str) -> Mark {
        self.speaks_of_all = false;
        self.scope.begin_piece(text);
        self.media.date_range_tags.clear();
        Mark {
            line,
            entry: self.is_between_segments().then(|| self.media.segment.carry.clone()),
            unknown: self.media.unknown.len(),
            violations: self.scope.violations.len(),
            dated: std::mem::take(&mut self.media.segment.dated),
        }
    }

    /// Ends a piece: its segments become a block, which remembers the text if only that and the circumstances matter.
    pub(super) fn end_piece(&mut self, mark: Mark, source: &Arc<Source>) {
        let needs = self.scope.end_piece();
        // What variables stand for may differ from one playlist to the next.
        let alone = !self.speaks_of_all && !self.scope.expands() && !self.scope.is_full();
        // The piece at the end grows with the next reload, so it is not worth remembering.
        let ends = source.text.as_bytes().last() == Some(&self.terminator);
        let full = self.is_between_segments() && self.piece_len() == BLOCK_LEN && ends;
        let violations = self.scope.violations[mark.violations..].iter();
        let parsed = mark.entry.filter(|_| alone && full).map(|entry| Parsed {
            line: mark.line,
            lines: self.line + 1 - mark.line,
            entry,
            exit: self.media.segment.carry.clone(),
            date_ranges: std::mem::take(&mut self.media.date_range_tags),
            unknown: self.media.unknown[mark.unknown..].to_vec(),
            violations: violations.filter(|it| it.rule != Rule::DateRangeContradiction).cloned().collect(),
            needs,
            dated: self.media.segment.dated,
        });
        self.media.segment.dated |= mark.dated;
        self.media.segments.end_block(source, parsed);
    }

    fn is_between_segments(&self) -> bool {
        self.kind == Some(Kind::Media) && self.media.segment.is_idle()
    }

    /// The pieces of the snapshot before that come next, if their text does. The window may have left a part of the first.
    fn next_pieces(&self) -> Vec<Piece<'a>> {
        let mut carry = &self.media.segment.carry;
        let previous = self.media.previous.filter(|_| self.is_between_segments());
        let blocks = previous.into_iter().flat_map(|previous| previous.segments.blocks_from(carry.msn));
        let continuing = blocks.take(PIECES_AT_ONCE).map_while(|(block, place)| {
            let piece = Piece::new(block, place, self.terminator)?;
            let is_next = piece.follows(carry) && *block.source().base == *self.base && self.knows_needs(&piece);
            carry = &piece.parsed.exit;
            is_next.then_some(piece)
        });
        continuing.collect()
    }

    /// Whether it is known which EXT-X-VERSION the piece needs, or other lines need as much, or the playlist has as much.
    fn knows_needs(&self, piece: &Piece<'_>) -> bool {
        let most = piece.parsed.needs.0;
        piece.needs().is_some() || most <= self.scope.needed_version().0 || self.version.is_some_and(|has| most <= has)
    }

    fn repeat(&mut self, piece: &Piece<'_>, line: u32) -> Result<(), ParseErrorKind> {
        let Piece { block, parsed, place, .. } = *piece;
        let moved = |old: Line| Line(line + (old.0 - piece.line));
        let is_left = |old: Line| old.0 >= piece.line;
        if let Some((version, old)) = piece.needs() {
            self.scope.needs_at(version, moved(Line(old)).0);
        }
        let mut ranges = parsed.date_ranges.iter().filter(|range| is_left(range.line)).peekable();
        for violation in parsed.violations.iter().filter(|violation| is_left(violation.line)) {
            while let Some(range) = ranges.next_if(|range| range.line.0 < violation.line.0) {
                self.repeat_range(range, moved(range.line))?;
            }
            self.scope.note(Violation { line: moved(violation.line), ..violation.clone() });
        }
        for range in ranges {
            self.repeat_range(range, moved(range.line))?;
        }
        for tag in parsed.unknown.iter().filter(|tag| is_left(tag.line)) {
            self.scope.count_metadata()?;
            self.media.unknown.push(UnknownTag { line: moved(tag.line), ..tag.clone() });
        }
        let segment = &mut self.media.segment;
        segment.dated |= parsed.dated && (place == 0 || block.is_dated_from(place));
        for parts in block.parts_from(place) {
            segment.first_part = segment.first_part.or(parts.first().map(|part| moved(part.line)));
            segment.count_parts(&self.scope, parts.len())?;
        }
        segment.count(&self.scope, piece.len(), block.duration_of(place..block.len()))?;
        segment.carry = parsed.exit.clone();
        self.media.segments.share(block, place);
        Ok(())
    }

    fn repeat_range(&mut self, range: &Arc<DateRange>, line: Line) -> Result<(), ParseErrorKind> {
        self.scope.count_metadata()?;
        if !self.media.date_ranges.add(range, line) {
            self.scope.violation_at(line, Rule::DateRangeContradiction);
        }
        Ok(())
    }
}
