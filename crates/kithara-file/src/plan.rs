//! What to fetch next: a pure decision over what is seen.
//!
//! A *transfer* brings bytes in order from where it stands to where it ends. A reader that jumps about needs several:
//! the one it left is kept, standing still, for when it comes back. A reader is *settled* once it has read
//! [`SETTLED`] bytes in sequence; before that it has only had a *look* and may jump again.

use std::ops::Range;

use crate::options::ReadAhead;

/// Bytes read in sequence from where a reader jumped to, after which it is taken to go on.
pub(crate) const SETTLED: u64 = 64 << 10;

/// Transfers that may be under way at once for one reader: where it is, and where it was before it jumped.
pub(crate) const TRANSFERS: usize = 2;

/// A jump into this many bytes before the end of the file asks for all of them: a table at the end is read whole.
const TAIL: u64 = 1 << 20;

/// The number of a transfer, growing in the order they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransferId(pub(crate) u64);

/// A transfer as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: TransferId,
    /// Offset of the next byte it brings.
    pub(crate) position: u64,
    /// Where it ends; `u64::MAX` means the end of the file.
    pub(crate) end: u64,
    /// Grows with each use, so that the one left longest ago is known.
    pub(crate) used: u64,
    /// Bytes it brought that nobody asked for, on the way to the byte that is waited for.
    pub(crate) skipped: u64,
    /// How far the reader has come in what it brought.
    pub(crate) read: u64,
}

/// Where the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Offset of the next byte it wants.
    pub(crate) at: u64,
    /// Where it jumped to last; the bytes from there to `at` were read in sequence.
    pub(crate) since: u64,
    /// Whether it stands still for that byte.
    pub(crate) waiting: bool,
}

impl Transfer {
    /// Notes that `count` bytes came while the reader was at `at`.
    pub(crate) fn bring(&mut self, count: u64, at: u64) {
        self.position += count;
        if self.position <= at {
            // On the way to where the reader is: nobody will come back for it.
            self.skipped += count;
            self.read = self.position;
        } else {
            self.skipped = 0;
        }
    }

    /// Notes that the reader is at `at`, where that lies in what this transfer brought.
    pub(crate) fn follow(&mut self, at: u64) {
        if (self.read..=self.position).contains(&at) {
            self.read = at;
        }
    }
}

impl Cursor {
    /// Whether it is taken to read on. A reader that began at the beginning is.
    pub(crate) fn is_settled(&self) -> bool {
        self.since == 0 || self.at - self.since >= SETTLED
    }

    /// The cursor after a reader asked for `offset`. A small step ahead is no jump: decoders skip what they do not need.
    pub(crate) fn moved_to(self, offset: u64, rules: &ReadAhead) -> Self {
        let reads_on = (self.at..=self.at.saturating_add(rules.near)).contains(&offset);
        Self { at: offset, since: if reads_on { self.since } else { offset }, waiting: false }
    }
}

/// What is known of the origin's way with ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// They are served, as far as is known.
    Served,
    /// A request for a part was answered with everything: bytes can only be reached by reading on.
    Ignored,
}

/// Everything the decision goes by.
#[derive(Clone, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) cursor: Cursor,
    /// Byte ranges in memory, in order, neither touching nor overlapping.
    pub(crate) held: &'a [Range<u64>],
    pub(crate) transfers: &'a [Transfer],
    /// Length of the file, once known.
    pub(crate) len: Option<u64>,
    pub(crate) ranges: Ranges,
    /// Whether bytes are fetched that nobody waits for. Not after a failure, until a reader asks again.
    pub(crate) reads_ahead: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All that is wanted is here; the transfers stand still.
    Rest,
    /// This transfer is to bring its next bytes.
    ReadOn(TransferId),
    /// The wanted bytes need a transfer of their own, of this range. With `replacing`, another one is given up for it.
    Open { range: Range<u64>, replacing: Option<TransferId> },
    /// The byte that is waited for cannot be reached within the limits.
    OutOfReach,
}

