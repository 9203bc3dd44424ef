//! The bytes of one transfer, in the one place where they are, for all who want them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kithara_assets::{SpanWriter, UnixMillis};
use kithara_net::Origin;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

use crate::plan::wanted_end;
use crate::request::Credentials;
use crate::schedule::TransferId;
use crate::scheduler::{Scheduler, Turn};
use crate::transfers::Counted;
use crate::{FetchError, Head, Priority};

/// Bytes a newcomer may wait for before the transfer reaches its first one; beyond, a request of its own is faster.
const JOIN_AHEAD: u64 = 256 << 10;

/// A transfer under way: written by one task, read by any number of deliveries.
pub(crate) struct Flight {
    range: Range<u64>,
    scheduler: Arc<Scheduler>,
    window: u64,
    retained: Arc<Retained>,
    /// Cancelled when the last reader leaves.
    pub(crate) cancel: CancellationToken,
    /// What it was begun with.
    pub(crate) credentials: Option<Credentials>,
    /// Behind the last byte that whoever began it lets come.
    pub(crate) allowed_end: u64,
    /// When, as stored bytes are old or not.
    pub(crate) begun: UnixMillis,
    /// Rung for readers: head, bytes, the end.
    news: Notify,
    /// Rung for the transfer: a reader went on, came, or became more or less urgent.
    room: Notify,
    /// Written by the transfer (bytes, head, outcome) and by deliveries (their positions), for a few instructions each.
    state: Mutex<State>,
}

struct State {
    head: Option<Head>,
    chunks: VecDeque<Chunk>,
    /// Offset of the first byte held.
    base: u64,
    /// Offset behind the last byte that came.
    received: u64,
    from_network: u64,
    /// Bytes behind the fastest reader, as counted in [`Retained`].
    behind: u64,
    outcome: Option<Result<(), FetchError>>,
    /// What was written up to an end that may be a cut. Dropped with the flight it is stored as after one, without a length.
    doubted: Option<SpanWriter>,
    readers: BTreeMap<ReaderId, Reader>,
    next_reader: u64,
    /// That of the most urgent reader.
    class: Priority,
    turn: Option<TransferId>,
    /// Whether its task is over, with all it had to do behind the last byte.
    ended: bool,
    /// Held for those who wait for its end and read no more.
    counted: Vec<Counted>,
}

struct Chunk {
    start: u64,
    bytes: Bytes,
}

struct Reader {
    position: u64,
    end: u64,
    class: Priority,
    /// Held for who waits for the end of the transfer.
    counted: Option<Counted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReaderId(u64);

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Taken {
    Bytes(Bytes),
    Pending,
    End,
    Failed(FetchError),
    /// The reader fell so far behind that its bytes are gone.
    Lagged,
}

/// Bytes that all flights together hold behind their fastest readers. Written by every flight.
#[derive(Debug)]
pub(crate) struct Retained {
    limit: u64,
    used: AtomicU64,
}

impl Flight {
    /// A transfer of `range` that nobody reads yet; an end of `u64::MAX` means that of the resource.
    pub(crate) fn new(range: Range<u64>, window: u64, scheduler: &Arc<Scheduler>, retained: &Arc<Retained>) -> Self {
        let state = State {
            head: None,
            chunks: VecDeque::new(),
            base: range.start,
            received: range.start,
            from_network: 0,
            behind: 0,
            outcome: None,
            doubted: None,
            readers: BTreeMap::new(),
            next_reader: 0,
            class: Priority::Download,
            turn: None,
            ended: false,
            counted: Vec::new(),
        };
        Self {
            range,
            scheduler: Arc::clone(scheduler),
            window,
            retained: Arc::clone(retained),
            cancel: CancellationToken::new(),
            credentials: None,
            allowed_end: u64::MAX,
            begun: UnixMillis::default(),
            news: Notify::new(),
            room: Notify::new(),
            state: Mutex::new(state),
        }
    }

    // The side of the transfer.

    /// Takes a place in the schedule, as urgent as the most urgent reader and kept so.
    pub(crate) fn enter(&self, origin: Option<Origin>) -> Turn {
        let mut state = self.lock();
        let turn = self.scheduler.enter(origin, state.class);
        state.turn = Some(turn.id());
        turn
    }

    /// Tells the readers what is coming.
    pub(crate) fn publish(&self, head: Head) {
        self.lock().head = Some(head);
        self.news.notify_waiters();
    }

