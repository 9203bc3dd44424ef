//! Streams opened by URL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::{self, Read},
    ops::Range,
    task::{Context, Poll},
};

use kithara_stream::{
    ReadAt, Source, SourceFactory, StreamSource, SyncReader,
    contract::{SlowSource, source_contract},
};
use tokio::sync::broadcast;

/// Opens the bytes of its own URL.
struct Echo;

struct EchoSource {
    source: SlowSource,
    events: broadcast::Sender<u32>,
}

impl EchoSource {
    fn report(&self, event: u32) {
        self.events.send(event).unwrap();
    }
}

impl SourceFactory for Echo {
    type Params = broadcast::Sender<u32>;
    type Source = EchoSource;
    type Event = u32;
    type Error = io::Error;

    async fn open(url: &str, events: broadcast::Sender<u32>) -> io::Result<EchoSource> {
        if url.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        tokio::task::yield_now().await;
        Ok(EchoSource { source: SlowSource::new([url.as_bytes().to_vec()]), events })
    }

    fn events(source: &EchoSource) -> broadcast::Receiver<u32> {
        source.events.subscribe()
    }
}

impl Source for EchoSource {
    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.source.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, range)
    }
}

async fn open(url: impl AsRef<str>) -> io::Result<StreamSource<Echo>> {
    StreamSource::<Echo>::open(url, broadcast::channel(4).0).await
}

#[tokio::test]
async fn a_reader_takes_the_opened_stream_and_events_live_on() {
    let source = open("stream:one").await.unwrap();
    let mut events = source.events();
    let mut reader = SyncReader::new(source);
    reader.get_ref().report(7);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), events.recv().await.unwrap()), ("stream:one", 7));
    drop(reader);
    assert_eq!(events.recv().await, Err(broadcast::error::RecvError::Closed));
}

#[tokio::test]
async fn a_url_may_be_anything_that_lends_a_string() {
    assert!(open("stream:str").await.is_ok());
    assert!(open(String::from("stream:string")).await.is_ok());
    assert!(open(&Box::<str>::from("stream:box")).await.is_ok());
}

#[tokio::test]
async fn a_url_that_is_none_is_the_factorys_typed_error() {
    assert_eq!(open("").await.err().unwrap().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn an_opened_stream_keeps_the_contract() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    source_contract(&|bytes| {
        // The sample is passed as a URL, so it travels in a factory of its own.
        struct Sample;
        impl SourceFactory for Sample {
            type Params = Vec<u8>;
            type Source = SlowSource;
            type Event = ();
            type Error = io::Error;
            async fn open(_: &str, bytes: Vec<u8>) -> io::Result<SlowSource> {
                Ok(SlowSource::new([bytes]))
            }
            fn events(_: &SlowSource) -> broadcast::Receiver<()> {
                broadcast::channel(1).1
            }
        }
        let opened = StreamSource::<Sample>::open("sample:", bytes.to_vec());
        Box::new(runtime.block_on(opened).unwrap())
    });
}
