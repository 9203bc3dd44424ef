//! What is stored is read, what is not is fetched, and versions are never mixed.

use std::sync::Arc;

use kithara_assets::{AssetStore, DiskOptions, MemoryOptions};
use kithara_fetch::{CacheUse, FetchErrorKind, FetchOptions, FetchRequest, Fetcher, Priority, Provider};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::{Client, ErrorKind, NetworkOptions};

use crate::support::*;

const KIB: usize = 1 << 10;

#[tokio::test(start_paused = true)]
async fn a_resource_is_fetched_once_and_then_read_from_the_store() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        let mut first = world.fetcher.fetch(request());
        let head = first.head().await.unwrap();
        assert_eq!((head.provider, head.status, head.len), (Provider::Network, Some(200), Some(10)));
        assert_eq!(first.collect(10).await.unwrap(), DIGITS);
        settle(store).await;

        let mut second = world.fetcher.fetch(request());
        let head = second.head().await.unwrap();
        assert_eq!((head.provider, head.status, head.len), (Provider::Store, None, Some(10)));
        assert_eq!(head.url.as_str(), URL);
        assert!(head.from_cache() && second.network_bytes() == 0);
        assert_eq!(second.collect(10).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["all"]);
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_hole_is_fetched() {
    let etag = etag_of(DIGITS).await;
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        put(store, DIGITS.as_bytes(), 0..4, Some(10), Some(&etag)).await;
        let mut delivery = world.fetcher.fetch(request());
        assert_eq!(delivery.head().await.unwrap().provider, Provider::Both);
        assert_eq!(delivery.collect(10).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["4-9"]);
        assert_eq!(world.origin.requests()[0].header("if-range"), Some(etag.as_str()));
        settle(store).await;
        assert!(resource(store).contains(0..10));
    }
}