    /// Appends bytes, as they came.
    pub(crate) fn push(&self, bytes: Bytes, from_network: bool) {
        let mut state = self.lock();
        let start = state.received;
        state.received += bytes.len() as u64;
        state.from_network += if from_network { bytes.len() as u64 } else { 0 };
        state.chunks.push_back(Chunk { start, bytes });
        if state.readers.is_empty() && state.received > state.expected_end(&self.range) {
            // It was left to finish on its own, and turns out to be longer than anybody wanted.
            self.cancel.cancel();
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Whether the fastest reader is close enough for more to come. Where nobody reads any more, the end is all that is to come.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        state.readers.is_empty() || state.received - state.fastest() < self.window
    }

    /// Waits until there is room.
    pub(crate) async fn wait_for_room(&self) {
        while !self.has_room() {
            // A permit that was left by an earlier reader's step costs one more look.
            self.room.notified().await;
        }
    }

    /// Whether no byte was handed out that a new start would contradict.
    pub(crate) fn is_untouched(&self) -> bool {
        self.lock().received == self.range.start
    }

    /// How urgent the most urgent reader is.
    pub(crate) fn class(&self) -> Priority {
        self.lock().class
    }

    /// Waits until somebody reads it who is not content with the pace of the disk.
    pub(crate) async fn wait_until_urgent(&self) {
        while self.class() == Priority::Download {
            self.room.notified().await;
        }
    }

    /// Holds what was written up to an end that does not show, until a reader knows better.
    pub(crate) fn doubt(&self, writer: SpanWriter) {
        self.lock().doubted = Some(writer);
    }

    /// Ends the transfer, which has given the store all it had for it; the first end stands.
    pub(crate) fn land(&self, outcome: Result<(), FetchError>) {
        let mut state = self.lock();
        state.turn = None;
        state.outcome.get_or_insert(outcome);
        let delivered: Vec<_> = state.all_counted().filter_map(Counted::delivered).collect();
        drop(state);
        self.news.notify_waiters();
        // Who waits is woken here, outside the lock.
        drop(delivered);
    }

    /// Its task is over: nobody waits for it any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let mut counted = std::mem::take(&mut state.counted);
        counted.extend(state.readers.values_mut().filter_map(|reader| reader.counted.take()));
        drop(state);
        // Who waits is woken here, outside the lock.
        drop(counted);
    }

    // The side of the readers.

    /// Adds a reader of `range` if all its bytes will pass by, and soon.
    pub(crate) fn join(&self, range: &Range<u64>, class: Priority) -> Option<ReaderId> {
        let mut state = self.lock();
        let failed = matches!(state.outcome, Some(Err(_)));
        let covered = state.base <= range.start && range.end <= self.range.end;
        let soon = range.start <= state.received.saturating_add(JOIN_AHEAD);
        if failed || !covered || !soon || self.cancel.is_cancelled() {
            return None;
        }
        let id = ReaderId(state.next_reader);
        state.next_reader += 1;
        state.readers.insert(id, Reader { position: range.start, end: range.end, class, counted: None });
        self.update_class(&mut state);
        drop(state);
        // The transfer may stand still, far enough ahead of the others.
        self.room.notify_one();
        Some(id)
    }

    /// Removes a reader. The last one cancels a transfer that still has bytes to bring; the answer says whether it did. Where only the
    /// end of the body is missing, the transfer goes on to it, so that what came is stored.
    pub(crate) fn leave(&self, id: ReaderId) -> bool {
        let mut state = self.lock();
        let mut counted = state.readers.remove(&id).and_then(|reader| reader.counted);
        if state.readers.is_empty() && !state.ended {
            state.counted.extend(counted.take());
        }
        let over = state.outcome.is_some() || state.received >= state.expected_end(&self.range);
        if state.readers.is_empty() && !over {
            self.cancel.cancel();
            return true;
        }
        self.update_class(&mut state);
        self.trim(&mut state);
        drop(state);
        self.room.notify_one();
        false
    }

    /// Holds `counted` for a reader: to the end of the transfer, or until the reader leaves others alone with it.
    pub(crate) fn count(&self, id: ReaderId, mut counted: Counted) {
        let mut state = self.lock();
        let delivered = if state.outcome.is_some() { counted.delivered() } else { None };
        if !state.ended
            && let Some(reader) = state.readers.get_mut(&id)
        {
            reader.counted = Some(counted);
        }
        drop(state);
        drop(delivered);
    }

