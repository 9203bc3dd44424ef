//! A session from opening to closing: what it reports, and how it ends for those who wait.

mod support;

use std::{
    error::Error as _,
    io::{ErrorKind, Read},
    sync::Arc,
    time::{Duration, Instant},
};

use kithara_hls::{
    CancellationToken, DeliveredKey, Hls, HlsError, HlsEvent, HlsParams, HlsSession, HlsSource, KeyProcessor,
    KeyRefused,
    hls_core::{
        abr::AbrReason,
        playlist::VariantId,
        session::{MediaId, Stats, Track},
    },
};
use kithara_origin::{At, Fault, Origin, Response, Rule};
use kithara_stream::{Source, SourceFactory, SyncReader};
use support::{
    assert_exact, chain, file, fixtures, in_time, open, ours, playlist, quick, read_all, read_range, serve, truth,
};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

const V0: MediaId = MediaId::Variant(VariantId(0));
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Events until there are these many of those.
async fn events_until(
    events: &mut Receiver<HlsEvent>,
    count: usize,
    wanted: impl Fn(&HlsEvent) -> bool,
) -> Vec<HlsEvent> {
    let mut all: Vec<HlsEvent> = Vec::new();
    while all.iter().filter(|event| wanted(event)).count() < count {
        all.push(in_time(events.recv()).await.expect("the session lives"));
    }
    all
}

