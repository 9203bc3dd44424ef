//! A player that plays in real time what an adaptive reader hands it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    session::{Demand, Entry, Place, UnitKey},
    time::Tick,
};

/// Plays units one after another: one that comes as a whole once it is complete, one that is still being made as far as
/// it is there.
#[derive(Debug, Default)]
pub struct Player {
    asked: bool,
    /// Initialization sections that came.
    inits: BTreeSet<UnitKey>,
    /// Entered, and what is there of it.
    waiting: VecDeque<(Entry, There)>,
    playing: Option<Playing>,
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
    rate: Rate,
    report: PlayerReport,
}

/// What is there of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing that could be played.
    #[default]
    Nothing,
    /// So much, and more will come.
    Part(Duration),
    /// All of it; how long it plays, where the playlist did not know yet.
    Whole(Option<Duration>),
}

#[derive(Debug)]
struct Playing {
    entry: Entry,
    there: There,
    /// Since when it plays, and from which presentation time on; it stands still while it is dry.
    began: Tick,
    at: Duration,
    dry_since: Option<Tick>,
    /// Where it began.
    start: Duration,
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
    /// What was presented each time a part arrived.
    pub heard: Vec<(Tick, Duration)>,
    /// Whether the end was reached.
    pub ended: bool,
}

impl There {
    /// Presentation time up to which an entry can be played.
    fn until(self, entry: &Entry) -> Duration {
        let time = match self {
            Self::Nothing => Duration::ZERO,
            Self::Part(time) | Self::Whole(Some(time)) => time,
            Self::Whole(None) => entry.duration,
        };
        entry.start.saturating_add(time)
    }
}

/// How fast it plays, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(u32);

impl Default for Rate {
    fn default() -> Self {
        Self(100)
    }
}

impl Rate {
    fn media_in(self, time: Duration) -> Duration {
        time * self.0 / 100
    }

    /// Never less than it takes.
    fn time_for(self, media: Duration) -> Duration {
        let nanos = (media.as_nanos() * 100).div_ceil(u128::from(self.0));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// How time passes for what is played.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rate: Rate,
    /// It stands still from the first to the second.
    pause: Option<(Tick, Tick)>,
}

impl Pace {
    /// Media played between two times.
    fn media_between(self, began: Tick, now: Tick) -> Duration {
        let still = match self.pause {
            Some((from, until)) if began < from && now > from => now.min(until).since(from),
            _ => Duration::ZERO,
        };
        self.rate.media_in(now.since(began).saturating_sub(still))
    }

    /// When so much media is played that begins to play then.
    fn end_of(self, began: Tick, media: Duration) -> Tick {
        let end = began.saturating_add(self.rate.time_for(media));
        match self.pause {
            Some((from, until)) if began < from && end > from => end.saturating_add(until.since(from)),
            _ => end,
        }
    }
}

impl Playing {
    fn until(&self) -> Duration {
        self.there.until(&self.entry).max(self.at)
    }

    /// When it has played what is there.
    fn runs_dry(&self, pace: Pace) -> Option<Tick> {
        self.dry_since.is_none().then(|| pace.end_of(self.began, self.until() - self.at))
    }

    fn position(&self, now: Tick, pace: Pace) -> Duration {
        let since = if self.dry_since.is_some() { Duration::ZERO } else { pace.media_between(self.began, now) };
        self.at.saturating_add(since).min(self.until())
    }
}

impl Player {
    pub(super) fn waiting_until(at: Tick) -> Self {
        Self { from: at, ..Self::default() }
    }

    /// Forgets which units and parts it played.
    pub(super) fn forget_the_past(&mut self) {
        let PlayerReport { played, started, stalled, stalls, ended, .. } = self.report;
        self.report = PlayerReport { played, started, stalled, stalls, ended, ..PlayerReport::default() };
    }

    /// Stands still for a while.
    pub(super) fn pause(&mut self, from: Tick, until: Tick) {
        self.pause = Some((from, until));
    }

    fn pace(&self) -> Pace {
        Pace { rate: self.rate, pause: self.pause }
    }

    /// What it saw so far.
    pub fn report(&self) -> &PlayerReport {
        &self.report
    }

    /// Presentation time of what it presents, while it presents something.
    pub fn position(&self, now: Tick) -> Option<Duration> {
        self.playing.as_ref().map(|playing| playing.position(now, self.pace()))
    }

    pub(super) fn enter(&mut self, entry: Entry, there: There) {
        self.asked = false;
        self.waiting.push_back((entry, there));
    }

