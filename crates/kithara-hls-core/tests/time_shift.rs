//! Readers that stand still while the window of a live stream moves on, in virtual time.

use std::time::Duration;

use kithara_hls_core::{
    playlist::VariantId,
    session::{Command, FailureKind, Input, LiveOptions, MediaId, SessionOptions},
    sim::{Simulation, World},
    time::Tick,
};

mod worlds;
use worlds::{fault, live::Live, url};

const HOUR: u64 = 3_600;
/// Bytes of a segment.
const SEGMENT: u64 = 64_000;

fn secs(secs: u64) -> Tick {
    Tick::from_millis(secs * 1_000)
}

/// A window of 24 s whose server drops what leaves it at once.
fn dropping() -> Live {
    Live { drops: true, ..Live::sliding(6) }
}

fn options(store_room: u64, time_shift: Duration) -> SessionOptions {
    let live = LiveOptions { time_shift, ..LiveOptions::default() };
    SessionOptions { store_room, live, ..SessionOptions::default() }
}

/// An hour's pause that begins after 20 s.
fn paused(world: World, options: SessionOptions) -> Simulation {
    let mut simulation = Simulation::new(world, &url(), options);
    simulation.pause(secs(20), secs(20 + HOUR));
    simulation.run(secs(20 + HOUR));
    simulation
}

fn played(simulation: &Simulation) -> Vec<u64> {
    simulation.player().report().units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect()
}

#[track_caller]
fn assert_no_hole(simulation: &Simulation, at_least: usize) {
    let played = played(simulation);
    assert!(played.len() >= at_least, "{} segments were played", played.len());
    assert!(played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert_eq!(simulation.player().report().stalls, 0);
    assert_eq!(said(simulation, &["skipped", "rejoined", "not kept", "recoverable"]), Vec::<String>::new());
}

/// Lines of the transcript that contain one of these words.
fn said(simulation: &Simulation, words: &[&str]) -> Vec<String> {
    let lines = simulation.transcript().lines.iter();
    lines.filter(|line| words.iter().any(|word| line.contains(word))).cloned().collect()
}

#[test]
fn a_pause_of_an_hour_loses_nothing() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let mut simulation = paused(world, options(1 << 30, 2 * Duration::from_secs(HOUR)));
    let things = simulation.session().footprint();
    assert!(things < 4_000, "{things} things are remembered of an hour in 900 segments");
    simulation.run(secs(20 + HOUR + 600));
    assert_no_hole(&simulation, 150);
    let asked = (3..900).map(|n| simulation.world().requests_for(&format!("/seg{n}")));
    assert!(asked.clone().all(|times| times == 1), "each segment travels once");
}

#[test]
fn what_is_within_reach_is_told() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let simulation = paused(world, options(1 << 30, 2 * Duration::from_secs(HOUR)));
    let (from, until) = simulation.session().status().window.expect("the playlist is there");
    assert_eq!(from, Duration::from_secs(12), "playback began three target durations before the edge");
    assert!(until > Duration::from_secs(HOUR), "{until:?}");
}

#[test]
fn without_a_store_the_reader_rejoins_and_says_so() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let mut simulation = paused(world, options(0, 2 * Duration::from_secs(HOUR)));
    assert!(simulation.session().footprint() < 200, "nothing is remembered that nobody will have");
    simulation.run(secs(20 + HOUR + 300));
    assert_eq!(said(&simulation, &["rejoined main"]).len(), 1);
    assert_eq!(said(&simulation, &["keep ", "recoverable=false"]), Vec::<String>::new());
    assert!(played(&simulation).last() > Some(&940));
}

/// A reader that comes back after an hour to a store that could keep so many segments at most.
#[track_caller]
fn keeps_no_more_than(options: SessionOptions, segments: u64) {
    let world = dropping().world(World::new(), "/main.m3u8");
    let mut simulation = paused(world, options);
    let (bytes, _) = simulation.stored();
    assert!(bytes <= (segments + 1) * SEGMENT, "{bytes} bytes are stored");
    assert!(bytes >= (segments - 20) * SEGMENT, "{bytes} bytes are stored");
    simulation.run(secs(20 + HOUR + 300));
    let rejoined = said(&simulation, &["rejoined main"]);
    assert_eq!(rejoined.len(), 1, "{rejoined:?}");
    assert_eq!(said(&simulation, &["recoverable=false", "skipped"]), Vec::<String>::new());
    let played = played(&simulation);
    let leaps = played.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(leaps, 1, "{played:?}");
    let back = played.iter().find(|msn| **msn > 20).expect("it goes on");
    let left = 906 - back;
    assert!((segments.saturating_sub(20)..=segments + 20).contains(&left), "it goes on {left} segments back");
}