/// Events up to the end of the channel.
async fn all_events(mut events: Receiver<HlsEvent>) -> Vec<HlsEvent> {
    let mut all = Vec::new();
    loop {
        match in_time(events.recv()).await {
            Ok(event) => all.push(event),
            Err(RecvError::Closed) => return all,
            Err(RecvError::Lagged(missed)) => unreachable!("{missed} events were missed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_vod_is_told_from_the_first_word_to_the_last() {
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=60000\nts_aes/index.m3u8\n";
    let origin = serve(fixtures().bytes("/master.m3u8", master));
    let source = open(&origin.url("/master.m3u8"), quick()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    // Nobody listened so far: the first listener hears it all the same.
    let mut events = source.session().events();
    let mut all = events_until(&mut events, 5, |it| matches!(it, HlsEvent::SegmentComplete { .. })).await;
    let late = source.session().events();
    drop(source);
    all.extend(all_events(events).await);
    let late = all_events(late).await;
    let heard = all.len() - late.len();
    assert!(heard > 5, "whoever comes second hears what comes from then on: {late:#?}");
    assert_eq!(format!("{late:?}"), format!("{:?}", &all[heard..]));

    let starts = |event: &HlsEvent| match event {
        HlsEvent::SegmentStart { track: Track::Main, variant, segment_index, byte_offset, .. } => {
            assert_eq!(*variant, V0);
            Some((*segment_index, *byte_offset))
        }
        _ => None,
    };
    let starts: Vec<_> = all.iter().filter_map(starts).collect();
    let offsets = [0, 7_332, 14_664, 21_996, 29_328];
    assert_eq!(starts, (0..5).zip(offsets.map(Some)).collect::<Vec<_>>());

    let mut whole: Vec<u64> = Vec::new();
    for event in &all {
        if let HlsEvent::SegmentComplete { segment_index, bytes_transferred, cached, .. } = event {
            assert!(!cached && *bytes_transferred >= 6_960, "{event:?}");
            whole.push(*segment_index);
        }
    }
    whole.sort_unstable();
    assert_eq!(whole, [0, 1, 2, 3, 4]);

    let place = |wanted: fn(&HlsEvent) -> bool| {
        let found: Vec<usize> = all.iter().enumerate().filter(|(_, it)| wanted(it)).map(|(at, _)| at).collect();
        assert_eq!(found.len(), 1, "once: {all:#?}");
        found[0]
    };
    let applied =
        place(|it| matches!(it, HlsEvent::VariantApplied { from_variant: None, reason: AbrReason::Initial, .. }));
    let key = place(
        |it| matches!(it, HlsEvent::KeyFetch { success: true, key_url, .. } if key_url.ends_with("/ts_aes/key.bin")),
    );
    let ended = place(|it| matches!(it, HlsEvent::EndOfStream { .. }));
    let first = all.iter().position(|it| matches!(it, HlsEvent::SegmentStart { .. })).expect("segments");
    let last = all.iter().rposition(|it| matches!(it, HlsEvent::SegmentStart { .. })).expect("segments");
    assert!(applied < first && applied < key && last < ended, "{all:#?}");
    assert!(!all.iter().any(|it| matches!(it, HlsEvent::Error { .. })), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_rises_to_a_hundred_percent() {
    let origin = serve(fixtures());
    let source = open(&playlist(&origin, "fmp4_aac"), quick()).await;
    let mut events = source.session().events();
    read_all(&source).await;
    let all = events_until(&mut events, 5, |it| matches!(it, HlsEvent::SegmentComplete { .. })).await;
    drop(source);
    let (mut downloads, mut positions) = (Vec::new(), Vec::new());
    for event in all.into_iter().chain(all_events(events).await) {
        match event {
            HlsEvent::DownloadProgress { offset, percent, .. } => downloads.push((offset, percent.expect("a VOD"))),
            HlsEvent::PlaybackProgress { position, percent, .. } => positions.push((position, percent.expect("a VOD"))),
            _ => {}
        }
    }
    assert_eq!(downloads.last(), Some(&(32_704, 100.0)), "{downloads:?}");
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
    assert_eq!(positions.len(), 5);
}

/// What a session has counted when all is said: a reader may have its last byte before the session knows of it.
async fn last_numbers(source: &HlsSource) -> Stats {
    in_time(source.session().close()).await;
    source.session().stats()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_a_session_are_those_of_its_origin() {
    let bad = Rule::on("/ts_aac/seg2.ts").first(1).then(Response::html("<html>Please log in.</html>"));
    let origin = serve(fixtures().rule(bad));
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "all of it");
    let stats = last_numbers(&source).await;
    let of_segments = origin.log().into_iter().filter(|request| request.path.ends_with(".ts"));
    let sent: u64 = of_segments.filter(|request| request.status == 200).map(|request| request.bytes_sent).sum();
    assert!(stats.network.bytes_received <= sent, "{stats:?}, {sent} sent");
    assert!(stats.network.bytes_received >= truth("ts_aac").len() as u64, "{stats:?}");
    assert_eq!(stats.network.requests, 1 + 5 + 1, "a playlist, five segments, one of them twice: {stats:?}");
    assert_eq!((stats.network.transfers, stats.failed_fetches, stats.errors), (0, 1, 0), "{stats:?}");
    assert_eq!((stats.stalls, stats.switches, stats.skipped), (0, 0, 0), "{stats:?}");
    assert!(stats.unit_latency.is_some_and(|time| !time.is_zero() && time < Duration::from_secs(5)), "{stats:?}");
    let tracks: Vec<Track> = stats.buffers.iter().map(|buffer| buffer.track).collect();
    assert_eq!(tracks, [Track::Main]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_bytes_that_waits_for_longer_than_it_can_play_has_stalled() {
    // The segment before it plays for a second.
    let late = Rule::on("/ts_aac/seg1.ts").then(Fault::stall(At::Byte(1_000), Duration::from_millis(2_500)));
    let origin = serve(fixtures().rule(late));
    let mut options = quick();
    options.network.timeouts.stall = FOR_EVER;
    let source = open(&playlist(&origin, "ts_aac"), options).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "all of it");
    assert_eq!(last_numbers(&source).await.stalls, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channel_of_events_closes_when_the_last_handle_is_dropped() {
    let origin = serve(fixtures());
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    let mut events = source.session().events();
    let session = source.session().clone();
    let second = source.another().await.expect("the session lives");
    drop(source);
    drop(session);
    while events.try_recv().is_ok() {}
    assert!(matches!(events.try_recv(), Err(TryRecvError::Empty)));
    drop(second);
    all_events(events).await;
}

/// A session whose second segment never ends.
async fn blocked() -> (Origin, HlsSource) {
    blocked_with(None).await
}

async fn blocked_with(cancel: Option<CancellationToken>) -> (Origin, HlsSource) {
    let stall = Rule::on("/ts_aac/seg1.ts").then(Fault::stall(At::Byte(1_000), FOR_EVER));
    let origin = serve(fixtures().rule(stall));
    let mut options = quick();
    options.network.timeouts.stall = FOR_EVER;
    options.request.patience.max_elapsed = FOR_EVER;
    let source = open(&playlist(&origin, "ts_aac"), HlsParams { cancel, ..options.into() }).await;
    (origin, source)
}

/// Blocks a reader where no byte comes, ends the session, and says how long the reader took to learn of it.
async fn closed_under_a_blocked_reader() -> Duration {
    let (_origin, source) = blocked().await;
    let session = source.session().clone();
    let waiting = source.another().await.expect("the session lives");
    let (arrived, arrival) = tokio::sync::oneshot::channel();
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = SyncReader::new(source);
        reader.read_exact(&mut [0; 7_896]).expect("these bytes come");
        arrived.send(()).expect("the test waits");
        let error = reader.read(&mut [0]).expect_err("nothing more comes");
        (error, Instant::now())
    });
    in_time(arrival).await.expect("the reader stands before the byte that never comes");
    read_range(&waiting, 0..7_896).await;
    let closed = Instant::now();
    in_time(session.close()).await;
    let (error, woken) = in_time(read).await.expect("no panic");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(matches!(ours(&error), HlsError::Closed), "{error:?}");
    assert_over(&session, &waiting).await;
    woken.saturating_duration_since(closed)
}

/// Everything a session is asked is answered in the same way after its end.
async fn assert_over(session: &HlsSession, waiting: &HlsSource) {
    let (_, after) = read_range(waiting, 7_896..7_897).await;
    assert!(matches!(ours(&after.expect("closed")), HlsError::Closed));
    assert!(matches!(session.seek(Duration::ZERO).await, Err(HlsError::Closed)));
    assert!(matches!(waiting.another().await, Err(HlsError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_reaches_a_blocked_reader_at_once() {
    let mut took = Vec::new();
    for _ in 0..20 {
        took.push(closed_under_a_blocked_reader().await);
    }
    took.sort_unstable();
    // One of them may meet a machine that does other things as well.
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
    assert!(took.iter().all(|time| *time < Duration::from_secs(1)), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_session_ends_its_transfers() {
    let (origin, source) = blocked().await;
    read_range(&source, 0..7_800).await;
    assert!(origin.connections().open > 0);
    drop(source);
    in_time(origin.until(|origin| origin.connections().open == 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_token_ends_all_its_sessions_their_transfers_and_the_waits_of_their_readers() {
    let cancel = CancellationToken::new();
    let (first, second) = (blocked_with(Some(cancel.clone())).await, blocked_with(Some(cancel.clone())).await);
    let mut waits = tokio::task::JoinSet::new();
    for (origin, source) in [&first, &second] {
        read_range(source, 0..7_896).await;
        assert!(origin.log().iter().any(|request| request.ended.is_none()));
        let source = source.another().await.expect("the session lives");
        waits.spawn(async move { read_range(&source, 7_896..7_897).await.1 });
    }
    cancel.cancel();
    for error in in_time(waits.join_all()).await {
        let error = error.expect("nothing more comes");
        assert!(matches!(ours(&error), HlsError::Closed), "{error:?}");
    }
    for (origin, source) in [&first, &second] {
        in_time(origin.until(|origin| origin.log().iter().all(|request| request.ended.is_some()))).await;
        assert_over(source.session(), source).await;
    }
    let origin = serve(fixtures());
    let params = HlsParams { cancel: Some(cancel), ..quick().into() };
    let late = in_time(Hls::open(&playlist(&origin, "ts_aac"), params)).await.map(|_| ());
    assert!(matches!(late, Err(HlsError::Closed)), "{late:?}");
    assert!(origin.log().is_empty(), "nothing is asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_session_leaves_the_token_of_the_application_alone() {
    let cancel = CancellationToken::new();
    let (_origin, source) = blocked_with(Some(cancel.clone())).await;
    let (_other_origin, other) = blocked_with(Some(cancel.clone())).await;
    in_time(source.session().close()).await;
    drop(source);
    assert!(!cancel.is_cancelled());
    assert_eq!(read_range(&other, 0..7_896).await.0.len(), 7_896, "the other session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fatal_error_reaches_everybody_who_waits() {
    let origin = serve(fixtures().rule(Rule::on("/ts_aac/seg1.ts").then(Response::new(503))));
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let source = source.another().await.expect("the session lives");
        waiters.spawn(async move { read_all(&source).await });
    }
    let mut segments = source.session().segments(Track::Main).await.expect("the session lives");
    for (bytes, error) in waiters.join_all().await {
        assert_eq!(bytes.len(), 7_332);
        let error = error.expect("the second segment cannot be had");
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(ours(&error).source().is_some(), "the cause is kept: {error:?}");
        assert_eq!(ours(&error).status(), Some(503));
    }
    in_time(segments.next()).await.expect("the first segment is there").expect("no end yet");
    let failed = loop {
        match in_time(segments.next()).await {
            Err(error) => break error,
            Ok(segment) => {
                let (_, error) = read_all(&segment.expect("no end yet").body).await;
                if let Some(error) = error {
                    break ours(&error).clone();
                }
            }
        }
    };
    assert_eq!(failed.status(), Some(503));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_opening_is_told_as_an_event_as_well() {
    let origin = serve(fixtures());
    let session = Hls::session(&origin.url("/nothing.m3u8"), quick().into()).expect("a URL");
    let mut events = session.events();
    let refused = in_time(async { session.segments(Track::Main).await?.next().await }).await;
    assert_eq!(refused.expect_err("nothing is there").status(), Some(404));
    let told = in_time(async {
        loop {
            if let HlsEvent::Error { error, recoverable, .. } = events.recv().await.expect("the session is held") {
                break (error, recoverable);
            }
        }
    });
    let (error, recoverable) = told.await;
    assert!(!recoverable);
    assert_eq!(error.status(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_that_are_none_are_refused_before_anything_is_sent() {
    for url in ["", "no url", "file:///etc/passwd", "data:text/plain,x", "ftp://host/x", "http://", "/index.m3u8"] {
        let refused = Hls::session(url, HlsParams::default());
        assert!(matches!(refused, Err(HlsError::InvalidUrl(_))), "{url}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_follows_the_session() {
    let origin = serve(fixtures());
    let source = open(&origin.url("/av_master/master.m3u8"), quick()).await;
    let session = source.session().clone();
    let status = session.status();
    assert_eq!((status.variants.len(), status.variant), (1, Some(VariantId(0))));
    assert_eq!(status.variants[0].bandwidth.0, 120_000);
    assert_eq!(status.variants[0].resolution, Some((64, 36)));
    assert_eq!(status.renditions.len(), 3);
    assert_eq!(status.duration, Some(Duration::from_millis(4_900)));
    assert_eq!(source.byte_len(), None);
    read_all(&source).await;
    assert_eq!(source.byte_len(), Some(5_564));
    session.close().await;
    assert!(matches!(session.status_changed().await, Err(HlsError::Closed)));
}

/// A listener that never listens costs nothing but its own events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_harms_nobody() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.playback.buffer_bytes = 1;
    let source = open(&playlist(&origin, "ts_aac"), options).await;
    let (first, mut second) = (source.session().events(), source.session().events());
    for _ in 0..40 {
        assert_exact(&read_all(&source).await, &truth("ts_aac"), "again and again");
    }
    assert!(matches!(second.try_recv(), Err(TryRecvError::Lagged(_))), "more happened than the channel holds");
    drop(first);
}

/// The reverse of what the server delivers.
struct Reversed;

impl KeyProcessor for Reversed {
    fn process(&self, delivered: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused> {
        assert!(delivered.url.path().ends_with("/ts_aes/key.bin") && delivered.keyformat == "identity");
        let mut key: Vec<u8> = delivered.bytes.to_vec();
        key.reverse();
        key.try_into().map_err(|_| KeyRefused("not sixteen bytes".into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_what_the_processor_makes_of_it() {
    let mut key = file("ts_aes/key.bin");
    key.reverse();
    let origin = serve(fixtures().bytes("/ts_aes/key.bin", key));
    let mut options = quick();
    options.key.processor = Some(Arc::new(Reversed));
    let source = open(&playlist(&origin, "ts_aes"), options).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
}

/// Refuses every key.
struct Refusing;

impl KeyProcessor for Refusing {
    fn process(&self, _: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused> {
        Err(KeyRefused("this account may not".into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_a_processor_that_refuses_reach_the_reader() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.key.processor = Some(Arc::new(Refusing));
    let source = open(&playlist(&origin, "ts_aes"), options).await;
    let (bytes, error) = read_all(&source).await;
    let error = error.expect("there is no key");
    assert!(bytes.is_empty());
    assert!(matches!(ours(&error), HlsError::KeyProcessing { .. }), "{error:?}");
    assert!(chain(&error).contains("this account may not"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_of_keys_goes_where_keys_are() {
    let elsewhere = serve(fixtures());
    let text = String::from_utf8(file("ts_aes/index.m3u8")).expect("UTF-8");
    let origin =
        serve(fixtures().bytes("/ts_aes/index.m3u8", text.replace("key.bin", &elsewhere.url("/ts_aes/key.bin"))));
    let mut options = quick();
    options.request.query = Some("sig=1".to_owned());
    options.key.query = Some("key=a%2Fb".to_owned());
    let source = open(&playlist(&origin, "ts_aes"), options).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    let asked: Vec<_> = elsewhere.log().into_iter().map(|request| request.query).collect();
    assert_eq!(asked, [Some("key=a%2Fb".to_owned())], "as it is, and nothing else");
    assert!(origin.log().iter().all(|request| request.query.as_deref() == Some("sig=1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_query_go_to_the_opened_origin_only() {
    let elsewhere = serve(fixtures());
    let text = String::from_utf8(file("ts_aes/index.m3u8")).expect("UTF-8");
    let text = text.replace("seg", &elsewhere.url("/ts_aes/seg")).replace("key.bin", &elsewhere.url("/ts_aes/key.bin"));
    let origin = serve(fixtures().bytes("/ts_aes/index.m3u8", text));
    let mut options = quick();
    options.request = options.request.with_header("X-Account", "alice").expect("a header");
    options.request.query = Some("sig=a%2Fb+c&x".to_owned());
    options.key.headers.insert("x-key", "open".parse().expect("a header"));
    let source = open(&playlist(&origin, "ts_aes"), options).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    for request in origin.log() {
        assert_eq!(request.header("x-account"), Some("alice"));
        assert_eq!(request.query.as_deref(), Some("sig=a%2Fb+c&x"), "as it is");
    }
    for request in elsewhere.log() {
        assert_eq!((request.header("x-account"), request.query.as_deref()), (None, None), "{request:?}");
        let is_key = request.path.ends_with("key.bin");
        assert_eq!(request.header("x-key").is_some(), is_key, "keys have headers of their own: {request:?}");
    }
    assert_eq!((origin.log().len(), elsewhere.log().len()), (1, 6));
}
