//! The end of a resource with one small request.

use kithara_fetch::{Belief, CacheUse, FetchErrorKind, FetchRequest};
use kithara_net::ErrorKind;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};

use crate::support::*;

#[track_caller]
fn check(got: &kithara_fetch::Tail, bytes: &str, len: u64) {
    assert_eq!((&got.bytes[..], got.len), (bytes.as_bytes(), len));
}

#[tokio::test(start_paused = true)]
async fn the_last_bytes_of_what_nobody_knows_are_asked_for_as_such() {
    let world = World::serving(DIGITS, None);
    check(&world.fetcher.tail(request(), 3).await.unwrap(), "789", 10);
    check(&world.fetcher.tail(request(), 30).await.unwrap(), DIGITS, 10);
    assert_eq!(world.ranges(), ["-3", "-30"]);
}

#[tokio::test(start_paused = true)]
async fn an_origin_without_ranges_is_read_to_its_end() {
    let all = Reply::resource(DIGITS).ignores_ranges().in_chunks(4, ms(1));
    let world = World::new(ScriptedTransport::new().on(URL, [all.clone()]), None);
    check(&world.fetcher.tail(request(), 3).await.unwrap(), "789", 10);

    let world = World::new(ScriptedTransport::new().on(URL, [all.announces(None)]), None);
    let error = world.fetcher.tail(request(), 3).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::Net(ErrorKind::RangeIgnored), "nobody says where the end begins");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_range_is_a_range() {
    let world = World::serving(DIGITS, None);
    let part = FetchRequest { range: Some(2..6), ..request() };
    check(&world.fetcher.tail(part.clone(), 3).await.unwrap(), "345", 4);
    check(&world.fetcher.tail(part, 30).await.unwrap(), "2345", 4);
    assert_eq!(world.ranges(), ["3-5", "2-5"]);
}

#[tokio::test(start_paused = true)]
async fn a_length_that_is_not_believed_is_asked_for() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        put(store, b"old old", 0..7, Some(7), None).await;
        let belief = Belief::Since(world.fetcher.now());
        check(&world.fetcher.tail(FetchRequest { belief, ..request() }, 3).await.unwrap(), "789", 10);
        check(&world.fetcher.tail(request(), 3).await.unwrap(), "old", 7);
        assert_eq!(world.ranges(), ["-3"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_needs_no_request() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        put(store, DIGITS.as_bytes(), 0..10, Some(10), None).await;
        for cache in [CacheUse::ReadWrite, CacheUse::OfflineOnly] {
            let request = FetchRequest { cache, ..request() };
            check(&world.fetcher.tail(request, 3).await.unwrap(), "789", 10);
        }
        assert!(world.ranges().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn offline_the_network_is_not_asked() {
    let Stores { store, .. } = &memory_store();
    let world = World::serving(DIGITS, Some(store));
    let offline = FetchRequest { cache: CacheUse::OfflineOnly, ..request() };
    let error = world.fetcher.tail(offline, 3).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::OfflineMiss);
    assert!(world.ranges().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_here_too() {
    let silent = Reply::resource(DIGITS).after(ms(5_000));
    let world = World::new(ScriptedTransport::new().on(URL, [silent]), None);
    let error = world.fetcher.tail(FetchRequest { deadline: Some(ms(100)), ..request() }, 3).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::Deadline);
}
