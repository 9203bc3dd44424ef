//! Taking over what an earlier snapshot made of the same text.

use std::sync::Arc;

use super::super::block::Block;
use super::super::segments::BLOCK_LEN;
use super::super::text::Source;
use super::super::{DateRange, Line, ParseErrorKind, UnknownTag, Violation};
use super::lexer::Extent;
use super::segment::Carry;
use super::{Kind, Parser};

/// How many pieces are looked at together. What is known of them is fetched into the caches at once, and stays there
/// while their text goes through.
const PIECES_AT_ONCE: usize = 16;

/// What a piece of text said that spoke of nothing but segments, and ended with a line end. Where the same text follows under the same
/// circumstances, it says the same.
pub(in super::super) struct Parsed {
    /// Its first line, and how many it has.
    line: u32,
    lines: u32,
    entry: Carry,
    exit: Carry,
    date_ranges: Vec<Arc<DateRange>>,
    unknown: Vec<UnknownTag>,
    violations: Vec<Violation>,
    /// The highest EXT-X-VERSION it needs, and where.
    needs: (u64, u32),
    parts: usize,
    first_part: Option<Line>,
    dated: bool,
}

/// Where the parser stood at the beginning of a piece.
pub(super) struct Mark {
    line: u32,
    entry: Option<Carry>,
    unknown: usize,
    violations: usize,
    parts: usize,
    /// Whether there was a date before, in place of which the piece tells whether it has one.
    dated: bool,
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
        for (block, parsed) in self.next_pieces() {
            let text = block.source().text.as_bytes();
            if !rest[extent.len..].starts_with(text) {
                break;
            }
            self.repeat(block, parsed, line + extent.lines)?;
            extent.len += text.len();
            extent.lines += parsed.lines;
            extent.uris += block.len();
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
            parts: self.media.segment.parts,
            dated: std::mem::take(&mut self.media.segment.dated),
        }
    }

    /// Ends a piece: its segments become a block, which remembers the text if only that and the circumstances matter.
    pub(super) fn end_piece(&mut self, mark: Mark, source: &Arc<Source>) {
        let needs = self.scope.end_piece();
        // What variables stand for may differ from one playlist to the next.
        let alone = !self.speaks_of_all && !self.scope.expands() && !self.scope.is_full();
        // The piece at the end grows with the next reload, so it is not worth remembering.
        let full = self.is_between_segments() && self.piece_len() == BLOCK_LEN && source.text.ends_with(['\n', '\r']);
        let parsed = mark.entry.filter(|_| alone && full).map(|entry| Parsed {
            line: mark.line,
            lines: self.line + 1 - mark.line,
            entry,
            exit: self.media.segment.carry.clone(),
            date_ranges: std::mem::take(&mut self.media.date_range_tags),
            unknown: self.media.unknown[mark.unknown..].to_vec(),
            violations: self.scope.violations[mark.violations..].to_vec(),
            needs,
            parts: self.media.segment.parts - mark.parts,
            first_part: self.media.segment.first_part,
            dated: self.media.segment.dated,
        });
        self.media.segment.dated |= mark.dated;
        self.media.segments.end_block(source, parsed);
    }

    fn is_between_segments(&self) -> bool {
        self.kind == Some(Kind::Media) && self.media.segment.is_idle()
    }

    /// The pieces of the snapshot before that come next, if their text does.
    fn next_pieces(&self) -> Vec<(&'a Arc<Block>, &'a Parsed)> {
        let mut carry = &self.media.segment.carry;
        let previous = self.media.previous.filter(|_| self.is_between_segments());
        let blocks = previous.into_iter().flat_map(|previous| previous.segments.blocks_from(carry.msn));
        let continuing = blocks.take(PIECES_AT_ONCE).map_while(|block| {
            let parsed = block.parsed().filter(|parsed| parsed.entry == *carry)?;
            carry = &parsed.exit;
            (*block.source().base == *self.base).then_some((block, parsed))
        });
        continuing.collect()
    }

    fn repeat(&mut self, block: &Arc<Block>, parsed: &Parsed, line: u32) -> Result<(), ParseErrorKind> {
        let moved = |old: u32| line + (old - parsed.line);
        self.scope.needs_at(parsed.needs.0, moved(parsed.needs.1.max(parsed.line)));
        for _ in 0..parsed.date_ranges.len() + parsed.unknown.len() {
            self.scope.count_metadata()?;
        }
        for violation in &parsed.violations {
            self.scope.note(Violation { line: Line(moved(violation.line.0)), ..violation.clone() });
        }
        for range in &parsed.date_ranges {
            self.media.date_ranges.add(range, Line(moved(range.line.0)));
        }
        let unknown = parsed.unknown.iter().cloned();
        self.media.unknown.extend(unknown.map(|tag| UnknownTag { line: Line(moved(tag.line.0)), ..tag }));
        let segment = &mut self.media.segment;
        segment.first_part = segment.first_part.or(parsed.first_part);
        segment.dated |= parsed.dated;
        segment.count_parts(&self.scope, parsed.parts)?;
        segment.count(&self.scope, block.len(), block.duration())?;
        segment.carry = parsed.exit.clone();
        self.media.segments.share(block);
        Ok(())
    }
}
