//! Live playlists over HTTP: what travels when nothing has changed.

mod support;

use std::time::Duration;

use kithara_origin::Live;
use support::{assert_exact, fixtures, open, playlist, quick, read_all, serve, truth};

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
