//! What a store promises.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Make, Wanted, assert_reads, asset, commit, key, pattern, try_commit};
use crate::event::{LossReason, StoreEvent};
use crate::maintain::GcOptions;
use crate::{AssetStore, AssetsErrorKind, Clock, Meta, UnixMillis};

pub(super) fn the_least_recently_used_goes_first(make: Make<'_>) {
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

pub(super) fn what_is_leased_or_pinned_stays(make: Make<'_>) {
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

pub(super) fn who_watches_is_told(make: Make<'_>) {
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

pub(super) fn who_is_told_of_a_loss_may_lease(make: Make<'_>) {
    let (store, now) = tight(make);
    fill(&store, &now, "removed", 0..1);
    fill(&store, &now, "evicted", 0..1);
    let (tell, told) = std::sync::mpsc::channel();
    let of_callback = store.clone();
    let watch = store.observe_all(move |event| {
        if let StoreEvent::Lost { key, .. } = event {
            drop(of_callback.lease(&key.asset()));
            let _ = tell.send(key.asset());
        }
    });
    // Threads of their own, for those that never end must not keep the test from doing so.
    let (removing, filling, clock) = (store.clone(), store.clone(), Arc::clone(&now));
    std::thread::spawn(move || removing.remove_asset(&asset("removed")).wait());
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(asset("removed")));
    std::thread::spawn(move || fill(&filling, &clock, "more", 0..10));
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(asset("evicted")));
    drop(watch);
}

pub(super) fn lists_show_what_is_there(make: Make<'_>) {
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

pub(super) fn gc_and_removal_respect_holders(make: Make<'_>) {
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

pub(super) fn readers_and_writers_are_in_nobodys_way(make: Make<'_>) {
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
