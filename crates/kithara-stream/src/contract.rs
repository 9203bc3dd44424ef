//! What every [`Source`] promises, as test suites to run over any implementation, and a slow source to test readers.
//!
//! ```
//! use kithara_stream::{BytesSource, contract::source_contract};
//!
//! source_contract(&|bytes| Box::new(BytesSource::from(bytes.to_vec())));
//! ```

#![expect(clippy::panic, reason = "a broken promise fails the test that found it")]

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;

use crate::{ReadAt, Source, StreamError, UnitBody, UnitWriter, park};

/// How long a suite waits for bytes before it calls the source hung. Nothing waits this long when all is well.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Threads that wait on one handle at once.
const WAITERS: u64 = 6;

/// Checks that a source gives the bytes it was made from, at any offset and to any number of waiters, and ends there.
///
/// `make` is called several times, each time for a fresh source whose bytes are there or arrive without further help.
///
/// # Panics
/// A promise is broken; the message says which.
pub fn source_contract(make: &dyn Fn(&[u8]) -> Box<dyn Source>) {
    let bytes = sample(1_000);
    for step in [1, 7, 64, 4_096] {
        let source = make(&bytes);
        assert_eq!(read_all(&*source, step).0, bytes, "sequential reads of {step} bytes");
        ends_where_it_says(&*source, bytes.len() as u64);
        random_access(&*source, &bytes);
    }
    let empty = make(b"");
    assert!(read_all(&*empty, 16).0.is_empty(), "an empty stream has no bytes");
    ends_where_it_says(&*empty, 0);
    an_empty_buffer_reads_nothing(&*make(&bytes));
    readiness_means_an_answer(&*make(&bytes), bytes.len() as u64);
    every_waiter_is_woken(&*make(&bytes), &bytes);
    the_length_can_be_waited_for(&*make(&bytes), bytes.len() as u64);
}

/// Checks that a source that fails after the bytes it was made from gives those bytes, then its error, to everybody.
///
/// # Panics
/// A promise is broken; the message says which.
pub fn failure_contract(make: &dyn Fn(&[u8]) -> Box<dyn Source>) {
    let bytes = sample(100);
    let source = make(&bytes);
    let (read, error) = read_all(&*source, 7);
    assert_eq!(read, bytes, "bytes before a failure are given");
    is_final(&error.expect("a failed stream does not end well"));
    let (_, again) = read_all(&*source, 64);
    is_final(&again.expect("a failure stays"));

    let source = make(&bytes);
    let beyond = bytes.len() as u64;
    let failed = |_| match wait_and_read_among_others(&*source, beyond, &mut [0; 4]) {
        Ok(answer) => panic!("a waiter was told {answer:?} instead of the failure"),
        Err(error) => is_final(&error),
    };
    in_parallel(failed);
}

fn is_final(error: &io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::Other, "the kind of a failure: {error}");
    assert!(error.get_ref().is_some(), "a failure carries the source's own error: {error}");
}

fn sample(len: u32) -> Vec<u8> {
    // No period of a power of two, so that bytes of a wrong chunk are wrong bytes.
    (0..len).map(|n| (n.wrapping_mul(31) % 251) as u8).collect()
}

/// Waits at `offset`, then reads there: for the one who uses a handle, ready means an answer. Time is up after [`PATIENCE`].
fn wait_and_read(source: &dyn Source, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
    source.wait_range(offset..offset.saturating_add(buf.len() as u64), PATIENCE)?;
    source.read_at(offset, buf)
}

/// The same beside others on one handle: what a read of theirs takes back is waited for again, so often that a source that
/// is ready for nothing is found out.
fn wait_and_read_among_others(source: &dyn Source, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
    let mut answers = (0..WAITERS * WAITERS).map(|_| wait_and_read(source, offset, buf));
    let pending = |answer: &io::Result<ReadAt>| matches!(answer, Ok(ReadAt::Pending));
    answers.find(|answer| !pending(answer)).unwrap_or(Ok(ReadAt::Pending))
}

/// Reads from the start in steps, up to the end or an error.
fn read_all(source: &dyn Source, step: usize) -> (Vec<u8>, Option<io::Error>) {
    let (mut bytes, mut buf) = (Vec::new(), vec![0; step]);
    loop {
        match wait_and_read(source, bytes.len() as u64, &mut buf) {
            Ok(ReadAt::Bytes(count)) => {
                assert!((1..=step).contains(&count), "{count} bytes in answer to a read of {step}");
                bytes.extend_from_slice(&buf[..count]);
            }
            Ok(ReadAt::Pending) => panic!("ready at byte {}, and nothing is there", bytes.len()),
            Ok(ReadAt::End) => return (bytes, None),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut, "nobody was woken at byte {}", bytes.len());
                return (bytes, Some(error));
            }
        }
    }
}

fn ends_where_it_says(source: &dyn Source, len: u64) {
    for beyond in [len, len + 1, len + 1_000_000, u64::MAX - 1, u64::MAX] {
        let answer = wait_and_read(source, beyond, &mut [0; 4]).expect("reading beyond the end is no error");
        assert_eq!(answer, ReadAt::End, "at {beyond} of {len}");
    }
    if let Some(known) = source.byte_len() {
        assert_eq!(known, len, "the length, once known");
    }
}

