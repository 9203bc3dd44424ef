//! What every store promises, as tests: run them on a store of your own, or on ours with options of your own.
//!
//! Each case makes its stores with a closure, so that it begins with an empty one, and panics where a promise is broken.

// Lists of ranges are what is compared here.
#![allow(clippy::single_range_in_vec_init)]

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::format::BLOCK;
use crate::{
    AssetId, AssetStore, AssetsErrorKind, AtomicResource, Clock, GcOptions, LossReason, Meta, Partition, ResourceKey,
    StoreEvent, StreamingResource, UnixMillis, Validators, WriteOutcome,
};

/// What a store under test has to be made with.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The quota or capacity.
    pub bytes: u64,
    /// Bytes of a piece of a progressive resource.
    pub piece_bytes: u64,
    /// The clock.
    pub clock: Clock,
}

/// Makes an empty store.
pub type Make<'a> = &'a dyn Fn(Wanted) -> AssetStore;

/// One promise: its name, and the check that panics where it is broken.
pub type Case = (&'static str, fn(Make<'_>));

/// Runs all cases.
///
/// # Panics
/// A promise is broken.
pub fn check_all(make: Make<'_>) {
    for (_, check) in CASES {
        check(make);
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    ("absent is not empty", absent_is_not_empty),
    ("an atomic resource is replaced as a whole", an_atomic_resource_is_replaced_as_a_whole),
    ("an atomic resource has a largest size", an_atomic_resource_has_a_largest_size),
    ("a span is there when it is committed and not before", a_span_is_there_when_it_is_committed_and_not_before),
    ("spans come in any order and may overlap", spans_come_in_any_order_and_may_overlap),
    ("a dropped writer keeps whole blocks", a_dropped_writer_keeps_whole_blocks),
    ("a discarded writer keeps nothing", a_discarded_writer_keeps_nothing),
    ("a progressive resource becomes present piece by piece", a_progressive_resource_becomes_present_piece_by_piece),
    ("versions and lengths are not mixed", versions_and_lengths_are_not_mixed),
    ("a whole resource takes the place of parts", a_whole_resource_takes_the_place_of_parts),
    ("nothing survives an invalidation", nothing_survives_an_invalidation),
    ("who waits for a range is woken", who_waits_for_a_range_is_woken),
    ("a handle writes where it is told", a_handle_writes_where_it_is_told),
    ("the least recently used goes first", the_least_recently_used_goes_first),
    ("what is leased or pinned stays", what_is_leased_or_pinned_stays),
    ("who watches is told", who_watches_is_told),
    ("lists show what is there", lists_show_what_is_there),
    ("gc and removal respect holders", gc_and_removal_respect_holders),
    ("readers and writers are in nobody's way", readers_and_writers_are_in_nobodys_way),
];

/// A store with room for everything a case does.
fn roomy(make: Make<'_>) -> AssetStore {
    make(Wanted { bytes: 64 << 20, piece_bytes: 1 << 20, clock: Clock::default() })
}

fn asset(name: &str) -> AssetId {
    AssetId::named(&Partition::new("contract"), name)
}

fn key(asset_name: &str, name: &str) -> ResourceKey {
    ResourceKey::named(asset(asset_name), name)
}

/// The bytes at `range` of a resource: no two offsets and no two seeds look alike for long.
fn pattern(seed: u64, range: Range<u64>) -> Vec<u8> {
    range.map(|at| (at.wrapping_mul(0x9e37_79b9).wrapping_add(seed << 3) >> 5) as u8).collect()
}

fn version(etag: &str) -> Meta {
    Meta { validators: Validators { etag: Some(etag.into()), last_modified: None }, ..Meta::default() }
}

/// Commits `range` of the pattern `seed`.
fn commit(resource: &StreamingResource, seed: u64, range: Range<u64>, total: Option<u64>) -> Range<u64> {
    try_commit(resource, &Meta::default(), seed, range, total).expect("the span can be committed")
}

fn try_commit(
    resource: &StreamingResource,
    meta: &Meta,
    seed: u64,
    range: Range<u64>,
    total: Option<u64>,
) -> Result<Range<u64>, AssetsErrorKind> {
    let mut writer = resource.writer(range.start, meta.clone());
    let bytes = pattern(seed, range);
    for chunk in bytes.chunks(50_000) {
        if let WriteOutcome::GaveUp(reason) = writer.write_blocking(Bytes::copy_from_slice(chunk)) {
            return Err(reason);
        }
    }
    writer.commit(total).wait().map_err(|error| error.kind())
}

/// Reads all of `range`, in reads of odd sizes, and checks it against the pattern.
#[track_caller]
fn assert_reads(resource: &StreamingResource, seed: u64, range: Range<u64>) {
    let mut at = range.start;
    while at < range.end {
        let max = usize::try_from((range.end - at).min(99_991)).expect("a small number");
        let bytes = resource.read_span(at, max).expect("readable").expect("present");
        assert!(!bytes.is_empty() && bytes.len() <= max, "{} bytes of {max}", bytes.len());
        assert!(bytes == pattern(seed, at..at + bytes.len() as u64), "wrong bytes at {at}");
        at += bytes.len() as u64;
    }
    let mut all = vec![0; usize::try_from(range.end - range.start).expect("a small number")];
    let read = resource.read_at(range.start, &mut all).expect("readable");
    assert_eq!(read, Some(all.len()));
    assert!(all == pattern(seed, range), "wrong bytes");
}

fn read(resource: &AtomicResource) -> Option<(Vec<u8>, Meta)> {
    resource.read().expect("readable").map(|(bytes, meta)| (bytes.to_vec(), meta))
}

fn absent_is_not_empty(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    assert_eq!(read(&atomic), None);
    atomic.write(b"", &Meta::default()).wait().expect("written");
    assert_eq!(read(&atomic), Some((Vec::new(), Meta::default())));

    let streaming = store.streaming(&key("a", "segment"));
    assert_eq!((streaming.total_len(), streaming.spans(), streaming.meta().expect("readable")), (None, vec![], None));
    assert_eq!(streaming.holes(3..7), [3..7]);
    assert!(!streaming.contains(0..1) && streaming.contains(5..5));
    assert_eq!(streaming.read_span(0, 10).expect("readable"), None);
    let nothing = streaming.writer(0, Meta::default()).commit(Some(10)).wait();
    assert_eq!(nothing.expect_err("nothing was written").kind(), AssetsErrorKind::Abandoned);
    streaming.writer(0, Meta::default()).commit(Some(0)).wait().expect("an empty resource");
    assert_eq!(streaming.total_len(), Some(0));
    assert!(streaming.meta().expect("readable").is_some());
}

fn an_atomic_resource_is_replaced_as_a_whole(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    let meta = Meta { content_type: Some("x/y".into()), stored_at: UnixMillis(5), ..version("\"1\"") };
    let meta = meta.with_base_url(&"https://a.example/p/x.m3u8".parse().expect("a URL"));
    for (bytes, meta) in [(vec![1; 70_000], &meta), (vec![2; 10], &version("\"2\"")), (vec![3; 600_000], &meta)] {
        atomic.write(&bytes, meta).wait().expect("written");
        assert_eq!(read(&atomic), Some((bytes, meta.clone())));
    }
    atomic.remove();
    assert_eq!(read(&atomic), None);
    atomic.write(b"again", &meta).wait().expect("written");
    assert_eq!(read(&atomic), Some((b"again".to_vec(), meta)));
}

fn an_atomic_resource_has_a_largest_size(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    let large = vec![0; usize::try_from(AtomicResource::MAX_LEN).expect("a small number") + 1];
    let refused = atomic.write(&large, &Meta::default()).wait().expect_err("too large");
    assert_eq!(refused.kind(), AssetsErrorKind::TooLarge);
    assert_eq!(read(&atomic), None);
}

fn a_span_is_there_when_it_is_committed_and_not_before(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let len = 3 * BLOCK as u64 + 1;
    let mut writer = resource.writer(0, version("\"1\""));
    for chunk in pattern(1, 0..len).chunks(100_000) {
        assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        assert_eq!(resource.holes(0..len), [0..len]);
    }
    assert_eq!((writer.start(), writer.position()), (0, len));
    assert_eq!(writer.commit(Some(len)).wait().expect("committed"), 0..len);
    assert_eq!((resource.total_len(), resource.spans()), (Some(len), vec![0..len]));
    assert_eq!(resource.meta().expect("readable"), Some(version("\"1\"")));
    assert_reads(&resource, 1, 0..len);
    assert_reads(&resource.clone(), 1, len - 1..len);
    assert_eq!(resource.read_span(len, 1).expect("readable"), None);
    assert_eq!(resource.read_at(len, &mut [0; 4]).expect("readable"), None);
    assert_eq!(resource.read_at(len - 2, &mut [0; 4]).expect("readable"), Some(2));
}

fn spans_come_in_any_order_and_may_overlap(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "file"));
    let far = 1 << 40;
    for range in [200_000..300_000, far..far + 10, 0..100_000, 50_000..250_000] {
        commit(&resource, 2, range.clone(), None);
        assert_reads(&resource, 2, range);
    }
    assert_eq!(resource.spans(), [0..300_000, far..far + 10]);
    assert_eq!(resource.holes(10..far + 20), [300_000..far, far + 10..far + 20]);
    assert_eq!(resource.holes(0..300_000), []);
    assert_reads(&resource, 2, 0..300_000);
    assert_eq!(commit(&resource, 2, 1_000..2_000, None), 1_000..2_000, "what is there already may come again");
    assert_reads(&resource, 2, 0..300_000);
}