    pub(crate) fn set_class(&self, id: ReaderId, class: Priority) {
        let mut state = self.lock();
        if let Some(reader) = state.readers.get_mut(&id) {
            reader.class = class;
            self.update_class(&mut state);
        }
        drop(state);
        // The transfer may wait for the disk.
        self.room.notify_one();
    }

    /// The head as this reader sees it, once it is known.
    pub(crate) fn head(&self, range: &Range<u64>) -> Option<Result<Head, FetchError>> {
        let state = self.lock();
        let Some(mut head) = state.head.clone() else {
            return Some(Err(state.outcome.clone()?.err()?));
        };
        let end = wanted_end(Some(range), head.total_len);
        head.start = range.start;
        head.len = (end != u64::MAX).then(|| end.saturating_sub(range.start));
        Some(Ok(head))
    }

    /// The next bytes of a reader.
    pub(crate) fn take(&self, id: ReaderId) -> Taken {
        let mut state = self.lock();
        let taken = state.take(id);
        if matches!(taken, Taken::Bytes(_)) {
            self.trim(&mut state);
            drop(state);
            self.room.notify_one();
        }
        taken
    }

    /// The end at `position`, which did not show, proved to be that of the resource.
    pub(crate) fn accept(&self, position: u64) {
        let doubted = self.lock().doubted.take_if(|writer| writer.position() == position);
        if let Some(writer) = doubted {
            // Nobody waits for it, and what keeps the store from writing is the store's own event.
            drop(writer.commit(Some(position)));
        }
    }

    pub(crate) fn network_bytes(&self) -> u64 {
        self.lock().from_network
    }

    /// Resolves at the next news after this call, once enabled.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    fn update_class(&self, state: &mut State) {
        // A transfer without readers stays as urgent as it was: it is about to end.
        let class = state.readers.values().map(|reader| reader.class).min().unwrap_or(state.class);
        let before = std::mem::replace(&mut state.class, class);
        if let Some(turn) = state.turn.filter(|_| before != class) {
            self.scheduler.set_class(turn, class);
        }
    }

    /// Gives up bytes behind the readers once all flights together hold too many: first what only late ones would want, then what keeps
    /// slow readers in reach of the fastest.
    fn trim(&self, state: &mut State) {
        let fastest = state.fastest();
        let slowest = state.readers.values().map(|reader| reader.position).min().unwrap_or(state.received);
        let keep = slowest.max(fastest.saturating_sub(self.window));
        loop {
            let behind = fastest.saturating_sub(state.base);
            self.retained.change(state.behind, behind);
            state.behind = behind;
            let Some(first) = state.chunks.front() else { return };
            if first.end() > keep || !self.retained.is_exceeded() {
                return;
            }
            state.base = first.end();
            state.chunks.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let behind = self.lock().behind;
        self.retained.change(behind, 0);
    }
}

impl State {
    /// Where the transfer is expected to end; `u64::MAX` where nobody said.
    fn expected_end(&self, range: &Range<u64>) -> u64 {
        wanted_end(Some(range), self.head.as_ref().and_then(|head| head.total_len))
    }

    /// What is held for those who wait for the end.
    fn all_counted(&mut self) -> impl Iterator<Item = &mut Counted> {
        self.readers.values_mut().filter_map(|reader| reader.counted.as_mut()).chain(&mut self.counted)
    }

    /// How far the fastest reader is, within what has come.
    fn fastest(&self) -> u64 {
        self.readers.values().map(|reader| reader.position).max().unwrap_or(self.base).min(self.received)
    }

    fn take(&mut self, id: ReaderId) -> Taken {
        let Some(reader) = self.readers.get_mut(&id) else { return Taken::End };
        if reader.position >= reader.end {
            return Taken::End;
        }
        if reader.position >= self.received {
            return match &self.outcome {
                None => Taken::Pending,
                Some(Ok(())) => Taken::End,
                Some(Err(error)) => Taken::Failed(error.clone()),
            };
        }
        if reader.position < self.base {
            return Taken::Lagged;
        }
        let after = self.chunks.partition_point(|chunk| chunk.start <= reader.position);
        let chunk = &self.chunks[after - 1];
        let slice = chunk.within(reader.position..reader.end);
        reader.position += slice.len() as u64;
        Taken::Bytes(slice)
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The part of the chunk that lies within `range`, whose start does.
    fn within(&self, range: Range<u64>) -> Bytes {
        let place = |offset: u64| usize::try_from(offset - self.start).expect("a chunk is no longer than memory");
        self.bytes.slice(place(range.start)..place(range.end.min(self.end())))
    }
}

impl Retained {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    fn change(&self, from: u64, to: u64) {
        // Each flight takes back exactly what it put in, so the sum never goes below zero.
        if to >= from {
            self.used.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(from - to, Ordering::Relaxed);
        }
    }

    fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Flight")
            .field("range", &self.range)
            .field("received", &state.received)
            .field("readers", &state.readers.len())
            .field("outcome", &state.outcome)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::{FetchErrorKind, Transfers};

    const WINDOW: u64 = 100;

    fn flight(retain: u64) -> Flight {
        let scheduler = Arc::new(Scheduler::new(6));
        Flight::new(0..u64::MAX, WINDOW, &scheduler, &Arc::new(Retained::new(retain)))
    }

    fn push(flight: &Flight, len: usize) {
        flight.push(Bytes::from(vec![7; len]), true);
    }

    fn join(flight: &Flight, range: Range<u64>) -> Option<ReaderId> {
        flight.join(&range, Priority::Playback)
    }

    /// Bytes the reader takes until it finds something else, and what that is.
    fn drain(flight: &Flight, id: ReaderId) -> (usize, Taken) {
        let mut total = 0;
        loop {
            match flight.take(id) {
                Taken::Bytes(bytes) => total += bytes.len(),
                other => return (total, other),
            }
        }
    }

    #[test]
    fn a_late_reader_gets_what_came_from_the_start() {
        let flight = flight(1_000);
        let early = join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 60);
        assert!(matches!(drain(&flight, early), (60, Taken::Pending)));
        let late = join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 40);
        flight.land(Ok(()));
        assert!(matches!(drain(&flight, late), (100, Taken::End)));
        assert!(matches!(drain(&flight, early), (40, Taken::End)));
    }

    #[test]
    fn a_reader_of_a_part_gets_the_part() {
        let flight = flight(1_000);
        let part = join(&flight, 30..70).unwrap();
        push(&flight, 50);
        push(&flight, 50);
        assert!(matches!(drain(&flight, part), (40, Taken::End)));
    }

    #[test]
    fn a_download_is_urgent_once_somebody_plays_it() {
        let mut cx = Context::from_waker(Waker::noop());
        let all = 0..u64::MAX;
        let flight = flight(1_000);
        let download = flight.join(&all, Priority::Download).unwrap();
        let mut waits = pin!(flight.wait_until_urgent());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        flight.leave(flight.join(&all, Priority::Download).unwrap());
        assert!(waits.as_mut().poll(&mut cx).is_pending(), "another download");
        flight.set_class(download, Priority::Playback);
        assert!(waits.as_mut().poll(&mut cx).is_ready(), "it became one that is played");
        flight.set_class(download, Priority::Download);
        let mut waits = pin!(flight.wait_until_urgent());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        flight.join(&all, Priority::Demand).unwrap();
        assert!(waits.as_mut().poll(&mut cx).is_ready(), "somebody who plays it came");
    }

    #[test]
    fn a_part_that_comes_much_later_is_not_waited_for() {
        assert!(join(&flight(0), JOIN_AHEAD..JOIN_AHEAD + 1).is_some());
        assert!(join(&flight(0), JOIN_AHEAD + 1..JOIN_AHEAD + 2).is_none());
    }

