//! Golden transcripts: one line for each action and event of a whole session.
//!
//! A change of behaviour shows as a change of these files. `UPDATE_GOLDEN=1 cargo test -p kithara-hls-core --test golden`
//! writes them anew; read the difference before you commit it.

#![expect(clippy::disallowed_methods, reason = "a test reads what it expects, and writes it when it is asked to")]

use std::{fs, path::Path, time::Duration};

use kithara_hls_core::{
    BitRate,
    playlist::RenditionId,
    session::{Command, FailureKind, Input, OnMissing, PlaybackOptions, SessionOptions, Track},
    sim::{Answer, Bandwidth, Simulation, World},
    time::Tick,
};

mod worlds;
use worlds::{fault, ladder, low_latency::LowLatency, pathways, renditions, steering, url};

#[track_caller]
fn check(name: &str, mut simulation: Simulation) {
    simulation.run(Tick::from_millis(600_000));
    check_transcript(name, &simulation);
}

#[track_caller]
fn check_transcript(name: &str, simulation: &Simulation) {
    let transcript = simulation.transcript().to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &transcript).expect("the file can be written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(transcript.lines()).enumerate().find(|(_, (old, new))| old != new);
    assert_eq!(differs, None, "{name} differs at line (counted from 0), was and is");
    assert_eq!(golden.lines().count(), transcript.lines().count(), "{name} ends elsewhere");
}

fn simulation(world: World, options: SessionOptions) -> Simulation {
    Simulation::new(world, &url(), options)
}

#[test]
fn a_vod_from_start_to_end() {
    check("vod.txt", simulation(ladder(World::new()), SessionOptions::default()));
}

#[test]
fn a_slow_link_is_not_shared() {
    let world = ladder(World::new()).with_bandwidth(Bandwidth::constant(BitRate(100_000)));
    check("slow_link.txt", simulation(world, SessionOptions::default()));
}

#[test]
fn a_link_that_breaks_down_and_recovers() {
    let periods = vec![
        (Duration::from_secs(10), BitRate(2_000_000)),
        (Duration::from_secs(15), BitRate(40_000)),
        (Duration::from_secs(600), BitRate(2_000_000)),
    ];
    let world = ladder(World::new()).with_bandwidth(Bandwidth::periods(periods));
    check("break_down.txt", simulation(world, SessionOptions::default()));
}

#[test]
fn a_seek_forward() {
    let mut simulation = simulation(ladder(World::new()), SessionOptions::default());
    simulation.seek_at(Tick::from_millis(6_000), Duration::from_secs(50));
    check("seek.txt", simulation);
}

#[test]
fn a_seek_ends_the_fetch_that_nobody_wants() {
    let world = ladder(World::new()).with_bandwidth(Bandwidth::constant(BitRate(200_000)));
    let mut simulation = simulation(world, SessionOptions::default());
    simulation.seek_at(Tick::from_millis(1_000), Duration::from_secs(50));
    simulation.run(Tick::from_millis(600_000));
    let lines = &simulation.transcript().lines;
    let at_the_seek: Vec<&str> =
        lines.iter().filter_map(|line| line.trim_start().strip_prefix("1.000 ")).take(3).collect();
    assert_eq!(at_the_seek, ["cancel f1", "release v0/0", "fetch f2 v0/12 /low/seg12"], "{lines:#?}");
    check_transcript("seek_cancels.txt", &simulation);
}

#[test]
fn expired_urls() {
    let world = ladder(World::new()).with_fault(fault("seg7", 0, 2, FailureKind::Gone, Some(410)));
    check("expired.txt", simulation(world, SessionOptions::default()));
}

#[test]
fn bad_deliveries() {
    let world = ladder(World::new())
        .with_fault(fault("seg3", 0, 1, FailureKind::NotMedia, Some(200)))
        .with_fault(fault("seg6", 0, 2, FailureKind::Incomplete, Some(200)));
    check("bad_deliveries.txt", simulation(world, SessionOptions::default()));
}

#[test]
fn a_segment_that_is_nowhere() {
    let world = ladder(World::new()).with_fault(fault("seg5", 0, 99, FailureKind::NotFound, Some(404)));
    let playback = PlaybackOptions { on_missing: OnMissing::Skip, ..PlaybackOptions::default() };
    check("skipped.txt", simulation(world, SessionOptions { playback, ..SessionOptions::default() }));
}

#[test]
fn a_playlist_that_does_not_exist() {
    check("no_playlist.txt", simulation(World::new(), SessionOptions::default()));
}

#[test]
fn a_switch_of_the_audio_rendition() {
    let mut simulation = simulation(renditions(World::new()), SessionOptions::default()).with_track(Track::Audio);
    simulation.at(Tick::from_millis(20_500), Input::Command(Command::SelectAudio(RenditionId(1))));
    check("audio_switch.txt", simulation);
}

#[test]
fn a_low_latency_stream() {
    let (world, _) = LowLatency { parts: 4, part: Duration::from_millis(500), ..LowLatency::default() }
        .world(World::new(), "/main.m3u8");
    let world = world.with_fault(fault("part32.2", 0, 1, FailureKind::Unreachable, Some(503)));
    let mut simulation = simulation(world, SessionOptions::default()).telling_positions();
    simulation.run(Tick::from_millis(12_000));
    check_transcript("low_latency.txt", &simulation);
}

#[test]
fn a_server_that_steers_to_another_pathway() {
    let steer = |now: Tick| steering(20, if now.as_nanos() < 15_000_000_000 { "\"A\",\"B\"" } else { "\"B\",\"A\"" });
    let world = pathways(World::new()).with("/steer", Answer::Live(std::sync::Arc::new(steer)));
    check("steering.txt", simulation(world, SessionOptions::default()).with_track(Track::Audio));
}

#[test]
fn a_pathway_that_fails_and_recovers() {
    let world = pathways(World::new()).with_text("/steer", &steering(300, "\"A\",\"B\"")).with_fault(fault(
        "a.test/high/seg12",
        0,
        9,
        FailureKind::Unreachable,
        Some(503),
    ));
    check("steering_failover.txt", simulation(world, SessionOptions::default()).with_track(Track::Audio));
}

#[test]
fn a_redundant_stream_that_takes_over() {
    let world = ladder(World::new()).with_text(
        "/main.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\nhttp://a.test/mid/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=128000\nhttp://b.test/mid/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=64000\nhttp://a.test/low/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=64000\nhttp://b.test/low/index.m3u8\n",
    );
    let world = world.with_fault(fault("a.test/mid/seg12", 0, 9, FailureKind::NotFound, Some(404)));
    check("redundant.txt", simulation(world, SessionOptions::default()));
}
