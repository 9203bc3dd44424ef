//! Reads at any place of a stream that nobody has seen before: right bytes, and no request that is not needed.

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write,
    future::poll_fn,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use kithara_hls::{
    HlsOptions, HlsParams,
    hls_core::session::{ReaderOptions, VariantChoice},
};
use kithara_origin::{At, Ending, Fault, Logged, Origin, Request, Response, Rule, Site};
use kithara_stream::{Source, StreamError, SyncReader};
use sha2::{Digest, Sha256};
use support::{
    Dice, asked, assert_exact, file, fixtures, in_time, open, ours, playlist, quick, read_all, read_range, serve, truth,
};

const FIXTURES: [&str; 9] = [
    "ts_aac",
    "fmp4_aac",
    "ts_aes",
    "ts_rotate",
    "fmp4_aes",
    "fmp4_aes_init",
    "fmp4_byterange",
    "fmp4_discontinuity",
    "adts",
];

fn resolving() -> HlsOptions {
    HlsOptions { reader: ReaderOptions { resolve_sizes: true }, ..quick() }
}

/// A request for the first bytes, or the last two blocks, of something: how its length is found.
fn is_probe(request: &Logged) -> bool {
    matches!(request.range.as_deref(), Some("bytes=0-1023" | "bytes=-32"))
}

/// Nothing but GET, every byte of every resource at most once, and at most one question for its length.
#[track_caller]
fn assert_frugal(origin: &Origin, lengths: impl Fn(&str) -> u64) {
    let mut seen: BTreeMap<String, (Vec<std::ops::Range<u64>>, u32)> = BTreeMap::new();
    for request in origin.log() {
        assert_eq!(request.method, "GET");
        let len = lengths(&request.path);
        let (ranges, probes) = seen.entry(request.path.clone()).or_default();
        if is_probe(&request) {
            *probes += 1;
            continue;
        }
        ranges.push(asked(&request, len));
    }
    for (path, (mut ranges, probes)) in seen {
        ranges.sort_by_key(|range| range.start);
        let twice = ranges.windows(2).find(|pair| pair[1].start < pair[0].end);
        assert_eq!(twice, None, "{path}: bytes were fetched twice: {:#?}", origin.requests_of(&path));
        assert!(probes <= 1, "{path}: {probes} questions for its length: {:#?}", origin.requests_of(&path));
    }
}

fn length_on_disk(path: &str) -> u64 {
    file(path.trim_start_matches('/')).len() as u64
}

async fn read_here_and_there(source: &impl Source, truth: &[u8], reads: u32, dice: &mut Dice, what: &str) {
    for round in 0..reads {
        let at = dice.below(truth.len() as u64);
        let end = (at + 1 + dice.below(3_000)).min(truth.len() as u64);
        let (bytes, error) = read_range(source, at..end).await;
        assert!(error.is_none(), "{what}, read {round} at {at}: {error:?}");
        let (from, to) = (usize::try_from(at).expect("small"), usize::try_from(end).expect("small"));
        assert!(bytes == truth[from..to], "{what}, read {round}: wrong bytes at {at}..{end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reads_here_and_there_are_right_and_nothing_is_fetched_twice() {
    for (seed, fixture) in (1..).zip(FIXTURES) {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, fixture), resolving()).await;
        read_here_and_there(&source, &truth(fixture), 200, &mut Dice(seed), fixture).await;
        assert_frugal(&origin, length_on_disk);
    }
}

/// Whatever else there is, and the media playlist that is read of it.
const OTHERS: [(&str, &str); 8] = [
    ("mp3/index.m3u8", "mp3/index.m3u8"),
    ("fmp4_flac/index.m3u8", "fmp4_flac/index.m3u8"),
    ("fmp4_alac/index.m3u8", "fmp4_alac/index.m3u8"),
    ("fmp4_mp3/index.m3u8", "fmp4_mp3/index.m3u8"),
    ("ts_av/index.m3u8", "ts_av/index.m3u8"),
    ("ts_discontinuity/index.m3u8", "ts_discontinuity/index.m3u8"),
    ("av_master/master.m3u8", "av_master/video/index.m3u8"),
    ("demo/master.m3u8", "demo/128k/index.m3u8"),
];

/// The fixtures, and the demo beside them.
fn with_demo() -> Site {
    fixtures().dir("/demo", demo_dir())
}

