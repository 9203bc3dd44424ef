//! The session: everything an HLS client decides, as one machine.
//!
//! A driver tells it what happened ([`Input`], with the time), and carries out what it wants ([`Action`]). It never asks
//! the clock, never waits and never touches a byte of media; the same inputs give the same actions and events.
//!
//! ```text
//!           Input                                    Action
//!   driver ───────▶ catalog   which playlists, when ───────▶ LoadPlaylist
//!                   addresses where they are now             Resolve
//!                   reading   where readers stand            Attach  Place  Enter  Refuse
//!                   planning  which units, in which order    Fetch  Size  Cancel  Release  FetchKey  ForgetKey
//!                   delivery  what came of it, what else     Abandon  Resolve  Fail
//! ```
//!
//! After each input the session settles: readers that can be served are served, and the plan is brought up to date.

mod action;
mod adaptation;
mod addresses;
mod catalog;
mod chance;
mod delivery;
mod event;
mod extending;
mod failover;
mod failure;
mod ids;
mod input;
mod keeping;
mod keys;
mod latency;
mod live;
mod live_event;
mod low_latency;
mod media;
mod options;
mod parts;
mod planning;
mod readers;
mod reading;
mod selecting;
mod stats;
mod status;
mod steering;
mod tune_in;
mod units;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use url::Url;

pub use self::{
    action::{Action, Entry, KeyRequest, OPEN_END, RunReason, RunStart, UnitRequest, Urgency},
    event::{HlsEvent, Remedy, WaitReason},
    failure::{Failure, FailureKind, FetchFailure, Subject},
    ids::{FetchId, KeyId, MediaId, Place, PlaylistId, ReaderId, RunId, Track, UnitKey},
    input::{Command, Delivered, Demand, Head, Input, PlaylistText, View},
    live_event::LiveEvent,
    options::{
        LiveOptions, LiveStart, MediaSelection, OnMissing, PlaybackOptions, ReaderOptions, SessionOptions,
        VariantChoice,
    },
    stats::{NetworkLoad, Stats, TrackBuffer},
    status::{Listed, RenditionStatus, Status, VariantStatus},
};
use self::{
    adaptation::Adaptation,
    addresses::Application,
    catalog::Primary,
    chance::Chance,
    keys::Keys,
    latency::LatencyWatch,
    media::Media,
    readers::{Reader, ReaderState},
    selecting::Selecting,
    stats::Counts,
    steering::SteeringState,
    units::Units,
};
use crate::{
    playlist::{MultivariantPlaylist, VariantId},
    time::{Now, Tick},
    timeline::TimestampMap,
};

/// One stream being read.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    opened: Tick,
    now: Now,
    primary: Primary,
    application: Application,
    multivariant: Option<Arc<MultivariantPlaylist>>,
    /// What it offers, for the status.
    offered: (Arc<[VariantStatus]>, Arc<[RenditionStatus]>),
    medias: BTreeMap<MediaId, Media>,
    /// The variant units of the main track are planned from.
    variant: Option<VariantId>,
    selecting: Selecting,
    steering: SteeringState,
    readers: BTreeMap<ReaderId, Reader>,
    units: Units,
    keys: Keys,
    adaptation: Adaptation,
    latency: LatencyWatch,
    counts: Counts,
    chance: Chance,
    /// Where media timelines lie in presentation time; set once for each.
    timestamps: TimestampMap,
    actions: VecDeque<Action>,
    events: VecDeque<HlsEvent>,
    over: Option<Failure>,
}

impl Session {
    /// A session that begins by loading the playlist at `url`.
    pub fn new(url: Url, options: SessionOptions, now: Now) -> Self {
        let mut session = Self {
            opened: now.at,
            now,
            primary: Primary::new(url),
            application: Application::default(),
            multivariant: None,
            offered: Default::default(),
            medias: BTreeMap::new(),
            variant: None,
            selecting: Selecting::default(),
            steering: SteeringState::default(),
            readers: BTreeMap::new(),
            units: Units::default(),
            keys: Keys::default(),
            adaptation: Adaptation::new(&options),
            latency: LatencyWatch::default(),
            counts: Counts::default(),
            chance: Chance::new(options.seed),
            timestamps: TimestampMap::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            over: None,
            options,
        };
        session.load_primary();
        session
    }

