//! Several stores on one directory.
//!
//! Most tests open a directory twice in one process, which is the same to the store: every lock is on a file opened
//! anew. The last one starts real processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kithara_assets::event::{LossReason, StoreEvent};
use kithara_assets::{AssetStore, AssetsErrorKind, DiskOptions, Meta, UnixMillis, Validators, WriteOutcome};

use crate::ground::{
    Dice, Log, asset, block_on, check_present, key, open, options, pattern, span_files, try_write, whole, write,
};

fn tight(dir: &Path, quota: u64) -> AssetStore {
    AssetStore::open(dir, DiskOptions { quota, ..options() }).unwrap()
}

#[test]
fn what_one_commits_the_other_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()), open(dir.path()));
    write(&first, "a", 1, 500_000);
    assert_eq!(whole(&second, "a", 1..2), [1]);
    let part = first.streaming(&key("a", 2));
    for range in [0..1000, 1000..3000, 3000..4000] {
        try_write(&part, 2, range, None).unwrap();
    }
    assert_eq!(second.streaming(&key("a", 2)).spans().len(), 1);
    assert_eq!(check_present(&second, "a", 2), 4000);
    first.atomic(&key("a", 3)).write(b"one", &Meta::default()).wait().unwrap();
    assert_eq!(second.atomic(&key("a", 3)).read().unwrap().unwrap().0, "one");
    first.atomic(&key("a", 3)).write(b"another", &Meta::default()).wait().unwrap();
    assert_eq!(second.atomic(&key("a", 3)).read().unwrap().unwrap().0, "another");
}

#[test]
fn a_store_looks_for_what_others_put_there_from_the_moment_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    write(&first, "a", 1, 5000);
    assert_eq!(whole(&first, "a", 1..4), [1], "alone, with nothing else there");
    let second = open(dir.path());
    write(&second, "a", 2, 5000);
    assert_eq!(whole(&first, "a", 1..4), [1, 2]);
    drop(second);
    let third = open(dir.path());
    write(&third, "a", 3, 5000);
    assert_eq!(whole(&first, "a", 1..4), [1, 2, 3], "and goes on to");
    drop((first, third));
    let alone = open(dir.path());
    assert_eq!(whole(&alone, "a", 1..4), [1, 2, 3], "what was there before is known");
}

#[test]
fn a_file_that_could_not_be_looked_at_is_looked_for_later() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&open(dir.path()), "a", 1, 5000);
    write(&open(other.path()), "a", 2, 5000);
    let source = span_files(other.path()).remove(0);
    let path = dir.path().join(source.strip_prefix(other.path()).unwrap());
    // What cannot be read, and works against root, too.
    std::fs::create_dir(&path).unwrap();
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let store = open(dir.path());
    assert_eq!(whole(&store, "a", 1..4), [1]);
    std::fs::remove_dir(&path).unwrap();
    std::fs::copy(&source, &path).unwrap();
    assert_eq!(whole(&store, "a", 1..4), [1, 2]);
}

#[test]
fn a_new_version_reaches_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()), open(dir.path()));
    let write = |store: &AssetStore, etag: &str, content: u64, range: std::ops::Range<u64>| {
        let validators = Validators { etag: Some(etag.into()), last_modified: None };
        let mut writer = store.streaming(&key("a", 1)).writer(range.start, Meta { validators, ..Meta::default() });
        let _ = writer.write(pattern(content, range).into());
        writer.commit(Some(9000)).wait().map(|_| ()).map_err(|error| error.kind())
    };
    write(&first, "\"1\"", 1, 0..3000).unwrap();
    write(&first, "\"1\"", 1, 3000..6000).unwrap();
    assert_eq!(check_present(&second, "a", 1), 6000);
    first.streaming(&key("a", 1)).invalidate();
    write(&first, "\"2\"", 2, 0..4000).unwrap();

    let resource = second.streaming(&key("a", 1));
    let read = resource.read_span(0, 10).unwrap().unwrap();
    assert!(read == pattern(2, 0..10), "the index of the second was put right by the file");
    assert_eq!(write(&second, "\"1\"", 1, 6000..9000), Err(AssetsErrorKind::Conflict));
    assert_eq!(resource.read_span(5000, 10).unwrap(), None, "the old version is gone");
}

