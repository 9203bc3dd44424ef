//! The driver: the one task that owns a session.
//!
//! It feeds the session with what happens and carries out what the session wants through the three managers. Nobody else
//! can touch the session: commands come in on a channel, a status goes out on a watch, events on a broadcast.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kithara_demux::Container;
use kithara_fetch::{
    Ask, AskReason, FetchError, Located, UrlResolver,
    net::{NetError, RedactedUrl, address::Provenance},
    resolve_in_time,
};
use kithara_hls_core::{
    playlist::DiscontinuitySequence,
    session::{
        Action, Command, Delivered, Demand, Entry, Failure, FailureKind, FetchFailure, FetchId, Head, Input, KeyId,
        KeyRequest, Listed, MediaId, PlaylistId, ReaderId, Session, Stats, Status, Subject, UnitKey, UnitRequest,
    },
    time::{MediaTime, Now, Tick, WallTime},
    timeline::TimestampMap,
};
use kithara_stream::{Source, UnitBody};
use tokio::{
    sync::{Mutex, broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::Instrument;
use url::Url;

use crate::{
    HlsEvent,
    ahead::{Ahead, AheadTask, Taken},
    delivery::Slot,
    error::HlsError,
    keep::KeepTask,
    keys::{Asking, FetchedKey, KeyManager, KeyState, fetch_key},
    options::KeyCache,
    part_task::{PartTask, close_unit},
    playlists::{Brought, Known, confirm, load_playlist, stored_playlist},
    requests::Requests,
    segments::{Handed, Item},
    shelf::Shelf,
    sizes::size_of,
    standing::Standing,
    trace_file::TraceFile,
    unit_task::UnitTask,
};

/// A failure on its way to the session.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: FailureKind,
    pub(crate) error: HlsError,
}

impl From<HlsError> for Failed {
    fn from(error: HlsError) -> Self {
        Self { kind: error.kind(), error }
    }
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        HlsError::from(error).into()
    }
}

/// What tasks tell the driver.
pub(crate) enum Report {
    Playlist { id: PlaylistId, load: u64, result: Result<Brought, HlsError> },
    Confirmed { id: PlaylistId, load: u64, result: Result<Provenance, Failed> },
    Head { fetch: FetchId, head: Head },
    Progress { fetch: FetchId, bytes: u64 },
    Fetched { fetch: FetchId, result: Result<Delivered, Failed> },
    Sized { fetch: FetchId, result: Result<u64, Failed> },
    Kept { fetch: FetchId, result: Result<u64, Failed> },
    Key { key: KeyId, result: Result<FetchedKey, HlsError> },
    Resolved { result: Result<Located, HlsError> },
}

/// What handles tell the driver.
pub(crate) enum Order {
    /// And say when it is done.
    Command { command: Command, done: oneshot::Sender<()> },
    /// The first timestamp of a unit that was entered. And say when what follows from it is carried out.
    MediaTime { unit: UnitKey, dsn: DiscontinuitySequence, start: Duration, time: MediaTime, done: oneshot::Sender<()> },
    /// A reader of units: where its units go, and its count of seeks if it goes where the session goes.
    Feed { reader: ReaderId, items: mpsc::Sender<Handed>, seeks: Option<Arc<AtomicU64>> },
    /// End, and say when it is done.
    Close { done: oneshot::Sender<()> },
}

/// A unit on its way.
struct Shelved {
    slot: Arc<Mutex<Slot>>,
    body: UnitBody,
    container: watch::Sender<Option<Container>>,
    /// How many parts were appended to it, where it is put together from parts.
    turn: watch::Sender<u32>,
    /// The parts that were ordered, those that are over left out from time to time.
    parts: Vec<FetchId>,
    /// Keeps what others have read for a reader of units that will enter it.
    kept: Option<UnitBody>,
}

/// A unit that a reader enters when others have let go of bytes of it: it is fetched once more.
struct Late {
    reader: ReaderId,
    seek: u64,
    entry: Entry,
    /// So that their transfers do not wait for one of the others, and nobody else lets go of more.
    _held: (Option<UnitBody>, UnitBody),
}

