//! What is there after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kithara_assets::{AssetStore, Clock, DiskOptions, Meta, UnixMillis, Validators, WriteOutcome};

use crate::ground::{
    BLOCK, asset, check_present, files, key, open, options, pattern, span_files, try_write, whole, write,
};

#[test]
fn everything_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta { validators: Validators { etag: Some("\"1\"".into()), last_modified: None }, ..Meta::default() };
    {
        let store = open(dir.path());
        for number in 0..20 {
            write(&store, "a", number, 10_000 + number * 20_000);
        }
        let mut writer = store.streaming(&key("a", 50)).writer(1000, meta.clone());
        let _ = writer.write(pattern(50, 1000..5000).into());
        writer.commit(Some(9000)).wait().unwrap();
        store.atomic(&key("b", 0)).write(b"playlist", &meta).wait().unwrap();
        store.pin(&asset("b")).unwrap();
        store.set_label(&asset("b"), "A label").unwrap();
    }
    let store = open(dir.path());
    assert_eq!(store.usage().resources, 22);
    assert_eq!(whole(&store, "a", 0..20).len(), 20);
    assert_eq!(check_present(&store, "a", 50), 4000);
    let part = store.streaming(&key("a", 50));
    assert_eq!((part.total_len(), part.holes(0..9000)), (Some(9000), vec![0..1000, 5000..9000]));
    assert_eq!(part.meta().unwrap(), Some(meta.clone()));
    assert_eq!(store.atomic(&key("b", 0)).read().unwrap(), Some((b"playlist"[..].into(), meta)));
    assert!(store.is_pinned(&asset("b")));
    let label = store.assets().into_iter().find(|summary| summary.id == asset("b")).unwrap().label;
    assert_eq!(label.as_deref(), Some("A label"));
}

#[test]
fn a_length_that_came_last_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = AssetStore::open(dir.path(), DiskOptions { piece_bytes: 1000, ..options() }).unwrap();
        let mut writer = store.streaming(&key("a", 1)).piecewise_writer(0, Meta::default());
        for chunk in pattern(1, 0..3000).chunks(1000) {
            assert_eq!(writer.write_blocking(chunk.to_vec().into()), WriteOutcome::Accepted);
        }
        writer.commit(Some(3000)).wait().unwrap();
    }
    assert_eq!(whole(&open(dir.path()), "a", 0..2), [1]);
}

#[test]
fn what_was_removed_stays_away() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        for number in 0..4 {
            write(&store, "a", number, 10_000);
        }
        write(&store, "b", 0, 10_000);
        store.streaming(&key("a", 1)).invalidate();
        store.atomic(&key("a", 2)).remove();
        store.remove_asset(&asset("b")).wait().unwrap();
    }
    let store = open(dir.path());
    assert_eq!((store.usage().resources, whole(&store, "a", 0..4)), (2, vec![0, 3]));
    assert_eq!(span_files(dir.path()).len(), 2);
}

#[test]
fn without_journals_the_folders_tell() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        for number in 0..5 {
            write(&store, "a", number, 100_000);
        }
        let part = store.streaming(&key("a", 9));
        crate::ground::try_write(&part, 9, 0..1000, None).unwrap();
        crate::ground::try_write(&part, 9, 5000..9000, None).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let before: u64 = span_files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    let store = open(dir.path());
    assert_eq!((store.usage().resources, store.usage().bytes), (6, before));
    assert_eq!(store.streaming(&key("a", 9)).spans(), [0..1000, 5000..9000]);
    assert_eq!(check_present(&store, "a", 9), 5000);
    assert_eq!(whole(&store, "a", 0..5).len(), 5);
    assert_eq!(store.usage().bytes, before);
    drop(store);
    assert_eq!(open(dir.path()).usage().resources, 6, "and the journal knows again");
}