#[test]
fn a_reader_of_one_version_is_not_handed_what_another_process_put_in_its_place() {
    // Neither validators nor lengths tell the versions apart. Of what the second store knows of the first version, the
    // second part is there or not.
    for parts in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (open(dir.path()), open(dir.path()));
        let write = |content: u64, parts: usize| {
            for range in [0..3000, 3000..6000].into_iter().take(parts) {
                let mut writer = first.streaming(&key("a", 1)).writer(range.start, Meta::default());
                let _ = writer.write(pattern(content, range).into());
                writer.commit(Some(6000)).wait().unwrap();
            }
        };
        write(1, parts);
        let reader = second.streaming(&key("a", 1));
        let present = reader.present(0..6000);
        assert_eq!(present.holes.len(), 2 - parts);
        let version = present.version.unwrap();
        assert!(reader.read_span_of(&version, 0, 3000).unwrap().unwrap() == pattern(1, 0..3000));
        first.streaming(&key("a", 1)).invalidate();
        write(2, 2);

        let joined = reader.read_span_of(&version, 3000, 3000);
        assert_eq!(joined.map_err(|error| error.kind()), Err(AssetsErrorKind::Changed), "{parts} parts");
        let resource = second.streaming(&key("a", 1));
        let mut whole = vec![0; 6000];
        let mut read = 0;
        while read < whole.len() {
            read += resource.read_at(read as u64, &mut whole[read..]).unwrap().unwrap();
        }
        assert!(whole == pattern(2, 0..6000));
        let version = resource.version().unwrap();
        for range in [3000..6000, 0..3000] {
            let bytes = resource.read_span_of(&version, range.start, 3000).unwrap().unwrap();
            assert!(bytes == pattern(2, range), "all of it is known to be of the second");
        }
    }
}

#[test]
fn what_two_fetched_at_once_is_one_version_if_validators_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()), open(dir.path()));
    let [mut one, mut other] = [&first, &second].map(|store| {
        let validators = Validators { etag: Some("\"1\"".into()), last_modified: None };
        store.streaming(&key("a", 1)).writer(0, Meta { validators, ..Meta::default() })
    });
    let _ = (one.write(pattern(1, 0..3000).into()), other.write(pattern(1, 0..3000).into()));
    one.commit(Some(6000)).wait().unwrap();
    let reader = first.streaming(&key("a", 1));
    let version = reader.version().unwrap();
    other.commit(Some(6000)).wait().unwrap();
    assert!(reader.read_span_of(&version, 0, 3000).unwrap().unwrap() == pattern(1, 0..3000));
    assert!(first.streaming(&key("a", 1)).read_span_of(&version, 0, 10).unwrap().is_some(), "from the second's file");
}

#[test]
fn a_lease_of_one_stops_the_other_from_evicting() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (tight(dir.path(), 1_050_000), tight(dir.path(), 1_050_000));
    write(&first, "leased", 0, 100_000);
    write(&first, "free", 1, 100_000);
    write(&first, "pinned", 2, 100_000);
    let lease = first.lease(&asset("leased"));
    first.pin(&asset("pinned")).unwrap();
    assert_eq!(second.remove_asset(&asset("leased")).wait().unwrap_err().kind(), AssetsErrorKind::Held);
    for number in 10..25 {
        write(&second, "more", number, 100_000);
    }
    assert_eq!((whole(&first, "leased", 0..3), whole(&first, "free", 0..3)), (vec![0], vec![]));
    assert_eq!(whole(&second, "pinned", 0..3), [2]);
    drop(lease);
    for number in 25..40 {
        write(&second, "more", number, 100_000);
    }
    assert_eq!(whole(&first, "leased", 0..3), [0_u64; 0]);
    assert!(crate::ground::span_files(dir.path()).len() <= 10);
}

