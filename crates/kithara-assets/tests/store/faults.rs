//! Disks that are full, cannot be written, or go away.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kithara_assets::event::StoreEvent;
use kithara_assets::maintain::GcOptions;
use kithara_assets::{AssetStore, AssetsErrorKind, DiskOptions, Meta, WriteOutcome};

use crate::ground::{Log, asset, check_present, key, open, options, pattern, try_write, whole, write};

fn is_degraded(event: &StoreEvent) -> bool {
    matches!(event, StoreEvent::Degraded { .. })
}

fn tries_again_at_once() -> DiskOptions {
    DiskOptions { retry_after: Duration::ZERO, ..options() }
}

/// A file system of its own, small and in memory. It needs root; without, the test says that it was skipped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={kib}k");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path());
        if !mounted {
            let must = std::env::var("KITHARA_CI").is_ok_and(|value| value == "1");
            assert!(!must, "a file system of {kib} KiB cannot be mounted, and nothing may be skipped here");
            eprintln!("SKIPPED: a file system of {kib} KiB cannot be mounted here (root is needed)");
        }
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) -> bool {
        // A program that another test is starting holds for a moment what is open here, which keeps a disk from being read-only.
        (0..100).any(|_| run("mount", &["-o", &format!("remount,{how}")], self.path()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_degrades_and_recovers() {
    let Some(disk) = SmallDisk::mount(2048) else { return };
    let store = AssetStore::open(disk.path(), tries_again_at_once()).unwrap();
    let log = Log::of(&store);
    write(&store, "a", 0, 500_000);
    std::fs::write(disk.path().join("other"), vec![1; 900_000]).unwrap();
    let held = store.lease(&asset("a"));
    for number in 1..6 {
        let outcome = try_write(&store.streaming(&key("a", number)), number, 0..800_000, Some(800_000));
        assert_eq!(outcome, Err(AssetsErrorKind::Full));
    }
    assert_eq!((log.count(is_degraded), store.degraded()), (1, Some(AssetsErrorKind::Full)));
    assert_eq!(check_present(&store, "a", 0), 500_000, "what is there can be read");
    let late = Log::of(&store);
    assert_eq!(late.count(is_degraded), 1, "who comes late is told, too");
    drop(held);

    std::fs::remove_file(disk.path().join("other")).unwrap();
    write(&store, "a", 7, 800_000);
    assert_eq!((store.degraded(), log.count(|event| *event == StoreEvent::Recovered)), (None, 1));
    assert_eq!(whole(&store, "a", 0..8), [0, 7]);
    assert_eq!(crate::ground::files(&disk.path().join("v1/tmp")).len(), 2, "what tells of this run, and no draft");
}

#[test]
fn space_that_is_to_stay_free_stays_free() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let store = AssetStore::open(disk.path(), DiskOptions { free_space: 2 << 20, ..tries_again_at_once() }).unwrap();
    for number in 0..10 {
        write(&store, "a", number, 500_000);
    }
    let used: u64 = crate::ground::files(disk.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(used <= 2 << 20, "{used}");
    assert_eq!((store.degraded(), whole(&store, "a", 0..10)), (None, vec![6, 7, 8, 9]));
}

#[test]
fn a_read_only_disk_is_read() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    write(&open(disk.path()), "a", 0, 300_000);
    assert!(disk.remount("ro"));
    let store = AssetStore::open(disk.path(), tries_again_at_once()).unwrap();
    let log = Log::of(&store);
    let _lease = store.lease(&asset("a"));
    for _ in 0..3 {
        assert_eq!(try_write(&store.streaming(&key("a", 1)), 1, 0..1000, Some(1000)), Err(AssetsErrorKind::Denied));
        assert!(store.atomic(&key("a", 2)).write(b"x", &Meta::default()).wait().is_err());
    }
    assert!(store.pin(&asset("a")).is_err());
    assert_eq!((log.count(is_degraded), store.degraded()), (1, Some(AssetsErrorKind::Denied)));
    assert_eq!(whole(&store, "a", 0..2), [0]);

    assert!(disk.remount("rw"));
    write(&store, "a", 1, 1000);
    assert_eq!((whole(&store, "a", 0..2), store.degraded()), (vec![0, 1], None));
    drop(store);
    assert_eq!(whole(&open(disk.path()), "a", 0..2), [0, 1]);
}

#[test]
fn a_place_that_cannot_be_written_degrades_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), tries_again_at_once()).unwrap();
    write(&store, "a", 0, 300_000);
    let log = Log::of(&store);
    // Files where folders should be: works against root, too. Large spans begin in one, small ones in the other.
    let temporaries = dir.path().join("v1/tmp");
    std::fs::remove_dir_all(&temporaries).unwrap();
    let folder = dir.path().join("v1/assets").join(asset("b").to_string());
    for place in [&temporaries, &folder] {
        std::fs::write(place, b"in the way").unwrap();
    }
    for number in 1..4 {
        assert!(try_write(&store.streaming(&key("a", number)), number, 0..LARGE, Some(LARGE)).is_err());
        assert!(try_write(&store.streaming(&key("b", number)), number, 0..1000, Some(1000)).is_err());
    }
    assert_eq!((log.count(is_degraded), log.count(|_| true)), (1, 1));
    assert_eq!(whole(&store, "a", 0..4), [0]);
    for place in [&temporaries, &folder] {
        std::fs::remove_file(place).unwrap();
    }
    write(&store, "a", 4, LARGE);
    write(&store, "b", 4, 1000);
    assert_eq!((whole(&store, "a", 0..5), whole(&store, "b", 0..5)), (vec![0, 4], vec![4]));
    assert_eq!(store.degraded(), None);
}

