//! Live playlists over HTTP: what travels when nothing has changed, and what is kept that is dropped.

mod support;

use std::{future::poll_fn, path::Path, time::Duration};

use kithara_hls::{
    Hls, HlsEvent, HlsParams,
    fetch::assets::{AssetStore, DiskOptions},
    hls_core::session::{LiveOptions, LiveStart, Track},
};
use kithara_origin::{At, Fault, Live, Origin, Rule, Site};
use kithara_stream::Source;
use support::{assert_exact, file, fixtures, in_time, open, playlist, quick, read_all, seam, serve, truth};
use tokio::sync::broadcast::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_playlist_that_has_not_changed_does_not_travel_again() {
    let live = Live::event().start(3).stale(Duration::ZERO, Duration::from_secs(3));
    let origin = serve(fixtures().live("*", live));
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "the stream");
    let loads: Vec<_> = origin.log().into_iter().filter(|request| request.path.ends_with("/index.m3u8")).collect();
    let answers: Vec<_> = loads.iter().map(|load| (load.header("if-none-match").is_some(), load.status)).collect();
    assert_eq!(answers.first(), Some(&(false, 200)), "nothing is known at first");
    assert!(answers[1..].iter().all(|(conditional, _)| *conditional), "every reload asks for changes: {answers:?}");
    let unchanged = answers.iter().position(|(_, status)| *status == 304).expect("it stood still for three seconds");
    assert!(answers[unchanged..].iter().any(|(_, status)| *status == 200), "changes are still heard of: {answers:?}");
}

/// Segments of the stream below, half a second each by its playlist.
const SEGMENTS: usize = 24;

/// A window of six segments whose origin drops what leaves it at once.
fn dropping(dir: &Path, faults: impl IntoIterator<Item = Rule>) -> Origin {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
    for n in 0..SEGMENTS {
        std::fs::write(dir.join(format!("seg{n}.ts")), segment(n)).expect("the folder can be written");
        text += &format!("#EXTINF:0.5,\nseg{n}.ts\n");
    }
    text += "#EXT-X-ENDLIST\n";
    std::fs::write(dir.join("index.m3u8"), text).expect("the folder can be written");
    serve(faults.into_iter().fold(Site::new().dir("/", dir), Site::rule).live("*", Live::sliding(6).start(7).keep(0)))
}

fn segment(n: usize) -> Vec<u8> {
    file(&format!("ts_aac/seg{}.ts", n % 5))
}

/// A session that holds a second of media ahead of its readers, over a store in `dir`.
fn behind(dir: &Path) -> HlsParams {
    let mut options = quick();
    options.playback.buffer_goal = Duration::from_secs(1);
    options.live = LiveOptions { start: LiveStart::Beginning, ..LiveOptions::default() };
    let disk = DiskOptions { free_space: 0, ..DiskOptions::default() };
    let store = AssetStore::open(dir, disk).expect("the folder can be written");
    HlsParams { store: Some(store), ..HlsParams::from(options) }
}