#[test]
fn what_was_committed_and_not_recorded_is_there() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        write(&store, "a", 0, 10_000);
        for range in [0..1000, 1000..3000, 5000..9000] {
            crate::ground::try_write(&store.streaming(&key("a", 1)), 1, range, None).unwrap();
        }
    }
    // As a process leaves it that dies between files and records: what was begun of one, and no farewell.
    let journal = files(&dir.path().join("v1/journals")).remove(0);
    let file = std::fs::OpenOptions::new().write(true).open(journal).unwrap();
    file.set_len(kithara_assets::format::Record::LEN as u64 + 50).unwrap();
    let store = open(dir.path());
    let part = store.streaming(&key("a", 1));
    assert_eq!(whole(&store, "a", 0..1), [0]);
    assert!(part.contains(0..3000) && part.contains(5000..9000), "who asks for it finds it");
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert_eq!(part.spans(), [0..3000, 5000..9000], "and after the walk everybody knows of it");
    assert_eq!(check_present(&store, "a", 1), 7000);
}

#[test]
fn what_is_found_by_several_at_the_same_time_is_found_by_all() {
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        write(&open(dir.path()), "a", 0, 10_000);
        let journal = files(&dir.path().join("v1/journals")).remove(0);
        let file = std::fs::OpenOptions::new().write(true).open(journal).unwrap();
        file.set_len(kithara_assets::format::Record::LEN as u64).unwrap();
        // A walk looks for it, too.
        let store = open(dir.path());
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let resource = store.streaming(&key("a", 0));
                    start.wait();
                    assert!(resource.contains(0..10_000));
                });
            }
        });
    }
}

#[test]
fn a_store_that_is_made_has_nothing_to_put_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { free_space: 0, ..DiskOptions::default() }).unwrap();
    let journals = || files(&dir.path().join("v1/journals"));
    let begun = journals();
    write(&store, "a", 1, 1000);
    drop(store);
    assert_eq!(journals(), begun, "the journal it began with is the one it ends with");
    assert!(!dir.path().join("v1/lock").exists(), "it had nothing to evict or to compact");
    let store = open(dir.path());
    assert_eq!(whole(&store, "a", 0..2), [1]);
}

#[test]
fn two_stores_that_are_made_at_once_know_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(2);
    let make = &|number| {
        start.wait();
        let store = open(dir.path());
        write(&store, "a", number, 1000);
        store
    };
    let stores = std::thread::scope(|scope| {
        let makers = [0, 1].map(|number| scope.spawn(move || make(number)));
        makers.map(|maker| maker.join().unwrap())
    });
    for store in &stores {
        store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
        assert_eq!((store.usage().resources, whole(store, "a", 0..2)), (2, vec![0, 1]));
    }
    drop(stores);
    assert_eq!(open(dir.path()).usage().resources, 2);
}

#[test]
fn one_process_after_another_uses_one_journal() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..5 {
        let store = open(dir.path());
        write(&store, "a", number, 1000);
        drop(store);
        assert_eq!(files(&dir.path().join("v1/journals")).len(), 1);
    }
    assert_eq!(whole(&open(dir.path()), "a", 0..5).len(), 5);
    let leftover: Vec<_> = files(&dir.path().join("v1/tmp"));
    assert_eq!(leftover, Vec::<std::path::PathBuf>::new(), "nothing temporary is left");
}

#[test]
fn journals_of_several_processes_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..4).map(|_| open(dir.path())).collect();
    for (store, number) in stores.iter().zip(0..) {
        write(store, "a", number, 1000);
    }
    drop(stores);
    assert_eq!(files(&dir.path().join("v1/journals")).len(), 4);
    let store = open(dir.path());
    assert_eq!(store.usage().resources, 4);
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    drop(store);
    assert_eq!(files(&dir.path().join("v1/journals")).len(), 1);
    assert_eq!(open(dir.path()).usage().resources, 4);
}