fn random_access(source: &dyn Source, bytes: &[u8]) {
    let mut offset = 0;
    for round in 1..200 {
        offset = (offset * 7 + round * 13) % bytes.len();
        let mut buf = vec![0; 1 + round % 50];
        match wait_and_read(source, offset as u64, &mut buf) {
            Ok(ReadAt::Bytes(count)) => {
                assert_eq!(buf[..count], bytes[offset..offset + count], "{count} bytes at {offset}");
            }
            other => panic!("byte {offset}, read before, is answered with {other:?}"),
        }
    }
    let tail = bytes.len() - 3;
    let answer = wait_and_read(source, tail as u64, &mut [0; 64]).expect("a read over the end");
    assert!(matches!(answer, ReadAt::Bytes(1..=3)), "a read over the end is short, not {answer:?}");
}

fn an_empty_buffer_reads_nothing(source: &dyn Source) {
    for offset in [0, 10, u64::MAX] {
        assert_eq!(source.read_at(offset, &mut []).expect("no bytes, no error"), ReadAt::Bytes(0));
        source.wait_range(offset..offset, Some(Duration::ZERO)).expect("an empty range is ready");
    }
}

fn readiness_means_an_answer(source: &dyn Source, len: u64) {
    for offset in 0..=len {
        source.wait_range(offset..u64::MAX, PATIENCE).expect("an unlimited demand is met");
        let answer = source.read_at(offset, &mut [0; 1]).expect("no failure");
        let want = if offset < len { ReadAt::Bytes(1) } else { ReadAt::End };
        assert_eq!(answer, want, "ready at {offset}");
    }
    let polled = source.poll_ready(&mut Context::from_waker(Waker::noop()), 0..1);
    assert!(matches!(polled, Poll::Ready(Ok(()))), "what was read is ready: {polled:?}");
}

fn every_waiter_is_woken(source: &dyn Source, bytes: &[u8]) {
    in_parallel(|waiter| {
        // Some wait for the last byte, some for the end, all at once and before anything was read.
        let offset = bytes.len() as u64 - 1 + waiter % 2;
        let answer = wait_and_read_among_others(source, offset, &mut [0; 1]).expect("waiters are woken in time");
        assert_eq!(answer, if waiter % 2 == 0 { ReadAt::Bytes(1) } else { ReadAt::End });
    });
}

fn the_length_can_be_waited_for(source: &dyn Source, len: u64) {
    let resolved = park::block_on(PATIENCE, |cx| source.poll_len(cx)).expect("the length, or that there is none");
    if let Some(resolved) = resolved {
        assert_eq!(resolved, len, "the resolved length");
        assert_eq!(source.byte_len(), Some(len), "a resolved length is known from then on");
    }
}

fn in_parallel(waiter: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for number in 0..WAITERS {
            let waiter = &waiter;
            scope.spawn(move || waiter(number));
        }
    });
}

/// A source whose bytes arrive chunk by chunk, one chunk each time a waiter finds nothing: as slow as can be, and
/// deterministic. Every read at the edge is `Pending` once, and every chunk border is a short read.
#[derive(Debug)]
pub struct SlowSource {
    body: UnitBody,
    /// Moved on by whoever waits.
    script: Mutex<Script>,
}

#[derive(Debug)]
struct Script {
    chunks: VecDeque<Bytes>,
    /// `None` once it has ended.
    writer: Option<UnitWriter>,
    fails: bool,
}

impl SlowSource {
    /// A source of these chunks, then the end. Empty chunks are turns in which nothing arrives.
    pub fn new<B: Into<Bytes>>(chunks: impl IntoIterator<Item = B>) -> Self {
        Self::scripted(chunks, false)
    }

    /// A source of these chunks, then a failure ([`StreamError::Abandoned`]).
    pub fn failing<B: Into<Bytes>>(chunks: impl IntoIterator<Item = B>) -> Self {
        Self::scripted(chunks, true)
    }

    fn scripted<B: Into<Bytes>>(chunks: impl IntoIterator<Item = B>, fails: bool) -> Self {
        let (writer, body) = UnitBody::channel();
        let chunks = chunks.into_iter().map(Into::into).collect();
        Self { body, script: Mutex::new(Script { chunks, writer: Some(writer), fails }) }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, cx: &Context<'_>) {
        self.script().advance();
        // The chunk may have been empty or too short: the waiter comes back for the next one.
        cx.waker().wake_by_ref();
    }
}

impl Script {
    fn advance(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        match self.chunks.pop_front() {
            Some(chunk) => {
                writer.push(chunk);
                self.writer = Some(writer);
            }
            None if self.fails => writer.fail(StreamError::Abandoned),
            None => writer.finish(),
        }
    }
}

impl Source for SlowSource {
    fn byte_len(&self) -> Option<u64> {
        self.body.byte_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.body.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        let polled = self.body.poll_ready(cx, range);
        if polled.is_pending() {
            self.advance(cx);
        }
        polled
    }

    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        let polled = self.body.poll_len(cx);
        if polled.is_pending() {
            self.advance(cx);
        }
        polled
    }
}