fn a_dropped_writer_keeps_whole_blocks(make: Make<'_>) {
    let store = roomy(make);
    let block = BLOCK as u64;
    for (len, kept) in [(block - 1, 0), (block, block), (3 * block - 1, 2 * block)] {
        let resource = store.streaming(&key("a", &format!("dropped at {len}")));
        let mut writer = resource.writer(100, Meta::default());
        for chunk in pattern(3, 100..100 + len).chunks(70_001) {
            assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        }
        drop(writer);
        store.flush().wait().expect("flushed");
        let want = if kept > 0 { vec![100..100 + kept] } else { vec![] };
        assert_eq!(resource.spans(), want);
        assert_reads(&resource, 3, 100..100 + kept);
    }
}

fn a_discarded_writer_keeps_nothing(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    for _ in 0..2 {
        let mut writer = resource.writer(0, Meta::default());
        for chunk in vec![b'<'; 4 * BLOCK].chunks(90_000) {
            assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        }
        writer.discard();
        store.flush().wait().expect("flushed");
        assert_eq!(resource.spans(), []);
    }
    let len = BLOCK as u64;
    commit(&resource, 4, 0..len, Some(len));
    assert_reads(&resource, 4, 0..len);
}

fn a_progressive_resource_becomes_present_piece_by_piece(make: Make<'_>) {
    let store = make(Wanted { bytes: 64 << 20, piece_bytes: 100_000, clock: Clock::default() });
    let resource = store.streaming(&key("a", "file"));
    let mut writer = resource.piecewise_writer(7, version("\"1\""));
    for chunk in pattern(5, 7..250_007).chunks(50_000) {
        assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
    }
    resource.wait_range(7..200_007, Duration::from_secs(20)).expect("two pieces come by themselves");
    drop(writer);
    store.flush().wait().expect("flushed");
    assert_eq!(resource.spans(), [7..250_007]);
    assert_reads(&resource, 5, 7..250_007);

    let mut writer = resource.piecewise_writer(250_007, version("\"1\""));
    assert_eq!(writer.write(pattern(5, 250_007..350_007).into()), WriteOutcome::Accepted);
    assert_eq!(writer.commit(Some(350_007)).wait().expect("only the length is new"), 250_007..350_007);
    assert_eq!((resource.total_len(), resource.spans()), (Some(350_007), vec![7..350_007]));
}