    /// A reader of a file leaves its beginning to look at its end.
    #[test]
    fn who_joins_a_transfer_that_stands_still_makes_it_go_on() {
        let flight = flight(1_000);
        join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 120);
        let mut cx = Context::from_waker(Waker::noop());
        let mut waits = pin!(flight.wait_for_room());
        assert!(waits.as_mut().poll(&mut cx).is_pending(), "120 bytes ahead of everybody");
        join(&flight, 130..u64::MAX).unwrap();
        assert!(waits.as_mut().poll(&mut cx).is_ready(), "somebody waits for what comes next");
    }

    #[test]
    fn what_was_given_up_cannot_be_joined() {
        let flight = flight(50);
        let first = join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 40);
        drain(&flight, first);
        assert!(join(&flight, 0..u64::MAX).is_some_and(|second| !flight.leave(second)), "within the budget");
        push(&flight, 40);
        drain(&flight, first);
        assert!(join(&flight, 0..u64::MAX).is_none(), "beyond it");
        assert!(join(&flight, 40..u64::MAX).is_some(), "a later part is still there");
    }

    #[test]
    fn the_fastest_reader_sets_the_pace_and_the_slow_one_goes_alone() {
        let flight = flight(0);
        let fast = join(&flight, 0..u64::MAX).unwrap();
        let slow = join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 60);
        assert!(flight.has_room());
        push(&flight, 60);
        assert!(!flight.has_room(), "120 bytes ahead of everybody");
        drain(&flight, fast);
        assert!(flight.has_room(), "the slow reader does not count");
        assert!(matches!(flight.take(slow), Taken::Bytes(_)), "within the window");
        push(&flight, 150);
        drain(&flight, fast);
        assert!(matches!(flight.take(slow), Taken::Lagged));
    }

    #[test]
    fn the_last_reader_to_leave_cancels() {
        let flight = flight(0);
        let (one, two) = (join(&flight, 0..9).unwrap(), join(&flight, 0..9).unwrap());
        assert!(!flight.leave(one) && !flight.cancel.is_cancelled());
        assert!(flight.leave(two) && flight.cancel.is_cancelled());
        assert!(join(&flight, 0..9).is_none(), "what is cancelled cannot be joined");
    }

    #[test]
    fn a_transfer_that_only_lacks_its_end_goes_on_to_it() {
        let scheduler = Arc::new(Scheduler::new(6));
        let flight = Flight::new(0..10, WINDOW, &scheduler, &Arc::new(Retained::new(0)));
        let reader = join(&flight, 0..10).unwrap();
        push(&flight, 10);
        assert!(!flight.leave(reader) && !flight.cancel.is_cancelled());
        assert!(flight.has_room(), "nobody has to read for it to end");
        assert_eq!(flight.class(), Priority::Playback, "as urgent as it was");
        push(&flight, 1);
        assert!(flight.cancel.is_cancelled(), "but not to more");
    }

    #[test]
    fn a_finished_transfer_is_not_cancelled_by_its_last_reader() {
        let flight = flight(1_000);
        let one = join(&flight, 0..9).unwrap();
        push(&flight, 9);
        flight.land(Ok(()));
        assert!(!flight.leave(one) && !flight.cancel.is_cancelled());
        assert!(join(&flight, 0..9).is_some(), "it can be joined until the store has it");
    }

    #[test]
    fn what_has_delivered_keeps_nobody_waiting_but_who_waits_for_its_end() {
        let flight = Flight::new(0..9, WINDOW, &Arc::new(Scheduler::new(1)), &Arc::new(Retained::new(1_000)));
        let transfers = Transfers::default();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut delivered, mut ended) = (pin!(transfers.delivered()), pin!(transfers.ended()));
        let readers = [join(&flight, 0..9).unwrap(), join(&flight, 0..9).unwrap()];
        flight.count(readers[0], transfers.count());
        flight.count(readers[1], transfers.count());
        push(&flight, 9);
        // Both have what they wanted, and wait for the end.
        assert_eq!(readers.map(|reader| flight.leave(reader)), [false, false]);
        flight.count(join(&flight, 0..9).unwrap(), transfers.count());
        assert!(delivered.as_mut().poll(&mut cx).is_pending());
        flight.land(Ok(()));
        assert!(delivered.as_mut().poll(&mut cx).is_ready(), "the store has been given everything");
        flight.count(join(&flight, 0..9).unwrap(), transfers.count());
        assert!(pin!(transfers.delivered()).poll(&mut cx).is_ready(), "nothing more will be given to it");
        assert!(ended.as_mut().poll(&mut cx).is_pending(), "the task has not seen that it is stored");
        flight.end();
        assert!(ended.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_failure_reaches_every_reader_after_the_bytes_that_came() {
        let flight = flight(0);
        let readers = [join(&flight, 0..u64::MAX).unwrap(), join(&flight, 0..u64::MAX).unwrap()];
        push(&flight, 5);
        flight.land(Err(FetchError::new(FetchErrorKind::Changed)));
        for reader in readers {
            let (count, Taken::Failed(error)) = drain(&flight, reader) else { panic!("no failure") };
            assert_eq!((count, error.kind()), (5, FetchErrorKind::Changed));
        }
        assert!(join(&flight, 0..u64::MAX).is_none());
    }

    #[test]
    fn retained_bytes_are_given_back() {
        let retained = Arc::new(Retained::new(1_000));
        let flight = Flight::new(0..u64::MAX, WINDOW, &Arc::new(Scheduler::new(1)), &retained);
        let reader = join(&flight, 0..u64::MAX).unwrap();
        push(&flight, 80);
        drain(&flight, reader);
        assert_eq!(retained.used.load(Ordering::Relaxed), 80);
        drop(flight);
        assert_eq!(retained.used.load(Ordering::Relaxed), 0);
    }
}
