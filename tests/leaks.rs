//! Nothing outlives a player: counted for the whole process, so this test has a process of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{path::Path, sync::Arc, thread, time::Duration};

use kithara::{
    HlsOptions, HlsParams, OpenError, OpenParams, Pcm, PcmReader, Player, blocking,
    fetch::{
        FetchOptions, Fetcher,
        net::{Client, NetworkOptions},
    },
};
use kithara_origin::{At, Fault, Origin, Response, Rule, Site, fixtures_dir};
use tokio::runtime::{Builder, Handle};

const OPENS: u64 = 400;
const SIDE_BY_SIDE: u64 = 8;

const URLS: [&str; 8] = [
    "/ts_aac/index.m3u8",
    "/songs/tones.mp3",
    "/fmp4_aes/index.m3u8",
    "/songs/tones.m4a",
    "/adts/index.m3u8",
    "/songs/tones.ogg",
    "/av_clicks/master.m3u8",
    "/none.m3u8",
];

/// What a process holds.
#[derive(Debug)]
struct Held {
    tasks: usize,
    threads: usize,
    files: usize,
}

impl Held {
    /// Whether it is no more than what was held before. A thread that was about to end then may be gone.
    fn is_within(&self, before: &Self) -> bool {
        self.tasks <= before.tasks && self.threads <= before.threads && self.files <= before.files
    }
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

fn held(runtime: &Handle) -> Held {
    Held {
        tasks: runtime.metrics().num_alive_tasks(),
        threads: entries("/proc/self/task"),
        files: entries("/proc/self/fd"),
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Gives up soon.
fn options() -> HlsOptions {
    let mut options = HlsOptions::default();
    options.playback.ready_timeout = Duration::from_millis(50);
    options.playback.patience = Duration::from_millis(50);
    options.playback.refetch_backoff = Duration::from_millis(5);
    options.request.patience.max_elapsed = Duration::from_millis(100);
    options
}

fn shared() -> Fetcher {
    Fetcher::new(Client::new(NetworkOptions::default()).unwrap(), None, FetchOptions::default())
}

/// Opens a URL by one of two doors. `None`: given up after `moment`.
fn opened(
    runtime: &Handle,
    url: &str,
    params: OpenParams,
    moment: Option<Duration>,
) -> Option<Result<(Player, PcmReader), OpenError>> {
    match moment {
        None => Some(blocking::listen(url, params)),
        Some(moment) => runtime.block_on(async { tokio::time::timeout(moment, kithara::open(url, params)).await }).ok(),
    }
}

/// Opens something, hears some of it here and there, and drops it anywhere in it.
fn visit(runtime: &Handle, origin: &Origin, fetcher: Option<Fetcher>, dice: &mut Dice) {
    let url = origin.url(URLS[usize::try_from(dice.below(URLS.len() as u64)).unwrap()]);
    let params = HlsParams { fetcher, ..options().into() };
    let moment = (dice.below(4) > 0).then(|| Duration::from_micros(dice.below(60_000)));
    let Some(Ok((player, mut reader))) = opened(runtime, &url, params.into(), moment) else { return };
    let mut buffer = vec![0.0; 2048];
    for _ in 0..dice.below(6) {
        match dice.below(3) {
            0 => player.seek(Duration::from_millis(dice.below(5_000))),
            1 => drop(reader.fill(&mut buffer)),
            _ => match reader.read(&mut buffer) {
                Ok(Pcm::Samples(_) | Pcm::SpecChanged(_)) => {}
                Ok(Pcm::End) | Err(_) => break,
            },
        }
    }
    match dice.below(3) {
        0 => blocking::wait(player.close()),
        1 => drop(player),
        _ => drop(reader),
    }
}

#[test]
fn hundreds_of_players_dropped_at_any_moment_leave_nothing_behind() {
    // Threads that only block are given back at once.
    let runtime =
        Builder::new_multi_thread().worker_threads(2).thread_keep_alive(Duration::ZERO).enable_all().build().unwrap();
    let songs = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/kithara-decode/tests/media");
    let site = Site::new()
        .dir("/", fixtures_dir())
        .dir("/songs", songs)
        .rule(Rule::on("*seg*").chance(0.2).then(Fault::stall(At::Byte(2_000), Duration::from_millis(5))))
        .rule(Rule::on("*seg*").chance(0.1).then(Fault::truncate(At::Fraction(0.5))))
        .rule(Rule::on("*").chance(0.05).then(Response::new(503)));
    let origin = Arc::new(Origin::start(site).unwrap());
    // Whatever is made once for the process is made now, by both doors.
    for path in ["/ts_aac/index.m3u8", "/songs/tones.wav"] {
        for moment in [None, Some(Duration::from_secs(10))] {
            drop(opened(runtime.handle(), &origin.url(path), options().into(), moment));
        }
    }
    settled(runtime.handle(), &origin, None);
    let before = held(runtime.handle());

    let fetcher = shared();
    thread::scope(|scope| {
        for visitor in 0..SIDE_BY_SIDE {
            let (origin, fetcher, runtime) = (&origin, fetcher.clone(), runtime.handle());
            scope.spawn(move || {
                let mut dice = Dice(visitor);
                for _ in 0..OPENS / SIDE_BY_SIDE {
                    let own = dice.below(4) == 0;
                    visit(runtime, origin, (!own).then(|| fetcher.clone()), &mut dice);
                }
            });
        }
    });
    drop(fetcher);
    settled(runtime.handle(), &origin, Some(&before));
    let after = held(runtime.handle());
    assert!(after.is_within(&before), "{after:?}, and before {before:?}");
    let heard = origin.log().iter().filter(|request| request.path.contains("seg")).count();
    assert!(heard > 100, "{heard} segments: too few to show anything");
}

/// Waits until all connections are closed, all tasks have ended and, when told, the process holds no more than before;
/// gives up after a while, so that the assertion can show what is left.
fn settled(runtime: &Handle, origin: &Origin, before: Option<&Held>) {
    runtime.block_on(async {
        let settled = async {
            origin.until(|origin| origin.connections().open == 0).await;
            while held(runtime).tasks > 0 || before.is_some_and(|before| !held(runtime).is_within(before)) {
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(20), settled).await;
    });
}