/// More than a span may have that is written at once.
const LARGE: u64 = 300_000;

#[test]
fn a_degraded_store_waits_before_it_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { retry_after: Duration::MAX, ..options() }).unwrap();
    let temporaries = dir.path().join("v1/tmp");
    std::fs::remove_dir_all(&temporaries).unwrap();
    std::fs::write(&temporaries, b"in the way").unwrap();
    assert!(try_write(&store.streaming(&key("a", 1)), 1, 0..LARGE, Some(LARGE)).is_err());
    std::fs::remove_file(&temporaries).unwrap();
    let refused = store.streaming(&key("a", 1)).writer(0, Meta::default()).write(pattern(1, 0..10).into());
    assert!(matches!(refused, WriteOutcome::GaveUp(_)));
    drop(store.lease(&asset("a")));
    write(&store, "a", 1, 1000);
    assert_eq!(store.degraded(), None, "the end of a lease is a reason to try, as is a removal");
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let refused = AssetStore::open(dir.path().join("file/store"), options());
    assert!(matches!(refused.unwrap_err().kind(), AssetsErrorKind::Io | AssetsErrorKind::Denied));
}

#[test]
fn the_little_room_beside_a_lease_is_used_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 1 << 20, ..options() }).unwrap();
    let _lease = store.lease(&asset("a"));
    (0..5).for_each(|number| write(&store, "a", number, 207_000));
    // For one of these there is room, not for two.
    (10..30).for_each(|number| write(&store, "b", number, 10_000));
    assert_eq!((store.degraded(), whole(&store, "a", 0..5).len(), whole(&store, "b", 10..30)), (None, 5, vec![29]));
}

#[test]
fn a_quota_that_is_held_degrades_and_ends_with_the_lease() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 1 << 20, ..options() }).unwrap();
    let log = Log::of(&store);
    let lease = store.lease(&asset("a"));
    let mut stored = 0;
    while try_write(&store.streaming(&key("a", stored)), stored, 0..200_000, Some(200_000)).is_ok() {
        stored += 1;
    }
    assert_eq!((stored, log.count(is_degraded)), (5, 1));
    assert!(store.usage().bytes <= 1 << 20);
    assert_eq!(whole(&store, "a", 0..5).len(), 5, "nothing leased went");
    drop(lease);
    write(&store, "b", 9, 200_000);
    assert_eq!((whole(&store, "a", 0..5), log.count(|event| *event == StoreEvent::Recovered)), (vec![1, 2, 3, 4], 1));
}

#[test]
fn what_may_be_pinned_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, "a", 1, 5000);
    let pins = dir.path().join("v1/pins");
    std::fs::remove_dir(&pins).unwrap();
    // A name below it cannot be asked for, by root neither.
    std::fs::write(&pins, b"").unwrap();
    assert_eq!(store.remove_asset(&asset("a")).wait().unwrap_err().kind(), AssetsErrorKind::Held);
    std::fs::remove_file(&pins).unwrap();
    assert!(store.remove_asset(&asset("a")).wait().is_ok());
}

