//! Whatever is done wrong with a segment or a key: a session ends exact, or with a typed error after few requests.
//!
//! Every fault is played on one segment (or the key) of every kind of container, once for the first requests, and once
//! for ever.

mod support;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use kithara_hls::{
    HlsError, HlsOptions, HlsParams,
    fetch::assets::{AssetStore, MemoryOptions},
    hls_core::session::OnMissing,
};
use kithara_origin::{At, Ending, Fault, Redirect, Response, Rule, Site};
use support::{
    adts_seam, assert_exact, chain, file, fixtures, in_time, joined, open, ours, playlist, quick, read_all, seam,
    serve, truth, try_open,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Fixtures, and the segment that is hit in each.
const TARGETS: [(&str, &str); 5] = [
    ("ts_aac", "seg1.ts"),
    ("fmp4_aac", "seg1.m4s"),
    ("ts_aes", "seg8.ts"),
    ("fmp4_aes", "seg1.m4s"),
    ("adts", "seg1.aac"),
];

/// Sessions under way at once.
const SIDE_BY_SIDE: usize = 24;

/// What is done wrong: rules for the path that is hit.
type Rules = fn(Rule) -> Vec<Rule>;

/// What a fault leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// No harm.
    Exact,
    /// An error.
    Fails,
    /// Either: it depends on where the container's own borders lie.
    Either,
}

/// One fault.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    rules: Rules,
    outcome: Outcome,
}

fn one(rule: Rule, faults: impl IntoIterator<Item = Fault>) -> Vec<Rule> {
    vec![faults.into_iter().fold(rule, Rule::then)]
}

fn html() -> Response {
    Response::html("<!DOCTYPE html><html><body>Please log in.</body></html>")
}

fn unavailable() -> Response {
    Response::new(503).with_retry_after(Duration::from_secs(1))
}

const MIDDLE: At = At::Byte(3001);
const FOR_EVER: Duration = Duration::from_secs(3600);

