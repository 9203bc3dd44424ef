//! A session whose task is gone: its runtime was shut down under readers that wait.

mod support;

use std::{
    io::{self, Read},
    sync::mpsc,
    time::Duration,
};

use kithara_hls::{
    Hls, HlsError, HlsOptions,
    hls_core::session::{ReaderOptions, Track},
};
use kithara_origin::{At, Fault, Origin, Rule};
use kithara_stream::{Source, SourceFactory, SyncReader};
use support::{PATIENCE, fixtures, in_time, ours, playlist, quick, read_all, serve};
use tokio::runtime::{Builder, Runtime};

const FOR_EVER: Duration = Duration::from_secs(3600);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// An origin that never ends what is asked for.
fn stalls(path: &str, at: u64) -> Origin {
    serve(fixtures().rule(Rule::on(path).then(Fault::stall(At::Byte(at), FOR_EVER))))
}

fn patient() -> HlsOptions {
    let mut options = quick();
    options.network.timeouts.stall = FOR_EVER;
    options.network.timeouts.first_byte = FOR_EVER;
    options.request.patience.max_elapsed = FOR_EVER;
    options.request.deadline = FOR_EVER;
    options.playback.ready_timeout = FOR_EVER;
    options
}

#[track_caller]
fn is_gone(error: &HlsError) {
    assert!(matches!(error, HlsError::Driver(_)), "{error:?}");
}

/// What `work` gives on a thread of its own.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (told, word) = mpsc::channel();
    std::thread::spawn(move || told.send(work()));
    word
}

#[track_caller]
fn word<T>(word: &mpsc::Receiver<T>) -> T {
    word.recv_timeout(PATIENCE).expect("nobody hangs")
}

#[test]
fn a_reader_of_bytes_that_waits_hears_of_it() {
    let origin = stalls("/ts_aac/seg1.ts", 1_000);
    let driven = runtime();
    let source = driven.block_on(Hls::open(&playlist(&origin, "ts_aac"), patient().into())).expect("it opens");
    let other = driven.block_on(source.another()).expect("the session lives");
    let (arrived, arrival) = mpsc::channel();
    let waiting = aside(move || -> io::Error {
        let mut reader = SyncReader::new(source);
        reader.read_exact(&mut [0; 7_896]).expect("these bytes come");
        arrived.send(()).expect("the test waits");
        reader.read(&mut [0]).expect_err("nothing more comes")
    });
    word(&arrival);
    driven.shutdown_background();
    is_gone(ours(&word(&waiting)));
    // Also whoever comes later.
    let later = aside(move || SyncReader::new(other).read_to_end(&mut Vec::new()).expect_err("nothing more comes"));
    is_gone(ours(&word(&later)));
}

#[test]
fn whoever_waits_for_a_playlist_or_a_length_hears_of_it() {
    let (driven, tested) = (runtime(), runtime());
    let origin = stalls("/ts_aac/index.m3u8", 10);
    let session = driven.block_on(async { Hls::session(&playlist(&origin, "ts_aac"), patient().into()) });
    let session = session.expect("a URL");
    let (feeding, listening) = (session.clone(), session.clone());
    let opening = tested.spawn(async move { feeding.feed(Track::Main, None).await.map(|_| ()) });
    let next = tested.spawn(async move { listening.segments(Track::Main).await?.next().await.map(|_| ()) });
    let sized = stalls("/ts_aac/seg3.ts", 0);
    let options = HlsOptions { reader: ReaderOptions { resolve_sizes: true }, ..patient() };
    let source = driven.block_on(Hls::open(&playlist(&sized, "ts_aac"), options.into())).expect("it opens");
    let len = tested.spawn(async move { std::future::poll_fn(|cx| source.poll_len(cx)).await });
    tested.block_on(in_time(sized.until(|origin| !origin.requests_of("/ts_aac/seg3.ts").is_empty())));
    tested.block_on(in_time(origin.until(|origin| !origin.log().is_empty())));
    driven.shutdown_background();
    is_gone(&tested.block_on(in_time(opening)).expect("no panic").expect_err("no playlist came"));
    is_gone(&tested.block_on(in_time(next)).expect("no panic").expect_err("no playlist came"));
    is_gone(ours(&tested.block_on(in_time(len)).expect("no panic").expect_err("no length came")));
    is_gone(&tested.block_on(in_time(session.seek(Duration::ZERO))).expect_err("nobody is there to seek"));
    is_gone(&tested.block_on(in_time(session.status_changed())).expect_err("nothing changes any more"));
}

#[test]
fn a_reader_of_segments_hears_of_it_in_the_segment_it_reads() {
    let origin = stalls("/ts_aac/seg0.ts", 2_000);
    let (driven, tested) = (runtime(), runtime());
    let session = driven.block_on(async { Hls::session(&playlist(&origin, "ts_aac"), patient().into()) });
    let session = session.expect("a URL");
    let mut segments = tested.block_on(in_time(session.segments(Track::Main))).expect("the session lives");
    let segment = tested.block_on(in_time(segments.next())).expect("its first bytes came").expect("no end yet");
    assert!(segment.body.len() > 0);
    driven.shutdown_background();
    let (bytes, error) = tested.block_on(read_all(&segment.body));
    assert!(!bytes.is_empty(), "what had arrived is read");
    is_gone(ours(&error.expect("it is not whole")));
    is_gone(&tested.block_on(in_time(segments.next())).expect_err("no more come"));
}