/// What a driver is made of; all ends of its channels exist before it does.
pub(crate) struct Parts {
    pub(crate) session: Session,
    /// The primary playlist, where it was loaded before the session began.
    pub(crate) playlist: Option<Brought>,
    pub(crate) requests: Requests,
    pub(crate) standing: Standing,
    pub(crate) resolver: Option<(Arc<dyn UrlResolver>, Url)>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) events: broadcast::Sender<HlsEvent>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) stats: watch::Sender<Stats>,
    pub(crate) listed: watch::Sender<Option<Listed>>,
    pub(crate) timestamps: watch::Sender<TimestampMap>,
    pub(crate) trace: Option<TraceFile>,
    pub(crate) started: Instant,
    pub(crate) cancel: CancellationToken,
}

/// The last load of a playlist.
struct PlaylistLoad {
    number: u64,
    cancel: CancellationToken,
    /// Ends when its task does; nothing is sent.
    gone: oneshot::Receiver<Infallible>,
}

/// The task.
pub(crate) struct Driver {
    // Dropped first: whatever the rest lets go of finds the reason on the shelf.
    _end: End,
    parts: Parts,
    keys: KeyManager,
    shelved: HashMap<UnitKey, Shelved>,
    /// What the deliveries of the unit showed that was to be kept last.
    keeping: Option<(UnitKey, Arc<Mutex<Slot>>)>,
    running: HashMap<FetchId, CancellationToken>,
    /// What was asked for ahead and is not announced yet, or not used up.
    ahead: HashMap<FetchId, Ahead>,
    feeds: HashMap<ReaderId, mpsc::Sender<Handed>>,
    /// The count of seeks of each reader that goes where the session goes.
    moved: HashMap<ReaderId, Arc<AtomicU64>>,
    /// How often readers of units have sought.
    seeks: HashMap<ReaderId, u64>,
    late: Vec<Late>,
    /// Loads of playlists under way, or the last ones, and how many there were.
    loads: HashMap<PlaylistId, PlaylistLoad>,
    next_load: u64,
    /// Where playlists were last loaded from, for errors.
    playlists: HashMap<PlaylistId, RedactedUrl>,
    /// What was loaded last of each, so that the origin need not send it again.
    known: HashMap<PlaylistId, Known>,
    /// What each playlist is as the namer of URLs.
    namers: HashMap<PlaylistId, Provenance>,
    /// The primary playlist came from the store.
    is_stored: bool,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    /// Full errors by the number the session knows them by; the oldest go first.
    errors: BTreeMap<u64, HlsError>,
    next_error: u64,
    tasks: TaskTracker,
    over: bool,
}

/// Tells readers that the task is gone, however it went: it may be dropped with its runtime, or unwind.
struct End(Arc<Shelf>);

impl Drop for End {
    fn drop(&mut self) {
        // A session that was closed has said so before, and the first word stands.
        self.0.close(HlsError::Driver("its task is gone, perhaps with the runtime it was opened on".into()));
    }
}