/// What to do next, by `rules`.
pub(crate) fn next_step(seen: &Seen<'_>, rules: &ReadAhead) -> Step {
    let cursor = seen.cursor;
    let len = seen.len.unwrap_or(u64::MAX);
    let missing = first_missing(cursor.at, seen.held);
    let stands_still = cursor.waiting && missing == cursor.at;
    let goal = if cursor.is_settled() { cursor.at } else { cursor.since }.saturating_add(if cursor.is_settled() {
        rules.ahead
    } else {
        rules.look
    });
    if missing >= len || (!stands_still && (missing >= goal || !seen.reads_ahead)) {
        return Step::Rest;
    }
    if let Some(near) = on_its_way(seen, missing, rules.near) {
        return Step::ReadOn(near.id);
    }
    match seen.ranges {
        Ranges::Served => open(seen, missing, rules),
        Ranges::Ignored => read_to(seen, missing, stands_still, rules),
    }
}

/// What of the bytes in memory is kept: what the reader has around it, and what it will find where it comes back to.
pub(crate) fn kept(cursor: Cursor, transfers: &[Transfer], rules: &ReadAhead) -> Vec<Range<u64>> {
    let around = |from: u64, to: u64| from.saturating_sub(rules.behind)..to;
    let ahead = cursor.at.saturating_add(rules.ahead).saturating_add(rules.look);
    let left = transfers.iter().map(|transfer| around(transfer.read, transfer.position));
    left.chain([around(cursor.at, ahead)]).collect()
}

/// The first byte from `at` on that is not in memory.
fn first_missing(at: u64, held: &[Range<u64>]) -> u64 {
    held.iter().find(|range| range.contains(&at)).map_or(at, |range| range.end)
}

/// The transfer that brings `missing` after at most `near` bytes more: of several, the one that stands closest.
fn on_its_way<'a>(seen: &Seen<'a>, missing: u64, near: u64) -> Option<&'a Transfer> {
    let brings = |transfer: &&Transfer| transfer.position <= missing && missing < transfer.end;
    let closest = seen.transfers.iter().filter(brings).max_by_key(|transfer| transfer.position)?;
    (missing - closest.position <= near).then_some(closest)
}

fn open(seen: &Seen<'_>, missing: u64, rules: &ReadAhead) -> Step {
    let cursor = seen.cursor;
    let next_held = seen.held.iter().map(|range| range.start).find(|start| *start > missing).unwrap_or(u64::MAX);
    let in_the_tail = seen.len.is_some_and(|len| len - missing <= TAIL);
    let end = if cursor.is_settled() || in_the_tail {
        u64::MAX
    } else {
        cursor.since.saturating_add(rules.look).max(missing.saturating_add(1))
    };
    let end = end.min(next_held);
    // The end of the file is where the body ends; a number would only be a second opinion.
    let end = if seen.len.is_some_and(|len| end >= len) { u64::MAX } else { end };
    Step::Open { range: missing..end, replacing: replaced(seen.transfers) }
}

/// The way to `missing` where only reading on leads there.
fn read_to(seen: &Seen<'_>, missing: u64, stands_still: bool, rules: &ReadAhead) -> Step {
    if !stands_still {
        return Step::Rest;
    }
    let within = |from: u64| seen.len.is_none() || missing - from <= rules.max_skip;
    if let Some(transfer) = on_its_way(seen, missing, u64::MAX).filter(|transfer| within(transfer.position)) {
        let goes_on = transfer.skipped <= rules.max_skip;
        return if goes_on { Step::ReadOn(transfer.id) } else { Step::OutOfReach };
    }
    if within(0) {
        return Step::Open { range: 0..u64::MAX, replacing: replaced(seen.transfers) };
    }
    Step::OutOfReach
}