    /// Takes one input. Time never goes back: an input that is older than the one before counts as that old.
    pub fn handle(&mut self, now: Now, input: Input) {
        let (before, due) = (self.now, self.poll_timeout());
        self.now = Now { at: now.at.max(self.now.at), wall: now.wall.or(self.now.wall) };
        if self.over.is_some() {
            return;
        }
        self.watch_clocks(before, now.wall, due);
        self.count_input(&input);
        match input {
            Input::Playlist { id, result } => self.handle_playlist(id, result),
            Input::Head { fetch, head } => self.handle_head(fetch, head),
            Input::Progress { fetch, bytes } => self.handle_progress(fetch, bytes),
            Input::Fetched { fetch, result } => self.handle_fetched(fetch, result),
            Input::Unconfirmed { id, cause } => {
                let error = Failure { subject: Subject::Playlist(id), cause };
                self.tell(HlsEvent::Error { error, recoverable: true });
            }
            Input::Sized { fetch, result } => self.handle_sized(fetch, result),
            Input::Key { key, result, cached } => self.handle_key(key, result, cached),
            Input::MediaTime { unit, dsn, start, time } => self.handle_media_time(unit.media, dsn, start, time),
            Input::Kept { fetch, result } => self.handle_kept(fetch, result),
            Input::Dropped { unit } => self.handle_dropped(unit),
            Input::Demand { reader, demand } => self.handle_demand(reader, demand),
            Input::Command(command) => self.handle_command(command),
            Input::Timeout => {}
        }
        if self.over.is_none() {
            self.watch_playlists();
            self.load_due_playlists();
            self.settle_readers();
            self.plan_units();
            self.count_stalls();
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<HlsEvent> {
        self.events.pop_front()
    }

    /// When the session wants [`Input::Timeout`] if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Tick> {
        if self.over.is_some() {
            return None;
        }
        let units = [self.units.next_wake(self.now.at), self.next_part_wake()];
        let others = [self.next_playlist_load(), self.next_watch(), self.next_keep()];
        units.into_iter().chain(others).flatten().min()
    }

    /// Why the session is over, if it is.
    pub fn failure(&self) -> Option<&Failure> {
        self.over.as_ref()
    }

    /// Whether a reader of units has planned this one and not entered it yet.
    pub fn is_awaited(&self, unit: UnitKey) -> bool {
        self.readers.values().any(|reader| match &reader.state {
            ReaderState::Adaptive(adaptive) => adaptive.is_planned(unit),
            ReaderState::Flat(_) => false,
        })
    }

    /// How long the playlist says that a segment is; `None` for what is none, or is not listed.
    pub fn duration_of(&self, unit: UnitKey) -> Option<Duration> {
        let timeline = self.medias.get(&unit.media)?.timeline.as_ref()?;
        Some(timeline.segment(unit.msn()?)?.duration)
    }

    fn tick(&self) -> Tick {
        self.now.at
    }

    fn act(&mut self, action: Action) {
        self.counts.wanted(&action);
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: HlsEvent) {
        self.counts.told(&event);
        self.events.push_back(event);
    }

    /// Reports a wait that began then.
    fn tell_waiting(&mut self, reason: WaitReason, since: Tick) {
        self.tell(HlsEvent::Waiting { reason, since: since.since(self.opened) });
    }

    /// Ends the session.
    fn fail(&mut self, failure: Failure) {
        let fetches: Vec<FetchId> = self.units.fetches.keys().chain(self.units.hinted.keys()).copied().collect();
        for fetch in fetches {
            self.act(Action::Cancel { fetch });
        }
        self.units.fetches.clear();
        self.units.hinted.clear();
        self.tell(HlsEvent::Error { error: failure.clone(), recoverable: false });
        self.act(Action::Fail { failure: failure.clone() });
        self.over = Some(failure);
    }
}
