//! What a store costs: `cargo bench -p kithara-assets`, all of it or `-- many`, `-- large`, `-- segments`.
//!
//! It prints figures and asserts nothing about time: machines differ. What each is to be compared with stands beside
//! it.

// Figures are for people.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kithara_assets::maintain::GcOptions;
use kithara_assets::{
    AssetId, AssetStore, DiskOptions, MemoryOptions, Meta, Partition, ResourceKey, Validators, WriteOutcome,
};

const MANY: u64 = 100_000;
/// Where a process of this bench finds the store it is to measure.
const MEASURE: &str = "KITHARA_BENCH_MEASURE";

fn main() {
    // `cargo test --all-targets` starts this, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let chosen = |name: &str| {
        let mut names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|wanted| wanted == name)
    };
    if let Some(dir) = std::env::var_os(MEASURE) {
        return measure(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    if chosen("many") {
        many(dir.path());
    }
    if chosen("large") {
        large(&dir.path().join("large"));
    }
    if chosen("segments") {
        segments();
    }
}

fn options() -> DiskOptions {
    DiskOptions { quota: 4 << 30, free_space: 0, max_age: None, ..DiskOptions::default() }
}

fn open(dir: &Path) -> AssetStore {
    AssetStore::open(dir, options()).unwrap()
}

fn key(number: u64) -> ResourceKey {
    // Some hundred resources per asset, as a presentation has.
    ResourceKey::named(AssetId::named(&Partition::default(), &(number % 500).to_string()), &number.to_string())
}

/// Prints wall time, and the time all threads of this process were on a processor, which says more on a busy machine.
fn show(what: &str, (wall, cpu): (Duration, Duration), goal: &str) {
    println!("{what:<48} {wall:>12.3?} {cpu:>12.3?} cpu   {goal}");
}

fn timed<T>(what: &str, goal: &str, act: impl FnOnce() -> T) -> T {
    let (done, times) = measured(act);
    show(what, times, goal);
    done
}

fn measured<T>(act: impl FnOnce() -> T) -> (T, (Duration, Duration)) {
    let (start, before) = (Instant::now(), on_cpu());
    let done = act();
    (done, (start.elapsed(), on_cpu().saturating_sub(before)))
}

/// Time on a processor so far, of all threads that are alive.
fn on_cpu() -> Duration {
    let nanos = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    Duration::from_nanos(tasks.flatten().filter_map(nanos).sum())
}

/// Bytes of memory this process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// Many small resources.
fn many(dir: &Path) {
    timed("store 100,000 resources of 104 bytes", "", || fill(dir, 104));
    measured_alone(dir);
    let store = timed("open by journal", "below 100 ms", || open(dir));
    let keys: Vec<_> = (0..MANY).map(key).collect();
    let (present, times) = measured(|| keys.iter().filter(|key| store.streaming(key).contains(0..104)).count());
    assert_eq!(present as u64, MANY);
    show("lookup", (times.0 / 100_000, times.1 / 100_000), "below 2 us");
    evict(&store, &keys);
    drop(store);
    std::fs::remove_dir_all(dir.join("v1/journals")).unwrap();
    let store = timed("open by directory walk", "below 1 s", || open(dir));
    timed("and the walk that follows, behind it", "", || store.gc(GcOptions::default()).wait().unwrap());
    assert_eq!(store.usage().resources as u64, MANY - 10_000);
    drop(store);
    // Of these it is remembered what their content is, so that equal ones are stored once.
    let large = dir.join("4 KiB");
    timed("store 100,000 resources of 4 KiB", "", || fill(&large, 4 << 10));
    measured_alone(&large);
    std::fs::remove_dir_all(large).unwrap();
}

/// Stores [`MANY`] resources of `len` bytes, which are all different.
fn fill(dir: &Path, len: usize) {
    let store = open(dir);
    for number in 0..MANY {
        let mut writer = store.streaming(&key(number)).writer(0, Meta::default());
        let _ = writer.write_blocking(Bytes::from(number.to_le_bytes().repeat(len / 8)));
        let committed = writer.commit(Some(len as u64));
        if number % 1000 == 999 {
            committed.wait().unwrap();
        }
    }
}

/// What a store of [`MANY`] resources takes in a process where nothing was before: memory that one gave back is used again by
/// the next.
fn measured_alone(dir: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    assert!(command.arg("--bench").env(MEASURE, dir).status().unwrap().success());
}

fn measure(dir: &Path) {
    let before = resident();
    let store = timed("open by journal, in a new process", "below 100 ms", || open(dir));
    let (after, count) = (resident(), store.usage().resources as u64);
    assert_eq!(count, MANY);
    let name = "memory per resource, its key of 32 included";
    println!("{name:<48} {:>12}   below 232", (after - before) / count);
    // What the journal was read with may still be held; the rest of the process is beside it.
    println!("{:<48} {:>12}", "  the highest meanwhile", (peak() - before) / count);
}

/// Evicts 10,000 resources while a reader reads.
fn evict(store: &AssetStore, keys: &[ResourceKey]) {
    let (done, slowest, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let quota = store.usage().bytes / 10 * 9;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in keys.iter().rev().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let start = Instant::now();
                let read = store.streaming(key).read_span(0, 104).unwrap();
                slowest.fetch_max(start.elapsed().as_micros() as u64, Ordering::Relaxed);
                reads.fetch_add(u64::from(read.is_some()), Ordering::Relaxed);
            }
        });
        let report =
            timed("evict 10,000", "", || store.gc(GcOptions { quota: Some(quota), unused_for: None }).wait().unwrap());
        done.store(true, Ordering::Relaxed);
        println!("  {} resources went; {} reads meanwhile", report.resources, reads.load(Ordering::Relaxed));
    });
    println!("  the slowest took {:?}", Duration::from_micros(slowest.into_inner()));
}