#[test]
fn a_pin_of_one_holds_for_the_other_until_it_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (tight(dir.path(), 1_050_000), tight(dir.path(), 1_050_000));
    write(&second, "pinned", 0, 100_000);
    first.pin(&asset("pinned")).unwrap();
    assert!(second.is_pinned(&asset("pinned")));
    (10..25).for_each(|number| write(&second, "more", number, 100_000));
    assert_eq!(whole(&second, "pinned", 0..1), [0]);
    first.unpin(&asset("pinned")).unwrap();
    (25..40).for_each(|number| write(&second, "more", number, 100_000));
    assert_eq!(whole(&second, "pinned", 0..1), [0_u64; 0]);
}

/// As another process has it that evicts, and does not end.
fn evicting(dir: &Path) -> std::fs::File {
    let lock = std::fs::File::options().create(true).truncate(false).write(true).open(dir.join("v1/lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_writer_gives_up_where_another_process_evicts_and_does_not_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = tight(dir.path(), 1 << 20);
    (0..5).for_each(|number| write(&store, "a", number, 200_000));
    let _lock = evicting(dir.path());
    let (tell, told) = std::sync::mpsc::channel();
    let resource = store.streaming(&key("b", 1));
    // A thread of its own, for one that never ends must not keep the test from doing so.
    std::thread::spawn(move || {
        block_on(async {
            let mut writer = resource.writer(0, Meta::default());
            for chunk in pattern(1, 0..500_000).chunks(50_000).cycle() {
                if let WriteOutcome::GaveUp(reason) = writer.write_paced(Bytes::copy_from_slice(chunk)).await {
                    return tell.send(reason).unwrap();
                }
            }
        });
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(AssetsErrorKind::Busy));
}

#[test]
fn who_asks_for_chores_is_told_that_another_process_is_at_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, "a", 1, 1000);
    let wanted = kithara_assets::maintain::GcOptions { quota: Some(0), unused_for: None };
    let lock = evicting(dir.path());
    let report = store.gc(wanted).wait().unwrap();
    assert_eq!((report.obstacle, report.resources), (Some(AssetsErrorKind::Busy), 0));
    drop(lock);
    let report = store.gc(wanted).wait().unwrap();
    assert_eq!((report.obstacle, report.resources), (None, 1));
}

/// A store whose clock shows what it is told.
fn at_its_own_time(dir: &Path, quota: u64) -> (AssetStore, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_000_000));
    let shown = Arc::clone(&now);
    let clock = kithara_assets::Clock::from_fn(move || UnixMillis(shown.load(Ordering::Relaxed)));
    (AssetStore::open(dir, DiskOptions { quota, clock, ..options() }).unwrap(), now)
}

#[test]
fn what_another_process_evicted_by_a_clock_ahead_stays_where_it_was_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (first, ahead) = at_its_own_time(dir.path(), 64 << 20);
    let (second, _) = at_its_own_time(dir.path(), 1_050_000);
    ahead.fetch_add(60_000, Ordering::Relaxed);
    write(&first, "a", 1, 1000);
    let nothing = kithara_assets::maintain::GcOptions { quota: Some(0), unused_for: None };
    first.gc(nothing).wait().unwrap();
    let _lease = second.lease(&asset("a"));
    write(&second, "a", 1, 1000);
    let log = Log::of(&second);
    // It evicts, and learns what the first did.
    (10..25).for_each(|number| write(&second, "more", number, 100_000));
    assert_eq!(log.count(|event| matches!(event, StoreEvent::Lost { key, .. } if key.asset() == asset("a"))), 0);
    assert_eq!(whole(&second, "a", 1..2), [1]);
    drop((first, second));
    assert_eq!(whole(&open(dir.path()), "a", 1..2), [1], "nor does who reads both journals");
}

