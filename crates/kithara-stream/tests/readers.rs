//! Readers against [`std::io::Cursor`], the model of what reading and seeking mean.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    ops::Range,
    task::{Context, Poll},
};

use kithara_stream::{AsyncReader, BytesSource, ReadAt, Source, StreamError, SyncReader, contract::SlowSource};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    Seek(SeekFrom),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..40).prop_map(Step::Read),
        1 => (0_u64..150).prop_map(|to| Step::Seek(SeekFrom::Start(to))),
        1 => (-60_i64..60).prop_map(|by| Step::Seek(SeekFrom::Current(by))),
        1 => (-150_i64..20).prop_map(|by| Step::Seek(SeekFrom::End(by))),
        1 => prop_oneof![Just(SeekFrom::Start(u64::MAX)), Just(SeekFrom::Current(i64::MAX)), Just(SeekFrom::End(i64::MIN))]
            .prop_map(Step::Seek),
    ]
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8)
}

/// `read` may be short, so it is compared byte for byte as far as it went, and an end must be the model's end.
fn same_read(got: &[u8], model: &mut Cursor<Vec<u8>>, wanted: usize) {
    let mut expected = vec![0; if got.is_empty() { wanted } else { got.len() }];
    let count = Read::read(model, &mut expected).unwrap();
    assert_eq!(got, &expected[..count]);
}

fn same_seek(got: io::Result<u64>, expected: io::Result<u64>) {
    match (got, expected) {
        (Ok(got), Ok(expected)) => assert_eq!(got, expected),
        (Err(got), Err(expected)) => assert_eq!(got.kind(), expected.kind()),
        (got, expected) => panic!("{got:?} where a cursor says {expected:?}"),
    }
}

proptest! {
    #[test]
    fn a_sync_reader_reads_and_seeks_like_a_cursor(chunks in chunks(), steps in prop::collection::vec(step(), 0..40)) {
        let mut model = Cursor::new(chunks.concat());
        let mut reader = SyncReader::new(SlowSource::new(chunks));
        for step in steps {
            match step {
                Step::Seek(to) => same_seek(reader.seek(to), Seek::seek(&mut model, to)),
                Step::Read(len) => {
                    let mut buf = vec![0; len];
                    let count = reader.read(&mut buf).unwrap();
                    same_read(&buf[..count], &mut model, len);
                }
            }
            prop_assert_eq!(reader.position(), model.position());
            prop_assert_eq!(reader.stream_position().unwrap(), model.position());
        }
    }

    #[test]
    fn an_async_reader_reads_and_seeks_like_a_cursor(chunks in chunks(), steps in prop::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut model = Cursor::new(chunks.concat());
            let mut reader = AsyncReader::new(SlowSource::new(chunks));
            for step in steps {
                match step {
                    Step::Seek(to) => same_seek(reader.seek(to).await, Seek::seek(&mut model, to)),
                    Step::Read(len) => {
                        let mut buf = vec![0; len];
                        let count = reader.read(&mut buf).await.unwrap();
                        same_read(&buf[..count], &mut model, len);
                    }
                }
                assert_eq!(reader.position(), model.position());
            }
        });
    }
}

/// A stream without a length whose reads are answered by `0`.
struct Odd(Answer);

type Answer = fn(&mut [u8]) -> io::Result<ReadAt>;

impl Source for Odd {
    fn byte_len(&self) -> Option<u64> {
        None
    }

    fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.0(buf)
    }

    fn poll_ready(&self, _: &mut Context<'_>, _: Range<u64>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_seek_from_an_unknown_end_says_to_seek_by_time() {
    let endless = || Odd(|_| Ok(ReadAt::End));
    let mut reader = SyncReader::new(endless());
    reader.seek(SeekFrom::Start(5)).unwrap();
    let error = reader.seek(SeekFrom::End(0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(StreamError::of(&error), Some(StreamError::LengthUnknown));
    assert!(error.to_string().contains("seek by time"), "{error}");
    assert_eq!(reader.position(), 5, "a failed seek moves nothing");

    let mut reader = AsyncReader::new(endless());
    let error = reader.seek(SeekFrom::End(0)).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::LengthUnknown));
    assert_eq!(reader.seek(SeekFrom::Start(9)).await.unwrap(), 9, "the reader is still good");
}

#[tokio::test]
async fn an_answer_of_nothing_is_a_broken_source_and_not_the_end() {
    let answers: [Answer; 2] = [|_| Ok(ReadAt::Bytes(0)), |buf| Ok(ReadAt::Bytes(buf.len() + 1))];
    for answer in answers {
        let error = SyncReader::new(Odd(answer)).read(&mut [0; 4]).unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::BrokenSource));
        let error = AsyncReader::new(Odd(answer)).read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::BrokenSource));
    }
}

#[tokio::test]
async fn a_failure_reaches_the_reader_as_the_sources_own_error() {
    let mut text = Vec::new();
    let error = SyncReader::new(SlowSource::failing(["some"])).read_to_end(&mut text).unwrap_err();
    assert_eq!((text.as_slice(), StreamError::of(&error)), (&b"some"[..], Some(StreamError::Abandoned)));

    text.clear();
    let error = AsyncReader::new(SlowSource::failing(["some"])).read_to_end(&mut text).await.unwrap_err();
    assert_eq!((text.as_slice(), StreamError::of(&error)), (&b"some"[..], Some(StreamError::Abandoned)));
}

#[tokio::test]
async fn the_largest_position_is_beyond_every_end() {
    // No range can wait for a byte there, so it must not be waited for.
    let mut reader = SyncReader::new(SlowSource::new(["abc"]));
    reader.seek(SeekFrom::Start(u64::MAX)).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
    let mut reader = AsyncReader::new(SlowSource::new(["abc"]));
    reader.seek(SeekFrom::Start(u64::MAX)).await.unwrap();
    assert_eq!(reader.read(&mut [0; 4]).await.unwrap(), 0);
}

#[test]
fn a_seek_alone_asks_for_nothing() {
    let mut reader = SyncReader::new(SlowSource::new(["never asked for"]));
    reader.seek(SeekFrom::Start(3)).unwrap();
    reader.seek_relative(4).unwrap();
    assert_eq!(reader.get_ref().read_at(0, &mut [0; 1]).unwrap(), ReadAt::Pending, "nothing was pulled");
}

#[test]
fn into_inner_gives_the_source_back() {
    let reader = SyncReader::new(BytesSource::from("bytes"));
    assert_eq!(&reader.into_inner().bytes()[..], b"bytes");
}
