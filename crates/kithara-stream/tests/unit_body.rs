//! The body that grows while it is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use kithara_stream::{ChunkAt, ReadAt, Source, StreamError, UnitBody};
use proptest::prelude::*;
use thiserror::Error;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Waiter {
    count: Arc<Count>,
    waker: Waker,
}

impl Waiter {
    fn new() -> Self {
        let count = Arc::new(Count::default());
        Self { waker: Waker::from(Arc::clone(&count)), count }
    }

    fn waits_at(&self, body: &UnitBody, offset: u64) {
        let polled = body.poll_ready(&mut Context::from_waker(&self.waker), offset..offset + 1);
        assert!(polled.is_pending());
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }
}

fn chunk(body: &UnitBody, offset: u64) -> Bytes {
    match body.chunk_at(offset) {
        Ok(ChunkAt::Bytes(bytes)) => bytes,
        other => panic!("no chunk at {offset}: {other:?}"),
    }
}

fn failure(body: &UnitBody, offset: u64) -> StreamError {
    StreamError::of(&body.chunk_at(offset).unwrap_err()).unwrap()
}

#[test]
fn chunks_are_shared_and_not_copied() {
    let (mut writer, body) = UnitBody::channel();
    let sent = Bytes::from(vec![1, 2, 3, 4]);
    writer.push(sent.clone());
    writer.push(Bytes::from_static(&[5]));
    assert_eq!(chunk(&body, 0).as_ptr(), sent.as_ptr());
    assert_eq!(chunk(&body, 3).as_ptr(), sent[3..].as_ptr());
    assert_eq!(chunk(&body, 4), Bytes::from_static(&[5]));
    assert_eq!((writer.len(), body.len(), body.held()), (5, 5, 5));
}

#[test]
fn a_read_crosses_chunks_and_stops_at_what_is_there() {
    let (mut writer, body) = UnitBody::channel();
    writer.push("abc".into());
    writer.push("".into());
    writer.push("def".into());
    let mut buf = [0; 8];
    assert_eq!(body.read_at(1, &mut buf).unwrap(), ReadAt::Bytes(5));
    assert_eq!(&buf[..5], b"bcdef");
    assert_eq!(body.read_at(6, &mut buf).unwrap(), ReadAt::Pending);
    assert_eq!(body.byte_len(), None);
    writer.finish();
    assert_eq!(body.read_at(6, &mut buf).unwrap(), ReadAt::End);
    assert_eq!((body.byte_len(), body.is_finished()), (Some(6), true));
}

#[test]
fn a_push_wakes_those_whose_byte_came_and_no_others() {
    let (mut writer, body) = UnitBody::channel();
    let (near, far) = (Waiter::new(), Waiter::new());
    near.waits_at(&body, 2);
    far.waits_at(&body, 3);
    writer.push("abc".into());
    assert_eq!((near.woken(), far.woken()), (1, 0));
    writer.push("d".into());
    assert_eq!((near.woken(), far.woken()), (1, 1));
}

#[test]
fn every_ending_wakes_everybody_and_later_reads_see_it() {
    type Ending = fn(kithara_stream::UnitWriter);
    let endings: [(Ending, Option<StreamError>); 4] = [
        (|writer| writer.finish(), None),
        (|writer| writer.cut(), Some(StreamError::Cut)),
        (|writer| writer.fail(StreamError::LengthUnknown), Some(StreamError::LengthUnknown)),
        (|writer| drop(writer), Some(StreamError::Abandoned)),
    ];
    for (end, error) in endings {
        let (mut writer, body) = UnitBody::channel();
        writer.push("abc".into());
        let waiters: Vec<Waiter> = (0..3).map(|_| Waiter::new()).collect();
        for (waiter, offset) in waiters.iter().zip([3, 4, u64::MAX - 1]) {
            waiter.waits_at(&body, offset);
        }
        end(writer);
        assert!(waiters.iter().all(|waiter| waiter.woken() == 1));
        assert_eq!(chunk(&body, 1), "bc", "what came stays readable");
        match error {
            None => assert_eq!(body.chunk_at(3).unwrap(), ChunkAt::End),
            Some(error) => assert_eq!(failure(&body, 3), error),
        }
    }
}

#[test]
fn a_failure_keeps_its_type_for_every_reader() {
    #[derive(Clone, Debug, Error)]
    #[error("the cable is cut at {0} m")]
    struct Cable(u32);

    let (writer, body) = UnitBody::channel();
    writer.fail(Cable(12));
    for reader in [body.clone(), body] {
        let error = reader.read_at(0, &mut [0; 4]).unwrap_err();
        assert_eq!(error.get_ref().unwrap().downcast_ref::<Cable>().unwrap().0, 12);
        let resolved = reader.poll_len(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(resolved, Poll::Ready(Err(_))));
    }
}

#[test]
fn released_chunks_leave_memory_and_are_not_read_again() {
    let (mut writer, body) = UnitBody::channel();
    let first = Bytes::from(vec![0; 100]);
    writer.push(first.clone());
    writer.push(Bytes::from(vec![1; 100]));
    body.release(99);
    assert_eq!((body.held(), failure(&body, 98)), (200, StreamError::Released));
    assert_eq!(chunk(&body, 99).len(), 1, "the mark is exclusive");
    body.release(100);
    assert_eq!(body.held(), 100);
    assert!(first.is_unique(), "nobody holds the first chunk any more");
    body.release(50);
    assert_eq!(failure(&body, 99), StreamError::Released, "the mark never goes back");
    assert_eq!(body.len(), 200, "offsets stay");
}