fn demo_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kithara-origin/demo")
}

fn length_with_demo(path: &str) -> u64 {
    match path.strip_prefix("/demo/") {
        Some(name) => std::fs::metadata(demo_dir().join(name)).expect("the demo is committed").len(),
        None => length_on_disk(path),
    }
}

/// All bytes of a media playlist, which are those whose length and hash stand in the list that no code of ours has made.
async fn whole(path: &str) -> Vec<u8> {
    let origin = serve(with_demo());
    let (bytes, error) = read_all(&open(&origin.url(&format!("/{path}")), quick()).await).await;
    assert!(error.is_none(), "{path}: {error:?}");
    let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut hash, byte| {
        write!(hash, "{byte:02x}").expect("a string takes all that is written");
        hash
    });
    let list = String::from_utf8(file("expected.tsv")).expect("the list is text");
    let wanted = format!("\t{}\t{hash}", bytes.len());
    let row = list.lines().find(|row| row.split('\t').next() == Some(path)).expect("it is listed");
    assert!(row.ends_with(&wanted), "{path}: {} bytes with hash {hash}, for {row}", bytes.len());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reads_of_other_formats_and_of_variants_are_right_as_well() {
    for (seed, (path, read)) in (1..).zip(OTHERS) {
        let truth = whole(read).await;
        let origin = serve(with_demo());
        let mut options = resolving();
        options.playback.variant = VariantChoice::Best;
        let source = open(&origin.url(&format!("/{path}")), options).await;
        read_here_and_there(&source, &truth, 200, &mut Dice(seed), path).await;
        assert_frugal(&origin, length_with_demo);
    }
}

/// An origin that neither serves the end alone nor says how long the whole is has no length to tell.
fn asks_for_the_end(request: &Request) -> bool {
    request.path.ends_with(".m3u8") || request.header("range").is_some_and(|range| range.starts_with("bytes=-"))
}

/// Everything that can go wrong on the way and passes, now and then.
fn rough(fixture: &str, seed: u64) -> Site {
    let on = |chance| Rule::on(&format!("/{fixture}/*")).when(|it| !it.path.ends_with(".m3u8")).chance(chance);
    fixtures()
        .seed(seed)
        .rule(on(0.15).then(Fault::truncate(At::Fraction(0.6))))
        .rule(on(0.1).then(Fault::NoLength).then(Fault::truncate(At::Fraction(0.7))))
        .rule(on(0.1).then(Response::new(503)))
        .rule(on(0.1).then(Response::html("<html>Please log in.</html>")))
        .rule(on(0.1).then(Fault::HangUp(Ending::Reset)))
        .rule(on(0.1).then(Fault::reset_at(At::Fraction(0.5))))
        .rule(on(0.1).when(|it| !asks_for_the_end(it)).then(Fault::IgnoreRange))
        .rule(on(0.1).then(Fault::NewEtag))
        .rule(on(0.1).then(Fault::LengthOff(-101)))
        .rule(on(0.2).then(Fault::Chunked(700)))
}