/// Waits until the window begins there.
async fn window_passes(events: &mut Receiver<HlsEvent>, time: Duration) {
    loop {
        match in_time(events.recv()).await.expect("the session lives, and is listened to") {
            HlsEvent::PlaylistUpdated { window_start, .. } if window_start >= time => return,
            HlsEvent::Error { error, recoverable: false, .. } => unreachable!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stood_still_goes_on_from_the_store() {
    let (site, disk) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let origin = dropping(site.path(), []);
    stands_still(&origin, disk.path(), |_| 1).await;
}

/// What is cut between packets, so that nothing but the time in it shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_a_reader_that_stood_still_has_its_time() {
    let (site, disk) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let cut = |n: usize| At::Byte(seam(&segment(n), segment(n).len() / 3));
    let unframed = Rule::on("seg9.ts").first(1).then(Fault::NoLength).then(Fault::truncate(cut(9)));
    let origin = dropping(site.path(), [unframed]);
    stands_still(&origin, disk.path(), |n| if n == 9 { 2 } else { 1 }).await;
}

/// A reader that comes back after eight seconds finds all that was dropped meanwhile, each asked for so many times.
async fn stands_still(origin: &Origin, disk: &Path, requests: impl Fn(u64) -> usize) {
    let session = Hls::session(&origin.url("/index.m3u8"), behind(disk)).expect("a URL");
    let mut events = session.events();
    let mut segments = session.segments(Track::Main).await.expect("the session lives");
    let first = in_time(segments.next()).await.expect("it goes on").expect("there is one");
    window_passes(&mut events, Duration::from_secs(8)).await;
    let (from, _) = session.seekable().expect("the playlist is there");
    assert!(from < Duration::from_secs(1), "all that was dropped meanwhile is within reach, and not from {from:?} on");
    let mut read = vec![first];
    while let Some(segment) = in_time(segments.next()).await.expect("nothing is lost") {
        read.push(segment);
    }
    let msns: Vec<u64> = read.iter().map(|segment| segment.msn.0).collect();
    let first = msns[0];
    assert_eq!(msns, (first..SEGMENTS as u64).collect::<Vec<_>>());
    for (n, segment_read) in msns.iter().zip(&read) {
        let (bytes, broken) = read_all(&segment_read.body).await;
        assert_eq!(bytes, segment(usize::try_from(*n).expect("small")), "segment {n}: {broken:?}");
        let asked = origin.requests_of(&format!("/seg{n}.ts"));
        let statuses: Vec<_> = asked.iter().map(|request| request.status).collect();
        assert_eq!(statuses, vec![200; requests(*n)], "how often segment {n} travels");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_bytes_that_stood_still_goes_on_from_the_store() {
    let (site, disk) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let origin = dropping(site.path(), []);
    let source = open(&origin.url("/index.m3u8"), behind(disk.path())).await;
    let mut events = source.session().events();
    let mut byte = [0];
    in_time(poll_fn(|cx| source.poll_ready(cx, 0..1))).await.expect("it begins");
    source.read_at(0, &mut byte).expect("it begins");
    window_passes(&mut events, Duration::from_secs(8)).await;
    let (bytes, broken) = read_all(&source).await;
    let first = (0..7).find(|n| bytes.starts_with(&segment(*n)[..]) && bytes.len() > 1).expect("a segment");
    let all: Vec<u8> = (first..SEGMENTS).flat_map(segment).collect();
    assert_eq!(bytes.len(), all.len(), "{broken:?}");
    assert!(bytes == all, "the bytes of the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_and_presentation_times_of_a_live_stream_lead_back_to_each_other() {
    let origin = serve(fixtures().live("*", Live::sliding(3).start(4).dated()));
    let session = Hls::session(&playlist(&origin, "ts_aac"), quick().into()).expect("a URL");
    assert_eq!(session.date_at(Duration::ZERO), None, "nothing is loaded");
    let mut segments = session.segments(Track::Main).await.expect("the session lives");
    // Dates count milliseconds.
    let near = |one: Duration, other: Duration| one.abs_diff(other) <= Duration::from_millis(1);
    let mut read = 0;
    while let Some(segment) = in_time(segments.next()).await.expect("it goes on") {
        read += 1;
        let (stated, start) = (segment.program_date_time.expect("each segment has a date"), segment.start);
        let date = session.date_at(start).expect("the stream is dated");
        let apart = date.as_millis().abs_diff(stated.as_millis());
        assert!(apart <= 1, "segment {} has {stated}, and {date} is told", segment.msn);
        for at in [start, start + segment.duration / 2] {
            let back = session.date_at(at).and_then(|date| session.time_at(date)).expect("the stream is dated");
            assert!(near(back, at), "{at:?} and {back:?}");
        }
    }
    assert!(read >= 3, "{read} segments");
    let (from, to) = session.seekable().expect("the playlist is there");
    let (first, last) = (session.date_at(from).expect("dated"), session.date_at(to).expect("dated"));
    assert!(near(last.since(first), to - from), "{first} to {last}");
}
