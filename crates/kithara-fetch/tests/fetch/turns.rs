//! Urgent before less urgent, below all sessions.

use kithara_fetch::{FetchOptions, FetchRequest, Fetcher, Priority};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use tokio::task::JoinHandle;

use crate::support::*;

/// An origin whose every resource takes a second, in ten chunks.
fn origin() -> ScriptedTransport {
    ScriptedTransport::new().otherwise(|_| Reply::resource(DIGITS).in_chunks(1, ms(100)))
}

fn world(per_origin: usize) -> World {
    World::with(origin(), None, FetchOptions { per_origin, ..FetchOptions::default() })
}

/// Fetches `http://h/NAME` on a task of its own.
async fn begin(fetcher: &Fetcher, name: &str, class: Priority) -> JoinHandle<()> {
    let delivery = fetcher.fetch(FetchRequest { class, ..request_of(&format!("http://h/{name}")) });
    let task = tokio::spawn(async move { assert_eq!(delivery.collect(10).await.unwrap(), DIGITS) });
    // The transfer takes its place in the schedule on a task of its own.
    tokio::time::sleep(ms(1)).await;
    task
}

async fn all(tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_move_at_once() {
    let world = world(2);
    let mut tasks = Vec::new();
    for name in ["a", "b", "c", "d"] {
        tasks.push(begin(&world.fetcher, name, Priority::Playback).await);
    }
    all(tasks).await;
    let seconds: Vec<u128> = world.times().iter().map(|ms| ms / 1_000).collect();
    assert_eq!((world.paths().as_str(), seconds.as_slice()), ("abcd", &[0, 0, 1, 1][..]));
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_is_next() {
    let world = world(1);
    let mut tasks = vec![begin(&world.fetcher, "0", Priority::Demand).await];
    for (name, class) in [
        ("l", Priority::Download),
        ("f", Priority::Prefetch),
        ("p", Priority::Playback),
        ("d", Priority::Demand),
        ("q", Priority::Playback),
    ] {
        tasks.push(begin(&world.fetcher, name, class).await);
    }
    all(tasks).await;
    assert_eq!(world.paths(), "0dpqfl");
}

#[tokio::test(start_paused = true)]
async fn an_urgent_fetch_does_not_wait_for_those_that_have_begun() {
    let world = world(1);
    let begun = tokio::time::Instant::now();
    let download = begin(&world.fetcher, "l", Priority::Download).await;
    tokio::time::sleep(ms(250)).await;
    begin(&world.fetcher, "d", Priority::Demand).await.await.unwrap();
    assert!(begun.elapsed() < ms(1_400), "{:?}", begun.elapsed());
    download.await.unwrap();
    assert!(begun.elapsed() >= ms(1_900), "the download stood still meanwhile: {:?}", begun.elapsed());
    assert_eq!(world.paths(), "ld", "and went on with the same request");
}

#[tokio::test(start_paused = true)]
async fn a_download_starts_no_request_while_a_playback_is_below_its_goal() {
    let world = world(6);
    let mut gate = world.fetcher.playback_gate();
    let mut other = world.fetcher.playback_gate();
    gate.set_below_goal(true);
    other.set_below_goal(true);
    let download = begin(&world.fetcher, "l", Priority::Download).await;
    begin(&world.fetcher, "p", Priority::Playback).await.await.unwrap();
    assert_eq!(world.paths(), "p");
    gate.set_below_goal(false);
    tokio::time::sleep(ms(5_000)).await;
    assert_eq!(world.paths(), "p", "another one still is");
    drop(other);
    download.await.unwrap();
    assert_eq!(world.paths(), "pl");
}

#[tokio::test(start_paused = true)]
async fn a_download_yields_within_one_chunk() {
    let world = world(6);
    let mut gate = world.fetcher.playback_gate();
    let mut download = world.fetcher.fetch(FetchRequest { class: Priority::Download, ..request_of("http://h/l") });
    for _ in 0..3 {
        next(&mut download).await;
    }
    gate.set_below_goal(true);
    tokio::time::sleep(ms(10_000)).await;
    assert!((3..=4).contains(&download.network_bytes()), "{} bytes", download.network_bytes());
    gate.set_below_goal(false);
    assert_eq!(download.collect(10).await.unwrap(), "3456789");
    assert_eq!(world.paths(), "l");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_prefetch_becomes_urgent_when_a_reader_stands_still_for_it() {
    let world = world(1);
    let mut tasks = vec![begin(&world.fetcher, "0", Priority::Playback).await];
    tasks.push(begin(&world.fetcher, "p", Priority::Playback).await);
    tasks.push(begin(&world.fetcher, "f", Priority::Prefetch).await);
    let mut raised = world.fetcher.fetch(FetchRequest { class: Priority::Prefetch, ..request_of("http://h/g") });
    tokio::time::sleep(ms(1)).await;
    tasks.push(begin(&world.fetcher, "f", Priority::Demand).await);
    raised.set_priority(Priority::Demand);
    all(tasks).await;
    assert_eq!(raised.collect(10).await.unwrap(), DIGITS);
    assert_eq!(world.paths(), "0fgp");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_nobody_reads_holds_no_turn() {
    let world = World::with(origin(), None, FetchOptions { per_origin: 1, window: 2, ..FetchOptions::default() });
    let idle = world.fetcher.fetch(request_of("http://h/i"));
    tokio::time::sleep(ms(1_000)).await;
    begin(&world.fetcher, "l", Priority::Download).await.await.unwrap();
    assert_eq!(idle.collect(10).await.unwrap(), DIGITS);
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_while_waiting_leaves_its_place() {
    let world = world(1);
    let first = begin(&world.fetcher, "a", Priority::Playback).await;
    let waiting = world.fetcher.fetch(request_of("http://h/b"));
    tokio::time::sleep(ms(1)).await;
    drop(waiting);
    let last = begin(&world.fetcher, "c", Priority::Playback).await;
    all([first, last]).await;
    assert_eq!(world.paths(), "ac");
}

#[tokio::test(start_paused = true)]
async fn small_resources_wait_for_their_turn_too() {
    let world = world(1);
    let first = begin(&world.fetcher, "a", Priority::Playback).await;
    let whole = |name: &str, class| {
        let request = FetchRequest { class, ..request_of(&format!("http://h/{name}")) };
        tokio::spawn(world.fetcher.fetch_whole(request))
    };
    let (late, early) = (whole("b", Priority::Prefetch), whole("c", Priority::Demand));
    first.await.unwrap();
    late.await.unwrap().unwrap();
    early.await.unwrap().unwrap();
    assert_eq!(world.paths(), "acb");
}