fn versions_and_lengths_are_not_mixed(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "file"));
    let part = |etag, range, total| try_commit(&resource, &version(etag), 6, range, total);
    assert_eq!(part("\"1\"", 0..10, Some(100)), Ok(0..10));
    assert_eq!(part("\"2\"", 10..20, Some(100)), Err(AssetsErrorKind::Conflict));
    assert_eq!(part("\"1\"", 10..20, Some(99)), Err(AssetsErrorKind::Conflict));
    assert_eq!(part("\"1\"", 90..101, None), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&resource, &Meta::default(), 6, 20..30, None), Ok(20..30), "no validators, no objection");
    assert_eq!(resource.spans(), [0..10, 20..30]);

    let other = store.streaming(&key("a", "other"));
    assert_eq!(other.set_total_len(50).map_err(|error| error.kind()), Ok(()));
    assert_eq!(other.total_len(), Some(50));
    assert_eq!(other.set_total_len(51).map_err(|error| error.kind()), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&other, &Meta::default(), 6, 45..51, None), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&other, &Meta::default(), 6, 45..50, None), Ok(45..50));
    assert_eq!(other.total_len(), Some(50));
}

fn a_whole_resource_takes_the_place_of_parts(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    try_commit(&resource, &version("\"1\""), 7, 0..40_000, None).expect("committed");
    try_commit(&resource, &version("\"1\""), 7, 60_000..90_000, None).expect("committed");
    assert_reads(&resource, 7, 0..40_000);
    try_commit(&resource, &version("\"2\""), 8, 0..70_000, Some(70_000)).expect("committed");
    assert_eq!((resource.spans(), resource.total_len()), (vec![0..70_000], Some(70_000)));
    assert_reads(&resource, 8, 0..70_000);
    assert_eq!(resource.meta().expect("readable"), Some(version("\"2\"")));
}