/// The transfer that makes room for another one: the one left longest ago.
fn replaced(transfers: &[Transfer]) -> Option<TransferId> {
    let full = transfers.len() >= TRANSFERS;
    transfers.iter().min_by_key(|transfer| transfer.used).filter(|_| full).map(|transfer| transfer.id)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, not ranges of numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const END: u64 = u64::MAX;
    const LEN: u64 = 100 * MIB;

    fn rules() -> ReadAhead {
        ReadAhead { ahead: 2 * MIB, behind: 256 << 10, look: 256 << 10, near: 256 << 10, max_skip: 32 * MIB }
    }

    fn transfer(id: u64, position: u64, end: u64) -> Transfer {
        Transfer { id: TransferId(id), position, end, used: id, skipped: 0, read: position }
    }

    fn waits(at: u64) -> Cursor {
        Cursor { at, since: at, waiting: true }
    }

    fn reads(since: u64, at: u64) -> Cursor {
        Cursor { at, since, waiting: false }
    }

    fn seen<'a>(cursor: Cursor, held: &'a [Range<u64>], transfers: &'a [Transfer]) -> Seen<'a> {
        Seen { cursor, held, transfers, len: Some(LEN), ranges: Ranges::Served, reads_ahead: true }
    }

    #[track_caller]
    fn check(seen: &Seen<'_>, want: Step) {
        assert_eq!(next_step(seen, &rules()), want);
    }

    fn open(range: Range<u64>) -> Step {
        Step::Open { range, replacing: None }
    }

    fn read_on(id: u64) -> Step {
        Step::ReadOn(TransferId(id))
    }

    #[test]
    fn a_reader_at_the_beginning_gets_everything_in_one_request() {
        check(&seen(waits(0), &[], &[]), open(0..END));
        check(&Seen { len: None, ..seen(waits(0), &[], &[]) }, open(0..END));
    }

    #[test]
    fn a_transfer_reads_on_until_enough_lies_ahead_and_then_stands_still() {
        let running = [transfer(1, MIB, END)];
        check(&seen(reads(0, 0), &[0..MIB], &running), read_on(1));
        let enough = [transfer(1, 2 * MIB, END)];
        check(&seen(reads(0, 0), &[0..2 * MIB], &enough), Step::Rest);
        check(&seen(reads(0, 1), &[0..2 * MIB], &enough), read_on(1));
    }

    #[test]
    fn a_near_position_ahead_is_read_on_to_and_a_far_one_asked_for() {
        let running = [transfer(1, MIB, END)];
        let near = MIB + (256 << 10);
        check(&seen(waits(near), &[0..MIB], &running), read_on(1));
        let far = near + 1;
        check(&seen(waits(far), &[0..MIB], &running), open(far..far + (256 << 10)));
    }

    #[test]
    fn a_position_behind_is_asked_for_up_to_what_is_held() {
        let running = [transfer(1, 9 * MIB, END)];
        check(&seen(waits(5 * MIB), &[8 * MIB..9 * MIB], &running), open(5 * MIB..5 * MIB + (256 << 10)));
        let close = 8 * MIB - 1000;
        check(&seen(waits(close), &[8 * MIB..9 * MIB], &running), open(close..8 * MIB));
    }

    #[test]
    fn a_look_is_no_more_than_a_look_until_the_reader_reads_on() {
        let at = 50 * MIB;
        let look_end = at + (256 << 10);
        let looked = [at..look_end];
        check(&seen(reads(at, at + SETTLED - 1), &looked, &[]), Step::Rest);
        check(&seen(reads(at, at + SETTLED), &looked, &[]), open(look_end..END));
        check(&seen(waits(look_end), &looked, &[]), open(look_end..look_end + (256 << 10)));
        // Halfway through its look, the transfer of it goes on.
        let half = [transfer(1, at + 1000, look_end)];
        check(&seen(reads(at, at), &[at..at + 1000], &half), read_on(1));
    }

    #[test]
    fn a_table_at_the_end_costs_one_request_and_the_way_back_none() {
        let left = [transfer(1, MIB, END)];
        let tail = LEN - 700_000;
        check(&seen(waits(tail), &[0..MIB], &left), open(tail..END));
        let both = [transfer(1, MIB, END), transfer(2, LEN, END)];
        check(&seen(reads(tail, LEN), &[0..MIB, tail..LEN], &both), Step::Rest);
        check(&seen(reads(40, 40 + SETTLED), &[0..MIB, tail..LEN], &both), read_on(1));
    }

    #[test]
    fn the_transfer_left_longest_ago_makes_room() {
        let mut two = [transfer(1, MIB, END), transfer(2, 40 * MIB, END)];
        let far = 70 * MIB;
        let range = far..far + (256 << 10);
        let replacing = |id| Step::Open { range: range.clone(), replacing: Some(TransferId(id)) };
        check(&seen(waits(far), &[], &two), replacing(1));
        two[0].used = 3;
        check(&seen(waits(far), &[], &two), replacing(2));
    }

    #[test]
    fn nothing_is_asked_for_at_or_beyond_the_end() {
        for at in [LEN, LEN + 1, END - 1] {
            check(&seen(waits(at), &[], &[]), Step::Rest);
        }
        check(&seen(reads(0, LEN - 5), &[0..LEN], &[transfer(1, LEN, END)]), Step::Rest);
    }

    #[test]
    fn after_a_failure_only_what_is_waited_for_is_fetched() {
        let quiet = |cursor| Seen { reads_ahead: false, ..seen(cursor, &[0..MIB], &[]) };
        check(&quiet(reads(0, 0)), Step::Rest);
        check(&quiet(Cursor { at: MIB, since: 0, waiting: true }), open(MIB..END));
    }

    #[test]
    fn without_ranges_bytes_are_reached_by_reading_on() {
        let running = [transfer(1, MIB, END)];
        let deaf = |cursor, transfers| Seen { ranges: Ranges::Ignored, ..seen(cursor, &[0..MIB], transfers) };
        check(&deaf(reads(0, 0), &running), read_on(1));
        check(&deaf(waits(30 * MIB), &running), read_on(1));
        check(&deaf(waits(33 * MIB), &running), read_on(1));
        check(&deaf(waits(33 * MIB + 1), &running), Step::OutOfReach);
        // Behind all transfers: from the beginning again, if that is not too far.
        let beyond = [transfer(1, 20 * MIB, END)];
        check(&deaf(waits(10 * MIB), &beyond), open(0..END));
        check(&deaf(waits(40 * MIB), &[transfer(1, 60 * MIB, END)]), Step::OutOfReach);
        // Nothing is skipped for a reader that does not wait.
        check(&Seen { ranges: Ranges::Ignored, ..seen(reads(0, 0), &[0..MIB], &[]) }, Step::Rest);
    }

    #[test]
    fn without_ranges_and_length_the_limit_counts_what_was_skipped() {
        let skipping = |skipped| [Transfer { skipped, ..transfer(1, 50 * MIB, END) }];
        let deaf = |skipped| {
            let transfers = skipping(skipped);
            let seen = seen(waits(END - 1), &[], &transfers);
            next_step(&Seen { ranges: Ranges::Ignored, len: None, ..seen }, &rules())
        };
        assert_eq!(deaf(32 * MIB), read_on(1));
        assert_eq!(deaf(32 * MIB + 1), Step::OutOfReach);
    }

    #[test]
    fn small_steps_ahead_are_no_jumps() {
        let cursor = reads(0, MIB);
        assert_eq!(cursor.moved_to(MIB, &rules()).since, 0);
        assert_eq!(cursor.moved_to(MIB + (256 << 10), &rules()).since, 0);
        assert_eq!(cursor.moved_to(MIB + (256 << 10) + 1, &rules()).since, MIB + (256 << 10) + 1);
        assert_eq!(cursor.moved_to(MIB - 1, &rules()).since, MIB - 1);
    }

    #[test]
    fn what_the_reader_left_is_kept_as_far_as_it_was_not_read() {
        let left = Transfer { read: MIB, ..transfer(1, 3 * MIB, END) };
        let kept = kept(reads(LEN - 10, LEN - 10), &[left], &rules());
        assert_eq!(kept[0], MIB - (256 << 10)..3 * MIB);
        assert_eq!(kept[1].start, LEN - 10 - (256 << 10));
    }

    /// A file, a plan, and a reader that jumps about: bytes arrive as the plan says.
    #[derive(Default)]
    struct Model {
        held: Vec<bool>,
        transfers: Vec<Transfer>,
        next: u64,
        requests: usize,
    }

    impl Model {
        fn ranges(&self) -> Vec<Range<u64>> {
            let mut ranges: Vec<Range<u64>> = Vec::new();
            for at in (0..self.held.len()).filter(|at| self.held[*at]).map(|at| at as u64) {
                match ranges.last_mut() {
                    Some(last) if last.end == at => last.end += 1,
                    _ => ranges.push(at..at + 1),
                }
            }
            ranges
        }

        /// Carries out steps until the plan rests or the reader has its byte.
        fn serve(&mut self, cursor: Cursor, ranges: Ranges, rules: &ReadAhead) -> Step {
            let len = self.held.len() as u64;
            for _ in 0..10_000 {
                self.transfers.iter_mut().for_each(|transfer| transfer.follow(cursor.at));
                let held = self.ranges();
                let seen =
                    Seen { cursor, held: &held, transfers: &self.transfers, len: Some(len), ranges, reads_ahead: true };
                match next_step(&seen, rules) {
                    Step::ReadOn(id) => {
                        let transfer =
                            self.transfers.iter_mut().find(|transfer| transfer.id == id).expect("one of them");
                        self.held[usize::try_from(transfer.position).expect("small")] = true;
                        transfer.bring(1, cursor.at);
                        let over = transfer.position == transfer.end.min(len);
                        self.transfers.retain(|transfer| transfer.id != id || !over);
                    }
                    Step::Open { range, replacing } => {
                        self.transfers.retain(|transfer| Some(transfer.id) != replacing);
                        self.next += 1;
                        self.requests += 1;
                        assert!(range.start < range.end && range.start < len, "{range:?} of {len}");
                        self.transfers.push(transfer(self.next, range.start, range.end));
                    }
                    step => return step,
                }
                assert!(self.transfers.len() <= TRANSFERS);
                let kept = kept(cursor, &self.transfers, rules);
                for at in 0..self.held.len() {
                    self.held[at] &= kept.iter().any(|range| range.contains(&(at as u64)));
                }
            }
            panic!("the plan does not come to rest");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_a_reader_asks_for_comes(jumps in prop::collection::vec((0_u64..400, 1_u64..40), 1..12), deaf: bool) {
            let rules = ReadAhead { ahead: 50, behind: 10, look: 20, near: 8, max_skip: 1_000 };
            let ranges = if deaf { Ranges::Ignored } else { Ranges::Served };
            let mut model = Model { held: vec![false; 400], ..Model::default() };
            let mut cursor = Cursor::default();
            for (jump, count) in jumps {
                for at in jump..(jump + count).min(400) {
                    cursor = Cursor { waiting: true, ..cursor.moved_to(at, &rules) };
                    let step = model.serve(cursor, ranges, &rules);
                    prop_assert_eq!(step, Step::Rest);
                    prop_assert!(model.held[usize::try_from(at).unwrap()], "byte {} is there", at);
                    let bound = 3 * (rules.ahead + rules.behind + rules.look);
                    prop_assert!(model.held.iter().filter(|held| **held).count() as u64 <= bound);
                    cursor.at += 1;
                }
            }
        }

        #[test]
        fn a_sequential_read_is_one_request(len in 1_usize..400) {
            let rules = ReadAhead { ahead: 50, behind: 10, look: 20, near: 8, max_skip: 1_000 };
            let mut model = Model { held: vec![false; len], ..Model::default() };
            let mut cursor = Cursor::default();
            for at in 0..len as u64 {
                cursor = Cursor { waiting: true, ..cursor.moved_to(at, &rules) };
                model.serve(cursor, Ranges::Served, &rules);
                cursor.at += 1;
            }
            prop_assert_eq!(model.requests, 1);
        }
    }
}
