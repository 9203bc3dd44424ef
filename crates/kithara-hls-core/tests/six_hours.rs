//! A live stream for six hours, in bytes: a test binary of its own, whose allocator counts.

use std::time::Duration;

use allocation_counter::measure;
use kithara_hls_core::{
    BitRate,
    session::{SessionOptions, Track},
    sim::{Bandwidth, Simulation, World},
    time::Tick,
};

mod worlds;
use worlds::{low_latency::LowLatency, url};

const MAIN: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=300000,AUDIO=\"a\"\nlow/index.m3u8\n";

/// Numbers have as many digits at the end as at the beginning.
const FIRST: u32 = 10_000;
const SEGMENT: Duration = Duration::from_secs(4);

/// A build without optimizations takes minutes for six hours of parts.
const HOURS_OF_PARTS: u64 = if cfg!(debug_assertions) { 2 } else { 6 };

/// Plays for so many hours, and compares what is alive then with what was after half an hour. `forget` lets go of what a server
/// noted.
#[track_caller]
fn check(hours: u64, make: impl Fn() -> Simulation, forget: impl Fn()) {
    let all = Duration::from_secs(hours * 3_600);
    let mut simulation = None;
    let run = |simulation: &mut Simulation, until: Duration| {
        // What a test remembers is not what it counts, and would be much.
        let mut at = Duration::ZERO;
        while at < until {
            at = (at + Duration::from_secs(300)).min(until);
            simulation.run(Tick::from_nanos(u64::try_from(at.as_nanos()).expect("it is small")));
            simulation.forget_the_past();
            forget();
        }
    };
    let early = measure(|| run(simulation.insert(make()), Duration::from_secs(1_800)));
    let simulation = simulation.as_mut().expect("it was made");
    let things = simulation.session().footprint();
    let more = measure(|| run(simulation, all));
    for track in [Track::Main, Track::Audio] {
        let report = simulation.player_of(track).expect("it is played").report();
        assert!(report.played > all - Duration::from_secs(60), "{track:?}: {:?}", report.played);
        assert_eq!(report.stalls, 0, "{track:?}");
    }
    let later = simulation.session().footprint();
    assert!(later <= things + things / 20, "{things} things after half an hour, {later} after {hours} hours");
    let (early, more) = (early.bytes_current, more.bytes_current);
    assert!(
        early > 10_000 && more <= early / 20,
        "{early} bytes after half an hour, and {more} more after {hours} hours"
    );
}

#[test]
fn a_low_latency_stream_with_sound_and_ranges_takes_no_more_after_hours_than_after_half_an_hour() {
    let stream =
        LowLatency { ranges: true, before: FIRST * SEGMENT + Duration::from_millis(200), ..LowLatency::default() };
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let world = world.with_text("/main.m3u8", MAIN);
    let (world, video) = stream.world(world, "/low/index.m3u8");
    let (world, sound) = stream.world(world, "/en/index.m3u8");
    let make = || Simulation::new(world.clone(), &url(), SessionOptions::default()).with_track(Track::Audio);
    let forget = || {
        for asked in [&video, &sound] {
            *asked.lock().expect("nothing panics under it") = Vec::new();
        }
    };
    check(HOURS_OF_PARTS, || make().telling_positions(), forget);
}
