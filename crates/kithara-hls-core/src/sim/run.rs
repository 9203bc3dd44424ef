//! The loop that plays a session in a world.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use url::Url;

use super::{
    link::Link,
    player::Player,
    world::{Outcome, World},
};
use crate::{
    session::{
        Action, Command, Delivered, Demand, FailureKind, FetchFailure, FetchId, Head, HlsEvent, Input, PlaylistText,
        ReaderId, Session, SessionOptions, Track, UnitKey, UnitRequest, View,
    },
    time::{Now, Tick},
    trace::Recorder,
};

/// Reports of progress are this far apart at most.
const PROGRESS: Duration = Duration::from_millis(100);

/// What happened, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The lines.
    pub lines: Vec<String>,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A unit on its way.
#[derive(Clone, Debug)]
struct Carried {
    unit: UnitKey,
    path: String,
    bytes: u64,
    /// For the store alone.
    keeps: bool,
    from_store: bool,
}

/// A session, a world and a player in virtual time. Where the session is told that there is room in a store, what is
/// fetched stays there.
#[derive(Debug)]
pub struct Simulation {
    session: Session,
    world: World,
    link: Link,
    now: Tick,
    /// Inputs that are on their way.
    queue: BTreeMap<(Tick, u64), Input>,
    sequence: u64,
    under_way: BTreeMap<FetchId, Carried>,
    /// What the store has, by path; `None` without a store.
    stored: Option<BTreeMap<String, u64>>,
    /// Units that are there as a whole and not released.
    ready: BTreeSet<UnitKey>,
    players: BTreeMap<ReaderId, (Track, Player)>,
    next_progress: Tick,
    transcript: Transcript,
    recorder: Option<Recorder>,
    failed: bool,
}

impl Simulation {
    /// A player that plays `url` in `world`.
    pub fn new(world: World, url: &Url, options: SessionOptions) -> Self {
        let link = Link::new(world.bandwidth.clone());
        let stored = (options.store_room > 0).then(BTreeMap::new);
        let session = Session::new(url.clone(), options, Now::from(Tick::ZERO));
        let mut simulation = Self {
            session,
            world,
            link,
            now: Tick::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            under_way: BTreeMap::new(),
            stored,
            ready: BTreeSet::new(),
            players: BTreeMap::new(),
            next_progress: Tick::ZERO,
            transcript: Transcript::default(),
            recorder: None,
            failed: false,
        };
        simulation.join_at(Tick::ZERO, Track::Main);
        simulation
    }

    /// Plays `track` beside the others from the beginning.
    #[must_use]
    pub fn with_track(mut self, track: Track) -> Self {
        self.join_at(Tick::ZERO, track);
        self
    }

    /// Plays `track` beside the others from a time to come.
    pub fn join_at(&mut self, at: Tick, track: Track) {
        let reader = ReaderId(self.players.len() as u64);
        self.players.insert(reader, (track, Player::waiting_until(at)));
        self.at(at, Input::Demand { reader, demand: Demand::Open { view: View::Adaptive, track } });
    }

