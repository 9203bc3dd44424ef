//! Faults under the default options: everything is read to the end, byte for byte, and soon after the fault is over.
//!
//! All side by side, for each of them waits most of its time.

use std::time::{Duration, Instant};

use crate::support::{adts_seam, assert_exact, file, fixtures, open, playlist, read_all, serve, truth};
use futures_util::future::join_all;
use kithara_hls::{HlsOptions, fetch::net::Proxy};
use kithara_origin::{At, Fault, Origin, Response, Rule};

/// How long something is away, from the first request for it on.
const AWAY: Duration = Duration::from_secs(15);
/// What a fault may cost, beyond what reading takes without it.
const COST: Duration = Duration::from_secs(20);

/// The defaults, and no proxy between these tests and loopback.
fn defaults() -> HlsOptions {
    let mut options = HlsOptions::default();
    options.network.proxy = Proxy::None;
    options
}

/// One thing that goes wrong.
struct Scenario {
    what: &'static str,
    fixture: &'static str,
    /// How often the fault is played at least.
    faults: usize,
    rules: Vec<Rule>,
}

fn scenario(what: &'static str, fixture: &'static str, faults: usize, rules: impl Into<Vec<Rule>>) -> Scenario {
    Scenario { what, fixture, faults, rules: rules.into() }
}

fn away(path: &str) -> [Rule; 1] {
    [Rule::on(path).for_duration(AWAY).then(Response::new(503))]
}

/// Nothing says where the body ends, and it ends between two frames.
fn cut_at_seam(path: &str) -> [Rule; 1] {
    let segment = file(path.trim_start_matches('/'));
    let cut = adts_seam(&segment, segment.len() / 2) as u64;
    [Rule::on(path).for_duration(AWAY).then(Fault::NoLength).then(Fault::truncate(At::Byte(cut)))]
}

fn scenarios() -> Vec<Scenario> {
    let second = Duration::from_secs(1);
    vec![
        scenario("a segment is away", "ts_aac", 2, away("/ts_aac/seg2.ts")),
        scenario("an initialization section is away", "fmp4_aac", 2, away("/fmp4_aac/init.mp4")),
        scenario("a key is away", "ts_aes", 2, away("/ts_aes/key.bin")),
        scenario("a media playlist is away", "ts_aac", 2, away("/ts_aac/index.m3u8")),
        scenario(
            "an initialization section is away once",
            "fmp4_aac",
            1,
            [Rule::on("/fmp4_aac/init.mp4").first(1).then(Response::new(503))],
        ),
        scenario(
            "an initialization section is cut",
            "fmp4_aac",
            1,
            [Rule::on("/fmp4_aac/init.mp4").first(1).then(Fault::truncate(At::Fraction(0.5)))],
        ),
        scenario(
            "a playlist is cut, and its length says so",
            "ts_aac",
            1,
            [Rule::on("/ts_aac/index.m3u8").first(1).then(Fault::truncate(At::Fraction(0.5)))],
        ),
        scenario("a segment without length is cut at a seam", "adts", 4, cut_at_seam("/adts/seg2.aac")),
        scenario(
            "a segment stalls and goes on",
            "ts_aac",
            1,
            [Rule::on("/ts_aac/seg1.ts").first(1).then(Fault::stall(At::Fraction(0.5), 3 * second))],
        ),
        scenario(
            "a segment stalls and never goes on",
            "ts_aac",
            1,
            [Rule::on("/ts_aac/seg1.ts").first(1).then(Fault::stall(At::Fraction(0.5), 3600 * second))],
        ),
        scenario("a segment is slow", "ts_aac", 1, [Rule::on("/ts_aac/seg1.ts").then(Fault::Rate(8_000))]),
        scenario("connections are closed after each answer", "ts_aac", 5, [Rule::on("*").then(Fault::CloseAfter)]),
    ]
}

/// Reads all of a fixture, and answers with how long that took.
async fn played(origin: &Origin, fixture: &str, what: &str) -> Duration {
    let begun = Instant::now();
    let source = open(&playlist(origin, fixture), defaults()).await;
    assert_exact(&read_all(&source).await, &truth(fixture), what);
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_for_a_while_is_read_to_the_end_soon_after() {
    let clean = join_all(
        ["ts_aac", "ts_aes", "fmp4_aac"]
            .map(|fixture| async move { played(&serve(fixtures()), fixture, "clean").await }),
    );
    let clean = clean.await.into_iter().max().expect("three");
    let runs = scenarios().into_iter().map(|Scenario { what, fixture, faults, rules }| async move {
        let origin = serve(rules.into_iter().fold(fixtures(), kithara_origin::Site::rule));
        let took = played(&origin, fixture, what).await;
        let played = origin.log().iter().filter(|request| !request.fault.is_empty()).count();
        (what, took, faults, played)
    });
    let done = join_all(runs).await;
    println!("{clean:?} without faults");
    done.iter().for_each(|(what, took, _, played)| println!("{took:?} with {played} faults: {what}"));
    for (what, took, faults, played) in done {
        assert!(played >= faults, "{what}: {played} faults were played");
        assert!(took < clean + COST, "{what}: {took:?}, and {clean:?} without");
    }
}