#[tokio::test(start_paused = true)]
async fn every_hole_is_one_request() {
    let etag = etag_of(DIGITS).await;
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        for span in [2..4, 6..8] {
            put(store, DIGITS.as_bytes(), span, Some(10), Some(&etag)).await;
        }
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["0-1", "4-5", "8-9"]);
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges().len(), 3, "nothing is fetched twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_is_a_part_of_the_same_resource() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        let part = FetchRequest { range: Some(3..7), ..request() };
        let mut delivery = world.fetcher.fetch(part);
        let head = delivery.head().await.unwrap();
        assert_eq!((head.start, head.len, head.total_len), (3, Some(4), Some(10)));
        assert_eq!(delivery.collect(4).await.unwrap(), "3456");
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["3-6", "0-2", "7-9"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_ends_with_its_resource() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        for _ in 0..2 {
            let open = FetchRequest { range: Some(8..u64::MAX), ..request() };
            assert_eq!(world.bytes(open).await.unwrap(), "89");
            let long = FetchRequest { range: Some(8..1_000), ..request() };
            assert_eq!(world.bytes(long).await.unwrap(), "89");
            settle(store).await;
        }
        assert_eq!(world.ranges(), ["8-"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_etag_starts_over() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        put(store, b"old old ol", 0..4, Some(10), Some("\"old\"")).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS, "no byte of the old version");
        assert_eq!(world.ranges(), ["4-9", "all"]);
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS, "the new version is stored");
        assert_eq!(world.ranges().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_length_starts_over_where_there_are_no_validators() {
    for Stores { store, .. } in &both_stores() {
        let nameless = Reply::resource(DIGITS).without("etag");
        let world = World::new(ScriptedTransport::new().on(URL, [nameless]), Some(store));
        put(store, b"old old", 0..4, Some(7), None).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["4-6", "all"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_equal_length_is_believed_where_there_are_no_validators() {
    for Stores { store, .. } in &both_stores() {
        let nameless = Reply::resource(DIGITS).without("etag");
        let world = World::new(ScriptedTransport::new().on(URL, [nameless]), Some(store));
        put(store, DIGITS.as_bytes(), 0..4, Some(10), None).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["4-9"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_after_bytes_were_handed_over_is_an_error_and_leaves_nothing_stored() {
    let etag = etag_of(DIGITS).await;
    for Stores { store, .. } in &both_stores() {
        let replies = [Reply::resource(DIGITS), Reply::resource("9876543210")];
        let world = World::new(ScriptedTransport::new().on(URL, replies), Some(store));
        put(store, DIGITS.as_bytes(), 4..6, Some(10), Some(&etag)).await;
        let mut delivery = world.fetcher.fetch(request());
        assert_eq!(next(&mut delivery).await, "0123");
        assert_eq!(next(&mut delivery).await, "45");
        let error = delivery.chunk().await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::Changed);
        settle(store).await;
        assert!(resource(store).spans().is_empty());
        assert_eq!(world.bytes(request()).await.unwrap(), "9876543210", "a new fetch gives the new version");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_changes_all_the_time_is_given_up() {
    let Stores { store, .. } = &memory_store();
    let origin = ScriptedTransport::new().otherwise(|sent| {
        let status = if sent.header("range").is_some() { 206 } else { 200 };
        let version = format!("\"{}\"", sent.at.elapsed().as_nanos());
        let tagged = |reply: Reply, tag: &str| reply.header("etag", tag);
        match status {
            206 => tagged(Reply::status(206).body("456789").header("content-range", "bytes 4-9/10"), "\"other\""),
            _ => tagged(Reply::resource(DIGITS), &version).breaks_after(2),
        }
    });
    let world = World::new(origin, Some(store));
    put(store, DIGITS.as_bytes(), 0..4, Some(10), Some("\"old\"")).await;
    let error = world.bytes(request()).await.unwrap_err();
    assert!(world.ranges().len() < 20, "{:?}", world.ranges());
    assert!(matches!(error.kind(), FetchErrorKind::Changed | FetchErrorKind::Net(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn offline_only_never_uses_the_network() {
    let etag = etag_of(DIGITS).await;
    let offline = FetchRequest { cache: CacheUse::OfflineOnly, ..request() };
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        for span in [0..4, 4..10] {
            let error = world.bytes(offline.clone()).await.unwrap_err();
            assert_eq!(error.kind(), FetchErrorKind::OfflineMiss);
            assert_eq!(error.to_string(), "http://h/a: not stored, and the network may not be used");
            put(store, DIGITS.as_bytes(), span, Some(10), Some(&etag)).await;
        }
        assert_eq!(world.bytes(offline.clone()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_does_what_the_request_allows() {
    // What is asked of the network first, and whether the second fetch with the default use asks again.
    let table = [
        (CacheUse::ReadWrite, "4-9", false),
        (CacheUse::StoredFirst, "4-9", false),
        (CacheUse::ReadOnly, "4-9", true),
        (CacheUse::WriteOnly, "all", false),
        (CacheUse::Bypass, "all", true),
    ];
    let etag = etag_of(DIGITS).await;
    for (cache, range, again) in table {
        for Stores { store, .. } in &both_stores() {
            let world = World::serving(DIGITS, Some(store));
            put(store, DIGITS.as_bytes(), 0..4, Some(10), Some(&etag)).await;
            assert_eq!(world.bytes(FetchRequest { cache, ..request() }).await.unwrap(), DIGITS);
            settle(store).await;
            assert_eq!(world.ranges(), [range], "{cache:?}");
            assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
            assert_eq!(world.ranges().len() == 2, again, "{cache:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_store_is_honoured_unless_the_app_decides_otherwise() {
    for (keep_no_store, requests) in [(false, 2), (true, 1)] {
        let Stores { store, .. } = &memory_store();
        let private = Reply::resource(DIGITS).header("cache-control", "no-store");
        let options = FetchOptions { keep_no_store, ..FetchOptions::default() };
        let world = World::with(ScriptedTransport::new().on(URL, [private]), Some(store), options);
        for _ in 0..2 {
            assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
            settle(store).await;
        }
        assert_eq!(world.ranges().len(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_fetch_keeps_whole_blocks_and_the_next_asks_for_the_rest() {
    let bytes = pattern(700 * KIB);
    for Stores { store, .. } in &both_stores() {
        let paced = Reply::resource(bytes.clone()).in_chunks(100 * KIB, ms(10));
        let world = World::new(ScriptedTransport::new().on(URL, [paced]), Some(store));
        let mut delivery = world.fetcher.fetch(request());
        while delivery.position() < 600 * KIB as u64 {
            next(&mut delivery).await;
        }
        drop(delivery);
        settle(store).await;
        assert_eq!(world.open_exchanges(), 0);
        assert!(world.bytes(request()).await.unwrap() == bytes);
        assert_eq!(world.ranges(), ["all".to_owned(), format!("{}-{}", 512 * KIB, 700 * KIB - 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_with_its_last_byte_leaves_it_stored() {
    for Stores { store, .. } in &both_stores() {
        let world =
            World::new(ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).in_chunks(5, ms(10))]), Some(store));
        let mut delivery = world.fetcher.fetch(FetchRequest { range: Some(0..5), ..request() });
        assert_eq!(next(&mut delivery).await, "01234");
        drop(delivery);
        let mut delivery = world.fetcher.fetch(FetchRequest { range: Some(5..u64::MAX), ..request() });
        assert_eq!(next(&mut delivery).await, "56789");
        drop(delivery);
        settle(store).await;
        assert!(resource(store).contains(0..10));
        assert_eq!(world.open_exchanges(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_nobody_announced_is_known_at_the_end() {
    for Stores { store, .. } in &both_stores() {
        let chunked = Reply::resource(DIGITS).announces(None).header("transfer-encoding", "chunked");
        let world = World::new(ScriptedTransport::new().on(URL, [chunked]), Some(store));
        let mut delivery = world.fetcher.fetch(request());
        assert_eq!(delivery.head().await.unwrap().len, None);
        assert_eq!(delivery.collect(10).await.unwrap(), DIGITS);
        settle(store).await;
        assert_eq!(resource(store).total_len(), Some(10));
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges().len(), 1);
    }
}

/// A body that ends with its connection, after so many bytes of `bytes`.
fn unframed(bytes: impl Into<bytes::Bytes>, end: usize) -> Reply {
    Reply::resource(bytes).announces(None).ends_after(end)
}

#[tokio::test(start_paused = true)]
async fn an_end_that_does_not_show_is_none_before_a_reader_accepts_it() {
    for (accepts, want, requests) in [(false, DIGITS, 2), (true, "012345", 1)] {
        for Stores { store, .. } in &both_stores() {
            let replies = [unframed(DIGITS, 6), Reply::resource(DIGITS)];
            let world = World::new(ScriptedTransport::new().on(URL, replies), Some(store));
            let mut delivery = world.fetcher.fetch(request());
            assert!(!delivery.head().await.unwrap().has_end);
            while delivery.chunk().await.unwrap().is_some() {}
            if accepts {
                delivery.accept();
            }
            settle(store).await;
            assert_eq!(resource(store).total_len(), accepts.then_some(6));
            assert_eq!(world.bytes(request()).await.unwrap(), want);
            assert_eq!(world.ranges().len(), requests);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_an_end_that_does_not_show_is_gone_on_with() {
    let (all, cut) = (pattern(900 * KIB), 700 * KIB);
    let rest = |from: usize| format!("{from}-");
    let whole = || "all".to_owned();
    // (what the origin says from then on, what is asked for)
    let table = [
        (Reply::resource(all.clone()), vec![rest(cut)]),
        (unframed(all.clone(), all.len()).ignores_ranges(), vec![rest(cut), rest(all.len())]),
        // Nothing tells whether that is the rest of what came before.
        (unframed(all.clone(), all.len()).without("etag"), vec![whole(), whole()]),
    ];
    for (reply, ranges) in table {
        for Stores { store, .. } in &both_stores() {
            let first = unframed(all.clone(), cut);
            let first = if ranges[0] == "all" { first.without("etag") } else { first };
            let world = World::new(ScriptedTransport::new().on(URL, [first, reply.clone()]), Some(store));
            let file = FetchRequest { piecewise: true, ..request() };
            assert!(world.bytes(file.clone()).await.unwrap() == all[..cut]);
            for _ in 0..2 {
                settle(store).await;
                assert!(world.bytes(file.clone()).await.unwrap() == all);
            }
            assert_eq!(world.ranges()[1..], ranges);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_without_ranges_is_fetched_from_the_start() {
    let etag = etag_of(DIGITS).await;
    for Stores { store, .. } in &both_stores() {
        let origin = ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).ignores_ranges()]);
        let options = NetworkOptions { max_skip: 3, ..NetworkOptions::default() };
        let client = Client::with_transport(options, Arc::new(origin.clone()));
        let fetcher = Fetcher::new(client, Some(store.clone()), FetchOptions::default());
        put(store, DIGITS.as_bytes(), 0..4, Some(10), Some(&etag)).await;
        assert_eq!(fetcher.fetch(request()).collect(10).await.unwrap(), DIGITS);
        assert_eq!(origin.requests().len(), 2);
        settle(store).await;
        assert_eq!(fetcher.fetch(request()).collect(10).await.unwrap(), DIGITS);
        assert_eq!(origin.requests().len(), 2, "it is stored");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_known_is_found_with_one_request() {
    let etag = etag_of(DIGITS).await;
    for Stores { store, .. } in &both_stores() {
        let world = World::serving(DIGITS, Some(store));
        put(store, DIGITS.as_bytes(), 0..10, None, Some(&etag)).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
        assert_eq!(world.ranges(), ["10-"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_resource_is_a_resource() {
    for Stores { store, .. } in &both_stores() {
        let world = World::serving("", Some(store));
        assert_eq!(world.bytes(request()).await.unwrap(), "");
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), "");
        assert_eq!(world.ranges(), ["all"]);
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_bytes_are_fetched_anew() {
    for Stores { store, .. } in &both_stores() {
        let replies = [Reply::resource("<html>busy</html>"), Reply::resource(DIGITS)];
        let world = World::new(ScriptedTransport::new().on(URL, replies), Some(store));
        let mut delivery = world.fetcher.fetch(request());
        assert_eq!(next(&mut delivery).await, "<html>busy</html>");
        delivery.reject();
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_loses_on_the_way_comes_from_the_network() {
    let bytes = pattern(600 * KIB);
    let etag = etag_of(bytes.clone()).await;
    let Stores { store, .. } = &memory_store();
    let options = FetchOptions { window: 1, ..FetchOptions::default() };
    let world = World::with(ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone())]), Some(store), options);
    let total = Some(bytes.len() as u64);
    put(store, &bytes, 0..bytes.len(), total, Some(&etag)).await;
    let mut delivery = world.fetcher.fetch(request());
    let first = next(&mut delivery).await;
    resource(store).invalidate();
    let rest = delivery.collect(u64::MAX).await.unwrap();
    assert!([first, rest].concat() == bytes);
    let ranges = world.ranges();
    assert!(ranges.len() == 1 && ranges[0] != "all", "{ranges:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_queue_never_delays_the_reader() {
    let directory = tempfile::TempDir::new().unwrap();
    let options = DiskOptions { queue_bytes: 1, free_space: 0, ..DiskOptions::default() };
    let store = &AssetStore::open(directory.path(), options).unwrap();
    let bytes = pattern(900 * KIB);
    let origin = ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone()).in_chunks(KIB, ms(0))]);
    let world = World::new(origin, Some(store));
    assert!(world.bytes(request()).await.unwrap() == bytes);
    settle(store).await;
    assert!(!resource(store).contains(0..bytes.len() as u64), "the span was given up");
    assert!(world.bytes(request()).await.unwrap() == bytes, "and its bytes are still right");
}

#[tokio::test(start_paused = true)]
async fn a_download_waits_for_the_disk_instead_of_giving_up() {
    let directory = tempfile::TempDir::new().unwrap();
    let options = DiskOptions { queue_bytes: 1, free_space: 0, ..DiskOptions::default() };
    let store = &AssetStore::open(directory.path(), options).unwrap();
    let bytes = pattern(900 * KIB);
    let origin = ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone()).in_chunks(KIB, ms(0))]);
    let world = World::new(origin, Some(store));
    let download = FetchRequest { class: Priority::Download, ..request() };
    assert!(world.bytes(download.clone()).await.unwrap() == bytes);
    // Joins the transfer if its end is still on the way to the disk.
    assert!(world.bytes(download).await.unwrap() == bytes);
    assert_eq!(world.ranges(), ["all"]);
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_large_file_can_be_read_before_its_end() {
    let store = &AssetStore::memory(MemoryOptions { piece_bytes: 4, ..MemoryOptions::default() });
    for (piecewise, early) in [(false, false), (true, true)] {
        resource(store).invalidate();
        let paced = Reply::resource(DIGITS).in_chunks(4, ms(10));
        let world = World::new(ScriptedTransport::new().on(URL, [paced]), Some(store));
        let mut delivery = world.fetcher.fetch(FetchRequest { piecewise, ..request() });
        next(&mut delivery).await;
        tokio::time::sleep(ms(1)).await;
        assert_eq!(resource(store).contains(0..4), early);
        assert_eq!(delivery.collect(10).await.unwrap(), "456789");
        settle(store).await;
        assert!(resource(store).contains(0..10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_too_small_changes_nothing() {
    let store = &AssetStore::memory(MemoryOptions { capacity: 5, ..MemoryOptions::default() });
    let world = World::serving(DIGITS, Some(store));
    for _ in 0..2 {
        assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
    }
    assert_eq!(world.ranges(), ["all", "all"]);
}

#[tokio::test(start_paused = true)]
async fn the_size_cap_holds_for_both_sides() {
    let Stores { store, .. } = &memory_store();
    let world = World::serving(DIGITS, Some(store));
    let small = FetchRequest { max_len: 9, ..request() };
    let too_large = FetchErrorKind::Net(ErrorKind::TooLarge);
    assert_eq!(world.bytes(small.clone()).await.unwrap_err().kind(), too_large);
    assert_eq!(world.bytes(request()).await.unwrap(), DIGITS);
    assert_eq!(world.bytes(small).await.unwrap_err().kind(), too_large, "stored bytes count, too");
    assert_eq!(world.fetcher.fetch(request()).collect(9).await.unwrap_err().kind(), too_large);
}

#[tokio::test(start_paused = true)]
async fn a_failed_body_fails_the_delivery_after_the_bytes_that_came() {
    let broken = Reply::resource(DIGITS).breaks_after(4);
    let world = World::new(ScriptedTransport::new().on(URL, [broken, Reply::status(404)]), None);
    let mut delivery = world.fetcher.fetch(request());
    assert_eq!(next(&mut delivery).await, "0123");
    let error = delivery.chunk().await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::Net(ErrorKind::NotFound));
    assert_eq!(error.status(), Some(404));
    assert_eq!(delivery.chunk().await.unwrap_err().kind(), error.kind(), "further calls say so again");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_call_to_the_last_byte() {
    let slow = Reply::resource(DIGITS).in_chunks(1, ms(100));
    let world = World::new(ScriptedTransport::new().on(URL, [slow]), None);
    let mut delivery = world.fetcher.fetch(FetchRequest { deadline: Some(ms(450)), ..request() });
    let mut count = 0;
    let error = loop {
        match delivery.chunk().await {
            Ok(chunk) => count += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), count), (FetchErrorKind::Deadline, 4));
    assert_eq!(world.bytes(FetchRequest { deadline: Some(ms(1_100)), ..request() }).await.unwrap(), DIGITS);
}

#[test]
fn without_a_runtime_a_fetch_fails_and_does_not_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = World::serving(DIGITS, None);
    let mut delivery = world.fetcher.fetch(request());
    let error = runtime.block_on(delivery.chunk()).unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::NoRuntime);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
async fn an_empty_range_is_refused() {
    let world = World::serving(DIGITS, None);
    for range in [3..3, 5..2] {
        let error = world.bytes(FetchRequest { range: Some(range), ..request() }).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::InvalidRequest);
    }
    assert!(world.ranges().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ranges_of_a_nameless_resource_of_unknown_length_stay_beside_each_other() {
    for Stores { store, .. } in &both_stores() {
        let origin = ScriptedTransport::new().otherwise(|sent| {
            let range = sent.header("range").unwrap().trim_start_matches("bytes=").to_owned();
            let (start, end) = range.split_once('-').unwrap();
            let bytes = &DIGITS[start.parse().unwrap()..=end.parse().unwrap()];
            Reply::status(206).header("content-range", &format!("bytes {range}/*")).body(bytes)
        });
        let world = World::new(origin, Some(store));
        for _ in 0..2 {
            for range in [0..3, 6..9, 3..6] {
                let part = FetchRequest { range: Some(range.clone()), ..request() };
                assert_eq!(world.bytes(part).await.unwrap(), DIGITS[range.start as usize..range.end as usize]);
                settle(store).await;
            }
        }
        assert_eq!(world.ranges(), ["0-2", "6-8", "3-5"], "each once");
    }
}

/// What is read until the end, or until the rest is gone.
async fn read_as_far_as_it_goes(mut delivery: kithara_fetch::Delivery, mut read: Vec<u8>) -> (Vec<u8>, bool) {
    loop {
        match delivery.chunk().await {
            Ok(Some(bytes)) => read.extend_from_slice(&bytes),
            Ok(None) => return (read, true),
            Err(error) => {
                let kinds = [FetchErrorKind::Changed, FetchErrorKind::Net(ErrorKind::NotFound)];
                assert!(kinds.contains(&error.kind()), "{error}");
                return (read, false);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_what_is_being_read_is_not_joined_with_it() {
    let (old, new) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    for etags in [(Some("\"old\""), Some("\"new\"")), (None, None)] {
        for Stores { store, .. } in &both_stores() {
            // Nobody reads ahead of its reader.
            let options = FetchOptions { window: 1, retain: 1, ..FetchOptions::default() };
            let world = World::with(ScriptedTransport::new().otherwise(|_| Reply::status(404)), Some(store), options);
            // Spans that others do not reach into.
            for start in (0..1 << 20).step_by(256 * KIB) {
                put(store, &old, start..start + 256 * KIB, Some(1 << 20), etags.0).await;
            }
            let mut delivery = world.fetcher.fetch(request());
            let first = next(&mut delivery).await;
            resource(store).invalidate();
            settle(store).await;
            for start in (0..1 << 20).step_by(256 * KIB) {
                put(store, &new, start..start + 256 * KIB, Some(1 << 20), etags.1).await;
            }
            let (read, is_whole) = read_as_far_as_it_goes(delivery, first.to_vec()).await;
            assert!(read.iter().all(|byte| *byte == 1), "one version only, {etags:?}");
            assert!(!is_whole && read.len() < old.len(), "the rest is gone");
            assert_eq!(world.bytes(request()).await.unwrap(), new, "what took its place is left alone");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_a_nameless_resource_is_not_joined_with_half_of_a_longer_one() {
    let (old, new) = (vec![1; 1000 * KIB], vec![2; 1200 * KIB]);
    for announced in [true, false] {
        for Stores { store, .. } in &both_stores() {
            let nameless = |bytes: &[u8]| {
                let reply = Reply::resource(bytes.to_vec()).without("etag");
                if announced { reply } else { reply.without("content-length") }
            };
            let broken = nameless(&old).breaks_after(600 * KIB);
            let replies = [broken, Reply::status(404), nameless(&new)];
            let world = World::new(ScriptedTransport::new().on(URL, replies), Some(store));
            assert!(world.bytes(request()).await.is_err());
            settle(store).await;
            let read = world.bytes(request()).await.unwrap();
            assert!(
                read == new,
                "{} bytes, {} of them old",
                read.len(),
                read.iter().filter(|byte| **byte == 1).count()
            );
            settle(store).await;
            assert!(world.bytes(request()).await.unwrap() == new, "and that is what is stored");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_replaced_by_who_asks_for_that_even_where_nothing_tells_them_apart() {
    for Stores { store, .. } in &both_stores() {
        let nameless = Reply::resource("9876543210").without("etag");
        let world = World::new(ScriptedTransport::new().on(URL, [nameless]), Some(store));
        put(store, DIGITS.as_bytes(), 0..10, Some(10), None).await;
        let anew = FetchRequest { cache: CacheUse::WriteOnly, ..request() };
        assert_eq!(world.bytes(anew).await.unwrap(), "9876543210");
        settle(store).await;
        assert_eq!(world.bytes(request()).await.unwrap(), "9876543210");
        assert_eq!(world.ranges(), ["all"]);
    }
}
