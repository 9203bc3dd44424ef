//! The loop that plays a session in a world.

use std::{collections::BTreeMap, fmt, time::Duration};

use url::Url;

use super::{
    link::Link,
    parts::{Cut, Parts, Purpose, Stream},
    player::{Player, There},
    world::{Flow, Outcome, World},
};
use crate::{
    session::{
        Action, Command, Delivered, Demand, FailureKind, FetchFailure, FetchId, Head, HlsEvent, Input, LiveEvent,
        PlaylistText, ReaderId, Session, SessionOptions, Track, UnitKey, UnitRequest, View,
    },
    time::{Now, Tick, WallTime},
    trace::Recorder,
};

/// Reports of progress are this far apart at most.
const PROGRESS: Duration = Duration::from_millis(100);

/// Players say how far they are this often, if they do.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// A load without a limit may take this long.
const LONGEST_LOAD: Duration = Duration::from_secs(30);

/// What is never answered is given up after this long by the network layer.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

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
    streams: BTreeMap<FetchId, Stream>,
    parts: Parts,
    /// Units that are there as a whole and not released, and how long they play where that was not known before.
    ready: BTreeMap<UnitKey, Option<Duration>>,
    players: BTreeMap<ReaderId, (Track, Player)>,
    next_progress: Tick,
    /// When players say next how far they are, if they do.
    next_position: Option<Tick>,
    /// The date at time zero, and when it jumps by how many milliseconds.
    wall: Option<WallTime>,
    jumps: BTreeMap<Tick, i64>,
    keeps_up: bool,
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
            streams: BTreeMap::new(),
            parts: Parts::default(),
            ready: BTreeMap::new(),
            players: BTreeMap::new(),
            next_progress: Tick::ZERO,
            next_position: None,
            wall: None,
            jumps: BTreeMap::new(),
            keeps_up: false,
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

    /// Players say how far they are, four times a second.
    #[must_use]
    pub fn telling_positions(mut self) -> Self {
        self.next_position = Some(Tick::ZERO);
        self
    }

    /// Players say how far they are, and play at the rate that is suggested to them.
    #[must_use]
    pub fn keeping_up(mut self) -> Self {
        self.keeps_up = true;
        self.telling_positions()
    }

    /// The host has a clock that shows this date at time zero.
    #[must_use]
    pub fn dated(mut self, wall: WallTime) -> Self {
        self.wall = Some(wall);
        self
    }

    /// The clock of the host jumps at a time to come, ahead by so many milliseconds, or back.
    pub fn clock_jumps_at(&mut self, at: Tick, by_millis: i64) {
        self.jumps.insert(at, by_millis);
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

    /// Forgets what happened so far: the transcript, what players report of units and parts, how often what was asked for.
    /// What remains is what goes on.
    pub fn forget_the_past(&mut self) {
        self.transcript = Transcript::default();
        self.players.values_mut().for_each(|(_, player)| player.forget_the_past());
        self.world.forget_the_past();
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
        let travels = !self.under_way.is_empty() || self.streams.values().any(|stream| stream.travels().is_some());
        let progress = travels.then_some(self.next_progress);
        let players = self.players.values().filter_map(|(_, player)| player.next(self.now)).min();
        [queued, self.link.next(), self.session.poll_timeout(), players, progress, self.next_position]
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
                self.piece_arrived(fetch);
                continue;
            };
            if let Some(stored) = &mut self.stored {
                stored.insert(path, bytes);
            }
            if keeps {
                self.feed(Input::Kept { fetch, result: Ok(bytes) });
                continue;
            }
            self.complete(unit, None);
            let delivered = Delivered { len: bytes, wire_len: bytes, from_store };
            self.feed(Input::Progress { fetch, bytes });
            self.feed(Input::Fetched { fetch, result: Ok(delivered) });
        }
        self.report_progress();
        self.report_positions();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= to) {
            let input = entry.remove();
            if matches!(input, Input::Command(Command::Seek(_))) {
                self.players.values_mut().for_each(|(_, player)| player.sought());
            }
            self.feed(input);
        }
        let cut: Vec<FetchId> =
            self.streams.iter().filter(|(_, stream)| stream.cut.is_some()).map(|(fetch, _)| *fetch).collect();
        cut.into_iter().for_each(|ahead| self.cut_out(ahead));
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
        let whole = for_readers.map(|(fetch, _)| (*fetch, self.link.carried(*fetch)));
        let streams = self.streams.iter().filter(|(_, stream)| stream.travels().is_some());
        let streams = streams.map(|(fetch, stream)| (*fetch, stream.bytes + self.link.carried(*fetch)));
        let carried: Vec<(FetchId, u64)> = whole.chain(streams).collect();
        for (fetch, bytes) in carried.into_iter().filter(|(_, bytes)| *bytes > 0) {
            self.feed(Input::Progress { fetch, bytes });
        }
    }

    fn report_positions(&mut self) {
        let Some(due) = self.next_position.filter(|due| *due <= self.now) else { return };
        self.next_position = Some(due.max(self.now) + TOLD_EVERY);
        let at: Vec<_> =
            self.players.iter().filter_map(|(id, (_, player))| Some((*id, player.position(self.now)?))).collect();
        for (reader, at) in at {
            self.feed(Input::Demand { reader, demand: Demand::Position { at } });
        }
    }

    /// What the clock of the host shows.
    fn date(&self) -> Option<WallTime> {
        let jumps: i64 = self.jumps.range(..=self.now).map(|(_, by)| by).sum();
        let passed = i64::try_from(self.now.as_nanos() / 1_000_000).ok()?;
        Some(WallTime::from_millis(self.wall?.as_millis() + passed + jumps))
    }

    fn complete(&mut self, unit: UnitKey, media: Option<Duration>) {
        let now = self.now;
        self.ready.insert(unit, media);
        self.players.values_mut().for_each(|(_, player)| player.arrived(unit, There::Whole(media), now));
    }

    /// Lets a stream travel, piece by piece; `from` is when its first byte can be there.
    fn send(&mut self, fetch: FetchId, from: Tick) {
        let Some(Flow { ready, bytes, .. }) = self.streams.get(&fetch).and_then(Stream::travels) else { return };
        self.link.add(fetch, from.max(ready.saturating_add(self.world.latency)), bytes);
    }

    fn begin_stream(&mut self, fetch: FetchId, purpose: Purpose, flows: Vec<Flow>) {
        let first_byte = self.now.saturating_add(self.world.latency);
        let begins = flows.first().map_or(first_byte, |flow| first_byte.max(flow.ready + self.world.latency));
        let head = Head { len: None, wire_len: None, from_store: false, time_to_first_byte: begins.since(self.now) };
        self.at(begins, Input::Head { fetch, head });
        self.streams.insert(fetch, Stream::new(purpose, flows));
        self.send(fetch, first_byte);
    }

    fn piece_arrived(&mut self, fetch: FetchId) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&fetch) else { return };
        stream.arrived();
        let (bytes, ended, purpose) = (stream.bytes, stream.ended(), stream.purpose);
        self.send(fetch, now);
        match purpose {
            Purpose::Part(unit, part) if ended => {
                let taken = self.streams.remove(&fetch).and_then(|mut stream| stream.take(None));
                if let Some((bytes, media)) = taken {
                    self.feed(Input::Progress { fetch, bytes });
                    self.part_arrived(fetch, unit, part, bytes, media);
                }
            }
            Purpose::Part(..) => {}
            Purpose::Ahead => {
                self.feed(Input::Progress { fetch, bytes });
                self.cut_out(fetch);
                if ended {
                    let delivered = Delivered { len: bytes, wire_len: bytes, from_store: false };
                    self.feed(Input::Fetched { fetch, result: Ok(delivered) });
                }
            }
        }
    }

    /// Hands over the part that is cut out of what was asked for ahead, once it is there.
    fn cut_out(&mut self, ahead: FetchId) {
        let Some(stream) = self.streams.get_mut(&ahead) else { return };
        let Some(Cut { fetch, unit, part, len }) = stream.cut else { return };
        let Some((bytes, media)) = stream.take(len) else { return };
        stream.cut = None;
        if len.is_none() {
            self.streams.remove(&ahead);
        }
        match part {
            Some(part) => self.part_arrived(fetch, unit, part, bytes, media),
            None => {
                self.complete(unit, None);
                let delivered = Delivered { len: bytes, wire_len: bytes, from_store: false };
                self.feed(Input::Fetched { fetch, result: Ok(delivered) });
            }
        }
    }

    fn part_arrived(&mut self, fetch: FetchId, unit: UnitKey, part: u32, bytes: u64, media: Duration) {
        let (there, now) = (self.parts.add(unit, part, bytes, media), self.now);
        self.players.values_mut().for_each(|(_, player)| player.arrived(unit, there, now));
        let delivered = Delivered { len: bytes, wire_len: bytes, from_store: false };
        self.feed(Input::Fetched { fetch, result: Ok(delivered) });
    }

    /// Waits for what was asked for ahead.
    fn take(&mut self, ahead: FetchId, fetch: FetchId, unit: UnitKey, part: Option<u32>, request: &UnitRequest) {
        let len = request.range.map(|range| range.len);
        match self.streams.get_mut(&ahead) {
            Some(stream) => stream.cut = Some(Cut { fetch, unit, part, len }),
            // It has failed, and word of that is on its way.
            None => self.fault(fetch, FailureKind::Unreachable, None, Duration::ZERO),
        }
        // What follows is told in turn.
        self.at(self.now, Input::Progress { fetch: ahead, bytes: 0 });
    }

    fn fetch_part(&mut self, fetch: FetchId, unit: UnitKey, part: u32, request: &UnitRequest, ahead: Option<FetchId>) {
        if let Some(ahead) = ahead {
            return self.take(ahead, fetch, unit, Some(part), request);
        }
        match self.world.ask(&request.url, request.range, self.now) {
            Outcome::Media(flows) => self.begin_stream(fetch, Purpose::Part(unit, part), flows),
            Outcome::Bytes(_) | Outcome::Text(_) | Outcome::Late(..) => {
                self.fault(fetch, FailureKind::NotMedia, None, self.world.latency);
            }
            Outcome::Fault { kind, status, after } => self.fault(fetch, kind, status, after),
            Outcome::Silence => {}
        }
    }

    fn feed(&mut self, input: Input) {
        let now = Now { at: self.now, wall: self.date() };
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
            if let HlsEvent::Live { event: LiveEvent::Latency { rate, .. } } = event
                && self.keeps_up
            {
                let now = self.now;
                self.players.values_mut().for_each(|(_, player)| player.play_at(rate, now));
            }
        }
    }

    fn note(&mut self, what: &dyn fmt::Display) {
        let seconds = Duration::from_nanos(self.now.as_nanos()).as_secs_f64();
        self.transcript.lines.push(format!("{seconds:9.3} {what}"));
    }

    fn carry_out(&mut self, action: Action) {
        let first_byte = self.now.saturating_add(self.world.latency);
        match action {
            Action::LoadPlaylist { id, url, limit, .. } => {
                let longest = limit.unwrap_or(LONGEST_LOAD);
                let (at, result) = match self.world.ask(&url, None, self.now) {
                    Outcome::Late(_, after) if after + self.world.latency > longest => {
                        (self.now + longest, Err(FetchFailure::new(FailureKind::Unreachable)))
                    }
                    Outcome::Silence => (self.now + longest, Err(FetchFailure::new(FailureKind::Unreachable))),
                    Outcome::Text(text) => (first_byte, Ok(loaded(url, &text))),
                    Outcome::Late(text, after) => (first_byte + after, Ok(loaded(url, &text))),
                    Outcome::Bytes(_) | Outcome::Media(_) => {
                        (first_byte, Err(FetchFailure::new(FailureKind::Playlist)))
                    }
                    Outcome::Fault { after, .. } if after > longest => {
                        (self.now + longest, Err(FetchFailure::new(FailureKind::Unreachable)))
                    }
                    Outcome::Fault { kind, status, after } => (self.now + after, Err(failure(kind, status))),
                };
                // Of two loads of a playlist only the newer one is answered.
                self.queue.retain(|_, input| !matches!(input, Input::Playlist { id: other, .. } if *other == id));
                self.at(at, Input::Playlist { id, result });
            }
            Action::Fetch { fetch, unit, request, ahead: None } => self.fetch(fetch, unit, &request),
            Action::Fetch { fetch, unit, request, ahead: Some(ahead) } => self.take(ahead, fetch, unit, None, &request),
            Action::Keep { fetch, unit, request } => self.keep(fetch, unit, &request),
            Action::Forget { url, .. } => {
                if let Some(stored) = &mut self.stored {
                    stored.remove(url.path());
                }
            }
            Action::AskAhead { fetch, request, .. } => match self.world.ask(&request.url, request.range, self.now) {
                Outcome::Media(flows) => self.begin_stream(fetch, Purpose::Ahead, flows),
                Outcome::Bytes(_) | Outcome::Text(_) | Outcome::Late(..) => {
                    self.fault(fetch, FailureKind::NotMedia, None, self.world.latency);
                }
                Outcome::Fault { kind, status, after } => self.fault(fetch, kind, status, after),
                Outcome::Silence => self.begin_stream(fetch, Purpose::Ahead, vec![Flow::NEVER]),
            },
            Action::FetchPart { fetch, unit, part, request, ahead } => {
                self.fetch_part(fetch, unit, part, &request, ahead);
            }
            Action::Close { fetch, unit } => {
                let (len, media) = self.parts.total(unit);
                self.complete(unit, Some(media));
                let delivered = Delivered { len, wire_len: len, from_store: false };
                self.at(self.now, Input::Fetched { fetch, result: Ok(delivered) });
            }
            Action::Size { fetch, request, .. } => {
                let result = match self.world.ask(&request.url, request.range, self.now) {
                    Outcome::Bytes(bytes) => Ok(bytes),
                    Outcome::Media(flows) => Ok(flows.iter().map(|flow| flow.bytes).sum()),
                    Outcome::Text(_) | Outcome::Late(..) => Err(FetchFailure::new(FailureKind::NotMedia)),
                    Outcome::Fault { kind, status, .. } => Err(failure(kind, status)),
                    Outcome::Silence => Err(FetchFailure::new(FailureKind::Unreachable)),
                };
                self.at(first_byte, Input::Sized { fetch, result });
            }
            Action::Cancel { fetch } => {
                self.link.remove(fetch);
                self.under_way.remove(&fetch);
                self.streams.remove(&fetch);
                for stream in self.streams.values_mut() {
                    stream.cut.take_if(|cut| cut.fetch == fetch);
                }
            }
            Action::FetchKey { key, request } => {
                let result = match self.world.ask(&request.url, None, self.now) {
                    Outcome::Bytes(_) | Outcome::Media(_) | Outcome::Text(_) | Outcome::Late(..) => Ok(()),
                    Outcome::Fault { kind, status, .. } => Err(failure(kind, status)),
                    Outcome::Silence => Err(FetchFailure::new(FailureKind::Unreachable)),
                };
                self.at(first_byte, Input::Key { key, result, cached: false });
            }
            Action::Enter { reader, entry } => {
                let ready = self.ready.get(&entry.unit).map(|media| There::Whole(*media));
                let there = ready.unwrap_or_else(|| self.parts.of(entry.unit));
                let init = entry.init.filter(|init| self.ready.contains_key(init));
                let now = self.now;
                if let Some((_, player)) = self.players.get_mut(&reader) {
                    init.into_iter().for_each(|init| player.arrived(init, There::Whole(None), now));
                    player.enter(entry, there);
                }
            }
            Action::Release { unit } => {
                self.ready.remove(&unit);
                self.parts.remove(unit);
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
            None => self.world.ask(&request.url, request.range, self.now),
        };
        let from_store = stored.is_some();
        let latency = if from_store { Duration::from_millis(1) } else { self.world.latency };
        match outcome {
            outcome @ (Outcome::Bytes(_) | Outcome::Media(_)) => {
                let bytes = match outcome {
                    Outcome::Bytes(whole) => request.range.map_or(whole, |range| range.len),
                    Outcome::Media(flows) => flows.iter().map(|flow| flow.bytes).sum(),
                    _ => 0,
                };
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
            Outcome::Silence => self.fault(fetch, FailureKind::Unreachable, None, LONGEST_SILENCE),
        }
    }

    fn keep(&mut self, fetch: FetchId, unit: UnitKey, request: &UnitRequest) {
        let path = request.url.path().to_owned();
        let (kind, status, after) = match self.world.ask(&request.url, request.range, self.now) {
            Outcome::Bytes(whole) => {
                let bytes = request.range.map_or(whole, |range| range.len);
                self.link.add(fetch, self.now + self.world.latency, bytes);
                self.under_way.insert(fetch, Carried { unit, path, bytes, keeps: true, from_store: false });
                return;
            }
            Outcome::Media(flows) => {
                let bytes = flows.iter().map(|flow| flow.bytes).sum();
                self.link.add(fetch, self.now + self.world.latency, bytes);
                self.under_way.insert(fetch, Carried { unit, path, bytes, keeps: true, from_store: false });
                return;
            }
            Outcome::Text(_) | Outcome::Late(..) => (FailureKind::NotMedia, None, self.world.latency),
            Outcome::Fault { kind, status, after } => (kind, status, after),
            Outcome::Silence => (FailureKind::Unreachable, None, LONGEST_SILENCE),
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

fn loaded(url: Url, text: &str) -> PlaylistText {
    PlaylistText { url, text: text.to_string(), from_store: false, age: None, may_be_cut: false }
}
