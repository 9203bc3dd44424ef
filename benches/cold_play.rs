//! What the disk costs a player of 150 small segments: `cargo bench --bench cold_play`.
//!
//! Twice by turns, with the store in memory and the one on disk: played, which is opened, fetched, decoded and read to the last sample as
//! fast as it goes; and fetched alone, four at a time, until the store has written all of it, which no player waits for. Beside them
//! what the system itself takes to make, write and close 150 files, and what the disk adds as a part of that: about one where the store
//! itself costs nothing.
//!
//! It prints figures and asserts nothing about time: machines differ. The origin runs in a process of its own but shares the
//! processors, so on two of them a part of the wall time is its own. ext4 steps over inodes that were deleted in the last five minutes when
//! it makes files, which can take longer than all else: the files of a run stay until one that ends later than that.

// Figures are for people.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kithara::fetch::assets::{AssetId, AssetStore, DiskOptions, MemoryOptions, Partition, ResourceKey};
use kithara::fetch::net::{Client, NetworkOptions, Proxy};
use kithara::fetch::{FetchOptions, FetchRequest, Fetcher};
use kithara::{HlsParams, Pcm, blocking};
use kithara_origin::{Origin, Site};

const COUNT: u64 = 150;
/// Bytes of a segment of the bare fetches; those with sound have about half.
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
    println!("{:<36} {:>10} {:>10}", "", "wall", "cpu");
    compare("played", &dir, |store| play(&base, store));
    let added = compare("fetched alone, until written", &dir, |store| fetch(&runtime, &base, store));
    let files: Vec<_> =
        (0..=ROUNDS).map(|round| measured(|| write_files(&dir.join(format!("bare {round}"))))).collect();
    let files = median(files);
    println!("{:<36} {:>10.3?} {:>10.3?}", "150 files, made and written", files.0, files.1);
    let part = |added: Duration, files: Duration| added.as_secs_f64() / files.as_secs_f64().max(f64::MIN_POSITIVE);
    let parts = (part(added.0, files.0), part(added.1, files.1));
    println!("{:<36} {:>10.2} {:>10.2}", "  of it, what the disk adds", parts.0, parts.1);
    server.kill().unwrap();
    server.wait().unwrap();
    remove_old(&runs);
}

/// Acts with either store by turns, and prints what each took. Gives what the disk took more.
fn compare(name: &str, dir: &Path, act: impl Fn(AssetStore)) -> (Duration, Duration) {
    let (mut memory, mut disk) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let in_memory = measured(|| act(AssetStore::memory(large())));
        // A folder of its own each time: nothing is deleted in between, for that is slow to be forgotten.
        let folder = dir.join(format!("{name} {round}"));
        let on_disk = measured(|| act(open(&folder)));
        // The first round warms up.
        if round > 0 {
            memory.push(in_memory);
            disk.push(on_disk);
        }
    }
    // Within a round, for what else the machine does changes from one to the next.
    let mut walls: Vec<f64> =
        disk.iter().zip(&memory).map(|(it, other)| it.0.as_secs_f64() / other.0.as_secs_f64()).collect();
    walls.sort_by(f64::total_cmp);
    let (memory, disk) = (median(memory), median(disk));
    let (wall, cpu) = (walls[walls.len() / 2], disk.1.as_secs_f64() / memory.1.as_secs_f64());
    println!("{:<36} {:>10.3?} {:>10.3?}", format!("{name}: memory"), memory.0, memory.1);
    println!("{:<36} {:>10.3?} {:>10.3?}", format!("{name}: disk"), disk.0, disk.1);
    println!("{:<36} {:>10.2} {:>10.2}", "  ratio; at most 1.25 and 1.5", wall, cpu);
    (disk.0.saturating_sub(memory.0), disk.1.saturating_sub(memory.1))
}

fn large() -> MemoryOptions {
    MemoryOptions { capacity: 64 << 20, ..MemoryOptions::default() }
}

fn open(dir: &Path) -> AssetStore {
    AssetStore::open(dir, DiskOptions { free_space: 0, queue_bytes: 64 << 20, ..DiskOptions::default() }).unwrap()
}

/// Plays everything once, cold, to its last sample.
fn play(base: &str, store: AssetStore) {
    let mut params = HlsParams { store: Some(store), ..HlsParams::default() };
    params.options.network.proxy = Proxy::None;
    let (_player, mut reader) = blocking::listen(&format!("{base}/index.m3u8"), params).unwrap();
    let (mut buffer, mut samples) = ([0.0; 8192], 0);
    loop {
        match reader.read(&mut buffer).unwrap() {
            Pcm::Samples(count) => samples += count,
            Pcm::SpecChanged(_) => {}
            Pcm::End => break,
        }
    }
    assert!(samples > 2 * 48_000 * 4 * 150, "{samples}");
}

/// The same files, written by hand.
fn write_files(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    let bytes = vec![0x55; LEN as usize];
    for number in 0..COUNT {
        std::fs::write(dir.join(number.to_string()), &bytes).unwrap();
    }
}

/// Fetches everything once, cold; ends when the store has it.
fn fetch(runtime: &tokio::runtime::Runtime, base: &str, store: AssetStore) {
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

/// The origin, in a process whose work is not counted: segments of noise, and a stream of five seconds to a segment.
fn serve() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/ts_aac");
    let sound: Vec<u8> =
        (0..5).flat_map(|number| std::fs::read(fixture.join(format!("seg{number}.ts"))).unwrap()).collect();
    let mut playlist = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:5\n");
    let mut site = Site::new();
    for number in 0..COUNT {
        site = site.pattern(&format!("/{number}"), number, LEN).bytes(&format!("/{number}.ts"), sound.clone());
        write!(playlist, "#EXT-X-DISCONTINUITY\n#EXTINF:4.92,\n{number}.ts\n").unwrap();
    }
    playlist.push_str("#EXT-X-ENDLIST\n");
    site = site.bytes("/index.m3u8", playlist);
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