fn nothing_survives_an_invalidation(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    commit(&resource, 9, 0..40_000, Some(80_000));
    assert_reads(&resource, 9, 0..40_000);
    let reader = resource.clone();
    assert_reads(&reader, 9, 0..10);
    let mut late = resource.writer(40_000, Meta::default());
    assert_eq!(late.write(pattern(9, 40_000..80_000).into()), WriteOutcome::Accepted);
    resource.invalidate();
    assert_eq!((resource.spans(), resource.total_len()), (vec![], None));
    assert_eq!(reader.read_span(0, 10).expect("readable"), None);
    resource.set_total_len(30_000).expect("a new length");
    assert_eq!(late.write(Bytes::from_static(b"more")), WriteOutcome::GaveUp(AssetsErrorKind::Abandoned));
    assert!(late.commit(None).wait().is_err());
    commit(&resource, 10, 0..30_000, Some(30_000));
    assert_eq!(resource.spans(), [0..30_000]);
    assert_reads(&resource, 10, 0..30_000);
    assert_reads(&reader, 10, 0..30_000);
}

fn who_waits_for_a_range_is_woken(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let waits = |range, limit| resource.wait_range(range, limit).map_err(|error| error.kind());
    assert_eq!(waits(0..1, Duration::ZERO), Err(AssetsErrorKind::TimedOut));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waits(0..20, Duration::from_secs(20)));
        commit(&resource, 11, 0..10, None);
        commit(&resource, 11, 10..20, Some(20));
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    assert_eq!(waits(5..15, Duration::ZERO), Ok(()));
    assert_eq!(waits(5..21, Duration::MAX), Err(AssetsErrorKind::InvalidRange));
}

fn a_handle_writes_where_it_is_told(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let meta = Meta::default();
    for range in [0..10, 10..20_u64] {
        let bytes = Bytes::from(pattern(12, range.clone()));
        assert_eq!(resource.write_at(range.start, bytes, &meta), WriteOutcome::Accepted);
    }
    assert_eq!(resource.spans(), []);
    assert_eq!(resource.commit(None).wait().expect("committed"), 0..20);
    assert_eq!(resource.write_at(30, pattern(12, 30..40).into(), &meta), WriteOutcome::Accepted);
    assert_eq!(resource.commit(Some(40)).wait().expect("committed"), 30..40);
    assert_eq!(resource.spans(), [0..20, 30..40]);
    assert!(resource.commit(None).wait().is_err());
}

/// A store with room for ten resources of 100 kB, not for eleven, and the clock it goes by.
fn tight(make: Make<'_>) -> (AssetStore, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_000_000));
    let shown = Arc::clone(&now);
    let clock = Clock::from_fn(move || UnixMillis(shown.load(Ordering::Relaxed)));
    (make(Wanted { bytes: 1_050_000, piece_bytes: 1 << 20, clock }), now)
}

fn fill(store: &AssetStore, now: &AtomicU64, asset: &str, numbers: Range<u64>) {
    for number in numbers {
        now.fetch_add(1000, Ordering::Relaxed);
        let resource = store.streaming(&key(asset, &number.to_string()));
        commit(&resource, seed(asset, number), 0..100_000, Some(100_000));
    }
}

/// No two resources have the same content.
fn seed(asset: &str, number: u64) -> u64 {
    number + asset.bytes().fold(1, |seed, byte| seed * 31 + u64::from(byte)) * 1000
}

/// The numbers of the resources that are there, whole and right.
fn present(store: &AssetStore, asset: &str, numbers: Range<u64>) -> Vec<u64> {
    let there = |number: &u64| {
        let resource = store.streaming(&key(asset, &number.to_string()));
        let there = resource.contains(0..100_000);
        assert_eq!(there, !resource.spans().is_empty());
        there
    };
    numbers.filter(there).collect()
}