const PASSING: &[Row] = &[
    Row { name: "HTML with 200", rules: |rule| one(rule.first(2), [html().into()]), outcome: Outcome::Exact },
    Row {
        name: "nothing with 200",
        rules: |rule| one(rule.first(2), [Response::ok("").into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "Content-Length too short",
        rules: |rule| one(rule.first(2), [Fault::LengthOff(-101)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "Content-Length too long",
        rules: |rule| one(rule.first(2), [Fault::LengthOff(101)]),
        outcome: Outcome::Exact,
    },
    Row { name: "truncated", rules: |rule| one(rule.first(2), [Fault::truncate(MIDDLE)]), outcome: Outcome::Exact },
    Row {
        name: "truncated, chunked",
        rules: |rule| one(rule.first(2), [Fault::Chunked(700), Fault::truncate(MIDDLE)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "truncated, ended by closing",
        rules: |rule| one(rule.first(2), [Fault::NoLength, Fault::truncate(MIDDLE)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "reset before the answer",
        rules: |rule| one(rule.first(2), [Fault::HangUp(Ending::Reset)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "closed before the answer",
        rules: |rule| one(rule.first(2), [Fault::HangUp(Ending::Close)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "reset in the body",
        rules: |rule| one(rule.first(2), [Fault::reset_at(MIDDLE)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "stalled",
        rules: |rule| one(rule.first(1), [Fault::stall(MIDDLE, FOR_EVER)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "no first byte",
        rules: |rule| one(rule.first(1), [Fault::Latency(FOR_EVER)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "503 with Retry-After",
        rules: |rule| one(rule.first(1), [unavailable().into()]),
        outcome: Outcome::Exact,
    },
    Row { name: "429", rules: |rule| one(rule.first(2), [Response::new(429).into()]), outcome: Outcome::Exact },
    Row { name: "202", rules: |rule| one(rule.first(2), [Response::new(202).into()]), outcome: Outcome::Exact },
    Row { name: "404", rules: |rule| one(rule.first(1), [Response::new(404).into()]), outcome: Outcome::Exact },
    Row {
        name: "redirects that lead nowhere",
        rules: |rule| one(rule.first(2), [Redirect::endless().into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "503 with a Retry-After of an hour",
        rules: |rule| one(rule.first(1), [Response::new(503).with_retry_after(FOR_EVER).into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "404 with a Retry-After of an hour",
        rules: |rule| one(rule.first(1), [Response::new(404).with_retry_after(FOR_EVER).into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "ignored Range after a truncation",
        rules: |rule| {
            let resumed = rule.clone().skip(1).then(Fault::IgnoreRange);
            vec![rule.first(1).then(Fault::truncate(MIDDLE)), resumed]
        },
        outcome: Outcome::Exact,
    },
    Row {
        name: "another ETag after a truncation",
        rules: |rule| vec![rule.clone().then(Fault::NewEtag), rule.first(1).then(Fault::truncate(MIDDLE))],
        outcome: Outcome::Exact,
    },
    Row {
        name: "gzip that nobody asked for",
        rules: |rule| one(rule.first(2), [Fault::Gzip { unasked: true }]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "an upload that was cut",
        rules: |rule| one(rule.first(2), [Fault::Shorten(MIDDLE)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "another range than asked",
        rules: |rule| {
            let resumed = rule.clone().nth(2).then(Fault::RangeOff(1));
            vec![rule.first(1).then(Fault::truncate(MIDDLE)), resumed]
        },
        outcome: Outcome::Exact,
    },
];

const LASTING: &[Row] = &[
    Row { name: "HTML with 200", rules: |rule| one(rule, [html().into()]), outcome: Outcome::Fails },
    Row { name: "nothing with 200", rules: |rule| one(rule, [Response::ok("").into()]), outcome: Outcome::Fails },
    Row {
        name: "Content-Length too short",
        rules: |rule| one(rule, [Fault::LengthOff(-101)]),
        outcome: Outcome::Fails,
    },
    Row { name: "Content-Length too long", rules: |rule| one(rule, [Fault::LengthOff(101)]), outcome: Outcome::Either },
    Row {
        name: "truncated, and no ranges",
        rules: |rule| one(rule, [Fault::IgnoreRange, Fault::truncate(MIDDLE)]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "truncated, but with ranges",
        rules: |rule| one(rule, [Fault::truncate(MIDDLE)]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "truncated, chunked, and no ranges",
        rules: |rule| one(rule, [Fault::IgnoreRange, Fault::Chunked(700), Fault::truncate(MIDDLE)]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "truncated, ended by closing",
        rules: |rule| one(rule, [Fault::NoLength, Fault::truncate(MIDDLE)]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "reset before the answer",
        rules: |rule| one(rule, [Fault::HangUp(Ending::Reset)]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "reset in the body, and no ranges",
        rules: |rule| one(rule, [Fault::IgnoreRange, Fault::reset_at(MIDDLE)]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "stalled, and no ranges",
        rules: |rule| one(rule, [Fault::IgnoreRange, Fault::stall(MIDDLE, FOR_EVER)]),
        outcome: Outcome::Fails,
    },
    Row { name: "no first byte", rules: |rule| one(rule, [Fault::Latency(FOR_EVER)]), outcome: Outcome::Fails },
    Row { name: "503 with Retry-After", rules: |rule| one(rule, [unavailable().into()]), outcome: Outcome::Fails },
    Row { name: "503", rules: |rule| one(rule, [Response::new(503).into()]), outcome: Outcome::Fails },
    Row { name: "429", rules: |rule| one(rule, [Response::new(429).into()]), outcome: Outcome::Fails },
    Row { name: "202", rules: |rule| one(rule, [Response::new(202).into()]), outcome: Outcome::Fails },
    Row { name: "404", rules: |rule| one(rule, [Response::new(404).into()]), outcome: Outcome::Fails },
    Row { name: "403", rules: |rule| one(rule, [Response::new(403).into()]), outcome: Outcome::Fails },
    Row {
        name: "wrong Content-Type",
        rules: |rule| one(rule, [Fault::Header("Content-Type".into(), "text/html".into())]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "redirects that lead there",
        rules: |rule| one(rule, [Redirect::hops(3).into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "redirects that lead nowhere",
        rules: |rule| one(rule, [Redirect::endless().into()]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "gzip that nobody asked for",
        rules: |rule| one(rule, [Fault::Gzip { unasked: true }]),
        outcome: Outcome::Either,
    },
    Row {
        name: "another ETag at each truncation",
        rules: |rule| one(rule, [Fault::NewEtag, Fault::truncate(MIDDLE)]),
        outcome: Outcome::Fails,
    },
    Row { name: "an upload that was cut", rules: |rule| one(rule, [Fault::Shorten(MIDDLE)]), outcome: Outcome::Fails },
    Row { name: "no length", rules: |rule| one(rule, [Fault::NoLength]), outcome: Outcome::Exact },
    Row { name: "chunked", rules: |rule| one(rule, [Fault::Chunked(333)]), outcome: Outcome::Exact },
    Row {
        name: "not HTTP at all",
        rules: |rule| one(rule, [Fault::Raw("220 mail.example ESMTP\r\n".into())]),
        outcome: Outcome::Fails,
    },
];

/// Faults that only ciphertext shows.
const PADDING: [Row; 2] = [
    Row { name: "wrong padding", rules: |rule| one(rule.first(2), [Fault::bad_padding()]), outcome: Outcome::Exact },
    Row { name: "wrong padding", rules: |rule| one(rule, [Fault::bad_padding()]), outcome: Outcome::Fails },
];

/// Requests a segment or key may cost that never comes: eight attempts of the network layer, or eight fetches (of two
/// requests each, where a resumed one finds another version) within the patience of the session.
const MOST_REQUESTS: usize = 16;

/// What came of a session.
struct Played {
    bytes: Vec<u8>,
    error: Option<HlsError>,
    /// Requests for the path that was hit; hops of redirects do not count.
    requests: usize,
    log: String,
}

/// Reads a fixture while requests for `hit` are treated by `rules`.
async fn play(fixture: &str, hit: &str, rules: Rules) -> Played {
    let hit = format!("/{fixture}/{hit}");
    let origin = serve(rules(Rule::on(&hit)).into_iter().fold(fixtures(), Site::rule));
    let (bytes, error) = match try_open(&playlist(&origin, fixture), quick()).await {
        Err(error) => (Vec::new(), Some(error)),
        Ok(source) => {
            let (bytes, error) = in_time(read_all(&source)).await;
            (bytes, error.map(|error| ours(&error).clone()))
        }
    };
    let log = origin.requests_of(&hit);
    let requests = log.iter().filter(|request| request.query.is_none()).count();
    Played { bytes, error, requests, log: format!("{log:#?}") }
}

/// What is wrong with what came of a row, if anything.
fn complaint(fixture: &str, row: Row, played: &Played) -> Option<String> {
    let truth = truth(fixture);
    let what = match &played.error {
        _ if !truth.starts_with(&played.bytes) => "wrong bytes".to_owned(),
        None if played.bytes.len() != truth.len() => "an early end without an error".to_owned(),
        None if row.outcome == Outcome::Fails => "no error".to_owned(),
        Some(error) if row.outcome == Outcome::Exact => format!("{error:?}"),
        Some(error) if error.to_string().is_empty() => "an error without words".to_owned(),
        Some(HlsError::Closed | HlsError::Driver(_)) => "an error that does not tell the reason".to_owned(),
        _ if played.requests > MOST_REQUESTS => format!("{} requests", played.requests),
        _ => return None,
    };
    let Played { bytes, log, .. } = played;
    Some(format!("{fixture}, {}: {what} after {} of {} bytes\n{log}", row.name, bytes.len(), truth.len()))
}

/// Plays all rows on all targets, some at a time, and shows everything that went wrong.
async fn play_all(rows: impl IntoIterator<Item = (&'static str, &'static str, Row)>) {
    let (mut tasks, turns) = (JoinSet::new(), Arc::new(Semaphore::new(SIDE_BY_SIDE)));
    for (fixture, hit, row) in rows {
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("nobody closes it");
            let played = play(fixture, hit, row.rules).await;
            complaint(fixture, row, &played)
        });
    }
    let complaints: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{} rows:\n{}", complaints.len(), complaints.join("\n\n"));
}

fn on_all_targets(rows: &'static [Row]) -> impl Iterator<Item = (&'static str, &'static str, Row)> {
    TARGETS.iter().flat_map(move |(fixture, hit)| rows.iter().map(move |row| (*fixture, *hit, *row)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_passes_ends_exact() {
    play_all(on_all_targets(PASSING)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_lasts_ends_in_an_error_after_few_requests() {
    play_all(on_all_targets(LASTING)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_padding_never_reaches_a_reader() {
    let encrypted = TARGETS.iter().filter(|(fixture, _)| fixture.ends_with("aes"));
    play_all(encrypted.flat_map(|(fixture, hit)| PADDING.iter().map(move |row| (*fixture, *hit, *row)))).await;
}

/// Faults of the key that pass.
const PASSING_KEY: &[Row] = &[
    Row { name: "503", rules: |rule| one(rule.first(2), [Response::new(503).into()]), outcome: Outcome::Exact },
    Row { name: "404", rules: |rule| one(rule.first(1), [Response::new(404).into()]), outcome: Outcome::Exact },
    Row { name: "HTML", rules: |rule| one(rule.first(1), [html().into()]), outcome: Outcome::Exact },
    Row {
        name: "15 bytes",
        rules: |rule| one(rule.first(1), [Response::ok("0123456789abcde").into()]),
        outcome: Outcome::Exact,
    },
    Row {
        name: "truncated",
        rules: |rule| one(rule.first(1), [Fault::truncate(At::Byte(7))]),
        outcome: Outcome::Exact,
    },
    Row { name: "reset", rules: |rule| one(rule.first(2), [Fault::HangUp(Ending::Reset)]), outcome: Outcome::Exact },
    Row {
        name: "no first byte",
        rules: |rule| one(rule.first(1), [Fault::Latency(FOR_EVER)]),
        outcome: Outcome::Exact,
    },
];

/// Faults of the key that last.
const LASTING_KEY: &[Row] = &[
    Row { name: "404", rules: |rule| one(rule, [Response::new(404).into()]), outcome: Outcome::Fails },
    Row { name: "403", rules: |rule| one(rule, [Response::new(403).into()]), outcome: Outcome::Fails },
    Row { name: "503", rules: |rule| one(rule, [Response::new(503).into()]), outcome: Outcome::Fails },
    Row { name: "HTML", rules: |rule| one(rule, [html().into()]), outcome: Outcome::Fails },
    Row { name: "nothing", rules: |rule| one(rule, [Response::ok("").into()]), outcome: Outcome::Fails },
    Row {
        name: "15 bytes",
        rules: |rule| one(rule, [Response::ok("0123456789abcde").into()]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "17 bytes",
        rules: |rule| one(rule, [Response::ok("0123456789abcdefg").into()]),
        outcome: Outcome::Fails,
    },
    Row {
        name: "another key",
        rules: |rule| one(rule, [Response::ok("0123456789abcdef").into()]),
        outcome: Outcome::Fails,
    },
];

fn on_all_keys(rows: &'static [Row]) -> impl Iterator<Item = (&'static str, &'static str, Row)> {
    ["ts_aes", "fmp4_aes", "fmp4_aes_init"]
        .into_iter()
        .flat_map(move |fixture| rows.iter().map(move |row| (fixture, "key.bin", *row)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_comes_late_ends_exact() {
    play_all(on_all_keys(PASSING_KEY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_never_comes_ends_in_an_error_and_never_in_ciphertext() {
    play_all(on_all_keys(LASTING_KEY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_a_missing_key_says_status_and_place() {
    let played = play("ts_aes", "key.bin", |rule| one(rule, [Response::new(404).into()])).await;
    let error = played.error.expect("it fails");
    assert_eq!(error.status(), Some(404), "{error:?}");
    assert!(chain(&error).contains("/ts_aes/key.bin"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_a_key_of_15_bytes_is_one_of_key_processing() {
    let played = play("ts_aes", "key.bin", |rule| one(rule, [Response::ok("0123456789abcde").into()])).await;
    let error = played.error.expect("it fails");
    assert!(matches!(error, HlsError::KeyProcessing { .. }), "{error:?}");
    assert!(chain(&error).contains("15"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uri_of_a_key_is_relative_to_the_playlist() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"keys/k.bin\"\n#EXTINF:1.0,\nsegs/seg7.ts\n#EXT-X-ENDLIST\n";
    let site = Site::new()
        .bytes("/p/index.m3u8", text)
        .bytes("/p/segs/seg7.ts", file("ts_aes/seg7.ts"))
        .bytes("/p/keys/k.bin", file("ts_aes/key.bin"));
    let origin = serve(site);
    let read = read_all(&open(&origin.url("/p/index.m3u8"), quick()).await).await;
    assert_exact(&read, &file("ts_aac/seg0.ts"), "the segment");
    let asked: BTreeSet<String> = origin.log().into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["/p/index.m3u8", "/p/keys/k.bin", "/p/segs/seg7.ts"].map(str::to_owned).into());
}

/// Nothing said where the body ends, and its packets are whole: only the time it has shows that it was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_without_length_that_is_cut_between_packets_is_asked_for_again() {
    let segment = file("ts_aac/seg1.ts");
    let cut = seam(&segment, segment.len() * 4 / 5);
    assert!(cut > 188 * 4, "the fixture has several packets of sound");
    for deliveries in [1, 2, 3] {
        let faults = [Fault::NoLength, Fault::truncate(At::Byte(cut))];
        let rules = one(Rule::on("seg1.ts").first(deliveries), faults);
        let origin = serve(rules.into_iter().fold(fixtures(), Site::rule));
        let source = open(&playlist(&origin, "ts_aac"), patient(Duration::from_secs(4))).await;
        assert_exact(&read_all(&source).await, &truth("ts_aac"), "cut between packets");
        assert_eq!(origin.requests_of("/ts_aac/seg1.ts").len() as u64, deliveries + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_always_shorter_than_listed_is_believed_in_the_end() {
    let segment = file("ts_aac/seg1.ts");
    let short = segment[..usize::try_from(seam(&segment, segment.len() * 4 / 5)).expect("it fits")].to_vec();
    let origin =
        serve(fixtures().bytes("/ts_aac/seg1.ts", short.clone()).rule(Rule::on("seg1.ts").then(Fault::NoLength)));
    let source = open(&playlist(&origin, "ts_aac"), quick()).await;
    let (bytes, error) = read_all(&source).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(bytes.len(), truth("ts_aac").len() - segment.len() + short.len());
    let requests = origin.requests_of("/ts_aac/seg1.ts").len();
    assert!((3..MOST_REQUESTS).contains(&requests), "{requests} requests");
}

/// A stream of segments of about two or three seconds, each made of several of a fixture.
fn joined_stream(fixture: &str, map: &str, lists: &[(&str, &[&str])]) -> (Site, Vec<u8>) {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n{map}");
    let (mut site, mut all) = (fixtures(), Vec::new());
    for (name, parts) in lists {
        let segment = joined(fixture, parts);
        text.push_str(&format!("#EXTINF:{:.6},\n{name}\n", 1.002_666 * parts.len() as f64));
        all.extend_from_slice(&segment);
        site = site.bytes(&format!("/{fixture}/{name}"), segment);
    }
    text.push_str("#EXT-X-ENDLIST\n");
    (site.bytes(&format!("/{fixture}/joined.m3u8"), text), all)
}

/// Two segments of three seconds and of one.
fn joined_adts() -> (Site, Vec<u8>) {
    joined_stream("adts", "", &[("a.aac", &["seg0.aac", "seg1.aac", "seg2.aac"]), ("b.aac", &["seg3.aac"])])
}

/// Options of a session with this patience.
fn patient(patience: Duration) -> HlsOptions {
    let mut options = quick();
    options.playback.patience = patience;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_audio_without_length_that_is_cut_between_frames_for_a_while_is_exact_in_the_end() {
    let segment = file("adts/seg1.aac");
    let cut = adts_seam(&segment, segment.len() * 4 / 5) as u64;
    let away = Rule::on("seg1.aac").for_duration(Duration::from_secs(1));
    let origin = serve(fixtures().rule(away.then(Fault::NoLength).then(Fault::truncate(At::Byte(cut)))));
    let source = open(&playlist(&origin, "adts"), patient(Duration::from_secs(4))).await;
    assert_exact(&read_all(&source).await, &truth("adts"), "cut between frames");
    assert!(origin.requests_of("/adts/seg1.aac").len() > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_without_length_that_are_cut_between_two_for_a_while_are_exact_in_the_end() {
    let cut = file("fmp4_aac/seg2.m4s").len() as u64;
    let lists: [(&str, &[&str]); 2] = [("a.m4s", &["seg0.m4s", "seg1.m4s"]), ("b.m4s", &["seg2.m4s", "seg3.m4s"])];
    let (site, all) = joined_stream("fmp4_aac", "#EXT-X-MAP:URI=\"init.mp4\"\n", &lists);
    let away = Rule::on("b.m4s").for_duration(Duration::from_secs(1));
    let origin = serve(site.rule(away.then(Fault::NoLength).then(Fault::truncate(At::Byte(cut)))));
    let source = open(&origin.url("/fmp4_aac/joined.m3u8"), patient(Duration::from_secs(4))).await;
    let truth = [file("fmp4_aac/init.mp4"), all].concat();
    assert_exact(&read_all(&source).await, &truth, "cut between fragments");
    assert!(origin.requests_of("/fmp4_aac/b.m4s").len() > 3);
}

/// The list says twice as much as there is, of all segments, and nothing says where they end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_always_wrong_costs_the_wait_once() {
    let text = String::from_utf8(file("adts/index.m3u8")).expect("text");
    let text = text.replace("EXTINF:1.0", "EXTINF:2.0").replace("EXTINF:0.9", "EXTINF:1.9");
    let origin = serve(fixtures().bytes("/adts/index.m3u8", text).rule(Rule::on("*.aac").then(Fault::NoLength)));
    let patience = Duration::from_secs(2);
    let begun = Instant::now();
    let source = open(&playlist(&origin, "adts"), patient(patience)).await;
    assert_exact(&read_all(&source).await, &truth("adts"), "all there is");
    assert!((patience / 2..patience * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_believed_is_not_stored() {
    let segment = file("adts/seg1.aac");
    let short = segment[..adts_seam(&segment, segment.len() / 2)].to_vec();
    let origin = serve(fixtures().rule(Rule::on("seg1.aac").then(Fault::NoLength)));
    origin.put("/adts/seg1.aac", short.clone());
    let store = AssetStore::memory(MemoryOptions::default());
    let params = || HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) };
    let (bytes, error) = read_all(&open(&playlist(&origin, "adts"), params()).await).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(bytes.len(), truth("adts").len() - segment.len() + short.len());
    origin.put("/adts/seg1.aac", segment);
    let source = open(&playlist(&origin, "adts"), params()).await;
    assert_exact(&read_all(&source).await, &truth("adts"), "after the origin was repaired");
    assert_eq!(origin.requests_of("/adts/seg0.aac").len(), 1, "what was proved is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_whose_end_does_not_show_is_stored_once_it_has_its_time() {
    let segment = file("adts/seg1.aac");
    let cut = adts_seam(&segment, segment.len() / 2) as u64;
    let away = Rule::on("seg1.aac").first(1).then(Fault::truncate(At::Byte(cut)));
    let origin = serve(fixtures().rule(Rule::on("*.aac").then(Fault::NoLength)).rule(away));
    let store = AssetStore::memory(MemoryOptions::default());
    for _ in 0..2 {
        let params = HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) };
        let source = open(&playlist(&origin, "adts"), params).await;
        assert_exact(&read_all(&source).await, &truth("adts"), "what nothing ended");
    }
    let requests = ["seg0", "seg1", "seg2"].map(|name| origin.requests_of(&format!("/adts/{name}.aac")).len());
    assert_eq!(requests, [1, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_cut_between_frames_is_asked_for_again_where_most_of_it_is_missing() {
    let cut = adts_seam(&joined("adts", &["seg0.aac", "seg1.aac", "seg2.aac"]), file("adts/seg0.aac").len() - 1) as u64;
    for deliveries in [1, 2] {
        let (site, all) = joined_adts();
        let origin = serve(site.rule(Rule::on("a.aac").first(deliveries).then(Fault::Shorten(At::Byte(cut)))));
        let source = open(&origin.url("/adts/joined.m3u8"), quick()).await;
        assert_exact(&read_all(&source).await, &all, "a cut upload");
        assert_eq!(origin.requests_of("/adts/a.aac").len() as u64, deliveries + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stays_cut_between_frames_is_believed_after_three_requests() {
    let whole = joined("adts", &["seg0.aac", "seg1.aac", "seg2.aac"]);
    let cut = adts_seam(&whole, file("adts/seg0.aac").len() - 1);
    let (site, all) = joined_adts();
    let origin = serve(site.rule(Rule::on("a.aac").then(Fault::Shorten(At::Byte(cut as u64)))));
    let source = open(&origin.url("/adts/joined.m3u8"), quick()).await;
    let want = [&all[..cut], &all[whole.len()..]].concat();
    assert_exact(&read_all(&source).await, &want, "what there is");
    assert_eq!(origin.requests_of("/adts/a.aac").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_left_out_costs_no_other_one_a_second_request() {
    let missing = Rule::on("seg2.ts").then(Response::new(404));
    let origin = serve(fixtures().rule(missing));
    let mut options = quick();
    options.playback.on_missing = OnMissing::Skip;
    let source = open(&playlist(&origin, "ts_aac"), HlsParams { no_store: true, ..HlsParams::from(options) }).await;
    let (bytes, error) = read_all(&source).await;
    assert!(error.is_none(), "{error:?}");
    let rest: Vec<u8> = [0, 1, 3, 4].iter().flat_map(|n| file(&format!("ts_aac/seg{n}.ts"))).collect();
    assert!(bytes == rest, "{} of {} bytes", bytes.len(), rest.len());
    for n in [0, 1, 3, 4] {
        let path = format!("/ts_aac/seg{n}.ts");
        assert_eq!(origin.requests_of(&path).len(), 1, "{path}");
    }
}
