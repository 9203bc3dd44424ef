//! The one task that carries out the plan of one reader.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use kithara_fetch::{Delivery, FetchError, FetchErrorKind, Head, PlaybackGate, Priority, net::ErrorKind};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    FileError, FileEvent,
    plan::{Ranges, Seen, Step, Transfer, TransferId, next_step},
    requests::Requests,
    shelf::{Shelf, Wanted},
    version::Version,
};

/// Versions that are tried before a file is said to change all the time, and URLs before it is said to be gone.
const ATTEMPTS: u32 = 3;

/// Change of the buffer that is worth an event.
const LEVEL_STEP: u64 = 128 << 10;

pub(crate) struct Driver {
    _end: End,
    requests: Requests,
    shelf: Arc<Shelf>,
    /// In the order of `lanes`: as the plan sees them, and what brings them.
    transfers: Vec<Transfer>,
    lanes: Vec<Lane>,
    version: Version,
    ranges: Ranges,
    reads_ahead: bool,
    /// Counts transfers, and their uses.
    uses: u64,
    /// In a row, without a byte in between.
    restarts: u32,
    relocations: u32,
    gate: PlaybackGate,
    events: broadcast::Sender<FileEvent>,
    told: Told,
    cancel: CancellationToken,
}

/// Tells readers that the task is gone, however it went: it may be dropped with its runtime, or unwind.
struct End(Arc<Shelf>);

impl Drop for End {
    fn drop(&mut self) {
        // One that ended has said why before, and the first reason stands.
        self.0.fail(FileError::Driver("their task is gone, perhaps with the runtime the file was opened on".into()));
    }
}

/// The network's side of a transfer.
struct Lane {
    delivery: Delivery,
    start: u64,
    has_head: bool,
}

/// What was reported last.
#[derive(Default)]
struct Told {
    level: u64,
    waiting: Option<u64>,
    ended: bool,
}

/// What a transfer brings next.
enum News {
    Head(Box<Head>),
    Bytes(Bytes),
    End,
}

/// A delivery that has begun, with what it has brought so far, which is on the shelf.
pub(crate) struct Begun {
    pub(crate) delivery: Delivery,
    pub(crate) position: u64,
}

impl Driver {
    pub(crate) fn new(
        requests: Requests,
        shelf: Arc<Shelf>,
        version: Version,
        events: broadcast::Sender<FileEvent>,
        cancel: CancellationToken,
    ) -> Self {
        let gate = requests.fetcher.playback_gate();
        Self {
            _end: End(Arc::clone(&shelf)),
            requests,
            shelf,
            transfers: Vec::new(),
            lanes: Vec::new(),
            version,
            ranges: Ranges::Served,
            reads_ahead: true,
            uses: 0,
            restarts: 0,
            relocations: 0,
            gate,
            events,
            told: Told::default(),
            cancel,
        }
    }

