//! What a reader and its driver share: the bytes in memory, where the reader is, and how the file ended.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use kithara_stream::{ReadAt, Waiters};
use tokio::sync::Notify;

use crate::{
    FileError,
    held::Held,
    options::ReadAhead,
    plan::{Cursor, Transfer, kept},
};

/// Bytes a reader goes on before the driver is told.
const STEP: u64 = 64 << 10;

/// Places that failed and that nobody has come for, at most; with more, the oldest are forgotten.
const FAILURES: usize = 16;

/// Written by the driver (bytes, length, failures) and by readers (cursor, waiters), for a few instructions each.
#[derive(Debug)]
pub(crate) struct Shelf {
    rules: ReadAhead,
    /// Rung for the driver: the reader wants something, or made room.
    pub(crate) wanted: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Held,
    cursor: Cursor,
    len: Option<u64>,
    failures: Failures,
    waiters: Waiters,
    /// Whether a byte was handed to a reader, which another version would contradict.
    touched: bool,
    /// Where the cursor was when the driver was told last.
    told: u64,
}

/// What cannot be had.
#[derive(Debug, Default)]
struct Failures {
    /// The oldest first.
    places: VecDeque<Failure>,
    /// Nothing more, wherever.
    all: Option<FileError>,
}

/// One that is told to each who waited, and then forgotten: who reads there again tries again.
#[derive(Debug)]
struct Failure {
    /// Up to the offset that was waited for.
    range: Range<u64>,
    error: FileError,
    /// How many are still to be told.
    left: usize,
}

/// What the driver goes by.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) cursor: Cursor,
    pub(crate) held: Vec<Range<u64>>,
    pub(crate) len: Option<u64>,
    pub(crate) touched: bool,
}

impl Shelf {
    pub(crate) fn new(rules: ReadAhead, len: Option<u64>) -> Self {
        Self { rules, wanted: Notify::new(), inner: Mutex::new(Inner { len, ..Inner::default() }) }
    }

    // The side of readers.