fn the_least_recently_used_goes_first(make: Make<'_>) {
    let (store, now) = tight(make);
    fill(&store, &now, "a", 0..10);
    assert_eq!(present(&store, "a", 0..20), (0..10).collect::<Vec<_>>());
    now.fetch_add(1000, Ordering::Relaxed);
    for used in [0, 4] {
        assert_reads(&store.streaming(&key("a", &used.to_string())), seed("a", used), 0..10);
    }
    fill(&store, &now, "a", 10..14);
    assert_eq!(present(&store, "a", 0..20), [0, 4, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert!(store.usage().bytes <= store.usage().limit, "{:?}", store.usage());
}

fn what_is_leased_or_pinned_stays(make: Make<'_>) {
    let (store, now) = tight(make);
    fill(&store, &now, "leased", 0..2);
    fill(&store, &now, "pinned", 0..2);
    fill(&store, &now, "other", 0..2);
    let lease = store.lease(&asset("leased"));
    let second = store.lease(&asset("leased"));
    assert_eq!(lease.asset(), asset("leased"));
    store.pin(&asset("pinned")).expect("pinned");
    assert!(store.is_pinned(&asset("pinned")) && !store.is_pinned(&asset("leased")));
    fill(&store, &now, "more", 0..20);
    assert_eq!(present(&store, "leased", 0..2).len(), 2);
    assert_eq!(present(&store, "pinned", 0..2).len(), 2);
    assert_eq!(present(&store, "other", 0..2).len(), 0);
    assert_eq!(present(&store, "more", 0..20), (14..20).collect::<Vec<_>>());
    drop(lease);
    fill(&store, &now, "more", 20..30);
    assert_eq!(present(&store, "leased", 0..2).len(), 2, "the second lease holds");
    drop(second);
    store.unpin(&asset("pinned")).expect("unpinned");
    fill(&store, &now, "more", 30..40);
    assert_eq!((present(&store, "leased", 0..2).len(), present(&store, "pinned", 0..2).len()), (0, 0));
}

fn who_watches_is_told(make: Make<'_>) {
    let (store, now) = tight(make);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let watch = store.observe(&asset("a"), move |event| log.lock().expect("no panic").push(event.clone()));
    let others = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&others);
    let _all = store.observe_all(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (first, second) = (key("a", "0"), key("a", "1"));
    fill(&store, &now, "a", 0..2);
    store.streaming(&second).invalidate();
    fill(&store, &now, "b", 0..10);
    store.flush().wait().expect("flushed");
    let range = 0..100_000;
    let lost = |key, reason| StoreEvent::Lost { key, range: range.clone(), reason };
    let want = [
        StoreEvent::Committed { key: first, range: range.clone() },
        StoreEvent::Committed { key: second, range: range.clone() },
        lost(second, LossReason::Removed),
        lost(first, LossReason::Evicted),
    ];
    assert_eq!(*seen.lock().expect("no panic"), want);
    assert_eq!(others.load(Ordering::Relaxed), 4 + 10);
    drop(watch);
    commit(&store.streaming(&second), 1, 0..10, None);
    assert_eq!(seen.lock().expect("no panic").len(), want.len());
}

fn lists_show_what_is_there(make: Make<'_>) {
    let (store, now) = tight(make);
    fill(&store, &now, "b", 0..1);
    fill(&store, &now, "a", 0..3);
    commit(&store.streaming(&key("a", "part")), 1, 10..20, Some(40));
    store.set_label(&asset("a"), "An album").expect("labelled");
    store.pin(&asset("a")).expect("pinned");
    let _lease = store.lease(&asset("b"));
    let assets = store.assets();
    let facts = |at: usize| (assets[at].id, assets[at].resources, assets[at].pinned, assets[at].leased);
    assert_eq!((facts(0), facts(1)), ((asset("b"), 1, false, true), (asset("a"), 4, true, false)));
    assert_eq!((assets[0].label.as_deref(), assets[1].label.as_deref()), (None, Some("An album")));
    assert!(assets[1].bytes >= 300_010 && assets[1].bytes < 310_000, "{}", assets[1].bytes);
    let usage = store.usage();
    assert_eq!((usage.resources, usage.bytes), (5, assets.iter().map(|asset| asset.bytes).sum()));
    let resources = store.resources(&asset("a"));
    assert_eq!(resources.len(), 4);
    let part = &resources[3];
    assert_eq!((part.key, part.total_len, part.spans.clone()), (key("a", "part"), Some(40), vec![10..20]));
    let mut calls = 0;
    let verified = store.verify(|_| {
        calls += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((verified.resources, verified.checked, calls), (5, 5, 5));
    assert_eq!((verified.good_bytes, verified.bad_bytes), (400_010, 0));
    assert_eq!(store.verify(|_| ControlFlow::Break(())).checked, 1);
}

fn gc_and_removal_respect_holders(make: Make<'_>) {
    let (store, now) = tight(make);
    for asset in ["leased", "pinned", "old", "new"] {
        fill(&store, &now, asset, 0..2);
        now.fetch_add(100_000, Ordering::Relaxed);
    }
    let lease = store.lease(&asset("leased"));
    store.pin(&asset("pinned")).expect("pinned");
    let held = |name| store.remove_asset(&asset(name)).wait().map_err(|error| error.kind());
    assert_eq!((held("leased"), held("pinned")), (Err(AssetsErrorKind::Held), Err(AssetsErrorKind::Held)));

    let options = GcOptions { unused_for: Some(Duration::from_secs(150)), ..GcOptions::default() };
    let report = store.gc(options).wait().expect("done");
    assert_eq!(report.resources, 2);
    assert_eq!(present(&store, "old", 0..2).len(), 0);
    assert_eq!(report.bytes_left, store.usage().bytes);
    let report = store.gc(GcOptions { quota: Some(0), ..GcOptions::default() }).wait().expect("done");
    assert_eq!((report.resources, present(&store, "new", 0..2).len()), (2, 0));
    assert_eq!((present(&store, "leased", 0..2).len(), present(&store, "pinned", 0..2).len()), (2, 2));

    drop(lease);
    assert!(held("leased").is_ok_and(|bytes| bytes >= 200_000));
    store.unpin(&asset("pinned")).expect("unpinned");
    assert!(held("pinned").is_ok());
    assert_eq!((store.usage().bytes, store.assets()), (0, vec![]));
    fill(&store, &now, "leased", 0..1);
    assert_eq!(present(&store, "leased", 0..1), [0]);
}

fn readers_and_writers_are_in_nobodys_way(make: Make<'_>) {
    let (store, _) = tight(make);
    let names = 0..6_u64;
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (store, names) = (&store, names.clone());
            scope.spawn(move || {
                for round in 0..6_u64 {
                    for name in names.clone() {
                        let resource = store.streaming(&key("a", &name.to_string()));
                        if (round + name + writer) % 4 == 0 {
                            resource.invalidate();
                        }
                        // The other thread may invalidate it meanwhile.
                        let _ = try_commit(&resource, &Meta::default(), name, 0..300_000, Some(300_000));
                    }
                }
            });
        }
        for _ in 0..2 {
            let (store, names) = (&store, names.clone());
            scope.spawn(move || {
                for round in 0..40_u64 {
                    for name in names.clone() {
                        let at = (round * 31_337 + name * 7_919) % 300_000;
                        let bytes = store.streaming(&key("a", &name.to_string())).read_span(at, 10_000);
                        if let Some(bytes) = bytes.expect("readable") {
                            assert!(bytes == pattern(name, at..at + bytes.len() as u64), "wrong bytes");
                        }
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiskOptions, MemoryOptions};

    fn on_disk(edit: fn(&mut DiskOptions)) {
        for (name, check) in CASES {
            println!("{name}");
            let dirs = Mutex::new(Vec::new());
            check(&|wanted| {
                let dir = tempfile::tempdir().unwrap();
                let Wanted { bytes, piece_bytes, clock } = wanted;
                let mut options =
                    DiskOptions { quota: bytes, piece_bytes, clock, free_space: 0, ..DiskOptions::default() };
                edit(&mut options);
                let store = AssetStore::open(dir.path(), options).unwrap();
                dirs.lock().unwrap().push(dir);
                store
            });
        }
    }

    #[test]
    fn the_store_in_memory_keeps_its_promises() {
        check_all(&|wanted| {
            let Wanted { bytes, piece_bytes, clock } = wanted;
            AssetStore::memory(MemoryOptions { capacity: bytes, piece_bytes, clock })
        });
    }

    #[test]
    fn the_store_on_disk_keeps_its_promises() {
        on_disk(|_| {});
    }

    #[test]
    fn the_store_on_disk_keeps_them_through_a_narrow_queue() {
        on_disk(|options| {
            options.queue_bytes = 60_000;
            options.share_equal_content = false;
        });
    }
}
