//! The contract suites over every source of this crate, and over sources that break a promise each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use kithara_stream::{
    BytesSource, ReadAt, Source, StreamError, UnitBody,
    contract::{SlowSource, failure_contract, source_contract},
};

fn slow(bytes: &[u8], chunk: usize) -> SlowSource {
    // Every other turn brings nothing: being woken is no promise that bytes came.
    let turns = bytes.chunks(chunk).flat_map(|chunk| [Bytes::new(), Bytes::copy_from_slice(chunk)]);
    SlowSource::new(turns.collect::<Vec<_>>())
}

/// A body that a thread of its own fills, without any help from its readers.
fn pushed(bytes: &[u8], chunk: usize, fails: bool) -> UnitBody {
    let (mut writer, body) = UnitBody::channel();
    let chunks: Vec<Bytes> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
    thread::spawn(move || {
        for chunk in chunks {
            writer.push(chunk);
            thread::yield_now();
        }
        if fails {
            writer.fail(StreamError::Cut);
        } else {
            writer.finish();
        }
    });
    body
}

#[test]
fn bytes_in_memory_keep_the_contract() {
    source_contract(&|bytes| Box::new(BytesSource::from(bytes.to_vec())));
}

#[test]
fn a_slow_source_keeps_the_contract() {
    for chunk in [1, 13, 5_000] {
        source_contract(&|bytes| Box::new(slow(bytes, chunk)));
    }
    failure_contract(&|bytes| Box::new(SlowSource::failing([Bytes::copy_from_slice(bytes)])));
}

#[test]
fn a_body_filled_by_another_thread_keeps_the_contract() {
    for chunk in [1, 100, 5_000] {
        source_contract(&|bytes| Box::new(pushed(bytes, chunk, false)));
        failure_contract(&|bytes| Box::new(pushed(bytes, chunk, true)));
    }
}

#[test]
fn a_boxed_source_keeps_the_contract() {
    source_contract(&|bytes| Box::new(Box::new(slow(bytes, 9)) as Box<dyn Source>));
}

/// A source over `bytes` with one broken promise.
struct Broken {
    bytes: Vec<u8>,
    promise: Promise,
}

#[derive(Clone, Copy, Debug)]
enum Promise {
    RightBytes,
    RightLength,
    EndOnlyAtTheEnd,
    NoEmptyAnswer,
    TypedFailure,
    NeverInterrupted,
}

impl Source for Broken {
    fn byte_len(&self) -> Option<u64> {
        let lie = u64::from(matches!(self.promise, Promise::RightLength));
        Some(self.bytes.len() as u64 + lie)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        let answer = BytesSource::from(self.bytes.clone()).read_at(offset, buf)?;
        match (self.promise, answer) {
            (Promise::RightBytes, ReadAt::Bytes(1..)) if offset == 99 => buf[0] ^= 1,
            (Promise::EndOnlyAtTheEnd, _) if offset == 99 => return Ok(ReadAt::End),
            (Promise::NoEmptyAnswer, ReadAt::End) => return Ok(ReadAt::Bytes(0)),
            (Promise::TypedFailure, ReadAt::End) => return Err(io::ErrorKind::Other.into()),
            (Promise::NeverInterrupted, ReadAt::End) => {
                return Err(io::Error::new(io::ErrorKind::Interrupted, StreamError::Abandoned));
            }
            _ => {}
        }
        Ok(answer)
    }

    fn poll_ready(&self, _: &mut Context<'_>, _: Range<u64>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Make = dyn Fn(&[u8]) -> Box<dyn Source>;

#[track_caller]
fn check_caught(promise: Promise, suite: fn(&Make)) {
    let make = move |bytes: &[u8]| Box::new(Broken { bytes: bytes.to_vec(), promise }) as Box<dyn Source>;
    let verdict = catch_unwind(AssertUnwindSafe(|| suite(&make)));
    assert!(verdict.is_err(), "the suite did not notice that {promise:?} is broken");
}

#[test]
fn the_suites_notice_every_broken_promise() {
    check_caught(Promise::RightBytes, source_contract);
    check_caught(Promise::RightLength, source_contract);
    check_caught(Promise::EndOnlyAtTheEnd, source_contract);
    check_caught(Promise::NoEmptyAnswer, source_contract);
    check_caught(Promise::TypedFailure, failure_contract);
    check_caught(Promise::NeverInterrupted, failure_contract);
}