#[test]
fn a_lock_that_cannot_be_opened_degrades_once_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let quota = 1 << 20;
    let store = AssetStore::open(dir.path(), DiskOptions { quota, ..tries_again_at_once() }).unwrap();
    (0..5).for_each(|number| write(&store, "a", number, 200_000));
    let log = Log::of(&store);
    let lock = dir.path().join("v1/lock");
    // What cannot be opened as a file, by root neither.
    std::fs::create_dir(&lock).unwrap();
    for number in 5..8 {
        let outcome = try_write(&store.streaming(&key("a", number)), number, 0..100_000, Some(100_000));
        assert_eq!(outcome, Err(AssetsErrorKind::Io));
    }
    assert_eq!((log.count(is_degraded), store.degraded()), (1, Some(AssetsErrorKind::Io)));
    let wanted = GcOptions { quota: Some(0), ..GcOptions::default() };
    let report = store.gc(wanted).wait().unwrap();
    assert_eq!((report.obstacle, report.resources), (Some(AssetsErrorKind::Io), 0));
    std::fs::remove_dir(&lock).unwrap();
    write(&store, "a", 8, 100_000);
    assert_eq!((store.degraded(), store.gc(wanted).wait().unwrap().obstacle), (None, None));
}

#[test]
fn a_lease_that_cannot_be_asked_for_is_no_lease_and_the_error_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 1 << 20, ..tries_again_at_once() }).unwrap();
    (0..5).for_each(|number| write(&store, "a", number, 200_000));
    let lease = dir.path().join("v1/leases").join(asset("a").to_string());
    std::fs::create_dir(&lease).unwrap();
    assert_eq!(store.remove_asset(&asset("a")).wait().unwrap_err().kind(), AssetsErrorKind::Io);
    let outcome = try_write(&store.streaming(&key("b", 1)), 1, 0..100_000, Some(100_000));
    assert_eq!((outcome, store.degraded()), (Err(AssetsErrorKind::Io), Some(AssetsErrorKind::Io)));
    assert_eq!(whole(&store, "a", 0..5).len(), 5);
    std::fs::remove_dir(&lease).unwrap();
    assert!(store.remove_asset(&asset("a")).wait().is_ok());
}

#[test]
fn a_lease_that_cannot_be_asked_for_keeps_nobody_from_the_room_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 1 << 20, ..options() }).unwrap();
    (0..5).for_each(|number| write(&store, "a", number, 207_000));
    std::fs::create_dir(dir.path().join("v1/leases").join(asset("a").to_string())).unwrap();
    // For one of these there is room, not for the two that would be evicted at a time.
    (10..30).for_each(|number| write(&store, "b", number, 10_000));
    assert_eq!((store.degraded(), whole(&store, "a", 0..5).len(), whole(&store, "b", 10..30)), (None, 5, vec![29]));
}

#[test]
fn what_cannot_be_read_is_not_shown_as_if_it_were_not_there() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        write(&store, "a", 1, 1000);
        assert_eq!((store.unreadable(), store.verify(|_| ControlFlow::Continue(())).unreadable_folders), (None, 0));
    }
    // Files where folders should be cannot be read, by root neither.
    let assets = dir.path().join("v1/assets");
    std::fs::write(assets.join(asset("b").to_string()), b"in the way").unwrap();
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    {
        let store = open(dir.path());
        assert_eq!((store.unreadable(), whole(&store, "a", 1..2)), (Some(AssetsErrorKind::Io), vec![1]));
        let verified = store.verify(|_| ControlFlow::Continue(()));
        assert_eq!((verified.unreadable_folders, verified.good_bytes), (1, 1000));
    }
    let journals = dir.path().join("v1/journals");
    std::fs::remove_dir_all(&journals).unwrap();
    std::fs::write(&journals, b"in the way").unwrap();
    std::fs::rename(&assets, dir.path().join("away")).unwrap();
    std::fs::write(&assets, b"in the way").unwrap();
    let store = open(dir.path());
    assert_eq!((store.assets().len(), store.unreadable()), (0, Some(AssetsErrorKind::Io)));
    assert_eq!(store.verify(|_| ControlFlow::Continue(())).unreadable_folders, 1);
}