#[test]
fn a_release_beyond_the_end_keeps_what_comes_later() {
    let (mut writer, body) = UnitBody::channel();
    writer.push("abc".into());
    body.release(u64::MAX);
    assert_eq!(body.held(), 0);
    writer.push("def".into());
    assert_eq!(chunk(&body, 3), "def");
    assert_eq!(failure(&body, 2), StreamError::Released);
}

#[test]
fn what_one_reader_releases_stays_for_the_others() {
    let (mut writer, body) = UnitBody::channel();
    writer.push(Bytes::from(vec![0; 100]));
    writer.push(Bytes::from(vec![1; 100]));
    let (fast, slow) = (body.reader(), body.reader());
    fast.clone().release(200);
    body.release(200);
    assert_eq!((body.released(), chunk(&slow, 0).len()), (0, 100));
    slow.release(100);
    assert_eq!((body.released(), body.held(), failure(&slow, 0)), (100, 100, StreamError::Released));
    let late = body.reader();
    assert_eq!(failure(&late, 99), StreamError::Released, "what is gone is gone for whoever comes late");
    drop(slow);
    assert_eq!(body.released(), 100, "the late one has read nothing yet");
    drop(late);
    assert_eq!((body.released(), body.held()), (200, 0), "only the fast one is left");
    drop(fast);
    writer.push("more".into());
    assert_eq!(chunk(&body, 200), "more", "nobody releases what no reader came for");
    assert!(body.is_same(&body.reader()) && !body.is_same(&UnitBody::whole("more".into())));
}

#[test]
fn a_writer_is_not_held_up_for_one_of_several_readers() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut writer, body) = UnitBody::channel();
    writer.push(Bytes::from(vec![0; 100]));
    let one = body.reader();
    assert!(body.poll_held_below(cx, 100).is_pending(), "it waits for its only reader");
    let other = body.reader();
    assert!(body.poll_held_below(cx, 100).is_ready());
    drop(other);
    assert!(body.poll_held_below(cx, 100).is_pending());
    one.release(100);
    assert!(body.poll_held_below(cx, 100).is_ready());
}

#[test]
fn a_writer_learns_that_nobody_reads_any_more() {
    let (writer, body) = UnitBody::channel();
    let second = body.clone();
    drop(body);
    assert!(!writer.is_orphaned());
    drop(second);
    assert!(writer.is_orphaned());
}

#[test]
fn a_thread_that_waits_again_and_again_leaves_one_waker() {
    let (_writer, body) = UnitBody::channel();
    for _ in 0..100 {
        body.wait_range(0..1, Some(Duration::ZERO)).unwrap_err();
    }
    let waker_count = format!("{body:?}");
    assert!(waker_count.contains("waiters: 1"), "{waker_count}");
}

#[test]
fn readers_on_other_threads_see_every_byte_once_it_is_pushed() {
    let (mut writer, body) = UnitBody::channel();
    let expected: Vec<u8> = (0..20_000_u32).map(|n| (n % 253) as u8).collect();
    thread::scope(|scope| {
        for step in [1_usize, 17, 4_096] {
            let (body, expected) = (body.clone(), &expected);
            scope.spawn(move || {
                let mut reader = kithara_stream::SyncReader::new(body);
                let mut read = Vec::new();
                let mut buf = vec![0; step];
                loop {
                    match std::io::Read::read(&mut reader, &mut buf).unwrap() {
                        0 => break,
                        count => read.extend_from_slice(&buf[..count]),
                    }
                }
                assert_eq!(&read, expected);
            });
        }
        for chunk in expected.chunks(111) {
            writer.push(Bytes::copy_from_slice(chunk));
        }
        writer.finish();
    });
}

proptest! {
    #[test]
    fn chunks_and_reads_agree_with_the_joined_bytes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12),
        released in 0_u64..40,
        offset in 0_u64..60,
        len in 1_usize..30,
    ) {
        let joined = chunks.concat();
        let (mut writer, body) = UnitBody::channel();
        for chunk in chunks {
            writer.push(chunk.into());
        }
        writer.finish();
        body.release(released);
        let rest = joined.get(offset as usize..).unwrap_or_default();
        let mut buf = vec![0; len];
        match body.read_at(offset, &mut buf) {
            Err(error) => {
                prop_assert_eq!(StreamError::of(&error), Some(StreamError::Released));
                prop_assert!(offset < released);
            }
            Ok(ReadAt::Bytes(count)) => {
                prop_assert_eq!(&buf[..count], &rest[..len.min(rest.len())]);
                prop_assert!(rest.starts_with(&chunk(&body, offset)));
            }
            Ok(answer) => {
                prop_assert_eq!(answer, ReadAt::End);
                prop_assert!(rest.is_empty());
            }
        }
        prop_assert!(body.held() <= joined.len() as u64);
    }
}
