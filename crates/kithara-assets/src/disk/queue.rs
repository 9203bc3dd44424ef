//! The way to the writer thread: bounded by bytes, in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Jobs on their way to the writer thread, in the order they were given.
///
/// Data is bounded by bytes, counted until it was written (not only taken): beyond the limit a push is refused, or waits. Everything else
/// is bounded by number: a push waits for the writer thread, which needs microseconds for each, or, for what may be lost, is refused.
pub(crate) struct Queue<T> {
    limit: usize,
    state: Mutex<State<T>>,
    /// Something can be taken, or the queue is closed.
    filled: Condvar,
    /// Something may fit, or the queue is closed.
    drained: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// Cost of data that was pushed and not released.
    bytes: usize,
    closed: bool,
    /// Tasks that wait for room.
    wakers: Vec<Waker>,
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
    /// Nothing came before the deadline.
    Idle,
    /// The queue is closed and nothing is left in it.
    Closed,
}

/// Jobs other than data that may wait.
const MAX_JOBS: usize = 4096;
/// Tasks that may wait for room before all of them are woken to make place.
const MAX_WAKERS: usize = 256;

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, closed: false, wakers: Vec::new() };
        Self { limit: limit.max(1), state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Queues data that costs `cost` bytes, if there is room. Something too large for the whole queue finds room when it is empty.
    pub(crate) fn push_data(&self, cost: usize, job: T) -> Result<(), (Refused, T)> {
        let mut state = self.lock();
        if state.closed {
            return Err((Refused::Closed, job));
        }
        if state.bytes > 0 && state.bytes.saturating_add(cost) > self.limit {
            return Err((Refused::Full, job));
        }
        state.bytes += cost;
        self.push(state, job);
        Ok(())
    }

    /// As [`Queue::push_data`], but waits for room.
    pub(crate) fn push_data_blocking(&self, cost: usize, job: T) -> Result<(), Refused> {
        let mut state = self.lock();
        while !state.closed && state.bytes > 0 && state.bytes.saturating_add(cost) > self.limit {
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Refused::Closed);
        }
        state.bytes += cost;
        self.push(state, job);
        Ok(())
    }

    /// Ready when there may be room for `cost` bytes, or the queue is closed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, cost: usize) -> Poll<()> {
        let mut state = self.lock();
        if state.closed || state.bytes == 0 || state.bytes.saturating_add(cost) <= self.limit {
            return Poll::Ready(());
        }
        if state.wakers.len() >= MAX_WAKERS {
            state.wakers.drain(..).for_each(Waker::wake);
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Queues an order, waiting while very many are queued. `may_wait` is false on the thread that takes the jobs.
    pub(crate) fn push_order(&self, job: T, may_wait: bool) -> Result<(), T> {
        let mut state = self.lock();
        while may_wait && !state.closed && state.jobs.len() >= MAX_JOBS {
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(job);
        }
        self.push(state, job);
        Ok(())
    }

    /// Queues something that may be lost, unless much is queued already.
    pub(crate) fn push_note(&self, job: T) {
        let state = self.lock();
        if !state.closed && state.jobs.len() < MAX_JOBS / 4 {
            self.push(state, job);
        }
    }

    /// The next job; waits for it until `deadline`, or for ever.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                let was_full = state.jobs.len() + 1 == MAX_JOBS;
                drop(state);
                if was_full {
                    self.drained.notify_all();
                }
                return Taken::Job(job);
            }
            if state.closed {
                return Taken::Closed;
            }
            let Some(deadline) = deadline else {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Idle;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes room again: data was written, or thrown away.
    pub(crate) fn release(&self, cost: usize) {
        if cost == 0 {
            return;
        }
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(cost);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.drained.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// True while more than half of the room is taken.
    pub(crate) fn is_pressed(&self) -> bool {
        self.lock().bytes > self.limit / 2
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

    fn push(&self, mut state: MutexGuard<'_, State<T>>, job: T) {
        state.jobs.push_back(job);
        drop(state);
        self.filled.notify_one();
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
        assert_eq!(queue.push_data(6, 1), Ok(()));
        assert_eq!(queue.push_data(6, 2), Err((Refused::Full, 2)));
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.push_data(6, 2), Err((Refused::Full, 2)));
        queue.release(6);
        assert_eq!(queue.push_data(100, 2), Ok(()), "something large fits into an empty queue");
    }

    #[test]
    fn orders_fit_beside_full_data_and_keep_their_place() {
        let queue = Queue::new(10);
        queue.push_data(10, 1).unwrap();
        queue.push_order(2, true).unwrap();
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.take(None), Taken::Job(2));
        assert_eq!(queue.take(Some(Instant::now())), Taken::Idle);
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(10);
        queue.push_order(1, true).unwrap();
        queue.close();
        assert_eq!(queue.push_order(2, true), Err(2));
        assert_eq!(queue.push_data(1, 2), Err((Refused::Closed, 2)));
        assert_eq!(queue.push_data_blocking(1, 2), Err(Refused::Closed));
        assert_eq!(queue.take(None), Taken::Job(1));
        assert_eq!(queue.take(None), Taken::Closed);
    }

    #[test]
    fn who_waits_for_room_is_woken_by_release_and_by_close() {
        let queue = Queue::new(10);
        for end in [Queue::<u32>::close as fn(&Queue<u32>), |queue| queue.release(10)] {
            let queue = Queue::new(10);
            queue.push_data(10, 1).unwrap();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| queue.push_data_blocking(5, 2));
                end(&queue);
                let _ = waiting.join().unwrap();
            });
        }
        queue.push_data(10, 1).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll_room(&mut cx, 1), Poll::Pending);
        queue.release(10);
        assert_eq!(queue.poll_room(&mut cx, 1), Poll::Ready(()));
    }
}
