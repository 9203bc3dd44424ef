//! The way to the writer thread: bounded by bytes, in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Jobs on their way to the writer thread, in the order they were given.
///
/// Data is bounded by bytes, counted until it was written (not only taken): beyond the limit a push is refused, or
/// waits. Everything else is bounded by number: a push waits for the writer thread, which needs microseconds for each,
/// or, for what may be lost, is refused.
///
/// Waking a thread costs the one who wakes as much as everything else here. So data that is not urgent wakes the writer
/// thread only when there is much of it: a small span is taken when it ends, all at once. And who just worked rests for a
/// moment, in which only what is in a hurry wakes it: ends of spans that follow each other are taken together.
pub(crate) struct Queue<T> {
    limit: usize,
    state: Mutex<State<T>>,
    /// There is something for the writer thread.
    filled: Condvar,
    /// Something may fit, or the queue is closed.
    drained: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// Cost of data that was pushed and not released.
    bytes: usize,
    /// Cost of data that was pushed since the writer thread looked.
    unseen: usize,
    closed: bool,
    /// Something did not fit: what was taken has to be written, even if more of it is to come.
    starved: bool,
    rest: Rest,
    /// The writer thread took something since it waited last.
    worked: bool,
    /// Threads that wait for room.
    blocked: usize,
    /// Tasks that wait for room.
    wakers: Vec<Waker>,
}

/// What the writer thread does. Written by the writer thread when it goes to sleep, and by who wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    /// It just worked and wakes by itself in a moment.
    Lingers,
    Sleeps,
}

/// Whether an order can wait for the writer thread to wake by itself, which it does after a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hurry {
    Yes,
    No,
}

/// Why something was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// What the writer thread gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    Job(T),
    /// Somebody waits for room, and there is no job left: what was taken should be written and released.
    Starved,
    /// Nothing came before the deadline.
    Idle,
    /// The queue is closed and nothing is left in it.
    Closed,
}

