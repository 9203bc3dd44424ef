//! What the disk costs a player: `cargo bench -p kithara-fetch --bench cold_play`.
//!
//! 150 segments of 65 kB come from an origin in a process of its own, four at a time, into a store in memory and into one
//! on disk, by turns. It prints figures and asserts nothing about time: machines differ. The origin shares the processors, so on two of
//! them a part of the wall time is its own. ext4 steps over inodes that were deleted in the last five minutes when it makes files, which
//! can take longer than all else: the files of a run stay until one that ends later than that.

// Figures are for people.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kithara_assets::{AssetId, AssetStore, DiskOptions, MemoryOptions, Partition, ResourceKey};
use kithara_fetch::{FetchOptions, FetchRequest, Fetcher};
use kithara_net::{Client, NetworkOptions, Proxy};
use kithara_origin::{Origin, Site};

const COUNT: u64 = 150;
const LEN: u64 = 65_000;
const ROUNDS: usize = 41;
const SERVE: &str = "KITHARA_BENCH_SERVE";

fn main() {
    // `cargo test --all-targets` starts this, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if std::env::var_os(SERVE).is_some() {
        return serve();
    }
    let (mut server, base) = started();
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cold_play");
    std::fs::create_dir_all(&runs).unwrap();
    let dir = tempfile::tempdir_in(&runs).unwrap().keep();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut memory, mut disk) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let in_memory = measured(|| play(&runtime, &base, || AssetStore::memory(large())));
        // A folder of its own each time: nothing is deleted in between, for that is slow to be forgotten.
        let folder = dir.join(round.to_string());
        let on_disk = measured(|| play(&runtime, &base, || open(&folder)));
        // The first round warms up.
        if round > 0 {
            memory.push(in_memory);
            disk.push(on_disk);
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    remove_old(&runs);
    // Within a round, for what else the machine does changes from one to the next.
    let mut walls: Vec<f64> =
        disk.iter().zip(&memory).map(|(it, other)| it.0.as_secs_f64() / other.0.as_secs_f64()).collect();
    walls.sort_by(f64::total_cmp);
    let (memory, disk) = (median(memory), median(disk));
    let (wall, cpu) = (walls[walls.len() / 2], disk.1.as_secs_f64() / memory.1.as_secs_f64());
    println!("{:<12} {:>12} {:>12}", "", "wall", "cpu");
    println!("{:<12} {:>12.3?} {:>12.3?}", "memory", memory.0, memory.1);
    println!("{:<12} {:>12.3?} {:>12.3?}   written before it ends", "disk", disk.0, disk.1);
    println!("{:<12} {:>12.2} {:>12.2}   at most 1.25 and 1.5", "ratio", wall, cpu);
}

fn large() -> MemoryOptions {
    MemoryOptions { capacity: 64 << 20, ..MemoryOptions::default() }
}

fn open(dir: &Path) -> AssetStore {
    AssetStore::open(dir, DiskOptions { free_space: 0, queue_bytes: 64 << 20, ..DiskOptions::default() }).unwrap()
}

/// Plays everything once, cold; ends when the store has it.
fn play(runtime: &tokio::runtime::Runtime, base: &str, store: impl FnOnce() -> AssetStore) {
    let store = store();
    let client = Client::new(NetworkOptions { proxy: Proxy::None, ..NetworkOptions::default() }).unwrap();
    let fetcher = Fetcher::new(client, Some(store.clone()), FetchOptions::default());
    let asset = AssetId::named(&Partition::default(), "a stream");
    let base = base.to_owned();
    // Driven from a task: from `block_on` itself every chunk would change threads.
    let playing = async move {
        let one = |number: u64| {
            let url = format!("{base}/{number}").parse().unwrap();
            let key = Some(ResourceKey::named(asset, &number.to_string()));
            fetcher.fetch(FetchRequest { key, ..FetchRequest::new(url) }).collect(LEN)
        };
        let mut bytes = 0;
        let mut segments = futures_util::stream::iter(0..COUNT).map(one).buffered(4);
        while let Some(segment) = segments.next().await {
            bytes += segment.unwrap().len() as u64;
        }
        assert_eq!(bytes, COUNT * LEN);
    };
    runtime.block_on(async { tokio::spawn(playing).await.unwrap() });
    store.flush().wait().unwrap();
    assert_eq!(store.usage().resources as u64, COUNT);
}

/// What earlier runs left.
fn remove_old(runs: &Path) {
    for run in std::fs::read_dir(runs).unwrap().map(Result::unwrap) {
        let age = run.metadata().unwrap().modified().unwrap().elapsed().unwrap_or_default();
        if age > Duration::from_secs(600) {
            std::fs::remove_dir_all(run.path()).unwrap();
        }
    }
}

/// The origin, in a process whose work is not counted.
fn serve() {
    let site = (0..COUNT).fold(Site::new(), |site, number| site.pattern(&format!("/{number}"), number, LEN));
    let origin = Origin::start(site).unwrap();
    println!("{}", origin.url(""));
    std::io::stdout().flush().unwrap();
    // Killed by who started it; ends with it, too.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn started() -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--bench").env(SERVE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut base = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut base).unwrap();
    (child, base.trim().trim_end_matches('/').to_owned())
}

/// Wall time, and the time all threads of this process were on a processor.
fn measured(act: impl FnOnce()) -> (Duration, Duration) {
    let (start, before) = (Instant::now(), on_cpu());
    act();
    (start.elapsed(), on_cpu().saturating_sub(before))
}

/// Time this process was on a processor so far, in steps of 10 ms: exact in the mean of many rounds.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        text.rsplit(") ").next().unwrap_or_default().split(' ').map(|n| n.parse().unwrap_or(0)).collect();
    let ticks = fields.get(11..13).map_or(0, |both| both.iter().sum());
    Duration::from_millis(10 * ticks)
}

fn median(mut times: Vec<(Duration, Duration)>) -> (Duration, Duration) {
    // Each on its own: the round with the median wall time may have any CPU time, which the mean tells better.
    let cpu = times.iter().map(|it| it.1).sum::<Duration>() / u32::try_from(times.len()).unwrap();
    times.sort();
    (times[times.len() / 2].0, cpu)
}