    pub(crate) fn len(&self) -> Option<u64> {
        self.lock().len
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        if buf.is_empty() {
            return Ok(ReadAt::Bytes(0));
        }
        let mut filled = 0;
        while filled < buf.len() {
            // The lock is taken per chunk and never held over a copy, so a large read does not stop the driver.
            let at = offset.saturating_add(filled as u64);
            match self.take(at, buf.len() - filled) {
                Ok(Taken::Bytes(bytes)) => {
                    buf[filled..filled + bytes.len()].copy_from_slice(&bytes);
                    filled += bytes.len();
                }
                // What was copied is reported first; the reason to stop comes with the next read.
                _ if filled > 0 => break,
                Ok(Taken::End) => return Ok(ReadAt::End),
                Ok(Taken::Pending) => return Ok(ReadAt::Pending),
                Err(error) => {
                    self.lock().failures.told(at);
                    return Err(error.into());
                }
            }
        }
        Ok(ReadAt::Bytes(filled))
    }

    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>, range: &Range<u64>) -> Poll<io::Result<()>> {
        if range.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut inner = self.lock();
        let ready = inner.answers(range.start);
        let tells = if ready {
            // Whoever is told that a byte is there comes for it: the cursor stands there, so that nobody lets it go before.
            // A place that somebody waits for goes first.
            !inner.cursor.waiting && inner.stand_at(range.start, &self.rules)
        } else {
            inner.waiters.register(range.start, cx.waker());
            inner.demand(range.start, &self.rules);
            true
        };
        drop(inner);
        if tells {
            self.wanted.notify_one();
        }
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// The bytes at `offset`, at most `max`.
    fn take(&self, offset: u64, max: usize) -> Result<Taken, FileError> {
        let mut inner = self.lock();
        if let Some(mut bytes) = inner.held.at(offset) {
            bytes.truncate(max);
            // The cursor stood where another waits: now it is their turn to say what they want.
            let others = if inner.cursor.waiting { inner.waiters.take_all() } else { Vec::new() };
            let jumped = inner.stand_at(offset, &self.rules);
            inner.cursor.at += bytes.len() as u64;
            inner.touched = true;
            let tells = jumped || inner.cursor.at.abs_diff(inner.told) >= STEP || inner.len == Some(inner.cursor.at);
            if tells {
                inner.told = inner.cursor.at;
            }
            drop(inner);
            others.into_iter().for_each(Waker::wake);
            if tells {
                self.wanted.notify_one();
            }
            return Ok(Taken::Bytes(bytes));
        }
        if inner.len.is_some_and(|len| offset >= len) {
            return Ok(Taken::End);
        }
        if let Some(error) = inner.failures.at(offset) {
            return Err(error.clone());
        }
        // Waiting for nothing, it is not woken, but what it wants is fetched.
        inner.demand(offset, &self.rules);
        drop(inner);
        self.wanted.notify_one();
        Ok(Taken::Pending)
    }

    // The side of the driver.

    pub(crate) fn wanted(&self) -> Wanted {
        let inner = self.lock();
        Wanted { cursor: inner.cursor, held: inner.held.ranges(), len: inner.len, touched: inner.touched }
    }

    /// Adds bytes, and wakes those who wait for one of them.
    pub(crate) fn push(&self, offset: u64, bytes: Bytes) {
        let mut inner = self.lock();
        inner.held.insert(offset, bytes);
        let woken = inner.take_answered();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Lets go of bytes that neither the reader nor a transfer has use for, as the cursor stands now: a reader may have
    /// come to bytes meanwhile that it had left when the driver looked.
    pub(crate) fn retain(&self, transfers: &[Transfer]) {
        let mut inner = self.lock();
        let kept = kept(inner.cursor, transfers, &self.rules);
        let gone = inner.held.retain(&kept);
        drop(inner);
        // Freed here, outside the lock.
        drop(gone);
    }

    /// The length is known. The first word stands.
    pub(crate) fn set_len(&self, len: u64) {
        let mut inner = self.lock();
        inner.len.get_or_insert(len);
        let woken = inner.take_answered();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The byte at `waited` cannot be had: reads from `from` up to it fail with `error`, once for each who waits. Says whether
    /// somebody still waits for it; if nobody does, nothing fails.
    pub(crate) fn fail_wanted(&self, from: u64, waited: u64, error: FileError) -> bool {
        let mut inner = self.lock();
        let cursor = inner.cursor;
        if !cursor.waiting || cursor.at != waited {
            return false;
        }
        inner.cursor.waiting = false;
        let range = from.min(waited)..waited.saturating_add(1);
        let left = inner.waiters.count_in(&range).max(1);
        inner.failures.add(Failure { range, error, left });
        let woken = inner.take_answered();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        true
    }

    /// Nothing more can be had; what is in memory can still be read. The first reason stands.
    pub(crate) fn fail(&self, error: FileError) {
        let mut inner = self.lock();
        inner.failures.all.get_or_insert(error);
        inner.cursor.waiting = false;
        let woken = inner.waiters.take_all();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Forgets bytes and length of a version that is no more, unless a reader has seen bytes of it. Says whether it did.
    pub(crate) fn start_over(&self) -> bool {
        let mut inner = self.lock();
        if inner.touched {
            return false;
        }
        inner.len = None;
        let gone = inner.held.retain(&[]);
        drop(inner);
        drop(gone);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held, and no change is left half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Bytes(Bytes),
    Pending,
    End,
}

impl Inner {
    /// Whether a read at `offset` has an answer now.
    fn answers(&self, offset: u64) -> bool {
        self.len.is_some_and(|len| offset >= len)
            || self.held.at(offset).is_some()
            || self.failures.at(offset).is_some()
    }

    /// Moves the cursor to bytes that are there, and says whether that was a jump.
    fn stand_at(&mut self, offset: u64, rules: &ReadAhead) -> bool {
        let jumped = self.cursor.at != offset;
        self.cursor = self.cursor.moved_to(offset, rules);
        jumped
    }

    fn demand(&mut self, offset: u64, rules: &ReadAhead) {
        self.cursor = Cursor { waiting: true, ..self.cursor.moved_to(offset, rules) };
    }

    /// Everybody who waits, once the byte that was wanted last is answered: only one is remembered, the others ask again.
    fn take_answered(&mut self) -> Vec<Waker> {
        if self.answers(self.cursor.at) { self.waiters.take_all() } else { Vec::new() }
    }
}

impl Failures {
    fn at(&self, offset: u64) -> Option<&FileError> {
        let place = self.places.iter().find(|failure| failure.range.contains(&offset));
        place.map(|failure| &failure.error).or(self.all.as_ref())
    }

    fn add(&mut self, failure: Failure) {
        if self.places.len() == FAILURES {
            self.places.pop_front();
        }
        self.places.push_back(failure);
    }

    /// A reader was told of it.
    fn told(&mut self, offset: u64) {
        if let Some(place) = self.places.iter().position(|failure| failure.range.contains(&offset)) {
            let left = &mut self.places[place].left;
            *left -= 1;
            if *left == 0 {
                self.places.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> Shelf {
        let shelf = Shelf::new(ReadAhead { ahead: 10, behind: 5, look: 5, near: 5, max_skip: 100 }, Some(1_000));
        (0..100).for_each(|n| shelf.push(n * 10, Bytes::from_static(&[7; 10])));
        shelf
    }

    fn ready(shelf: &Shelf, at: u64) -> bool {
        shelf.poll_ready(&mut Context::from_waker(Waker::noop()), &(at..at + 1)).is_ready()
    }

    #[test]
    fn what_is_said_to_be_ready_stays_until_it_is_read() {
        let shelf = shelf();
        assert!(matches!(shelf.read_at(900, &mut [0; 4]), Ok(ReadAt::Bytes(4))));
        // The driver looks here, sees the reader at 904, and is slow.
        assert!(ready(&shelf, 471));
        shelf.retain(&[]);
        assert!(matches!(shelf.read_at(471, &mut [0; 4]), Ok(ReadAt::Bytes(4))), "the bytes are still there");
        shelf.retain(&[]);
        assert!(!ready(&shelf, 900), "the place that was left is let go");
    }

    #[test]
    fn a_place_that_somebody_waits_for_is_not_forgotten_when_another_reads() {
        let (shelf, counts) = (shelf(), std::sync::Arc::new(Counts::default()));
        shelf.retain(&[]);
        let waker = Waker::from(counts.clone());
        assert!(shelf.poll_ready(&mut Context::from_waker(&waker), &(500..501)).is_pending());
        assert!(ready(&shelf, 3), "another looks at what is there");
        assert_eq!(shelf.wanted().cursor.at, 500, "and the driver still knows what is waited for");
        assert!(matches!(shelf.read_at(3, &mut [0; 1]), Ok(ReadAt::Bytes(1))));
        assert_eq!(counts.woken.load(std::sync::atomic::Ordering::Relaxed), 1, "who waits is asked again");
    }

    fn gone(offset: u64) -> FileError {
        let url = "http://a.example/x".parse().unwrap();
        FileError::OutOfReach { url: kithara_fetch::net::RedactedUrl::new(&url), offset }
    }

    #[test]
    fn a_failure_is_told_once_and_then_tried_again() {
        let shelf = shelf();
        shelf.retain(&[]);
        for round in 0..FAILURES as u64 * 2 {
            assert!(matches!(shelf.read_at(500, &mut [0; 4]), Ok(ReadAt::Pending)), "{round}");
            assert!(shelf.fail_wanted(480, 500, gone(500)));
            assert!(ready(&shelf, 500) && ready(&shelf, 490), "a failure is an answer");
            assert!(shelf.read_at(500, &mut [0; 4]).is_err());
        }
        shelf.push(500, Bytes::from_static(&[1; 10]));
        assert!(matches!(shelf.read_at(500, &mut [0; 4]), Ok(ReadAt::Bytes(4))));
    }

    #[test]
    fn a_failure_is_told_to_each_who_waited() {
        let shelf = shelf();
        shelf.retain(&[]);
        for _ in 0..3 {
            let waker = Waker::from(std::sync::Arc::new(Counts::default()));
            assert!(shelf.poll_ready(&mut Context::from_waker(&waker), &(500..501)).is_pending());
        }
        assert!(shelf.fail_wanted(480, 500, gone(500)));
        for _ in 0..3 {
            assert!(shelf.read_at(500, &mut [0; 4]).is_err());
        }
        assert!(matches!(shelf.read_at(500, &mut [0; 4]), Ok(ReadAt::Pending)), "who comes later tries again");
    }

    #[test]
    fn what_was_read_in_front_of_a_failure_does_not_hide_it() {
        let shelf = shelf();
        assert!(matches!(shelf.read_at(985, &mut [0; 4]), Ok(ReadAt::Bytes(4))));
        shelf.retain(&[]);
        assert!(matches!(shelf.read_at(970, &mut [0; 4]), Ok(ReadAt::Pending)));
        assert!(shelf.fail_wanted(970, 970, gone(970)));
        shelf.push(960, Bytes::from_static(&[1; 10]));
        assert!(matches!(shelf.read_at(965, &mut [0; 10]), Ok(ReadAt::Bytes(5))));
        assert!(shelf.read_at(970, &mut [0; 4]).is_err());
    }

    #[test]
    fn what_nobody_waits_for_any_more_does_not_fail() {
        let shelf = shelf();
        shelf.retain(&[]);
        assert!(!ready(&shelf, 100));
        assert!(!ready(&shelf, 500), "the reader has gone elsewhere");
        assert!(!shelf.fail_wanted(100, 100, gone(100)));
        assert!(!ready(&shelf, 500), "where it is now has not failed");
        assert!(matches!(shelf.read_at(300, &mut [0; 4]), Ok(ReadAt::Pending)), "and nothing in between");
    }

    #[derive(Debug, Default)]
    struct Counts {
        woken: std::sync::atomic::AtomicUsize,
    }

    impl std::task::Wake for Counts {
        fn wake(self: std::sync::Arc<Self>) {
            self.woken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