#[test]
fn history_is_cut_off_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        let playlist = store.atomic(&key("playlist", 0));
        write(&store, "a", 1, 1000);
        for number in 0..20_000_u64 {
            let written = playlist.write(&number.to_le_bytes(), &Meta::default());
            if number % 500 == 0 {
                written.wait().unwrap();
            }
        }
        store.flush().wait().unwrap();
    }
    let journals = files(&dir.path().join("v1/journals"));
    let len = journals[0].metadata().unwrap().len();
    // Whenever the journal was compacted last, it has had no more than 8,192 records to spare since.
    assert!(journals.len() == 1 && len < 104 * 8400, "{len} bytes");
    let store = open(dir.path());
    assert_eq!(&store.atomic(&key("playlist", 0)).read().unwrap().unwrap().0[..], 19_999_u64.to_le_bytes());
    assert_eq!(whole(&store, "a", 0..2), [1]);
}

fn with_clock(dir: &std::path::Path, now: &Arc<AtomicU64>, quota: u64, max_age: Option<Duration>) -> AssetStore {
    let now = Arc::clone(now);
    let clock = Clock::from_fn(move || UnixMillis(now.load(Ordering::Relaxed)));
    AssetStore::open(dir, DiskOptions { clock, quota, max_age, ..options() }).unwrap()
}

#[test]
fn the_order_of_use_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_000_000));
    {
        let store = with_clock(dir.path(), &now, 1_050_000, None);
        for number in 0..10 {
            write(&store, "a", number, 100_000);
        }
        now.fetch_add(3_600_000, Ordering::Relaxed);
        assert_eq!(check_present(&store, "a", 0), 100_000);
    }
    let store = with_clock(dir.path(), &now, 1_050_000, None);
    for number in 10..13 {
        write(&store, "a", number, 100_000);
    }
    let present: Vec<u64> = (0..13).filter(|number| store.streaming(&key("a", *number)).contains(0..100_000)).collect();
    assert_eq!(present, [0, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn a_clock_that_went_back_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(2_000_000_000));
    let store = with_clock(dir.path(), &now, 350_000, Some(Duration::from_secs(60)));
    for number in 0..5 {
        write(&store, "a", number, 100_000);
        now.fetch_sub(100_000_000, Ordering::Relaxed);
    }
    assert_eq!(whole(&store, "a", 0..5), [2, 3, 4], "the order of commits, not of clocks");
    drop(store);
    let store = with_clock(dir.path(), &now, 350_000, Some(Duration::from_secs(60)));
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert_eq!(whole(&store, "a", 0..5), [2, 3, 4], "nothing is old while the clock is behind");
    write(&store, "a", 5, 100_000);
    assert_eq!(whole(&store, "a", 0..6), [3, 4, 5]);
}

#[test]
fn what_was_used_by_a_clock_far_ahead_grows_old_when_that_went_back() {
    const YEARS: u64 = 50 * 365 * 86_400_000;
    for restarts in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(1_000_000_000_000 + YEARS));
        let reopen = |store: AssetStore| {
            if restarts {
                drop(store);
                None
            } else {
                Some(store)
            }
        };
        let open = |store: Option<AssetStore>, max_age| {
            store.unwrap_or_else(|| with_clock(dir.path(), &now, 350_000, max_age))
        };
        let max_age = Some(Duration::from_secs(50));
        let store = open(None, max_age);
        (0..3).for_each(|number| write(&store, "a", number, 100_000));
        now.fetch_add(700_000, Ordering::Relaxed);
        assert_eq!(whole(&store, "a", 0..1), [0], "used last");
        let store = reopen(store);
        now.fetch_sub(YEARS + 700_000, Ordering::Relaxed);
        let store = open(store, max_age);
        (3..5).for_each(|number| write(&store, "a", number, 100_000));
        let contained = |store: &AssetStore, numbers: std::ops::Range<u64>| {
            let contains = |number: &u64| store.streaming(&key("a", *number)).contains(0..100_000);
            numbers.filter(contains).collect::<Vec<u64>>()
        };
        assert_eq!(contained(&store, 0..5), [0, 3, 4], "the order of use, not of clocks");
        let store = reopen(store);
        now.fetch_add(700_000, Ordering::Relaxed);
        let store = open(store, None);
        assert_eq!(whole(&store, "a", 3..4), [3]);
        let store = reopen(store);
        now.fetch_add(10_000, Ordering::Relaxed);
        let store = open(store, max_age);
        store.gc(kithara_assets::maintain::GcOptions { unused_for: max_age, quota: None }).wait().unwrap();
        assert_eq!(contained(&store, 0..5), [3], "{restarts}");
    }
}