/// Reports that may wait for the driver; tasks that have more to say wait, too.
const INBOX: usize = 64;
/// Errors remembered for events that are about to be told.
const ERRORS: usize = 256;
/// How long the resolver may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(30);

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let (reports, inbox) = mpsc::channel(INBOX);
        Self {
            _end: End(Arc::clone(&parts.shelf)),
            parts,
            keys: KeyManager::default(),
            shelved: HashMap::new(),
            keeping: None,
            running: HashMap::new(),
            ahead: HashMap::new(),
            feeds: HashMap::new(),
            moved: HashMap::new(),
            seeks: HashMap::new(),
            late: Vec::new(),
            loads: HashMap::new(),
            next_load: 0,
            playlists: HashMap::new(),
            known: HashMap::new(),
            namers: HashMap::new(),
            is_stored: false,
            reports,
            inbox,
            errors: BTreeMap::new(),
            next_error: 0,
            tasks: TaskTracker::new(),
            over: false,
        }
    }

    /// Runs until the last handle is gone or somebody closes the session. One that failed is still there for those who
    /// ask why.
    pub(crate) async fn run(mut self) {
        self.settle();
        let closed = loop {
            let due = self.parts.session.poll_timeout().map(|tick| self.instant(tick));
            tokio::select! {
                biased;
                () = self.parts.cancel.cancelled() => break None,
                order = self.parts.orders.recv() => match order {
                    None => break None,
                    Some(Order::Close { done }) => break Some(done),
                    Some(order) => self.handle_order(order),
                },
                report = self.inbox.recv() => {
                    // The driver holds a sender itself, so the channel cannot be closed.
                    let Some(report) = report else { break None };
                    self.handle_report(report);
                }
                () = self.parts.shelf.demands.notified() => self.handle_demands(),
                () = sleep_until(due) => self.feed(Input::Timeout),
            }
            self.settle();
        };
        self.shut_down().await;
        if let Some(done) = closed {
            let _ = done.send(());
        }
    }

    async fn shut_down(mut self) {
        self.parts.cancel.cancel();
        // What tasks and readers said before is still told; whatever it leads to is cancelled before it begins.
        while let Ok(report) = self.inbox.try_recv() {
            self.handle_report(report);
        }
        self.handle_demands();
        self.settle();
        self.parts.shelf.close(HlsError::Closed);
        self.tasks.close();
        // Tasks that want to report find the inbox closed and end.
        self.inbox.close();
        self.tasks.wait().await;
        for shelved in self.shelved.into_values() {
            shelved.slot.lock().await.fail(HlsError::Closed);
        }
        self.parts.requests.settled().await;
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Command { command, done } => {
                // What readers said before it comes before it, so that one that was opened is moved by a seek; what they
                // say after it waits until it is done.
                self.handle_demands();
                if matches!(command, Command::Seek(_)) {
                    self.count_seek();
                }
                self.feed(Input::Command(command));
                // Whoever gave it may have stopped waiting.
                let _ = done.send(());
            }
            Order::MediaTime { unit, dsn, start, time, done } => {
                self.feed(Input::MediaTime { unit, dsn, start, time });
                self.settle();
                // A reader that moved on meanwhile does not wait.
                let _ = done.send(());
            }
            Order::Feed { reader, items, seeks } => {
                // A feed that nothing will fill is closed, and its reader finds the reason on the shelf.
                if !self.over {
                    self.feeds.insert(reader, items);
                    self.moved.extend(seeks.map(|seeks| (reader, seeks)));
                }
            }
            // Handled where it ends the loop.
            Order::Close { .. } => {}
        }
    }

    /// The session moves all its readers: for each that is a seek of its own, so that it lets go of what it was handed.
    fn count_seek(&mut self) {
        self.settle();
        for (reader, seeks) in &self.moved {
            let number = seeks.fetch_add(1, Ordering::AcqRel) + 1;
            self.seeks.insert(*reader, number);
        }
    }

    fn handle_demands(&mut self) {
        let (demands, lost) = self.parts.shelf.take_demands();
        for unit in lost {
            self.feed(Input::Dropped { unit });
        }
        for (reader, demand) in demands {
            match demand {
                Demand::Close => {
                    self.feeds.remove(&reader);
                    self.moved.remove(&reader);
                    self.seeks.remove(&reader);
                }
                Demand::Seek { number, .. } => {
                    // What the session said before this is about the place that is left.
                    self.settle();
                    // The session may have moved it meanwhile, which counts as well.
                    let known = self.seeks.entry(reader).or_default();
                    *known = number.max(*known);
                }
                _ => {}
            }
            self.feed(Input::Demand { reader, demand });
        }
    }

    fn handle_report(&mut self, report: Report) {
        let input = match report {
            // A load that was given up may have said something before it ended.
            Report::Playlist { id, load, .. } if self.loads.get(&id).is_none_or(|last| last.number != load) => return,
            Report::Playlist { id, result, .. } => {
                if let Ok(brought) = &result {
                    self.namers.insert(id, brought.provenance);
                    self.is_stored |= id == PlaylistId::Primary && brought.playlist.from_store;
                }
                let result = result.map(|brought| brought.playlist);
                Input::Playlist { id, result: result.map_err(|error| self.failure(error.into())) }
            }
            Report::Confirmed { id, load, .. } if self.loads.get(&id).is_none_or(|last| last.number != load) => return,
            Report::Confirmed { id, result: Ok(provenance), .. } => {
                self.namers.insert(id, provenance);
                return;
            }
            Report::Confirmed { id, result: Err(failed), .. } => Input::Unconfirmed { id, cause: self.failure(failed) },
            Report::Head { fetch, head } => Input::Head { fetch, head },
            Report::Progress { fetch, bytes } => Input::Progress { fetch, bytes },
            Report::Fetched { fetch, result } => {
                self.running.remove(&fetch);
                Input::Fetched { fetch, result: result.map_err(|failed| self.failure(failed)) }
            }
            Report::Sized { fetch, result } => {
                self.running.remove(&fetch);
                Input::Sized { fetch, result: result.map_err(|failed| self.failure(failed)) }
            }
            Report::Kept { fetch, result } => {
                self.running.remove(&fetch);
                Input::Kept { fetch, result: result.map_err(|failed| self.failure(failed)) }
            }
            Report::Key { key, result } => {
                let cached = result.as_ref().is_ok_and(|fetched| fetched.cached);
                let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
                for follower in self.keys.settle(key, result.clone().map(|fetched| fetched.key)) {
                    let result = result.clone().map(|fetched| FetchedKey { cached: true, ..fetched });
                    self.handle_report(Report::Key { key: follower, result });
                }
                Input::Key { key, result: outcome.map_err(|error| self.failure(error.into())), cached }
            }
            Report::Resolved { result } => {
                let result = match result {
                    Ok(located) => {
                        self.parts.requests.relocate(&located);
                        Ok(located.url)
                    }
                    Err(error) => Err(self.failure(error.into())),
                };
                Input::Command(Command::Resolved(result))
            }
        };
        self.feed(input);
    }

    /// Gives the error a number the session can carry.
    fn failure(&mut self, failed: Failed) -> FetchFailure {
        self.next_error += 1;
        let (status, retry_after) = (failed.error.status(), failed.error.retry_after());
        let in_vain = failed.error.net().map_or(Duration::ZERO, NetError::in_vain);
        self.errors.insert(self.next_error, failed.error);
        while self.errors.len() > ERRORS {
            self.errors.pop_first();
        }
        let report = self.next_error;
        FetchFailure { status, retry_after, in_vain, report, ..FetchFailure::new(failed.kind) }
    }

    fn error_of(&self, failure: &Failure) -> HlsError {
        let url = match failure.subject {
            Subject::Playlist(id) => self.playlists.get(&id).cloned(),
            Subject::Unit(_) | Subject::Session => None,
        };
        HlsError::from_failure(failure, url, self.errors.get(&failure.cause.report).cloned())
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        if let Some(trace) = &mut self.parts.trace
            && let Err(error) = trace.input(now, &input)
        {
            tracing::warn!(%error, "the trace cannot be written and ends here");
            self.parts.trace = None;
        }
        self.parts.session.handle(now, input);
    }

    /// Carries out and tells whatever follows from the last input.
    fn settle(&mut self) {
        if matches!(self.parts.requests.options().key.cache, KeyCache::Never) {
            self.keys.wipe_unused();
        }
        // First of all the status: whoever an action wakes finds it as it is now.
        let status = self.parts.session.status();
        self.parts.standing.follow(&status);
        self.parts.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
        // Nobody waits for the numbers: they are looked at.
        self.parts.stats.send_replace(self.parts.session.stats());
        if let Some(listed) = self.parts.session.listed() {
            self.parts.listed.send_if_modified(|old| {
                let changed = old.as_ref().is_none_or(|old| !old.is_same(&listed));
                if changed {
                    *old = Some(listed);
                }
                changed
            });
        }
        self.carry_out_all();
        if !self.late.is_empty() {
            self.renew();
            self.carry_out_all();
            self.enter_late();
        }
        while let Some(event) = self.parts.session.poll_event() {
            tracing::debug!(%event, "event");
            let event = event.map_error(|failure| self.error_of(&failure));
            // Nobody needs to listen.
            let _ = self.parts.events.send(event);
        }
    }

    fn carry_out_all(&mut self) {
        while let Some(action) = self.parts.session.poll_action() {
            tracing::trace!(%action, "action");
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        let shelf = Arc::clone(&self.parts.shelf);
        match action {
            Action::LoadPlaylist { id, url, again, limit } => self.load_playlist(id, url, again, limit),
            Action::Fetch { fetch, unit, request, ahead } => self.fetch(fetch, unit, request, ahead),
            Action::AskAhead { fetch, media, request, patience } => {
                self.ask_ahead(fetch, media, &request, patience);
            }
            Action::FetchPart { fetch, unit, part, request, ahead } => {
                self.fetch_part(fetch, unit, part, request, ahead);
            }
            Action::Close { fetch, unit } => self.close_unit(fetch, unit),
            Action::Size { fetch, unit, request } => self.size(fetch, unit, request),
            Action::Keep { fetch, unit, request } => self.keep(fetch, unit, request),
            Action::Forget { url, .. } => self.parts.requests.forget(&url),
            Action::Cancel { fetch } => {
                if let Some(cancel) = self.running.remove(&fetch) {
                    cancel.cancel();
                }
                self.ahead.remove(&fetch);
            }
            Action::FetchKey { key, request } => self.fetch_key(key, request),
            Action::Place { media, unit, offset } => shelf.place(media, unit, offset),
            Action::Length { media, len } => shelf.set_len(media, len),
            Action::Attach { reader, media } => shelf.attach(reader, media),
            Action::Refuse { reader, failure } => {
                let error = self.error_of(&failure);
                self.hand_over(reader, Item::Failed(error.clone()));
                shelf.refuse(reader, error);
            }
            Action::Release { unit } => {
                shelf.remove(unit);
                self.shelved.remove(&unit);
            }
            Action::Abandon { unit, failure } => {
                let error = self.error_of(&failure);
                self.end_unit(unit, move |slot| slot.fail(error));
            }
            Action::Cut { unit } => self.end_unit(unit, Slot::cut),
            Action::Enter { reader, entry } => self.enter(reader, entry),
            Action::EndOfStream { reader } => self.hand_over(reader, Item::End),
            Action::MapTimestamps { dsn, offset } => {
                self.parts.timestamps.send_modify(|map| map.set(dsn, offset));
            }
            Action::ForgetKey { key } => self.keys.forget(key),
            Action::Displace { media, offset } => shelf.displace(media, offset),
            Action::Resolve { failure, attempt } => self.resolve(&failure, attempt),
            Action::Fail { failure } => self.fail(&failure),
        }
    }

    fn load_playlist(&mut self, id: PlaylistId, url: Url, again: bool, limit: Option<Duration>) {
        self.playlists.insert(id, RedactedUrl::new(&url));
        let requests = match id {
            // What the application opened, or answered when it was asked where that is now.
            PlaylistId::Primary => self.parts.requests.clone(),
            PlaylistId::Media(_) | PlaylistId::Steering => self.named_by(&[PlaylistId::Primary, PlaylistId::Steering]),
        };
        let reports = self.reports.clone();
        let known = self.known.entry(id).or_default().clone();
        let loaded = self.parts.playlist.take_if(|_| id == PlaylistId::Primary && !again);
        self.next_load += 1;
        let (load, cancel) = (self.next_load, self.parts.cancel.child_token());
        let (task_is_there, gone) = oneshot::channel::<Infallible>();
        let before = self.loads.insert(id, PlaylistLoad { number: load, cancel: cancel.clone(), gone });
        if let Some(before) = &before {
            before.cancel.cancel();
        }
        let span = tracing::debug_span!("playlist", %id, url = %RedactedUrl::new(&url));
        // What streams are named is as old as the playlist that names them.
        let stored_first = !again && (id == PlaylistId::Primary || (self.is_stored && id != PlaylistId::Steering));
        let task = async move {
            let _task_is_there = task_is_there;
            if let Some(before) = before {
                // It would be joined, lost as it may be.
                let _ = before.gone.await;
            }
            if let Some(playlist) = loaded {
                let _ = reports.send(Report::Playlist { id, load, result: Ok(playlist) }).await;
                return;
            }
            let stored = if stored_first { stored_playlist(&requests, &url).await } else { None };
            let Some(stored) = stored else {
                let result = load_playlist(requests, id, url, again, limit, known).await;
                let _ = reports.send(Report::Playlist { id, load, result }).await;
                return;
            };
            let begun = stored.playlist.text.clone();
            let _ = reports.send(Report::Playlist { id, load, result: Ok(stored) }).await;
            let result = confirm(begun, requests, id, url, known).await;
            let _ = reports.send(Report::Confirmed { id, load, result }).await;
        };
        self.spawn(cancel, task.instrument(span));
    }

    fn fetch_key(&mut self, key: KeyId, request: KeyRequest) {
        let name = self.parts.requests.name_of_key(&request);
        match self.keys.asked(key, &request, name) {
            Asking::Fetch => {}
            Asking::Follow => return,
            Asking::Here(known) => {
                let result = Ok(FetchedKey { key: known, cached: true });
                return self.handle_report(Report::Key { key, result });
            }
        }
        let (requests, reports) = (self.named_in(request.named_by), self.reports.clone());
        let span = tracing::debug_span!("key", %key, url = %RedactedUrl::new(&request.url));
        let task = async move {
            let result = fetch_key(requests, request).await;
            let _ = reports.send(Report::Key { key, result }).await;
        };
        self.spawn(self.parts.cancel.clone(), task.instrument(span));
    }

    /// Requests for what the playlist of a stream names; a stream without a playlist of its own is that of the primary one.
    fn named_in(&self, media: Option<MediaId>) -> Requests {
        let own = media.map(PlaylistId::Media).filter(|id| self.namers.contains_key(id));
        self.named_by(&[own.unwrap_or(PlaylistId::Primary)])
    }

    fn named_by(&self, playlists: &[PlaylistId]) -> Requests {
        let namer = playlists.iter().filter_map(|id| self.namers.get(id)).max();
        self.parts.requests.named_by(namer.copied().unwrap_or_default())
    }

    /// Where a unit waits for its key, which is asked for again where it was wiped.
    fn wait_for_key(&mut self, request: &UnitRequest) -> Option<watch::Receiver<KeyState>> {
        let key = request.encryption?.key;
        if let Some(again) = self.keys.recall(key) {
            self.fetch_key(key, again);
        }
        Some(self.keys.wait_for(key))
    }

    fn fetch(&mut self, fetch: FetchId, unit: UnitKey, request: UnitRequest, ahead: Option<FetchId>) {
        let ahead = self.take_ahead(ahead, &request);
        let requests = self.named_in(Some(unit.media));
        let shelved = self.shelved.entry(unit).or_insert_with(|| Shelved::new(&self.parts.shelf));
        self.parts.shelf.put(unit, shelved.body.clone());
        if self.parts.session.is_awaited(unit) {
            shelved.keep();
        }
        let body = shelved.body.clone();
        let (slot, container) = (Arc::clone(&shelved.slot), shelved.container.clone());
        let task = UnitTask {
            fetch,
            unit,
            key: self.wait_for_key(&request),
            duration: self.parts.session.duration_of(unit),
            request,
            requests,
            slot,
            body,
            container,
            ahead,
            reports: self.reports.clone(),
        };
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        let span = tracing::debug_span!("unit", %unit, %fetch);
        self.spawn(cancel, task.run().instrument(span));
    }

    fn ask_ahead(&mut self, fetch: FetchId, media: MediaId, request: &UnitRequest, patience: Duration) {
        let requests = self.named_in(Some(media));
        let (writer, body) = UnitBody::channel();
        let task = AheadTask {
            fetch,
            request: requests.ahead(request, patience),
            requests,
            body: body.clone(),
            reports: self.reports.clone(),
        };
        let left = request.range.map_or(u64::MAX, |range| range.len);
        self.ahead.insert(fetch, Ahead { body, taken: 0, left });
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        let span = tracing::debug_span!("ahead", %fetch);
        self.spawn(cancel, task.run(writer).instrument(span));
    }

    /// Cuts out of what was asked for ahead what a request is for: so many bytes as its range has, or all that is left.
    fn take_ahead(&mut self, ahead: Option<FetchId>, request: &UnitRequest) -> Option<Taken> {
        let ahead = ahead?;
        let Some(range) = request.range else {
            return self.ahead.remove(&ahead).map(|it| Taken { body: it.body, from: it.taken, len: None });
        };
        let taken = self.ahead.get_mut(&ahead).map(|it| it.take(range.len));
        self.ahead.retain(|_, it| it.left > 0);
        taken
    }

    fn fetch_part(&mut self, fetch: FetchId, unit: UnitKey, part: u32, request: UnitRequest, ahead: Option<FetchId>) {
        let key = self.wait_for_key(&request);
        let ahead = self.take_ahead(ahead, &request);
        let requests = self.named_in(Some(unit.media));
        let shelved = self.shelved.entry(unit).or_insert_with(|| Shelved::new(&self.parts.shelf));
        self.parts.shelf.put(unit, shelved.body.clone());
        if self.parts.session.is_awaited(unit) {
            shelved.keep();
        }
        shelved.begin_part(fetch, part, &self.running);
        let task = PartTask {
            fetch,
            media: unit.media,
            part,
            request,
            requests,
            key,
            slot: Arc::clone(&shelved.slot),
            container: shelved.container.clone(),
            turn: shelved.turn.clone(),
            ahead,
            reports: self.reports.clone(),
        };
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        let span = tracing::debug_span!("part", %unit, %part, %fetch);
        self.spawn(cancel, task.run().instrument(span));
    }

    fn close_unit(&mut self, fetch: FetchId, unit: UnitKey) {
        let shelved = self.shelved.entry(unit).or_insert_with(|| Shelved::new(&self.parts.shelf));
        let (slot, container) = (Arc::clone(&shelved.slot), shelved.container.clone());
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        self.spawn(cancel, close_unit(fetch, slot, container, self.reports.clone()));
    }

    fn size(&mut self, fetch: FetchId, unit: UnitKey, request: UnitRequest) {
        let key = self.wait_for_key(&request);
        let (requests, reports) = (self.named_in(Some(unit.media)), self.reports.clone());
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        self.spawn(cancel, async move {
            let result = size_of(requests, request, key).await;
            let _ = reports.send(Report::Sized { fetch, result }).await;
        });
    }

    fn keep(&mut self, fetch: FetchId, unit: UnitKey, request: UnitRequest) {
        let slot = match self.keeping.take() {
            Some((known, slot)) if known == unit => slot,
            _ => Shelved::new(&self.parts.shelf).slot,
        };
        self.keeping = Some((unit, Arc::clone(&slot)));
        let task = KeepTask {
            unit,
            key: self.wait_for_key(&request),
            duration: self.parts.session.duration_of(unit),
            requests: self.named_in(Some(unit.media)),
            request,
            slot,
        };
        let reports = self.reports.clone();
        let cancel = self.parts.cancel.child_token();
        self.running.insert(fetch, cancel.clone());
        self.spawn(cancel, async move {
            let result = task.run().await;
            let _ = reports.send(Report::Kept { fetch, result }).await;
        });
    }

    /// Readers of a unit that will never be whole get what there is, then the reason; also those who come later.
    fn end_unit(&mut self, unit: UnitKey, end: impl FnOnce(&mut Slot) + Send + 'static) {
        // A body that is whole was given up because it has another length than was known: its readers stand at wrong
        // places, and the end of it is none.
        if self.shelved.get(&unit).is_some_and(|shelved| shelved.body.is_finished()) {
            self.shelved.remove(&unit);
        }
        let shelved = self.shelved.entry(unit).or_insert_with(|| Shelved::new(&self.parts.shelf));
        self.parts.shelf.put(unit, shelved.body.clone());
        // A cancelled attempt may still be on its way out.
        let slot = Arc::clone(&shelved.slot);
        self.spawn(self.parts.cancel.clone(), async move { end(&mut *slot.lock().await) });
    }

    fn enter(&mut self, reader: ReaderId, entry: Entry) {
        // Held first and looked at then: others let go of their bytes meanwhile.
        let init = entry.init.map(|init| self.handle_on(init).0);
        let (body, container) = self.handle_on(entry.unit);
        if [Some(entry.unit), entry.init].into_iter().flatten().any(|unit| self.has_gaps(unit)) {
            let seek = self.seeks_of(reader);
            self.late.push(Late { reader, seek, entry, _held: (init, body) });
            return;
        }
        let is_awaited = self.parts.session.is_awaited(entry.unit);
        if let Some(shelved) = self.shelved.get_mut(&entry.unit) {
            if is_awaited {
                shelved.keep();
            } else {
                shelved.kept = None;
            }
        }
        self.hand_over(reader, Item::Unit { entry: Box::new(entry), init, body, container });
    }

    /// Whether bytes of a unit that is there, or on its way, were let go of.
    fn has_gaps(&self, unit: UnitKey) -> bool {
        let body = self.shelved.get(&unit).map(|shelved| &shelved.body);
        body.is_some_and(|body| body.released() > 0 && !has_failed(body))
    }

    /// Has units that are there with gaps fetched again, for readers who come late. Those who read them keep what they
    /// have; one that is on its way is theirs until it is whole.
    fn renew(&mut self) {
        let late = self.late.iter().flat_map(|late| [Some(late.entry.unit), late.entry.init]).flatten();
        let whole = |unit: &UnitKey| self.shelved.get(unit).is_some_and(|shelved| shelved.body.is_finished());
        let mut units: Vec<UnitKey> = late.filter(|unit| self.has_gaps(*unit) && whole(unit)).collect();
        units.sort_unstable();
        units.dedup();
        units.into_iter().for_each(|unit| self.feed(Input::Dropped { unit }));
    }

    fn enter_late(&mut self) {
        for late in std::mem::take(&mut self.late) {
            // One that sought meanwhile, or is gone, enters another.
            if self.feeds.contains_key(&late.reader) && late.seek == self.seeks_of(late.reader) {
                self.enter(late.reader, late.entry);
            }
        }
    }

    fn seeks_of(&self, reader: ReaderId) -> u64 {
        self.seeks.get(&reader).copied().unwrap_or(0)
    }

    /// A unit for one reader, with what it is as soon as that is known.
    fn handle_on(&mut self, unit: UnitKey) -> (UnitBody, watch::Receiver<Option<Container>>) {
        let shelved = self.shelved.entry(unit).or_insert_with(|| Shelved::new(&self.parts.shelf));
        (shelved.body.reader(), shelved.container.subscribe())
    }

    fn hand_over(&mut self, reader: ReaderId, item: Item) {
        // A reader asks for one unit at a time, so there is room; one that is gone needs nothing.
        if let Some(feed) = self.feeds.get(&reader) {
            let seek = self.seeks_of(reader);
            let _ = feed.try_send(Handed { seek, item });
        }
    }

    fn resolve(&mut self, failure: &Failure, attempt: u32) {
        let Some((resolver, url)) = self.parts.resolver.clone() else { return };
        let last_error = self.errors.get(&failure.cause.report).and_then(HlsError::net).cloned().map(FetchError::from);
        let ask = Ask { url, reason: AskReason::Failure, attempt, last_error };
        let reports = self.reports.clone();
        self.spawn(self.parts.cancel.clone(), async move {
            // It is the application's code: a session that waits for its answer gets one also when it panics.
            let asked = async move { resolve_in_time(&*resolver, ask, RESOLVE_LIMIT).await };
            let result = match AbortOnDropHandle::new(tokio::spawn(asked)).await {
                Ok(located) => located.map_err(HlsError::from),
                Err(error) => Err(HlsError::Driver(error.to_string().into())),
            };
            let _ = reports.send(Report::Resolved { result }).await;
        });
    }

    fn fail(&mut self, failure: &Failure) {
        let error = self.error_of(failure);
        self.over = true;
        self.running.drain().for_each(|(_, cancel)| cancel.cancel());
        self.parts.shelf.close(error.clone());
        self.feeds.clear();
        self.moved.clear();
        let units: Vec<UnitKey> = self.shelved.keys().copied().collect();
        for unit in units {
            let Some(shelved) = self.shelved.get(&unit).filter(|shelved| !shelved.body.is_finished()) else { continue };
            let (slot, error) = (Arc::clone(&shelved.slot), error.clone());
            self.spawn(self.parts.cancel.clone(), async move { slot.lock().await.fail(error) });
        }
    }

    fn spawn(&self, cancel: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            // Dropping the task's future is how its transfer ends.
            let _ = cancel.run_until_cancelled(task).await;
        });
    }

    fn now(&self) -> Now {
        let elapsed = u64::try_from(self.parts.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let wall = wall.and_then(|wall| i64::try_from(wall.as_millis()).ok()).map(WallTime::from_millis);
        Now { at: Tick::from_nanos(elapsed), wall }
    }

    fn instant(&self, tick: Tick) -> Instant {
        self.parts.started + Duration::from_nanos(tick.as_nanos())
    }
}

impl Shelved {
    fn new(shelf: &Arc<Shelf>) -> Self {
        let (writer, body) = UnitBody::channel();
        Self {
            slot: Arc::new(Mutex::new(Slot::new(writer).on(Arc::clone(shelf)))),
            body,
            container: watch::Sender::new(None),
            turn: watch::Sender::new(0),
            parts: Vec::new(),
            kept: None,
        }
    }

    /// A part is to be appended. When it is the first and no other is on its way, all of them come anew, and in turn: those
    /// of before keep theirs to themselves.
    fn begin_part(&mut self, fetch: FetchId, part: u32, running: &HashMap<FetchId, CancellationToken>) {
        self.parts.retain(|part| running.contains_key(part));
        if part == 0 && self.parts.is_empty() {
            self.turn = watch::Sender::new(0);
        }
        self.parts.push(fetch);
    }

    /// Lets nothing go until the last of its readers has entered it.
    fn keep(&mut self) {
        self.kept.get_or_insert_with(|| self.body.reader());
    }
}

/// Whether a body ended before the unit did.
fn has_failed(body: &UnitBody) -> bool {
    matches!(body.poll_len(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