/// Retries without bound, so that chance does not fail the test.
fn sturdy() -> HlsOptions {
    let mut options = resolving();
    options.network.breaker.retry_burst = 100_000;
    options.request.patience.attempts = 100;
    options.playback.patience = Duration::from_secs(30);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_here_and_there_are_right_on_a_rough_way() {
    let mut tasks = tokio::task::JoinSet::new();
    for (seed, fixture) in (1..).zip(FIXTURES.iter().chain(&FIXTURES)) {
        tasks.spawn(async move {
            let origin = serve(rough(fixture, seed));
            let params = HlsParams { no_store: seed % 3 == 0, ..sturdy().into() };
            let source = open(&playlist(&origin, fixture), params).await;
            let another = source.another().await.expect("the session lives");
            let (truth, what) = (truth(fixture), format!("{fixture} with seed {seed}"));
            let (mut dice, mut others) = (Dice(seed), Dice(seed + 1_000));
            tokio::join!(
                read_here_and_there(&source, &truth, 30, &mut dice, &what),
                read_here_and_there(&another, &truth, 30, &mut others, &what),
            );
            assert_exact(&read_all(&source).await, &truth, &what);
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byte_ranges_need_no_questions() {
    let origin = serve(fixtures());
    let source = open(&playlist(&origin, "fmp4_byterange"), quick()).await;
    read_here_and_there(&source, &truth("fmp4_byterange"), 200, &mut Dice(9), "fmp4_byterange").await;
    assert_frugal(&origin, length_on_disk);
    assert_eq!(origin.log().iter().filter(|request| is_probe(request)).count(), 0);
    assert_eq!(source.byte_len(), Some(32_584));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_the_bytes_are_right_as_well() {
    for (seed, fixture) in (1..).zip(["ts_aac", "fmp4_aes", "fmp4_byterange"]) {
        let origin = serve(fixtures());
        let params = HlsParams { no_store: true, ..resolving().into() };
        let source = open(&playlist(&origin, fixture), params).await;
        read_here_and_there(&source, &truth(fixture), 50, &mut Dice(seed), fixture).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_on_from_the_start_asks_no_lengths() {
    for fixture in FIXTURES {
        // Slow enough for the reader to wait inside of segments.
        let slow = Rule::on("*seg*").then(Fault::Drip { bytes: 2_000, every: Duration::from_millis(5) });
        let origin = serve(fixtures().rule(slow));
        let source = open(&playlist(&origin, fixture), resolving()).await;
        assert_exact(&read_all(&source).await, &truth(fixture), fixture);
        let probes: Vec<Logged> = origin.log().into_iter().filter(is_probe).collect();
        assert!(probes.is_empty(), "{fixture}: {probes:#?}");
        assert_frugal(&origin, length_on_disk);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_read_in_the_middle_fetches_the_segment_that_holds_it_and_no_other() {
    for (fixture, holder) in [("ts_aac", "seg3.ts"), ("fmp4_aac", "seg3.m4s"), ("ts_aes", "seg10.ts")] {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, fixture), resolving()).await;
        let truth = truth(fixture);
        let (bytes, error) = read_range(&source, 24_000..24_100).await;
        assert!(error.is_none() && bytes == truth[24_000..24_100], "{fixture}: {error:?}");
        let whole: Vec<String> = origin
            .log()
            .into_iter()
            .filter(|request| request.range.is_none() && !request.path.ends_with(".m3u8"))
            .map(|request| request.path)
            .filter(|path| !path.ends_with("key.bin"))
            .collect();
        assert_eq!(whole, [format!("/{fixture}/{holder}")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_beyond_what_is_known_is_unsupported_and_harms_nothing() {
    for fixture in ["ts_aac", "fmp4_aes"] {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, fixture), narrow()).await;
        let truth = truth(fixture);
        let (_, error) = read_range(&source, 0..100).await;
        assert!(error.is_none());
        let (bytes, error) = read_range(&source, 30_000..30_100).await;
        let error = error.expect("its place is not known");
        assert_eq!((bytes.len(), error.kind()), (0, ErrorKind::Unsupported), "{error:?}");
        assert_exact(&read_all(&source).await, &truth, "from the start");
        // Now all lengths are known.
        let (bytes, error) = read_range(&source, 30_000..30_100).await;
        assert!(error.is_none() && bytes == truth[30_000..30_100], "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_from_the_end_finds_the_length_first() {
    for fixture in FIXTURES {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, fixture), resolving()).await;
        let truth = truth(fixture);
        let read = move || {
            let mut reader = SyncReader::new(source);
            let at = reader.seek(SeekFrom::End(-100)).expect("the length can be found");
            let mut tail = Vec::new();
            reader.read_to_end(&mut tail).expect("it reads to the end");
            (at, tail, reader.get_ref().byte_len())
        };
        let (at, tail, len) = tokio::task::spawn_blocking(read).await.expect("no panic");
        assert_eq!((at, len), (truth.len() as u64 - 100, Some(truth.len() as u64)), "{fixture}");
        assert_eq!(tail, truth[truth.len() - 100..], "{fixture}");
        assert_frugal(&origin, length_on_disk);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_from_the_end_without_leave_to_ask_is_unsupported() {
    let origin = serve(fixtures());
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    let seek = move || SyncReader::new(source).seek(SeekFrom::End(0)).expect_err("the length is not known");
    let error = tokio::task::spawn_blocking(seek).await.expect("no panic");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(StreamError::of(&error), Some(StreamError::LengthUnknown));
}

/// Memory for one segment only: whatever lies behind is let go at once.
fn narrow() -> HlsOptions {
    let mut options = quick();
    options.playback.buffer_bytes = 1;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_reads_the_same_bytes_from_the_store() {
    for fixture in FIXTURES {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, fixture), narrow()).await;
        let truth = truth(fixture);
        assert_exact(&read_all(&source).await, &truth, fixture);
        let once = origin.log().len();
        assert_exact(&read_all(&source).await, &truth, fixture);
        read_here_and_there(&source, &truth, 20, &mut Dice(3), fixture).await;
        assert_eq!(origin.log().len(), once, "{fixture}: the store has everything");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_without_a_store_asks_the_origin_again() {
    for fixture in ["ts_aac", "fmp4_aes", "fmp4_byterange", "adts"] {
        let origin = serve(fixtures());
        let params = HlsParams { no_store: true, ..narrow().into() };
        let source = open(&playlist(&origin, fixture), params).await;
        let truth = truth(fixture);
        for _ in 0..3 {
            assert_exact(&read_all(&source).await, &truth, fixture);
        }
        let playlists = origin.log().iter().filter(|request| request.path.ends_with(".m3u8")).count();
        let keys = origin.log().iter().filter(|request| request.path.ends_with("key.bin")).count();
        assert!(playlists == 1 && keys <= 1, "{fixture}: {playlists} playlists, {keys} keys");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cursors_read_one_session_side_by_side() {
    for fixture in FIXTURES {
        let origin = serve(fixtures());
        let first = open(&playlist(&origin, fixture), narrow()).await;
        let second = first.another().await.expect("the session lives");
        let truth = truth(fixture);
        let len = truth.len() as u64;
        // One goes ahead, the other follows in smaller steps, then goes ahead itself.
        let (mut ahead, mut behind) = (0, 0);
        while behind < len {
            for (source, at, step) in [(&first, &mut ahead, 5_000), (&second, &mut behind, 3_000)] {
                let end = (*at + step).min(len);
                let (bytes, error) = read_range(source, *at..end).await;
                assert!(error.is_none(), "{fixture} at {at}: {error:?}");
                let (from, to) = (usize::try_from(*at).expect("small"), usize::try_from(end).expect("small"));
                assert!(bytes == truth[from..to], "{fixture}: wrong bytes at {at}..{end}");
                *at = end;
            }
        }
        assert_frugal(&origin, length_on_disk);
    }
}

/// One handle is one reader's, but several may wait on it: none of them keeps the others from getting anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_waiters_of_one_handle_at_different_places_are_all_served() {
    let slow = Rule::on("*seg*").then(Fault::Drip { bytes: 1_000, every: Duration::from_millis(10) });
    for fixture in ["ts_aac", "fmp4_byterange"] {
        let origin = serve(fixtures().rule(slow.clone()));
        let source = open(&playlist(&origin, fixture), resolving()).await;
        in_time(poll_fn(|cx| source.poll_len(cx))).await.expect("lengths can be had");
        let truth = truth(fixture);
        let wait = async |at: usize| {
            let (bytes, error) = read_range(&source, at as u64..at as u64 + 1).await;
            assert!(error.is_none() && bytes == truth[at..=at], "{fixture} at {at}: {error:?}");
        };
        tokio::join!(wait(30_000), wait(9_000), wait(17_000), wait(9_100), wait(25_000));
        assert!(origin.log().len() < 60, "{fixture}: {} requests", origin.log().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_cursors_start_together_and_share_all_requests() {
    let origin = serve(fixtures());
    let source = open(&playlist(&origin, "fmp4_aes"), quick()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let source = source.another().await.expect("the session lives");
        tasks.spawn(async move { read_all(&source).await });
    }
    for read in tasks.join_all().await {
        assert_exact(&read, &truth("fmp4_aes"), "one of eight");
    }
    assert_frugal(&origin, length_on_disk);
}

/// A segment that failed is no wall: what lies behind it can be read, as soon as its place is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_can_jump_past_a_segment_that_failed() {
    let fails = Rule::on("/ts_aac/seg1.ts").when(|request| request.header("range").is_none());
    let origin = serve(fixtures().rule(fails.then(Response::new(503))));
    let source = open(&playlist(&origin, "ts_aac"), resolving()).await;
    let truth = truth("ts_aac");
    let len = in_time(poll_fn(|cx| source.poll_len(cx))).await.expect("lengths can be had");
    assert_eq!(len, Some(truth.len() as u64));
    let (bytes, error) = read_all(&source).await;
    assert_eq!(bytes, truth[..7_332]);
    assert_eq!(ours(&error.expect("the second segment cannot be had")).status(), Some(503));
    for at in [15_000_usize, 30_000, 100] {
        let (bytes, error) = read_range(&source, at as u64..at as u64 + 500).await;
        assert!(error.is_none(), "at {at}: {error:?}");
        assert_eq!(bytes, truth[at..at + 500]);
    }
}

/// Its length is known, but not that it is the right one: the reader must not go on to the next segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_too_short_is_no_less_an_error_when_its_length_was_asked() {
    for (fixture, hit) in [("ts_aac", "seg1.ts"), ("fmp4_aac", "seg4.m4s"), ("adts", "seg4.aac"), ("ts_aac", "seg4.ts")]
    {
        let short = Rule::on(&format!("/{fixture}/{hit}")).then(Fault::Shorten(At::Byte(3_001)));
        let origin = serve(fixtures().rule(short));
        let source = open(&playlist(&origin, fixture), resolving()).await;
        in_time(poll_fn(|cx| source.poll_len(cx))).await.expect("lengths can be had");
        let (bytes, error) = read_all(&source).await;
        assert!(error.is_some(), "{fixture}: {} bytes without an error", bytes.len());
        assert!(truth(fixture).starts_with(&bytes), "{fixture}: wrong bytes");
    }
}

/// The origin exchanged it between the question and the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_another_length_than_was_told_is_an_error_and_no_wait() {
    for at in [7_400, 14_500] {
        let origin = serve(fixtures());
        let source = open(&playlist(&origin, "ts_aac"), resolving()).await;
        in_time(poll_fn(|cx| source.poll_len(cx))).await.expect("lengths can be had");
        origin.put("/ts_aac/seg1.ts", file("ts_aac/seg4.ts"));
        let (bytes, error) = read_range(&source, at..20_000).await;
        assert!(error.is_some(), "{} bytes at {at}", bytes.len());
        let delivered = (7_332_u64 + 6_956).saturating_sub(at);
        assert!(bytes.len() as u64 <= delivered, "nothing behind the end of what was delivered: {}", bytes.len());
        let (bytes, error) = read_range(&source, 22_000..22_100).await;
        assert!(error.is_none() && bytes == truth("ts_aac")[22_000..22_100], "{error:?}");
    }
}

/// Packets of a transport stream without payload, numbered so that no two are the same.
fn packets(count: u32) -> Vec<u8> {
    let packet = |n: u32| {
        let mut packet = [0xff; 188];
        packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        packet[4..8].copy_from_slice(&n.to_be_bytes());
        packet
    };
    (0..count).flat_map(packet).collect()
}

fn large(count: u32) -> (Site, Vec<u8>) {
    let body = packets(count);
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nlarge.ts\n#EXT-X-ENDLIST\n";
    (Site::new().bytes("/index.m3u8", text).bytes("/large.ts", body.clone()), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_larger_than_all_buffers_is_read_whole_and_again() {
    let (site, truth) = large(70_000);
    let origin = serve(site);
    let source = open(&origin.url("/index.m3u8"), quick()).await;
    assert_exact(&read_all(&source).await, &truth, "the large segment");
    let (bytes, error) = read_range(&source, 1_000..2_000).await;
    assert!(error.is_none() && bytes == truth[1_000..2_000], "going back: {error:?}");
    assert_exact(&read_all(&source).await, &truth, "once more");
}

/// The one that waits holds what the other has to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_rests_in_a_large_segment_does_not_stop_another() {
    let (site, truth) = large(70_000);
    let origin = serve(site);
    let resting = open(&origin.url("/index.m3u8"), quick()).await;
    let reading = resting.another().await.expect("the session lives");
    assert!(read_range(&resting, 0..1_000).await.1.is_none());
    assert_exact(&read_all(&reading).await, &truth, "the one that reads");
    let (bytes, error) = read_range(&resting, 1_000..2_000).await;
    assert!(error.is_none() && bytes == truth[1_000..2_000], "the one that rested: {error:?}");
}