#[test]
fn the_option_bounds_what_is_kept() {
    keeps_no_more_than(options(1 << 30, Duration::from_secs(600)), 156);
}

#[test]
fn the_room_in_the_store_bounds_what_is_kept() {
    keeps_no_more_than(options(100 * SEGMENT, 2 * Duration::from_secs(HOUR)), 100);
}

#[test]
fn a_segment_that_cannot_be_kept_is_a_hole_with_a_name() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let world = world.with_fault(fault("/seg300", 0, 99, FailureKind::NotFound, Some(404)));
    let mut simulation = paused(world, options(1 << 30, 2 * Duration::from_secs(HOUR)));
    assert_eq!(said(&simulation, &["not kept v0 at 1200.000 s + 4.000 s"]).len(), 1);
    simulation.run(secs(20 + HOUR + 1_300));
    let played = played(&simulation);
    assert!(played.contains(&299) && !played.contains(&300) && played.contains(&301), "{played:?}");
    assert_eq!(said(&simulation, &["recoverable=false"]), Vec::<String>::new());
    assert_eq!(said(&simulation, &["skipped v0 #300", "rejoined"]).len(), 1);
    assert_eq!(simulation.player().report().stalls, 0);
}

#[test]
fn an_outage_while_a_reader_stands_still_is_one_hole() {
    let world = dropping().world(World::new(), "/main.m3u8");
    // Nothing answers for ten minutes: the playlist not, and no segment.
    let outage = |path: &str, from| fault(path, from, 160, FailureKind::Unreachable, None);
    let simulation_world = world.with_fault(outage("/main", 100));
    let mut simulation = paused(simulation_world, options(1 << 30, 2 * Duration::from_secs(HOUR)));
    simulation.run(secs(20 + HOUR + 900));
    let played = played(&simulation);
    let leaps = played.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(leaps, 1, "{played:?}");
    assert_eq!(said(&simulation, &["recoverable=false"]), Vec::<String>::new());
    assert_eq!(said(&simulation, &["window jumped"]).len(), 1);
    assert_eq!(said(&simulation, &["rejoined main"]).len(), 1);
}

#[test]
fn whoever_plays_at_the_edge_keeps_nothing() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), options(1 << 30, Duration::from_secs(600)));
    simulation.run(secs(HOUR));
    assert_no_hole(&simulation, 850);
    assert_eq!(said(&simulation, &["keep "]), Vec::<String>::new());
    let (bytes, resources) = simulation.stored();
    assert!(resources <= 160 && bytes <= 160 * SEGMENT, "{resources} segments lie in the store of what was played");
}

#[test]
fn a_viewer_seeks_back_to_what_was_played_long_ago() {
    let world = dropping().world(World::new(), "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), options(1 << 30, 2 * Duration::from_secs(HOUR)));
    simulation.seek_at(secs(1_000), Duration::from_secs(400));
    simulation.run(secs(1_600));
    let played = played(&simulation);
    let back = played.windows(2).position(|pair| pair[1] < pair[0]).expect("it went back");
    assert_eq!(played[back + 1], 100);
    assert!(played[back + 1..].windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert!(played.last() > Some(&240), "it plays on, and what it comes to is kept meanwhile");
    assert_eq!(said(&simulation, &["skipped", "rejoined", "recoverable"]), Vec::<String>::new());
}

#[test]
fn a_reader_that_is_behind_keeps_its_variant_until_it_is_in_the_window_of_the_other() {
    let main =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=256000\nb/index.m3u8\n";
    let world = World::new().with_text("/main.m3u8", main);
    let world = dropping().world(dropping().world(world, "/a/index.m3u8"), "/b/index.m3u8");
    let mut simulation = paused(world, options(1 << 30, 2 * Duration::from_secs(HOUR)));
    let before = said(&simulation, &["enter "]).len();
    simulation.at(secs(20 + HOUR + 100), Input::Command(Command::SelectVariant(Some(VariantId(0)))));
    simulation.run(secs(20 + HOUR + 400));
    assert!(before > 0);
    assert_no_hole(&simulation, 100);
    let variants: Vec<MediaId> = simulation.player().report().units.iter().map(|unit| unit.media).collect();
    let changes = variants.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 1, "only what adaptation did before the pause: {variants:?}");
}