    /// Records all inputs and outputs from now on.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Gives the session an input at a time to come.
    pub fn at(&mut self, at: Tick, input: Input) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), input);
    }

    /// Lets the user seek at a time to come.
    pub fn seek_at(&mut self, at: Tick, to: Duration) {
        self.at(at, Input::Command(Command::Seek(to)));
    }

    /// Lets all players stand still from one time to another.
    pub fn pause(&mut self, from: Tick, until: Tick) {
        self.players.values_mut().for_each(|(_, player)| player.pause(from, until));
    }

    /// Bytes and resources in the store.
    pub fn stored(&self) -> (u64, usize) {
        let stored = self.stored.iter().flat_map(BTreeMap::values);
        (stored.clone().sum(), stored.count())
    }

    /// Runs until the player is done, the session is over, or `limit` is reached.
    pub fn run(&mut self, limit: Tick) -> &mut Self {
        self.drain();
        while self.now < limit && !self.failed && !self.players.values().all(|(_, player)| player.is_done()) {
            let Some(next) = self.next_time() else { break };
            self.step(next.min(limit));
        }
        self
    }

    /// What the player of the main track saw.
    pub fn player(&self) -> &Player {
        self.player_of(Track::Main).expect("the main track is played from the beginning")
    }

    /// What the first player of a track saw, if anybody plays it.
    pub fn player_of(&self, track: Track) -> Option<&Player> {
        self.players.values().find(|(played, _)| *played == track).map(|(_, player)| player)
    }

    /// What happened.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The origin, with its counters.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session as it stands.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// What was recorded, if it was asked for.
    pub fn into_recorder(self) -> Option<Recorder> {
        self.recorder
    }

    fn next_time(&self) -> Option<Tick> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let progress = (!self.under_way.is_empty()).then_some(self.next_progress);
        let players = self.players.values().filter_map(|(_, player)| player.next(self.now)).min();
        [queued, self.link.next(), self.session.poll_timeout(), players, progress]
            .into_iter()
            .flatten()
            .min()
            .map(|next| next.max(self.now))
    }

    fn step(&mut self, to: Tick) {
        let done = self.link.advance(to);
        self.now = to;
        for fetch in done {
            let Some(Carried { unit, path, bytes, keeps, from_store }) = self.under_way.remove(&fetch) else {
                continue;
            };
            if let Some(stored) = &mut self.stored {
                stored.insert(path, bytes);
            }
            if keeps {
                self.feed(Input::Kept { fetch, result: Ok(bytes) });
                continue;
            }
            self.ready.insert(unit);
            self.players.values_mut().for_each(|(_, player)| player.completed(unit));
            let delivered = Delivered { len: bytes, wire_len: bytes, from_store };
            self.feed(Input::Progress { fetch, bytes });
            self.feed(Input::Fetched { fetch, result: Ok(delivered) });
        }
        self.report_progress();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= to) {
            let input = entry.remove();
            if matches!(input, Input::Command(Command::Seek(_))) {
                self.players.values_mut().for_each(|(_, player)| player.sought());
            }
            self.feed(input);
        }
        if self.session.poll_timeout().is_some_and(|due| due <= to) {
            self.feed(Input::Timeout);
        }
        let readers: Vec<ReaderId> = self.players.keys().copied().collect();
        for reader in readers {
            while let Some(demand) = self.players.get_mut(&reader).and_then(|(_, player)| player.advance(to)) {
                self.feed(Input::Demand { reader, demand });
            }
        }
    }

    fn report_progress(&mut self) {
        if self.now < self.next_progress {
            return;
        }
        self.next_progress = self.now.saturating_add(PROGRESS);
        let for_readers = self.under_way.iter().filter(|(_, carried)| !carried.keeps);
        let carried: Vec<(FetchId, u64)> = for_readers.map(|(fetch, _)| (*fetch, self.link.carried(*fetch))).collect();
        for (fetch, bytes) in carried.into_iter().filter(|(_, bytes)| *bytes > 0) {
            self.feed(Input::Progress { fetch, bytes });
        }
    }

    fn feed(&mut self, input: Input) {
        let now = Now::from(self.now);
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.session.handle(now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            self.note(&action);
            self.carry_out(action);
        }
        while let Some(event) = self.session.poll_event() {
            self.note(&format_args!("  - {event}"));
            self.failed |= matches!(event, HlsEvent::Error { recoverable: false, .. });
        }
    }

    fn note(&mut self, what: &dyn fmt::Display) {
        let seconds = Duration::from_nanos(self.now.as_nanos()).as_secs_f64();
        self.transcript.lines.push(format!("{seconds:9.3} {what}"));
    }

    fn carry_out(&mut self, action: Action) {
        let first_byte = self.now.saturating_add(self.world.latency);
        match action {
            Action::LoadPlaylist { id, url, .. } => {
                let (at, result) = match self.world.ask(&url, self.now) {
                    Outcome::Text(text) => {
                        let text = PlaylistText { url, text: text.to_string(), from_store: false, age: None };
                        (first_byte, Ok(text))
                    }
                    Outcome::Late(text, after) => {
                        let text = PlaylistText { url, text: text.to_string(), from_store: false, age: None };
                        (first_byte + after, Ok(text))
                    }
                    Outcome::Bytes(_) => (first_byte, Err(FetchFailure::new(FailureKind::Playlist))),
                    Outcome::Fault { kind, status, after } => (self.now + after, Err(failure(kind, status))),
                };
                // Of two loads of a playlist only the newer one is answered.
                self.queue.retain(|_, input| !matches!(input, Input::Playlist { id: other, .. } if *other == id));
                self.at(at, Input::Playlist { id, result });
            }
            Action::Fetch { fetch, unit, request } => self.fetch(fetch, unit, &request),
            Action::Keep { fetch, unit, request } => self.keep(fetch, unit, &request),
            Action::Forget { url, .. } => {
                if let Some(stored) = &mut self.stored {
                    stored.remove(url.path());
                }
            }
            Action::Size { fetch, request, .. } => {
                let result = match self.world.ask(&request.url, self.now) {
                    Outcome::Bytes(bytes) => Ok(bytes),
                    Outcome::Text(_) | Outcome::Late(..) => Err(FetchFailure::new(FailureKind::NotMedia)),
                    Outcome::Fault { kind, status, .. } => Err(failure(kind, status)),
                };
                self.at(first_byte, Input::Sized { fetch, result });
            }
            Action::Cancel { fetch } => {
                self.link.remove(fetch);
                self.under_way.remove(&fetch);
            }
            Action::FetchKey { key, request } => {
                let result = match self.world.ask(&request.url, self.now) {
                    Outcome::Bytes(_) | Outcome::Text(_) | Outcome::Late(..) => Ok(()),
                    Outcome::Fault { kind, status, .. } => Err(failure(kind, status)),
                };
                self.at(first_byte, Input::Key { key, result, cached: false });
            }
            Action::Enter { reader, entry } => {
                let complete = self.ready.contains(&entry.unit);
                if let Some((_, player)) = self.players.get_mut(&reader) {
                    player.enter(entry, complete);
                }
            }
            Action::Release { unit } => {
                self.ready.remove(&unit);
            }
            Action::Abandon { unit, .. } | Action::Cut { unit } => {
                self.players.values_mut().for_each(|(_, player)| player.abandoned(unit));
            }
            Action::EndOfStream { reader } => {
                if let Some((_, player)) = self.players.get_mut(&reader) {
                    player.end();
                }
            }
            Action::Refuse { reader, .. } => match self.players.get_mut(&reader) {
                // Whoever plays something beside the main track gives up alone.
                Some((track, player)) if *track != Track::Main => player.end(),
                _ => self.failed = true,
            },
            Action::Fail { .. } => self.failed = true,
            Action::Resolve { .. } => {
                let found = self.world.resolve(self.now);
                let result = found.ok_or_else(|| FetchFailure::new(FailureKind::NotFound));
                self.at(first_byte, Input::Command(Command::Resolved(result)));
            }
            Action::Place { .. }
            | Action::Displace { .. }
            | Action::Length { .. }
            | Action::Attach { .. }
            | Action::MapTimestamps { .. }
            | Action::ForgetKey { .. } => {}
        }
    }

    fn fetch(&mut self, fetch: FetchId, unit: UnitKey, request: &UnitRequest) {
        let path = request.url.path().to_owned();
        let stored = self.stored.as_ref().and_then(|stored| stored.get(&path)).copied();
        let outcome = match stored {
            Some(bytes) => Outcome::Bytes(bytes),
            None => self.world.ask(&request.url, self.now),
        };
        let from_store = stored.is_some();
        let latency = if from_store { Duration::from_millis(1) } else { self.world.latency };
        match outcome {
            Outcome::Bytes(whole) => {
                let bytes = request.range.map_or(whole, |range| range.len);
                let head = Head {
                    len: request.encryption.is_none().then_some(bytes),
                    wire_len: Some(bytes),
                    from_store,
                    time_to_first_byte: latency,
                };
                self.at(self.now + latency, Input::Head { fetch, head });
                // What is in the store does not travel.
                self.link.add(fetch, self.now + latency, if from_store { 0 } else { bytes });
                self.under_way.insert(fetch, Carried { unit, path, bytes, keeps: false, from_store });
            }
            Outcome::Text(_) | Outcome::Late(..) => {
                self.fault(fetch, FailureKind::NotMedia, None, self.world.latency);
            }
            Outcome::Fault { kind, status, after } => self.fault(fetch, kind, status, after),
        }
    }

    fn keep(&mut self, fetch: FetchId, unit: UnitKey, request: &UnitRequest) {
        let path = request.url.path().to_owned();
        let (kind, status, after) = match self.world.ask(&request.url, self.now) {
            Outcome::Bytes(whole) => {
                let bytes = request.range.map_or(whole, |range| range.len);
                self.link.add(fetch, self.now + self.world.latency, bytes);
                self.under_way.insert(fetch, Carried { unit, path, bytes, keeps: true, from_store: false });
                return;
            }
            Outcome::Text(_) | Outcome::Late(..) => (FailureKind::NotMedia, None, self.world.latency),
            Outcome::Fault { kind, status, after } => (kind, status, after),
        };
        self.at(self.now + after, Input::Kept { fetch, result: Err(failure(kind, status)) });
    }

    fn fault(&mut self, fetch: FetchId, kind: FailureKind, status: Option<u16>, after: Duration) {
        self.at(self.now + after, Input::Fetched { fetch, result: Err(failure(kind, status)) });
    }
}

fn failure(kind: FailureKind, status: Option<u16>) -> FetchFailure {
    FetchFailure { status, ..FetchFailure::new(kind) }
}
