//! The numbers of a session, against what a player in virtual time saw.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    session::{FailureKind, OnMissing, PlaybackOptions, SessionOptions, Stats, Track},
    sim::{Bandwidth, PlayerReport, Simulation, World},
    time::Tick,
};

mod worlds;
use worlds::{fault, ladder, low_latency::LowLatency, renditions, url};

const END: Tick = Tick::from_millis(600_000);

fn simulation(world: World) -> Simulation {
    Simulation::new(world, &url(), SessionOptions::default())
}

fn played(mut simulation: Simulation) -> (Stats, PlayerReport) {
    simulation.run(END);
    (simulation.session().stats(), simulation.player().report().clone())
}

fn periods(periods: &[(u64, u64)]) -> Bandwidth {
    Bandwidth::periods(periods.iter().map(|(secs, rate)| (Duration::from_secs(*secs), BitRate(*rate))).collect())
}

#[test]
fn nothing_is_counted_before_anything_happens() {
    let stats = simulation(ladder(World::new())).session().stats();
    let mut want = Stats::default();
    want.network.requests = 1;
    assert_eq!(stats, want, "the primary playlist is asked for");
}

#[test]
fn a_vod_that_goes_well_has_its_bytes_and_no_trouble() {
    let (stats, report) = played(simulation(ladder(World::new())));
    assert!(report.ended && report.stalls == 0);
    assert_eq!((stats.failed_fetches, stats.errors, stats.stalls, stats.skipped), (0, 0, 0, 0), "{stats:?}");
    assert_eq!(stats.switches, 1, "from the lowest to the highest");
    let bytes: u64 =
        report.units.iter().map(|unit| if unit.media.to_string() == "v0" { 32_000 } else { 128_000 }).sum();
    assert_eq!(stats.network.bytes_received, bytes, "each unit that was played came once");
    assert_eq!(stats.network.requests, 3 + 15, "three playlists, fifteen segments");
    assert_eq!(stats.network.transfers, 0);
    assert!(stats.unit_latency.is_some_and(|time| (20..300).contains(&time.as_millis())), "{stats:?}");
}

#[test]
fn stalls_are_those_of_a_player_in_real_time() {
    let worlds = [
        ("a link that is too slow", Bandwidth::constant(BitRate(60_000))),
        ("a link that breaks down", periods(&[(10, 2_000_000), (45, 4_000), (600, 2_000_000)])),
        ("a link that stutters", periods(&[(5, 300_000), (20, 9_000), (8, 300_000), (40, 9_000), (600, 900_000)])),
        ("a link that suffices", Bandwidth::constant(BitRate(400_000))),
    ];
    let mut seen = 0;
    for (name, bandwidth) in worlds {
        let (stats, report) = played(simulation(ladder(World::new()).with_bandwidth(bandwidth)));
        assert_eq!(stats.stalls, u64::from(report.stalls), "{name}: {stats:?}");
        seen += stats.stalls;
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn the_wait_after_a_seek_is_no_stall() {
    let mut simulation = simulation(ladder(World::new()).with_bandwidth(Bandwidth::constant(BitRate(200_000))));
    simulation.seek_at(Tick::from_millis(1_000), Duration::from_secs(50));
    let (stats, report) = played(simulation);
    assert!(report.ended);
    assert_eq!(stats.stalls, 0, "{stats:?}");
    assert!(stats.network.bytes_received > 3 * 32_000, "what was given up travelled as well: {stats:?}");
}

#[test]
fn a_stall_counts_while_it_lasts() {
    let mut simulation = simulation(ladder(World::new()).with_bandwidth(periods(&[(1, 200_000), (600, 1)])));
    simulation.run(Tick::from_millis(60_000));
    let stats = simulation.session().stats();
    assert_eq!((stats.stalls, stats.network.transfers), (0, 1), "it has not begun: {stats:?}");
    let mut simulation = self::simulation(ladder(World::new()).with_bandwidth(periods(&[(2, 200_000), (600, 1)])));
    simulation.run(Tick::from_millis(4_000));
    assert_eq!(simulation.session().stats().stalls, 0, "there is one segment to play");
    simulation.run(Tick::from_millis(60_000));
    assert_eq!(simulation.session().stats().stalls, 1);
}

#[test]
fn failures_errors_and_holes_are_counted() {
    let world = ladder(World::new())
        .with_fault(fault("seg3", 0, 1, FailureKind::NotMedia, Some(200)))
        .with_fault(fault("seg5", 0, 99, FailureKind::NotFound, Some(404)));
    let playback = PlaybackOptions { on_missing: OnMissing::Skip, ..PlaybackOptions::default() };
    let options = SessionOptions { playback, ..SessionOptions::default() };
    let (stats, report) = played(Simulation::new(world, &url(), options));
    assert!(report.ended);
    assert_eq!(stats.skipped, 1, "{stats:?}");
    assert!(stats.failed_fetches > 2, "{stats:?}");

    let (stats, _) = played(simulation(World::new()));
    assert_eq!(stats.errors, 1, "the end of a session is told: {stats:?}");
    assert!(stats.failed_fetches >= 1);
}

#[test]
fn each_track_has_a_buffer_of_its_own() {
    let mut simulation = simulation(renditions(World::new())).with_track(Track::Audio).with_track(Track::Subtitles);
    simulation.run(Tick::from_millis(10_000));
    let buffers = simulation.session().stats().buffers;
    let tracks: Vec<Track> = buffers.iter().map(|buffer| buffer.track).collect();
    assert_eq!(tracks, [Track::Main, Track::Audio, Track::Subtitles]);
    assert!(buffers.iter().all(|buffer| buffer.buffered > Duration::from_secs(10)), "{buffers:?}");
}

#[test]
fn parts_count_once_and_do_not_stall_a_player_who_follows_them() {
    let (world, _) = LowLatency { parts: 4, part: Duration::from_millis(500), ..LowLatency::default() }
        .world(World::new(), "/main.m3u8");
    let mut simulation = simulation(world).telling_positions();
    simulation.run(Tick::from_millis(12_000));
    let (stats, report) = (simulation.session().stats(), simulation.player().report());
    assert_eq!((stats.stalls, report.stalls), (0, 0), "{stats:?}");
    assert!(stats.network.bytes_received > 0 && stats.failed_fetches == 0, "{stats:?}");
}