/// One large resource.
fn large(dir: &Path) {
    const LEN: u64 = 512 << 20;
    let store = AssetStore::open(dir, DiskOptions { quota: 8 << 30, ..options() }).unwrap();
    let resource = store.streaming(&key(0));
    let chunk = Bytes::from(vec![7; 64 << 10]);
    timed("write 512 MiB, piece by piece", "", || {
        let mut writer = resource.piecewise_writer(0, Meta::default());
        for _ in 0..LEN / chunk.len() as u64 {
            assert_eq!(writer.write_blocking(chunk.clone()), WriteOutcome::Accepted);
        }
        writer.commit(Some(LEN)).wait().unwrap();
    });
    for how in ["warm read of 512 MiB", "and again"] {
        let ((), times) = measured(|| {
            let mut at = 0;
            while at < LEN {
                at += resource.read_span(at, usize::MAX).unwrap().unwrap().len() as u64;
            }
        });
        show(how, times, "below 0.5 s");
        println!("{:<48} {:>12.2}   above 1", "  GB/s", LEN as f64 / times.0.as_secs_f64() / 1e9);
    }
}

/// A stream of 150 segments of 65 kB, each in three chunks.
fn segments() {
    let meta =
        Meta { validators: Validators { etag: Some("\"5f0c-60d1\"".into()), last_modified: None }, ..Meta::default() };
    let asset = AssetId::named(&Partition::default(), "a stream");
    let play = |store: &AssetStore| {
        let chunks: Vec<Bytes> = (0..150_u64).map(|number| vec![number as u8; 21_700].into()).collect();
        let (handed_over, first) = measured(|| {
            for (chunk, number) in chunks.iter().zip(0_u64..) {
                let mut writer =
                    store.streaming(&ResourceKey::named(asset, &number.to_string())).writer(0, meta.clone());
                for _ in 0..3 {
                    assert_eq!(writer.write_blocking(chunk.clone()), WriteOutcome::Accepted);
                }
                drop(writer.commit(Some(65_100)));
            }
            store.flush()
        });
        let ((), rest) = measured(|| handed_over.wait().unwrap());
        (first, (first.0 + rest.0, first.1 + rest.1))
    };
    let median = |mut times: Vec<((Duration, Duration), (Duration, Duration))>| {
        times.sort();
        times[times.len() / 2]
    };
    let memory = (0..15).map(|_| play(&AssetStore::memory(MemoryOptions::default()))).collect();
    // Nothing is deleted in between, for that is slow to be forgotten by a file system.
    let dir = tempfile::tempdir().unwrap();
    let on_disk = |round: u32| play(&open(&dir.path().join(round.to_string())));
    let (memory, disk) = (median(memory), median((0..15).map(on_disk).collect()));
    show("150 segments into memory", memory.1, "");
    show("150 segments handed over to the disk", disk.0, "");
    show("  and written", disk.1, "");
}