#[test]
fn a_newer_version_of_a_clock_behind_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (first, ahead) = at_its_own_time(dir.path(), 64 << 20);
    let (second, _) = at_its_own_time(dir.path(), 64 << 20);
    ahead.fetch_add(60_000, Ordering::Relaxed);
    let write = |store: &AssetStore, etag: &str, content: u64, range: std::ops::Range<u64>| {
        let validators = Validators { etag: Some(etag.into()), last_modified: None };
        let mut writer = store.streaming(&key("a", 1)).writer(range.start, Meta { validators, ..Meta::default() });
        let _ = writer.write(pattern(content, range).into());
        writer.commit(Some(6000)).wait().unwrap();
    };
    [0..3000, 3000..6000].into_iter().for_each(|range| write(&first, "\"1\"", 1, range));
    // It has not heard of what the first did, and its clock is behind.
    second.streaming(&key("a", 1)).invalidate();
    let _lease = second.lease(&asset("a"));
    write(&second, "\"2\"", 2, 0..3000);
    let read = first.streaming(&key("a", 1)).read_span(0, 10).unwrap().unwrap();
    assert!(read == pattern(2, 0..10), "the first takes what is there");
    assert_eq!(second.streaming(&key("a", 1)).confirmed_holes(0..3000).unwrap(), []);
}

#[test]
fn eviction_does_not_run_ahead_of_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (store, now) = at_its_own_time(dir.path(), 64 << 20);
    for number in 0..200 {
        now.fetch_add(1, Ordering::Relaxed);
        write(&store, "a", number, 1000);
    }
    let before = store.now();
    store.gc(kithara_assets::maintain::GcOptions { quota: Some(0), unused_for: None }).wait().unwrap();
    assert!(store.now().since(before) < Duration::from_millis(10));
}

#[test]
fn what_a_dead_process_wrote_is_not_told_twice() {
    let dir = tempfile::tempdir().unwrap();
    {
        let stores = [tight(dir.path(), 1 << 20), tight(dir.path(), 1 << 20)];
        (0..4).for_each(|number| write(&stores[0], "a", number, 50_000));
        (4..6).for_each(|number| write(&stores[1], "a", number, 50_000));
    }
    let store = tight(dir.path(), 1 << 20);
    let log = Log::of(&store);
    // Forces it to evict, and to look for news before and after.
    (10..60).for_each(|number| write(&store, "b", number, 50_000));
    let came = log.count(|event| matches!(event, StoreEvent::Committed { .. }));
    assert_eq!((came, whole(&store, "a", 0..6)), (50, vec![]));
    assert!(store.usage().bytes <= 1 << 20);
}

#[test]
fn a_quota_counts_what_all_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [tight(dir.path(), 1_050_000), tight(dir.path(), 1_050_000), tight(dir.path(), 1_050_000)];
    let log = Log::of(&stores[0]);
    for number in 0..30 {
        let store = &stores[usize::try_from(number % 3).unwrap()];
        write(store, "a", number, 100_000);
    }
    // Each learns of the others' files when its own view says that the quota is reached.
    stores[0].gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    let on_disk: u64 = crate::ground::span_files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk <= 1_050_000, "{on_disk}");
    let (of_others, evicted) = (
        log.count(|event| matches!(event, StoreEvent::Committed { .. })),
        log.count(|event| matches!(event, StoreEvent::Lost { reason: LossReason::Evicted, .. })),
    );
    assert!(of_others > 10 && evicted > 10, "{of_others} {evicted}");
}

#[test]
fn a_quota_is_kept_by_all_who_write_together() {
    let dir = tempfile::tempdir().unwrap();
    let quota = 4 << 20;
    let stores = [tight(dir.path(), quota), tight(dir.path(), quota)];
    // Neither writes more than the quota.
    for number in 0..76 {
        write(&stores[usize::try_from(number % 2).unwrap()], "a", number, 100_000);
    }
    let on_disk: u64 = span_files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk <= quota + quota / 8, "{on_disk}");
}

const DIR: &str = "KITHARA_SHARE_DIR";
const SEED: &str = "KITHARA_SHARE_SEED";
/// How long they play, in seconds; without it, a number of rounds.
const SECONDS: &str = "KITHARA_SHARE_SECONDS";
const ROUNDS: u64 = 150;
const LEN: u64 = 60_000;