#[test]
fn a_file_from_the_future_does_not_take_the_clock_along() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()), "a", 0, 1000);
    let file = std::fs::File::options().write(true).open(&span_files(dir.path())[0]).unwrap();
    let now = std::time::SystemTime::now();
    file.set_modified(now + Duration::from_secs(50 * 365 * 86_400)).unwrap();
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let store = open(dir.path());
    write(&store, "b", 1, 1000);
    let soon = UnixMillis::from(now + Duration::from_secs(3600));
    assert!(store.assets().iter().all(|asset| asset.last_used < soon), "{:?}", store.assets());
    assert_eq!((whole(&store, "a", 0..1), whole(&store, "b", 1..2)), (vec![0], vec![1]));
}

#[test]
fn what_was_not_used_for_long_goes_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_000_000));
    {
        let store = with_clock(dir.path(), &now, 1 << 20, None);
        write(&store, "a", 0, 1000);
        write(&store, "pinned", 1, 1000);
        store.pin(&asset("pinned")).unwrap();
        now.fetch_add(100_000, Ordering::Relaxed);
        write(&store, "a", 2, 1000);
    }
    let store = with_clock(dir.path(), &now, 1 << 20, Some(Duration::from_secs(50)));
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert_eq!((whole(&store, "a", 0..3), whole(&store, "pinned", 0..3)), (vec![2], vec![1]));
}

#[test]
fn a_lower_quota_is_kept_soon() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        for number in 0..100 {
            write(&store, "a", number, 10_000);
        }
    }
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 300_000, ..options() }).unwrap();
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert!(store.usage().bytes <= 300_000);
    assert_eq!(whole(&store, "a", 0..100), (100 - whole(&store, "a", 0..100).len() as u64..100).collect::<Vec<_>>());
    assert!(whole(&store, "a", 0..100).len() > 25);
}

/// With holes between them: what begins where another ends would be found by chance.
fn pieces() -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..50).map(|number| number << 20).map(|start| start..start + BLOCK + 1000)
}

/// Finds a file in many pieces again. Does nothing unless the test below started it.
#[test]
fn a_process_with_few_descriptors() {
    let Ok(dir) = std::env::var("KITHARA_FEW_DIR") else { return };
    let store = open(std::path::Path::new(&dir));
    assert_eq!(store.streaming(&key("a", 1)).spans(), pieces().collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn a_file_in_more_pieces_than_can_be_open_is_found_without_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let resource = store.streaming(&key("a", 1));
    for piece in pieces() {
        try_write(&resource, 1, piece, None).unwrap();
    }
    drop((resource, store));
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    limited.args(["--exact", "restart::a_process_with_few_descriptors"]).env("KITHARA_FEW_DIR", dir.path());
    let output = limited.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn nothing_stays_of_assets_that_store_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let remains = || ["labels", "leases"].map(|folder| files(&dir.path().join("v1").join(folder)));
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    {
        let store = open(dir.path());
        for name in ["old", "young", "leased", "pinned", "stored"] {
            store.set_label(&asset(name), name).unwrap();
            drop(store.lease(&asset(name)));
        }
        store.pin(&asset("pinned")).unwrap();
        write(&store, "stored", 1, 1000);
        let of_old = asset("old").to_string();
        for path in remains().into_iter().flatten().filter(|path| path.ends_with(&of_old)) {
            std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
    }
    let store = open(dir.path());
    let lease = store.lease(&asset("leased"));
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert_eq!(remains().map(|left| left.len()), [3, 3], "what is leased, pinned or stored keeps its own");
    drop(lease);
    store.unpin(&asset("pinned")).unwrap();
    store.remove_asset(&asset("stored")).wait().unwrap();
    // With the last of what was stored goes what is left of all others, at the end of the store at the latest.
    drop(store);
    assert_eq!(remains().map(|left| left.len()), [0, 0]);
}
