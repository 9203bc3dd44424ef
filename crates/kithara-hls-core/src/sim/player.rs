//! A player that plays in real time what an adaptive reader hands it.

use std::{collections::VecDeque, time::Duration};

use crate::{
    session::{Demand, Entry, UnitKey},
    time::Tick,
};

/// Plays units one after another; a unit plays once it is complete.
#[derive(Debug, Default)]
pub struct Player {
    asked: bool,
    /// Entered, and whether it is there as a whole.
    waiting: VecDeque<(Entry, bool)>,
    playing: Option<(Entry, Tick)>,
    ended: bool,
    idle_since: Option<Tick>,
    /// It does not play before.
    from: Tick,
    /// It stands still from the first to the second.
    pause: Option<(Tick, Tick)>,
    /// What the run in force presents before this was presented before.
    floor: Duration,
    /// The reader moved, and has played nothing since.
    moved: bool,
    report: PlayerReport,
}

/// One unit that was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// The unit.
    pub unit: UnitKey,
    /// Presentation time from which on it was presented.
    pub start: Duration,
    /// Presentation time of its end.
    pub end: Duration,
    /// Whether the reader moved there.
    pub moved: bool,
}

/// What a player saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlayerReport {
    /// Media played.
    pub played: Duration,
    /// When the first unit began to play.
    pub started: Option<Tick>,
    /// Time without media after that.
    pub stalled: Duration,
    /// How often.
    pub stalls: u32,
    /// Units played, in order.
    pub units: Vec<UnitKey>,
    /// The same with their times.
    pub played_units: Vec<Played>,
    /// Whether the end was reached.
    pub ended: bool,
}

impl Player {
    pub(super) fn waiting_until(at: Tick) -> Self {
        Self { from: at, ..Self::default() }
    }

    /// Stands still for a while.
    pub(super) fn pause(&mut self, from: Tick, until: Tick) {
        self.pause = Some((from, until));
    }

    /// When a unit that began to play then is over.
    fn end_of(&self, entry: &Entry, began: Tick) -> Tick {
        let end = began.saturating_add(entry.duration);
        match self.pause {
            Some((from, until)) if began < from && end > from => end.saturating_add(until.since(from)),
            _ => end,
        }
    }

    /// What it saw so far.
    pub fn report(&self) -> &PlayerReport {
        &self.report
    }

    pub(super) fn enter(&mut self, entry: Entry, complete: bool) {
        self.asked = false;
        self.waiting.push_back((entry, complete));
    }

    pub(super) fn completed(&mut self, unit: UnitKey) {
        self.waiting.iter_mut().filter(|(entry, _)| entry.unit == unit).for_each(|(_, complete)| *complete = true);
    }

    pub(super) fn abandoned(&mut self, unit: UnitKey) {
        self.waiting.retain(|(entry, complete)| entry.unit != unit || *complete);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn sought(&mut self) {
        self.waiting.clear();
        self.playing = None;
        self.ended = false;
        self.asked = false;
        self.moved = true;
    }

    pub(super) fn is_done(&self) -> bool {
        self.ended && self.playing.is_none() && self.waiting.is_empty()
    }

    /// When the unit it plays is over, or it goes on.
    pub(super) fn next(&self, now: Tick) -> Option<Tick> {
        let resumes = self.pause.map(|(_, until)| until).filter(|until| *until > now);
        let ends = self.playing.as_ref().map(|(entry, began)| self.end_of(entry, *began));
        ends.into_iter().chain(resumes).min()
    }

    /// Plays on, and says what it wants.
    pub(super) fn advance(&mut self, now: Tick) -> Option<Demand> {
        let pauses = self.pause.is_some_and(|(from, until)| (from..until).contains(&now));
        if now < self.from || pauses {
            return None;
        }
        let is_over = self.playing.as_ref().is_some_and(|(entry, began)| self.end_of(entry, *began) <= now);
        if let Some((entry, _)) = self.playing.take_if(|_| is_over) {
            self.report.played += entry.duration;
            self.idle_since = Some(now);
        }
        if self.playing.is_none() {
            self.begin(now);
        }
        self.report.ended = self.is_done();
        if !self.asked && !self.ended && self.waiting.is_empty() {
            self.asked = true;
            return Some(Demand::Next);
        }
        None
    }

    fn begin(&mut self, now: Tick) {
        if !self.waiting.front().is_some_and(|(_, complete)| *complete) {
            return;
        }
        let Some((entry, _)) = self.waiting.pop_front() else { return };
        match self.idle_since.take() {
            Some(idle) if now > idle => {
                self.report.stalled += now.since(idle);
                self.report.stalls += 1;
            }
            _ => {}
        }
        self.report.started.get_or_insert(now);
        self.report.units.push(entry.unit);
        let end = entry.start.saturating_add(entry.duration);
        if let Some(start) = &entry.run_start {
            self.floor = start.discard_until;
        }
        // What is dropped takes no time.
        let start = entry.start.max(self.floor).min(end);
        let moved = std::mem::take(&mut self.moved);
        self.report.played_units.push(Played { unit: entry.unit, start, end, moved });
        self.playing = Some((Entry { start, duration: end - start, ..entry }, now));
    }
}
