//! What may be wrong with playlists and keys while a stream is opened, and passes: nothing of it is seen.

mod support;

use std::time::Duration;

use kithara_hls::{HlsError, HlsOptions};
use kithara_origin::{At, Ending, Fault, Logged, Response, Rule, Site};
use support::{assert_exact, file, fixtures, open, playlist, quick, read_all, serve, truth, try_open};

/// Waits that are short, but long enough for what passes.
fn patient() -> HlsOptions {
    let mut options = quick();
    options.playback.patience = Duration::from_secs(10);
    options.playback.ready_timeout = Duration::from_secs(10);
    options
}

/// Plays `fixture` through `rules`: exact, with so many requests for the playlist.
async fn check(fixture: &str, rules: impl IntoIterator<Item = Rule>, want: usize) {
    let origin = serve(rules.into_iter().fold(fixtures(), Site::rule));
    let source = open(&playlist(&origin, fixture), patient()).await;
    assert_exact(&read_all(&source).await, &truth(fixture), fixture);
    assert!(origin.log().iter().any(|entry| !entry.fault.is_empty()), "{fixture}: nothing went wrong");
    let asked: Vec<Logged> = origin.requests_of(&format!("/{fixture}/index.m3u8"));
    assert_eq!(asked.len(), want, "{fixture}: {asked:#?}");
}

fn on_playlist() -> Rule {
    Rule::on("*.m3u8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_is_an_error_page_at_first_is_loaded_again() {
    check("ts_aac", [on_playlist().first(2).then(Response::html("<html>Please log in.</html>"))], 3).await;
    check("fmp4_aac", [on_playlist().first(1).then(Response::ok(""))], 2).await;
}

/// A text without a length may end anywhere, and nothing but the missing end tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_never_changes_and_lacks_its_end_is_loaded_again() {
    let whole = file("ts_aac/index.m3u8");
    assert!(String::from_utf8_lossy(&whole).contains("#EXT-X-PLAYLIST-TYPE:VOD"), "the fixture says that it is whole");
    let cut = Fault::truncate(At::Fraction(0.7));
    check("ts_aac", [on_playlist().first(1).then(Fault::NoLength).then(cut)], 2).await;
    // However often it comes cut in the same place.
    let cut = Fault::truncate(At::Fraction(0.7));
    check("ts_aac", [on_playlist().first(4).then(Fault::NoLength).then(cut)], 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_in_which_nothing_stands_yet_is_waited_for() {
    check("ts_aac", [on_playlist().first(5).then(Response::ok(""))], 6).await;
    check("ts_aac", [on_playlist().first(5).then(Response::ok("#EXTM3U\n"))], 6).await;
}

/// Its URL is known to be right, so whatever else comes from there is a fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_another_one_names_is_waited_for_while_a_page_comes_in_its_place() {
    let primary = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nts_aac/index.m3u8\n";
    let page = Rule::on("*/index.m3u8").first(5).then(Response::html("<html>Please log in.</html>"));
    let origin = serve(fixtures().bytes("/one.m3u8", primary).rule(page));
    let source = open(&origin.url("/one.m3u8"), patient()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "ts_aac");
    assert_eq!(origin.requests_of("/ts_aac/index.m3u8").len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_without_its_end_is_played_when_it_never_has_one() {
    let text = String::from_utf8(file("ts_aac/index.m3u8")).expect("text").replace("#EXT-X-ENDLIST", "");
    check("ts_aac", [on_playlist().then(Response::ok(text))], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_in_trouble_is_waited_for() {
    check("ts_aac", [on_playlist().first(6).then(Response::new(503))], 7).await;
    check("fmp4_aac", [on_playlist().first(5).then(Fault::HangUp(Ending::Reset))], 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_server_in_trouble_is_waited_for_as_long_as_a_segment() {
    check("ts_aes", [Rule::on("*/key.bin").first(6).then(Response::new(503))], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_refused_once_for_whatever_reason_is_asked_for_again() {
    for status in [304, 400, 405, 416, 451] {
        check("ts_aac", [Rule::on("*seg1.ts").first(1).then(Response::new(status))], 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_a_playlist_is_an_error_after_four_requests() {
    let origin = serve(fixtures().rule(on_playlist().then(Response::html("<html>Please log in.</html>"))));
    let error = try_open(&playlist(&origin, "ts_aac"), patient()).await.expect_err("it is no playlist");
    assert!(matches!(error, HlsError::PlaylistParse { .. }), "{error}");
    assert_eq!(origin.log().len(), 4);
}