    /// Goes on with a delivery of the whole file whose head is known.
    pub(crate) fn take_over(&mut self, begun: Begun, from_cache: bool) {
        let lane = Lane { delivery: begun.delivery, start: 0, has_head: true };
        self.add(lane, begun.position, u64::MAX);
        self.tell(FileEvent::TransferStart { offset: 0, from_cache });
    }

    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        let ended = cancel.run_until_cancelled(self.work()).await;
        let reason = ended.unwrap_or(FileError::Closed);
        self.shelf.fail(reason);
    }

    /// Works until nothing more can be had.
    async fn work(&mut self) -> FileError {
        loop {
            let wanted = self.shelf.wanted();
            self.report(&wanted);
            let rules = self.requests.read_ahead;
            self.transfers.iter_mut().for_each(|transfer| transfer.follow(wanted.cursor.at));
            self.shelf.retain(&self.transfers);
            let seen = Seen {
                cursor: wanted.cursor,
                held: &wanted.held,
                transfers: &self.transfers,
                len: wanted.len,
                ranges: self.ranges,
                reads_ahead: self.reads_ahead,
            };
            let step = next_step(&seen, &rules);
            self.gate.set_below_goal(step != Step::Rest);
            let outcome = match step {
                Step::Rest => {
                    self.shelf.wanted.notified().await;
                    Ok(())
                }
                Step::ReadOn(id) => self.read_on(id, &wanted).await,
                Step::Open { range, replacing } => {
                    self.open(range, replacing, wanted.cursor.waiting);
                    Ok(())
                }
                Step::OutOfReach => {
                    let (url, offset) = (self.requests.shown_url(), wanted.cursor.at);
                    self.give_up(offset, offset, FileError::OutOfReach { url, offset });
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                self.tell(FileEvent::Error { error: error.clone(), recoverable: false });
                return error;
            }
        }
    }

    fn open(&mut self, range: Range<u64>, replacing: Option<TransferId>, waiting: bool) {
        if let Some(id) = replacing {
            self.remove(id);
        }
        tracing::debug!(url = %self.requests.shown_url(), ?range, waiting, "transfer");
        let class = class(waiting);
        let (start, end) = (range.start, range.end);
        let delivery = self.requests.fetcher.fetch(self.requests.of(range, class));
        self.add(Lane { delivery, start, has_head: false }, start, end);
    }

    fn add(&mut self, lane: Lane, position: u64, end: u64) {
        self.uses += 1;
        let id = TransferId(self.uses);
        self.transfers.push(Transfer { id, position, end, used: self.uses, skipped: 0, read: position });
        self.lanes.push(lane);
    }

    fn remove(&mut self, id: TransferId) {
        if let Some(at) = self.place(id) {
            self.transfers.remove(at);
            self.lanes.remove(at);
        }
    }

    fn place(&self, id: TransferId) -> Option<usize> {
        self.transfers.iter().position(|transfer| transfer.id == id)
    }

    /// Takes what a transfer brings next, unless the reader wants something else meanwhile.
    async fn read_on(&mut self, id: TransferId, wanted: &Wanted) -> Result<(), FileError> {
        let Some(at) = self.place(id) else { return Ok(()) };
        self.uses += 1;
        self.transfers[at].used = self.uses;
        let lane = &mut self.lanes[at];
        lane.delivery.set_priority(class(wanted.cursor.waiting));
        let news = tokio::select! {
            biased;
            news = lane.next() => news,
            () = self.shelf.wanted.notified() => return Ok(()),
        };
        match news {
            Ok(News::Head(head)) => self.begin(at, &head),
            Ok(News::Bytes(bytes)) => {
                self.arrive(at, bytes, wanted);
                Ok(())
            }
            Ok(News::End) => self.end(at, wanted),
            Err(error) => self.failed(at, error, wanted).await,
        }
    }

    fn begin(&mut self, at: usize, head: &Head) -> Result<(), FileError> {
        let lane = &mut self.lanes[at];
        lane.has_head = true;
        // A whole answer to a request for a part; what comes before the part is thrown away below us.
        if lane.start > 0 && head.status == Some(200) {
            self.ranges = Ranges::Ignored;
        }
        let offset = lane.start;
        match self.version.clone().joined_by(&Version::of(head)) {
            Some(version) => self.version = version,
            None => return self.start_over(),
        }
        if let Some(len) = head.total_len {
            self.shelf.set_len(len);
        }
        self.tell(FileEvent::TransferStart { offset, from_cache: head.from_cache() });
        Ok(())
    }

    fn arrive(&mut self, at: usize, bytes: Bytes, wanted: &Wanted) {
        let transfer = &mut self.transfers[at];
        let from = transfer.position;
        transfer.bring(bytes.len() as u64, wanted.cursor.at);
        let to = transfer.position;
        (self.reads_ahead, self.restarts, self.relocations) = (true, 0, 0);
        self.shelf.push(from, bytes);
        let percent = wanted.len.filter(|len| *len > 0).map(|len| (to as f64 / len as f64 * 100.0) as f32);
        self.tell(FileEvent::DownloadProgress { offset: to, percent });
    }

    fn end(&mut self, at: usize, wanted: &Wanted) -> Result<(), FileError> {
        let Transfer { id, position, end, .. } = self.transfers[at];
        self.remove(id);
        if position >= end || wanted.len == Some(position) {
            return Ok(());
        }
        match wanted.len {
            // The end of the body is where the file ends.
            None => self.shelf.set_len(position),
            Some(_) => return self.start_over(),
        }
        Ok(())
    }

    /// A transfer failed. What nobody waits for yet is tried again when somebody does.
    async fn failed(&mut self, at: usize, error: FetchError, wanted: &Wanted) -> Result<(), FileError> {
        let Transfer { id, position, .. } = self.transfers[at];
        let start = self.lanes[at].start;
        self.remove(id);
        match error.kind() {
            FetchErrorKind::Changed => return self.start_over(),
            FetchErrorKind::Net(ErrorKind::RangeNotSatisfiable { total: Some(total) }) if position == start => {
                return match wanted.len {
                    Some(len) if len != total => self.start_over(),
                    _ if total <= start => {
                        self.shelf.set_len(total);
                        Ok(())
                    }
                    _ => self.spoiled(position, error.into(), wanted),
                };
            }
            FetchErrorKind::Net(ErrorKind::RangeIgnored | ErrorKind::RangeNotSatisfiable { total: None })
                if self.ranges == Ranges::Served =>
            {
                self.ranges = Ranges::Ignored;
                return Ok(());
            }
            _ => {}
        }
        let error = FileError::from(error);
        if error.is_refusal() && self.relocations < ATTEMPTS {
            self.relocations += 1;
            match self.requests.relocate(&error, self.relocations).await {
                Some(Ok(())) => {
                    self.tell(FileEvent::Error { error, recoverable: true });
                    return Ok(());
                }
                Some(Err(error)) => return self.spoiled(position, error.into(), wanted),
                None => {}
            }
        }
        self.spoiled(position, error, wanted)
    }

    fn spoiled(&mut self, position: u64, error: FileError, wanted: &Wanted) -> Result<(), FileError> {
        if wanted.cursor.waiting && wanted.cursor.at >= position {
            self.give_up(position, wanted.cursor.at, error);
        } else {
            self.reads_ahead = false;
            self.tell(FileEvent::Error { error, recoverable: true });
        }
        Ok(())
    }

    /// What was waited for at `waited` cannot be had. Who asks again tries again, with all that there is to try.
    fn give_up(&mut self, from: u64, waited: u64, error: FileError) {
        (self.reads_ahead, self.relocations) = (false, 0);
        // The reader may have gone elsewhere meanwhile.
        let is_waited_for = self.shelf.fail_wanted(from, waited, error.clone());
        self.tell(FileEvent::Error { error, recoverable: !is_waited_for });
    }

    /// The file is another one now: begins again where no reader has seen a byte of the old one.
    fn start_over(&mut self) -> Result<(), FileError> {
        self.restarts += 1;
        self.transfers.clear();
        self.lanes.clear();
        let changed = FileError::Changed { url: self.requests.shown_url() };
        if self.restarts > ATTEMPTS || !self.shelf.start_over() {
            return Err(changed);
        }
        self.version = Version::default();
        self.tell(FileEvent::Error { error: changed, recoverable: true });
        Ok(())
    }

    fn report(&mut self, wanted: &Wanted) {
        let at = wanted.cursor.at;
        let ready = wanted.held.iter().find(|range| range.contains(&at)).map_or(0, |range| range.end - at);
        if ready.abs_diff(self.told.level) >= LEVEL_STEP || (ready == 0 && self.told.level > 0) {
            self.told.level = ready;
            self.tell(FileEvent::BufferLevel { level_bytes: ready });
        }
        let waiting = (wanted.cursor.waiting && ready == 0).then_some(at);
        if let Some(offset) = waiting.filter(|_| self.told.waiting != waiting) {
            self.tell(FileEvent::Waiting { offset });
        }
        self.told.waiting = waiting;
        let ended = wanted.touched && wanted.len == Some(at);
        if ended && !self.told.ended {
            self.tell(FileEvent::EndOfStream);
        }
        self.told.ended = ended;
    }

    /// Nobody has to listen.
    fn tell(&self, event: FileEvent) {
        let _ = self.events.send(event);
    }
}

impl Lane {
    /// Cancel-safe, as what it asks is.
    async fn next(&mut self) -> Result<News, FetchError> {
        if !self.has_head {
            return Ok(News::Head(Box::new(self.delivery.head().await?)));
        }
        Ok(self.delivery.chunk().await?.map_or(News::End, News::Bytes))
    }
}

const fn class(waiting: bool) -> Priority {
    if waiting { Priority::Demand } else { Priority::Playback }
}
