//! Who asks for what is already coming attaches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use bytes::Bytes;
use kithara_assets::Meta;
use kithara_assets::event::StoreEvent;
use kithara_fetch::{CacheUse, FetchErrorKind, FetchOptions, FetchRequest, Transfers};
use kithara_net::ErrorKind;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_the_name_was_given_to_something_else_is_not_joined() {
    let replies = [Reply::resource(DIGITS).in_chunks(1, ms(10)), Reply::resource("9876543210")];
    let Stores { store, .. } = &memory_store();
    let world = World::new(ScriptedTransport::new().on(URL, replies), Some(store));
    let mut first = world.fetcher.fetch(request());
    assert_eq!(next(&mut first).await, "0");
    let belief = kithara_fetch::Belief::Since(world.fetcher.now());
    let second = world.fetcher.fetch(FetchRequest { belief, ..request() });
    assert!(!second.joined());
    assert_eq!(second.collect(10).await.unwrap(), "9876543210");
}

/// An origin that sends ten bytes, one every 100 ms.
fn slow() -> ScriptedTransport {
    ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).in_chunks(1, ms(100))])
}

#[tokio::test(start_paused = true)]
async fn a_second_reader_attaches_and_sends_no_request() {
    let world = World::new(slow(), None);
    let first = world.fetcher.fetch(request());
    let second = world.fetcher.fetch(request());
    assert!(!first.joined() && second.joined());
    let (first, second) = tokio::join!(first.collect(10), second.collect(10));
    assert_eq!([first.unwrap(), second.unwrap()], [DIGITS, DIGITS]);
    assert_eq!(world.ranges(), ["all"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_reader_gets_what_came_before_it() {
    let world = World::new(slow(), None);
    let mut first = world.fetcher.fetch(request());
    for digit in ["0", "1", "2"] {
        assert_eq!(next(&mut first).await, digit);
    }
    let mut second = world.fetcher.fetch(request());
    let head = second.head().await.unwrap();
    assert_eq!((head.start, head.len), (0, Some(10)));
    assert_eq!(second.collect(10).await.unwrap(), DIGITS);
    assert_eq!(first.collect(10).await.unwrap(), "3456789");
    assert_eq!(world.ranges(), ["all"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_what_is_coming_needs_no_request() {
    let world = World::new(slow(), None);
    let whole = world.fetcher.fetch(request());
    let mut part = world.fetcher.fetch(FetchRequest { range: Some(2..5), ..request() });
    let head = part.head().await.unwrap();
    assert_eq!((head.start, head.len, head.total_len), (2, Some(3), Some(10)));
    assert_eq!(part.collect(10).await.unwrap(), "234");
    assert_eq!(whole.collect(10).await.unwrap(), DIGITS);
    assert_eq!(world.ranges(), ["all"]);
}

#[tokio::test(start_paused = true)]
async fn more_than_what_is_coming_is_a_request_of_its_own() {
    let world = World::new(slow(), None);
    let part = world.fetcher.fetch(FetchRequest { range: Some(2..5), ..request() });
    let whole = world.fetcher.fetch(request());
    let (part, whole) = tokio::join!(part.collect(10), whole.collect(10));
    assert_eq!([part.unwrap(), whole.unwrap()], ["234", DIGITS]);
    assert_eq!(world.ranges(), ["2-4", "all"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_last_reader_to_leave_cancels() {
    let world = World::new(slow(), None);
    let mut first = world.fetcher.fetch(request());
    let mut second = world.fetcher.fetch(request());
    next(&mut first).await;
    drop(first);
    assert_eq!(next(&mut second).await, "0");
    assert_eq!(next(&mut second).await, "1");
    assert_eq!(world.open_exchanges(), 1);
    drop(second);
    tokio::time::sleep(ms(1)).await;
    assert_eq!(world.open_exchanges(), 0, "the exchange was closed");
    assert_eq!(world.bytes(request()).await.unwrap(), DIGITS, "what was cancelled is not joined");
    assert_eq!(world.ranges().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_dropped_at_once_leaves_nothing() {
    let world = World::new(slow(), None);
    drop(world.fetcher.fetch(request()));
    tokio::time::sleep(ms(10)).await;
    assert_eq!(world.open_exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_key_or_another_use_of_the_store_is_not_shared() {
    let world = World::new(slow(), None);
    let nameless = || world.fetcher.fetch(FetchRequest { key: None, ..request() });
    let bypass = world.fetcher.fetch(FetchRequest { cache: CacheUse::Bypass, ..request() });
    let all = [nameless(), nameless(), bypass, world.fetcher.fetch(request())];
    assert!(all.iter().all(|delivery| !delivery.joined()));
    for delivery in all {
        assert_eq!(delivery.collect(10).await.unwrap(), DIGITS);
    }
    assert_eq!(world.ranges().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_everybody_and_is_not_joined() {
    let missing = Reply::status(404).after(ms(50));
    let world = World::new(ScriptedTransport::new().on(URL, [missing, Reply::resource(DIGITS)]), None);
    let (mut first, mut second) = (world.fetcher.fetch(request()), world.fetcher.fetch(request()));
    let not_found = FetchErrorKind::Net(ErrorKind::NotFound);
    assert_eq!(first.head().await.unwrap_err().kind(), not_found);
    assert_eq!(second.chunk().await.unwrap_err().kind(), not_found);
    assert_eq!(world.bytes(request()).await.unwrap(), DIGITS, "while the failed ones are still held");
    assert_eq!(world.ranges().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_delays_nobody_and_still_gets_everything() {
    let bytes = pattern(10_000);
    let origin = ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone()).in_chunks(500, ms(1))]);
    let world = World::with(origin, None, FetchOptions { window: 1_000, retain: 0, ..FetchOptions::default() });
    let mut slow = world.fetcher.fetch(request());
    let fast = world.fetcher.fetch(request());
    assert!(fast.joined());
    let first: Bytes = next(&mut slow).await;
    assert!(fast.collect(u64::MAX).await.unwrap() == bytes);
    let rest = slow.collect(u64::MAX).await.unwrap();
    assert!([first, rest].concat() == bytes);
    let ranges = world.ranges();
    assert!(ranges.len() == 2 && ranges[0] == "all" && ranges[1] != "all", "{ranges:?}");
    assert!(world.origin.requests()[1].header("if-range").is_some(), "of the same version");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_when_the_rest_is_of_another_version() {
    let bytes = pattern(10_000);
    let first = Reply::resource(bytes.clone()).in_chunks(500, ms(1));
    let world = World::with(
        ScriptedTransport::new().on(URL, [first, Reply::resource(pattern(9_999))]),
        None,
        FetchOptions { window: 1_000, retain: 0, ..FetchOptions::default() },
    );
    let mut slow = world.fetcher.fetch(request());
    let fast = world.fetcher.fetch(request());
    next(&mut slow).await;
    assert!(fast.collect(u64::MAX).await.unwrap() == bytes);
    assert_eq!(slow.collect(u64::MAX).await.unwrap_err().kind(), FetchErrorKind::Changed);
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_and_nothing_is_heaped_up() {
    let bytes = pattern(1_000_000);
    let origin = ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone()).in_chunks(1_000, ms(1))]);
    let world = World::with(origin, None, FetchOptions { window: 10_000, ..FetchOptions::default() });
    let delivery = world.fetcher.fetch(request());
    tokio::time::sleep(ms(5_000)).await;
    let ahead = delivery.network_bytes();
    assert!((10_000..=11_000).contains(&ahead), "{ahead} bytes ahead of a reader that does not read");
    assert!(delivery.collect(u64::MAX).await.unwrap() == bytes);
}

/// An origin that lets in who has a fresh token, and takes its time.
fn guarded() -> ScriptedTransport {
    ScriptedTransport::new().otherwise(|sent| {
        let is_fresh = sent.request.url.query() == Some("token=fresh");
        if is_fresh { Reply::resource(DIGITS) } else { Reply::status(403) }.after(ms(100))
    })
}

fn with_token(token: &str) -> FetchRequest {
    let mut request = request();
    request.url.set_query(Some(&format!("token={token}")));
    request
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_fetch_that_is_refused_asks_once_with_a_token_of_its_own() {
    let world = World::new(guarded(), None);
    let expired = world.fetcher.fetch(with_token("expired"));
    let (fresh, same) = (world.fetcher.fetch(with_token("fresh")), world.fetcher.fetch(with_token("expired")));
    assert!(fresh.joined() && same.joined());
    let (expired, fresh, same) = tokio::join!(expired.collect(10), fresh.collect(10), same.collect(10));
    assert_eq!(fresh.unwrap(), DIGITS);
    assert_eq!([expired.unwrap_err().status(), same.unwrap_err().status()], [Some(403); 2]);
    assert_eq!(world.ranges().len(), 2, "who has the same token has the same answer");

    let whole = |token| world.fetcher.fetch_whole(with_token(token));
    let (expired, fresh, same) = tokio::join!(whole("expired"), whole("fresh"), whole("expired"));
    assert_eq!(fresh.unwrap().bytes.unwrap(), DIGITS);
    assert_eq!([expired.unwrap_err().status(), same.unwrap_err().status()], [Some(403); 2]);
    assert_eq!(world.ranges().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn each_reader_of_a_transfer_gets_as_much_as_it_allows() {
    let at_most = |max_len| FetchRequest { max_len, ..request() };
    let too_large = FetchErrorKind::Net(ErrorKind::TooLarge);
    let chunked = || Reply::resource(DIGITS).announces(None).header("transfer-encoding", "chunked");
    // (how it is sent, what is asked for where the first reader allows less)
    for (reply, asked) in [(Reply::resource(DIGITS), ["all", "all"]), (chunked(), ["all", "4-"])] {
        for caps in [[10, 4], [4, 10], [4, 4]] {
            let world = World::new(ScriptedTransport::new().on(URL, [reply.clone().in_chunks(2, ms(10))]), None);
            let readers = caps.map(|cap| world.fetcher.fetch(at_most(cap)));
            assert!(readers[1].joined());
            let [first, second] = readers.map(|reader| tokio::spawn(reader.collect(u64::MAX)));
            for (cap, outcome) in caps.into_iter().zip([first.await.unwrap(), second.await.unwrap()]) {
                match cap {
                    10 => assert_eq!(outcome.unwrap(), DIGITS, "{caps:?}"),
                    _ => assert_eq!(outcome.unwrap_err().kind(), too_large, "{caps:?}"),
                }
            }
            assert_eq!(world.ranges(), asked[..if caps == [4, 10] { 2 } else { 1 }], "{caps:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_by_itself_after_a_head_gets_that_version_or_hears_that_it_changed() {
    let asked = AtomicUsize::new(0);
    let origin = ScriptedTransport::new().otherwise(move |sent| {
        let is_fresh = sent.request.url.query() == Some("token=fresh");
        match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::resource(DIGITS).after(ms(100)).breaks_after(0),
            _ if is_fresh => Reply::resource("another version"),
            _ => Reply::status(403).after(ms(100)),
        }
    });
    let world = World::new(origin, None);
    let mut expired = world.fetcher.fetch(with_token("expired"));
    let mut fresh = world.fetcher.fetch(with_token("fresh"));
    assert_eq!(fresh.head().await.unwrap().len, Some(10));
    assert_eq!(expired.chunk().await.unwrap_err().status(), Some(403));
    assert_eq!(fresh.chunk().await.unwrap_err().kind(), FetchErrorKind::Changed);
    assert_eq!(world.ranges().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_transfer_is_waited_for_unless_others_read_it() {
    let world = World::new(slow(), None);
    let (mine, theirs) = (Transfers::default(), Transfers::default());
    let mut first = world.fetcher.fetch(FetchRequest { transfers: Some(mine.clone()), ..request() });
    let second = world.fetcher.fetch(FetchRequest { transfers: Some(theirs.clone()), ..request() });
    assert_eq!(next(&mut first).await, "0");
    let begun = tokio::time::Instant::now();
    drop(first);
    world.fetcher.settled(&mine).await;
    assert_eq!(begun.elapsed(), ms(0), "it goes on for another");
    let waits = tokio::spawn({
        let fetcher = world.fetcher.clone();
        async move { fetcher.settled(&theirs).await }
    });
    assert_eq!(second.collect(10).await.unwrap(), DIGITS);
    waits.await.unwrap();
    assert!(begun.elapsed() >= ms(800), "all of it came first");
}

/// The store lets the end of a span wait for more of them; who closes must not.
#[tokio::test]
async fn who_waits_for_the_end_waits_for_nothing_that_the_store_is_given_later() {
    let [_, disk] = both_stores();
    let world = World::serving(DIGITS, Some(&disk.store));
    let [before, after] = ["before", "after"].map(key_of);
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    // It is called on the thread that writes, which stands still meanwhile.
    let _holds = disk.store.observe_all(move |event| match event {
        StoreEvent::Committed { key, .. } if [before, after].contains(key) => drop(held.lock().unwrap().recv()),
        _ => {}
    });
    drop(disk.store.atomic(&before).write(b"before", &Meta::default()));
    let transfers = Transfers::default();
    let delivery = world.fetcher.fetch(FetchRequest { transfers: Some(transfers.clone()), ..request() });
    assert_eq!(delivery.collect(10).await.unwrap(), DIGITS);
    let fetcher = world.fetcher.clone();
    let settled = tokio::spawn(async move { fetcher.settled(&transfers).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    drop(disk.store.atomic(&after).write(b"after", &Meta::default()));
    go_on.send(()).unwrap();
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, settled).await.expect("it waits for what came after").unwrap();
    assert!(resource(&disk.store).contains(0..10));
    drop(go_on);
}