    /// More of a unit is there.
    pub(super) fn arrived(&mut self, unit: UnitKey, there: There, now: Tick) {
        if matches!(unit.place, Place::Init(_)) {
            self.inits.insert(unit);
        }
        self.waiting.iter_mut().filter(|(entry, _)| entry.unit == unit).for_each(|(_, it)| *it = there);
        let pace = self.pace();
        if let Some(playing) = self.playing.as_mut().filter(|playing| playing.entry.unit == unit) {
            let at = playing.position(now, pace);
            playing.there = there;
            if let Some(dry) = playing.dry_since.take_if(|_| there.until(&playing.entry) > at) {
                self.report.stalled += now.since(dry);
                self.report.stalls += u32::from(now > dry);
                (playing.at, playing.began) = (at, now);
            }
        }
        if let (There::Part(_), Some(at)) = (there, self.position(now)) {
            self.report.heard.push((now, at));
        }
    }

    pub(super) fn abandoned(&mut self, unit: UnitKey) {
        self.waiting.retain(|(entry, there)| entry.unit != unit || matches!(there, There::Whole(_)));
        if self.playing.take_if(|it| it.entry.unit == unit && it.dry_since.is_some()).is_some_and(|it| {
            self.idle_since = it.dry_since;
            true
        }) {
            self.asked = false;
        } else if let Some(playing) = self.playing.as_mut().filter(|it| it.entry.unit == unit)
            && let There::Part(time) = playing.there
        {
            // What there is of it is all.
            playing.there = There::Whole(Some(time));
        }
    }

    /// Plays at another rate from now on.
    pub(super) fn play_at(&mut self, rate: f64, now: Tick) {
        let before = self.pace();
        self.rate = Rate((rate * 100.0).round().clamp(50.0, 200.0) as u32);
        if let Some(playing) = self.playing.as_mut().filter(|playing| playing.dry_since.is_none()) {
            playing.at = playing.position(now, before);
            playing.began = now;
        }
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

    /// When what it plays is over, or it goes on.
    pub(super) fn next(&self, now: Tick) -> Option<Tick> {
        let resumes = self.pause.map(|(_, until)| until).filter(|until| *until > now);
        let ends = self.playing.as_ref().and_then(|playing| playing.runs_dry(self.pace()));
        ends.into_iter().chain(resumes).min()
    }

    /// Plays on, and says what it wants.
    pub(super) fn advance(&mut self, now: Tick) -> Option<Demand> {
        let pauses = self.pause.is_some_and(|(from, until)| (from..until).contains(&now));
        if now < self.from || pauses {
            return None;
        }
        self.play_on(now);
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

    fn play_on(&mut self, now: Tick) {
        let pace = self.pace();
        let Some(playing) = &mut self.playing else { return };
        let is_whole = matches!(playing.there, There::Whole(_));
        if playing.runs_dry(pace).is_some_and(|dry| dry > now) || (playing.dry_since.is_some() && !is_whole) {
            return;
        }
        if !is_whole {
            playing.at = playing.until();
            playing.dry_since = Some(now);
            return;
        }
        let (end, since) = (playing.until(), playing.dry_since.unwrap_or(now));
        self.report.played += end - playing.start;
        if let Some(last) = self.report.played_units.last_mut() {
            last.end = end;
        }
        self.playing = None;
        self.idle_since = Some(since);
    }

    fn begin(&mut self, now: Tick) {
        let Some((entry, there)) = self.waiting.front() else { return };
        if entry.init.is_some_and(|init| !self.inits.contains(&init)) {
            return;
        }
        let floor = entry.run_start.as_ref().map_or(self.floor, |start| start.discard_until);
        let is_whole = matches!(there, There::Whole(_));
        if !is_whole && there.until(entry) <= entry.start.max(floor) {
            return;
        }
        let Some((entry, there)) = self.waiting.pop_front() else { return };
        match self.idle_since.take() {
            Some(idle) if now > idle => {
                self.report.stalled += now.since(idle);
                self.report.stalls += 1;
            }
            _ => {}
        }
        self.report.started.get_or_insert(now);
        self.report.units.push(entry.unit);
        self.floor = floor;
        // What is dropped takes no time.
        let end = if is_whole { there.until(&entry) } else { entry.start.saturating_add(entry.duration) };
        let start = entry.start.max(self.floor).min(end);
        let moved = std::mem::take(&mut self.moved);
        self.report.played_units.push(Played { unit: entry.unit, start, end, moved });
        self.playing = Some(Playing { entry, there, began: now, at: start, dry_since: None, start });
    }
}