fn player(dir: &Path, seed: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::a_process_that_plays", "--nocapture"]);
    command.env(DIR, dir).env(SEED, seed.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Plays albums of ten titles each, at random, and fetches what is not there. Does nothing unless the test below
/// started it.
#[test]
fn a_process_that_plays() {
    let (Ok(dir), Ok(seed)) = (std::env::var(DIR), std::env::var(SEED)) else { return };
    let store = tight(Path::new(&dir), 20 * LEN);
    let evicted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&evicted);
    let _watch = store.observe_all(move |event| {
        if matches!(event, StoreEvent::Lost { reason: LossReason::Evicted, .. }) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut dice = Dice::new(seed.parse().unwrap());
    let mut own = std::collections::HashSet::new();
    let mut shared_hits = 0;
    let begun = std::time::Instant::now();
    let limit = std::env::var(SECONDS).ok().map(|seconds| std::time::Duration::from_secs(seconds.parse().unwrap()));
    let mut round = 0;
    while limit.map_or(round < ROUNDS, |limit| begun.elapsed() < limit) {
        round += 1;
        let album = dice.below(5);
        let name = format!("album {album}");
        let lease = store.lease(&asset(&name));
        let held = whole(&store, &name, album * 10..album * 10 + 10);
        let title = album * 10 + dice.below(10);
        if check_present(&store, &name, title) == LEN {
            shared_hits += u64::from(!own.contains(&title));
        } else if try_write(&store.streaming(&key(&name, title)), title, 0..LEN, Some(LEN)).is_ok() {
            own.insert(title);
            // Other processes evict all the time, but not what is leased.
            assert_eq!(check_present(&store, &name, title), LEN);
        }
        let still = whole(&store, &name, album * 10..album * 10 + 10);
        assert!(held.iter().all(|title| still.contains(title)), "leased, and evicted: {held:?} {still:?}");
        drop(lease);
    }
    println!("\nplayed {} {shared_hits}", evicted.load(Ordering::Relaxed));
}

#[test]
fn processes_share_hits_and_evict_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let players = [1, 2, 3].map(|seed| player(dir.path(), seed));
    let (mut evicted, mut shared_hits) = (0, 0);
    for mut player in players {
        let lines = BufReader::new(player.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if let Some(counts) = line.strip_prefix("played ") {
                let (first, second) = counts.split_once(' ').unwrap();
                evicted += first.parse::<u64>().unwrap();
                shared_hits += second.parse::<u64>().unwrap();
            }
        }
        assert!(player.wait().unwrap().success(), "a player found something wrong");
    }
    assert!(evicted > 0 && shared_hits > 0, "{evicted} evictions, {shared_hits} shared hits");
    let store = tight(dir.path(), 20 * LEN);
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    let on_disk: u64 = crate::ground::span_files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk <= 20 * LEN, "{on_disk}");
    for album in 0..5 {
        for title in album * 10..album * 10 + 10 {
            check_present(&store, &format!("album {album}"), title);
        }
    }
}

#[test]
fn what_a_process_told_nobody_before_it_died_is_found_when_its_journal_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let living = open(dir.path());
    let (tell, told) = std::sync::mpsc::channel();
    let _subscription = living.observe_all(move |event| {
        if let StoreEvent::Committed { key, .. } = event {
            let _ = tell.send(*key);
        }
    });
    let journals = || crate::ground::files(&dir.path().join("v1/journals"));
    let ours = journals();
    {
        let dying = open(dir.path());
        write(&dying, "dead", 0, 1_000);
    }
    // As a process leaves it that dies between the file and its record: neither that nor a farewell.
    let theirs = journals().into_iter().find(|path| !ours.contains(path)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(theirs).unwrap();
    file.set_len(kithara_assets::format::Record::LEN as u64).unwrap();
    // So much history that the journals become one.
    let playlist = living.atomic(&key("playlist", 0));
    for number in 0..20_000_u64 {
        let written = playlist.write(&number.to_le_bytes(), &Meta::default());
        if number % 500 == 0 {
            written.wait().unwrap();
        }
    }
    let found = std::iter::from_fn(|| told.recv_timeout(std::time::Duration::from_secs(20)).ok());
    assert!(found.into_iter().any(|it| it == key("dead", 0)), "nobody looked for it");
    assert_eq!(whole(&living, "dead", 0..1), [0]);
}
