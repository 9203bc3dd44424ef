//! How long after media of a live stream are announced they are there as samples, over loopback and in real time: part by part, and
//! segment by segment.
//!
//! `cargo bench --bench live_lag -- [SECONDS]` (20 unless told). The lag of announcement counts from when a part is published to when
//! its first sample can be read; that of recording counts from when this sample was recorded. The figures are those of one run.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::time::{Duration, Instant, SystemTime};

use kithara::{HlsOptions, OpenParams, Pcm, PcmReader, Player, blocking, options::LiveOptions};
use kithara_origin::{Clock, Origin, Packager, Recording, Site, fixtures_dir};

const PATH: &str = "a/index.m3u8";

/// What was measured, shortest first.
#[derive(Default)]
struct Lags {
    of_announcement: Vec<Duration>,
    of_recording: Vec<Duration>,
}

struct Stage {
    origin: Origin,
    clock: Clock,
    packager: Packager,
}

fn stage() -> Stage {
    let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).expect("the fixture is committed");
    let packager = Packager::new(Duration::from_millis(200)).start(6).looped().rendition(PATH, &sound);
    let clock = Clock::real();
    let site = Site::new().low_latency("/", &packager).clock(clock.clone());
    Stage { origin: Origin::start(site).expect("a port is free"), clock, packager }
}

/// When the media at a presentation time were recorded, by the dates in the playlist.
fn media_at(stage: &Stage, player: &Player, position: Duration) -> Option<Duration> {
    let date = player.session()?.date_at(position)?.as_millis();
    stage.packager.media_at(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(date).ok()?))
}

fn measure(low_latency: bool, time: Duration) -> Lags {
    let stage = stage();
    let live = LiveOptions { low_latency, ..LiveOptions::default() };
    let params = OpenParams::from(HlsOptions { live, ..HlsOptions::default() });
    let (player, mut reader) = blocking::listen(&stage.origin.url(PATH), params).expect("it opens");
    let mut lags = Lags::default();
    let end = Instant::now() + time;
    let mut last = None;
    while Instant::now() < end {
        let Some(position) = next(&mut reader) else { break };
        let now = stage.clock.elapsed() - stage.packager.begun().expect("a playlist was asked for");
        let media = media_at(&stage, &player, position).expect("every segment has a date");
        let published = stage.packager.published_at(PATH, media).expect("there is such a rendition");
        // What was there at the beginning came late because the session began late.
        if published.is_zero() || last == Some(published) {
            continue;
        }
        last = Some(published);
        lags.of_announcement.push(now.saturating_sub(published));
        lags.of_recording.push((now + stage.packager.history()).saturating_sub(media));
    }
    lags.of_announcement.sort_unstable();
    lags.of_recording.sort_unstable();
    lags
}

/// Where the samples lie that are read next.
fn next(reader: &mut PcmReader) -> Option<Duration> {
    let mut samples = [0.0; 2048];
    loop {
        let position = reader.position();
        match reader.read(&mut samples).expect("the stream is clean") {
            Pcm::Samples(_) => return Some(position),
            Pcm::SpecChanged(_) => {}
            Pcm::End => return None,
        }
    }
}

fn print(name: &str, lags: &[Duration]) {
    let at = |share: f64| {
        lags.get((lags.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64()
    };
    println!(
        "{name:<44} {:>4} measured  median {:.3} s  p95 {:.3} s  worst {:.3} s",
        lags.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    for (name, low_latency) in [("part by part", true), ("segment by segment", false)] {
        let lags = measure(low_latency, Duration::from_secs(seconds));
        print(&format!("{name}, after announcement"), &lags.of_announcement);
        print(&format!("{name}, after recording"), &lags.of_recording);
    }
}
