//! Whose turn it is: the pure part. No clock, no lock, no waiting.
//!
//! At each origin the most urgent transfers move, as many as the limit allows; all others stand still, whether they have begun or
//! not. So an urgent transfer never waits for a less urgent one: the newcomer moves, and the least urgent pauses at its next chunk.
//! Transfers that could not use their turn (nobody reads what they have) are passed over. Downloads stand still as long as any
//! playback is below its goal.

use std::collections::{BTreeMap, VecDeque};

use crate::Priority;

/// A transfer as the schedule knows it. Numbers grow in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransferId(u64);

/// A transfer that moves from now on, or stands still from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: TransferId,
    pub(crate) moves: bool,
}

/// The turns of all transfers; `O` is what tells origins apart.
#[derive(Debug)]
pub(crate) struct Schedule<O> {
    limit: usize,
    next: u64,
    transfers: BTreeMap<TransferId, Transfer<O>>,
    /// Playbacks below their goal.
    hungry: usize,
    changes: VecDeque<Change>,
}

#[derive(Debug)]
struct Transfer<O> {
    origin: O,
    class: Priority,
    idle: bool,
    moves: bool,
}

impl<O: Clone + PartialEq> Schedule<O> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), next: 0, transfers: BTreeMap::new(), hungry: 0, changes: VecDeque::new() }
    }

    /// A transfer wants to use the network.
    pub(crate) fn handle_enter(&mut self, origin: O, class: Priority) -> TransferId {
        let id = TransferId(self.next);
        self.next += 1;
        self.transfers.insert(id, Transfer { origin: origin.clone(), class, idle: false, moves: false });
        self.settle(&origin);
        id
    }

    /// A transfer became more or less urgent.
    pub(crate) fn handle_class(&mut self, id: TransferId, class: Priority) {
        self.edit(id, |transfer| transfer.class = class);
    }

    /// A transfer cannot use its turn now, or can again.
    pub(crate) fn handle_idle(&mut self, id: TransferId, idle: bool) {
        self.edit(id, |transfer| transfer.idle = idle);
    }

    /// A transfer is over.
    pub(crate) fn handle_leave(&mut self, id: TransferId) {
        if let Some(transfer) = self.transfers.remove(&id) {
            self.settle(&transfer.origin);
        }
    }

    /// So many playbacks are below their goal.
    pub(crate) fn handle_hungry(&mut self, playbacks: usize) {
        let before = std::mem::replace(&mut self.hungry, playbacks);
        if (before == 0) != (playbacks == 0) {
            let mut origins: Vec<O> = Vec::new();
            for transfer in self.transfers.values() {
                if !origins.contains(&transfer.origin) {
                    origins.push(transfer.origin.clone());
                }
            }
            origins.iter().for_each(|origin| self.settle(origin));
        }
    }

    /// Who moves or stands still as of now, in the order it was decided.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn edit(&mut self, id: TransferId, edit: impl FnOnce(&mut Transfer<O>)) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        edit(transfer);
        let origin = transfer.origin.clone();
        self.settle(&origin);
    }

    /// Gives the turns of one origin anew.
    fn settle(&mut self, origin: &O) {
        let halted = self.hungry > 0;
        let mut waiting: Vec<(Priority, TransferId)> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.origin == *origin && !transfer.idle)
            .filter(|(_, transfer)| !(halted && transfer.class == Priority::Download))
            .map(|(id, transfer)| (transfer.class, *id))
            .collect();
        waiting.sort_unstable();
        waiting.truncate(self.limit);
        for (id, transfer) in self.transfers.iter_mut().filter(|(_, transfer)| transfer.origin == *origin) {
            let moves = waiting.contains(&(transfer.class, *id));
            if transfer.moves != moves {
                transfer.moves = moves;
                self.changes.push_back(Change { id: *id, moves });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Demand, Download, Playback, Prefetch};
    use super::*;

    /// A schedule with the numbers of those that move, kept by its changes alone.
    struct Seen {
        schedule: Schedule<char>,
        moving: Vec<u64>,
    }

    impl Seen {
        fn new(limit: usize) -> Self {
            Self { schedule: Schedule::new(limit), moving: Vec::new() }
        }

        fn enter(&mut self, origin: char, class: Priority) -> TransferId {
            self.schedule.handle_enter(origin, class)
        }

        #[track_caller]
        fn check(&mut self, moving: &[u64]) {
            while let Some(Change { id, moves }) = self.schedule.poll_change() {
                assert_ne!(self.moving.contains(&id.0), moves, "a change that changes nothing");
                self.moving.retain(|other| *other != id.0);
                self.moving.extend(moves.then_some(id.0));
            }
            self.moving.sort_unstable();
            assert_eq!(self.moving, moving);
        }

        fn leave(&mut self, id: TransferId) {
            self.schedule.handle_leave(id);
            // Who has left is told nothing any more.
            self.moving.retain(|other| *other != id.0);
        }
    }

    #[test]
    fn those_of_one_class_move_in_the_order_they_came() {
        let mut seen = Seen::new(2);
        let ids: Vec<_> = (0..4).map(|_| seen.enter('a', Playback)).collect();
        seen.check(&[0, 1]);
        seen.leave(ids[1]);
        seen.check(&[0, 2]);
        seen.leave(ids[0]);
        seen.check(&[2, 3]);
    }

    #[test]
    fn an_urgent_transfer_takes_the_turn_of_the_least_urgent() {
        let mut seen = Seen::new(2);
        seen.enter('a', Download);
        seen.enter('a', Prefetch);
        seen.check(&[0, 1]);
        let playback = seen.enter('a', Playback);
        seen.check(&[1, 2]);
        let demand = seen.enter('a', Demand);
        seen.check(&[2, 3]);
        seen.leave(demand);
        seen.leave(playback);
        seen.check(&[0, 1]);
    }

    #[test]
    fn origins_have_limits_of_their_own() {
        let mut seen = Seen::new(1);
        for origin in ['a', 'a', 'b'] {
            seen.enter(origin, Playback);
        }
        seen.check(&[0, 2]);
    }

    #[test]
    fn downloads_stand_still_while_any_playback_is_below_its_goal() {
        let mut seen = Seen::new(6);
        seen.enter('a', Download);
        seen.enter('b', Download);
        seen.enter('b', Prefetch);
        seen.check(&[0, 1, 2]);
        seen.schedule.handle_hungry(1);
        seen.check(&[2]);
        seen.schedule.handle_hungry(2);
        seen.enter('c', Download);
        seen.check(&[2]);
        seen.schedule.handle_hungry(1);
        seen.check(&[2]);
        seen.schedule.handle_hungry(0);
        seen.check(&[0, 1, 2, 3]);
    }

    #[test]
    fn a_transfer_that_becomes_urgent_overtakes() {
        let mut seen = Seen::new(1);
        seen.enter('a', Playback);
        let later = seen.enter('a', Prefetch);
        seen.check(&[0]);
        seen.schedule.handle_class(later, Demand);
        seen.check(&[1]);
        seen.schedule.handle_class(later, Download);
        seen.check(&[0]);
    }

    #[test]
    fn a_transfer_nobody_reads_gives_its_turn_away() {
        let mut seen = Seen::new(1);
        let first = seen.enter('a', Playback);
        seen.enter('a', Download);
        seen.schedule.handle_idle(first, true);
        seen.check(&[1]);
        seen.schedule.handle_idle(first, false);
        seen.check(&[0]);
    }

    #[test]
    fn who_has_left_changes_nothing_any_more() {
        let mut seen = Seen::new(1);
        let gone = seen.enter('a', Playback);
        seen.check(&[0]);
        seen.leave(gone);
        seen.schedule.handle_class(gone, Demand);
        seen.schedule.handle_idle(gone, false);
        seen.schedule.handle_leave(gone);
        seen.check(&[]);
    }

    #[test]
    fn a_limit_of_zero_is_one() {
        let mut seen = Seen::new(0);
        seen.enter('a', Download);
        seen.check(&[0]);
    }
}