/// Jobs other than data that may wait.
const MAX_JOBS: usize = 4096;
/// Tasks that may wait for room before all of them are woken to make place.
const MAX_WAKERS: usize = 256;
/// So much data wakes the writer thread, urgent or not.
const MUCH: usize = 256 << 10;
/// How long the writer thread rests after work, with its ears closed to what is not in a hurry.
const LINGER: Duration = Duration::from_millis(5);

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            bytes: 0,
            unseen: 0,
            closed: false,
            starved: false,
            rest: Rest::Awake,
            worked: false,
            blocked: 0,
            wakers: Vec::new(),
        };
        Self { limit: limit.max(1), state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Queues data that costs `cost` bytes, if there is room. Something too large for the whole queue finds room when
    /// it is empty.
    pub(crate) fn push_data(&self, cost: usize, urgent: bool, job: T) -> Result<(), (Refused, T)> {
        let mut state = self.lock();
        if state.closed {
            return Err((Refused::Closed, job));
        }
        if !self.fits(&state, cost) {
            self.starve(&mut state);
            return Err((Refused::Full, job));
        }
        self.enter(state, cost, urgent, job);
        Ok(())
    }

    /// As [`Queue::push_data`], but waits for room.
    pub(crate) fn push_data_blocking(&self, cost: usize, urgent: bool, job: T) -> Result<(), Refused> {
        let mut state = self.lock();
        while !state.closed && !self.fits(&state, cost) {
            self.starve(&mut state);
            state = self.wait_drained(state);
        }
        if state.closed {
            return Err(Refused::Closed);
        }
        self.enter(state, cost, urgent, job);
        Ok(())
    }

    /// Ready when there may be room for `cost` bytes, or the queue is closed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, cost: usize) -> Poll<()> {
        let mut state = self.lock();
        if state.closed || self.fits(&state, cost) {
            return Poll::Ready(());
        }
        if state.wakers.len() >= MAX_WAKERS {
            state.wakers.drain(..).for_each(Waker::wake);
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        self.starve(&mut state);
        Poll::Pending
    }

    /// Queues an order, waiting while very many are queued. `may_wait` is false on the thread that takes the jobs.
    pub(crate) fn push_order(&self, job: T, may_wait: bool, hurry: Hurry) -> Result<(), T> {
        let mut state = self.lock();
        while may_wait && !state.closed && state.jobs.len() >= MAX_JOBS {
            state = self.wait_drained(state);
        }
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        self.wake_writer(&mut state, hurry);
        Ok(())
    }

    /// Somebody waits for something that was queued without hurry.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        if !state.jobs.is_empty() {
            self.wake_writer(&mut state, Hurry::Yes);
        }
    }

    /// Queues something that may be lost, unless much is queued already. It does not wake the writer thread.
    pub(crate) fn push_note(&self, job: T) {
        let mut state = self.lock();
        if !state.closed && state.jobs.len() < MAX_JOBS / 4 {
            state.jobs.push_back(job);
        }
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    /// The next job; waits for it until `deadline`, or for ever.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.lock();
        state.unseen = 0;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.worked = true;
                let makes_place = state.jobs.len() + 1 >= MAX_JOBS && state.blocked > 0;
                drop(state);
                if makes_place {
                    self.drained.notify_all();
                }
                return Taken::Job(job);
            }
            if state.closed {
                return Taken::Closed;
            }
            if std::mem::take(&mut state.starved) {
                return Taken::Starved;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Taken::Idle;
            }
            state = self.rest(state, left);
            state.unseen = 0;
        }
    }

    /// Sleeps until there is something, or for as long as `left`; for a moment only after work.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State<T>>, left: Option<Duration>) -> MutexGuard<'a, State<T>> {
        let lingers = std::mem::take(&mut state.worked);
        state.rest = if lingers { Rest::Lingers } else { Rest::Sleeps };
        let limit = if lingers { Some(left.map_or(LINGER, |left| left.min(LINGER))) } else { left };
        state = match limit {
            None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => self.filled.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.rest = Rest::Awake;
        state
    }

    /// Makes room again: data was written, or thrown away.
    pub(crate) fn release(&self, cost: usize) {
        if cost == 0 {
            return;
        }
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(cost);
        let (blocked, wakers) = (state.blocked > 0, std::mem::take(&mut state.wakers));
        drop(state);
        if blocked {
            self.drained.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes no more jobs; those that are queued will still be taken.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.filled.notify_all();
        self.drained.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Closes the queue and drops what is in it.
    pub(crate) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.lock().jobs);
        // Dropped without the lock: what is in them may wake somebody.
        drop(jobs);
    }

    fn fits(&self, state: &State<T>, cost: usize) -> bool {
        state.bytes == 0 || state.bytes.saturating_add(cost) <= self.limit
    }

    fn enter(&self, mut state: MutexGuard<'_, State<T>>, cost: usize, urgent: bool, job: T) {
        state.bytes += cost;
        state.unseen += cost;
        state.jobs.push_back(job);
        let hurry = if urgent || state.unseen >= self.limit / 4 { Hurry::Yes } else { Hurry::No };
        if hurry == Hurry::Yes || state.unseen >= MUCH {
            self.wake_writer(&mut state, hurry);
        }
    }

    fn starve(&self, state: &mut State<T>) {
        state.starved = true;
        self.wake_writer(state, Hurry::Yes);
    }

    fn wake_writer(&self, state: &mut State<T>, hurry: Hurry) {
        match (state.rest, hurry) {
            (Rest::Awake, _) | (Rest::Lingers, Hurry::No) => {}
            (Rest::Lingers, Hurry::Yes) | (Rest::Sleeps, _) => {
                state.rest = Rest::Awake;
                self.filled.notify_one();
            }
        }
    }

    fn wait_drained<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        state.blocked += 1;
        state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.blocked -= 1;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Queue")
            .field("jobs", &state.jobs.len())
            .field("bytes", &state.bytes)
            .field("limit", &self.limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_counts_until_it_is_released_not_until_it_is_taken() {
        let queue = Queue::new(10);
        assert_eq!(queue.push_data(6, false, 1), Ok(()));
        assert_eq!(queue.push_data(6, false, 2), Err((Refused::Full, 2)));
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.push_data(6, false, 2), Err((Refused::Full, 2)));
        queue.release(6);
        assert_eq!(queue.push_data(100, false, 2), Ok(()), "something large fits into an empty queue");
    }

    #[test]
    fn orders_fit_beside_full_data_and_keep_their_place() {
        let queue = Queue::new(10);
        queue.push_data(10, false, 1).unwrap();
        queue.push_order(2, true, Hurry::Yes).unwrap();
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.take(None), Taken::Job(2));
        assert_eq!(queue.take(Some(Instant::now())), Taken::Idle);
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(10);
        queue.push_order(1, true, Hurry::Yes).unwrap();
        queue.close();
        assert_eq!(queue.push_order(2, true, Hurry::Yes), Err(2));
        assert_eq!(queue.push_data(1, false, 2), Err((Refused::Closed, 2)));
        assert_eq!(queue.push_data_blocking(1, false, 2), Err(Refused::Closed));
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.take(None), Taken::Closed);
    }

    #[test]
    fn who_waits_for_room_is_woken_by_release_and_by_close() {
        let queue = Queue::new(10);
        for end in [Queue::<u32>::close as fn(&Queue<u32>), |queue| queue.release(10)] {
            let queue = Queue::new(10);
            queue.push_data(10, false, 1).unwrap();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| queue.push_data_blocking(5, false, 2));
                end(&queue);
                let _ = waiting.join().unwrap();
            });
        }
        queue.push_data(10, false, 1).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll_room(&mut cx, 1), Poll::Pending);
        queue.release(10);
        assert_eq!(queue.poll_room(&mut cx, 1), Poll::Ready(()));
    }

    #[test]
    fn who_just_worked_is_woken_by_hurry_only_and_who_slept_longer_by_everything() {
        for (rest, hurry, woken) in [
            (Rest::Lingers, Hurry::No, false),
            (Rest::Lingers, Hurry::Yes, true),
            (Rest::Sleeps, Hurry::No, true),
            (Rest::Sleeps, Hurry::Yes, true),
        ] {
            let queue = Queue::new(10);
            queue.lock().rest = rest;
            queue.push_order(1, false, hurry).unwrap();
            assert_eq!(queue.lock().rest == Rest::Awake, woken, "{rest:?} {hurry:?}");
            queue.hurry();
            assert_eq!(queue.lock().rest, Rest::Awake, "somebody waits for it");
        }
    }

    #[test]
    fn what_is_not_in_a_hurry_is_taken_all_the_same() {
        let queue = Queue::new(10);
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| [queue.take(None), queue.take(None)]);
            queue.push_order(1, false, Hurry::No).unwrap();
            queue.push_order(2, false, Hurry::No).unwrap();
            assert_eq!(taking.join().unwrap(), [Taken::Job(1), Taken::Job(2)]);
        });
    }

    #[test]
    fn who_waits_for_room_makes_the_writer_write_what_it_has() {
        let queue = Queue::new(10);
        queue.push_data(6, false, 1).unwrap();
        assert_eq!(queue.take(None), Taken::Job(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.push_data_blocking(6, false, 2));
            assert_eq!(queue.take(None), Taken::Starved);
            queue.release(6);
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
        assert_eq!(queue.take(None), Taken::Job(2));
    }
}
