//! Live streams for six hours, in bytes: a test binary of its own, whose allocator counts.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use allocation_counter::measure;
use kithara_hls_core::{
    BitRate,
    playlist::{MediaPlaylist, ParseOptions, Playlist, parse},
    session::{SessionOptions, Track},
    sim::{Answer, Bandwidth, Simulation, World},
    time::{Tick, WallTime},
};

mod worlds;
use worlds::{low_latency::LowLatency, url};

const MAIN: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en/index.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,\
    URI=\"subs/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=300000,AUDIO=\"a\",SUBTITLES=\"s\"\nlow/index.m3u8\n";

const SEGMENT: Duration = Duration::from_secs(4);
const WINDOW: u64 = 6;
/// Numbers have as many digits at the end as at the beginning.
const FIRST: u64 = 10_000;
/// Segments that one key is good for.
const KEY: u64 = 5;
/// Keys that are used in turn: of others a session remembers 4096, which is more than there are in half an hour.
const KEYS: u64 = 24;

/// A sliding window with dates, a date range for each segment and a key for each five.
fn sliding(now: Tick) -> String {
    let end = FIRST + WINDOW + now.as_nanos() / SEGMENT.as_nanos() as u64;
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n");
    let oldest = end - WINDOW;
    writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{oldest}").expect("a string takes it");
    for n in oldest..end {
        let millis = 1_800_000_000_000 + i64::try_from(n * 4_000).expect("it is small");
        let date = WallTime::from_millis(millis);
        let key = n / KEY % KEYS;
        if n == oldest || n % KEY == 0 {
            writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"key{key}\"").expect("a string takes it");
        }
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}").expect("a string takes it");
        writeln!(text, "#EXT-X-DATERANGE:ID=\"r{n}\",CLASS=\"c\",START-DATE=\"{date}\",DURATION=1,X-NUMBER={n}")
            .expect("a string takes it");
        writeln!(text, "#EXTINF:4,\nseg{n}").expect("a string takes it");
    }
    text
}

const HOURS: u64 = 6;

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
fn a_sliding_window_with_renditions_ranges_and_keys_takes_no_more_after_hours_than_after_half_an_hour() {
    let make = || {
        let world = World::new().with_text("/main.m3u8", MAIN);
        let world = ["low", "en", "subs"].into_iter().fold(world, |world, name| {
            let world = world.with(&format!("/{name}/index.m3u8"), Answer::Live(Arc::new(sliding)));
            world.with_folder(&format!("/{name}/"), Answer::Bytes(BitRate::from_kbps(100).bytes_in(SEGMENT)))
        });
        let simulation = Simulation::new(world, &url(), SessionOptions::default());
        simulation.with_track(Track::Audio).with_track(Track::Subtitles).telling_positions()
    };
    check(HOURS, make, || {});
}

#[test]
fn a_low_latency_stream_with_sound_and_ranges_takes_no_more_after_hours_than_after_half_an_hour() {
    let stream = LowLatency {
        ranges: true,
        before: FIRST as u32 * SEGMENT + Duration::from_millis(200),
        ..LowLatency::default()
    };
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let world = world.with_text("/main.m3u8", &MAIN.replace(",SUBTITLES=\"s\"", ""));
    let (world, video) = stream.world(world, "/low/index.m3u8");
    let (world, sound) = stream.world(world, "/en/index.m3u8");
    let make = || Simulation::new(world.clone(), &url(), SessionOptions::default()).with_track(Track::Audio);
    let forget = || {
        for asked in [&video, &sound] {
            *asked.lock().expect("nothing panics under it") = Vec::new();
        }
    };
    check(HOURS, || make().telling_positions(), forget);
}

/// A window of many blocks that slides by one segment at each reload.
fn reload(first: u64, previous: Option<&MediaPlaylist>) -> MediaPlaylist {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for n in first..first + 500 {
        writeln!(text, "#EXTINF:4,\nseg{n}").expect("a string takes it");
    }
    let options = ParseOptions { previous, ..ParseOptions::default() };
    match parse(text.as_bytes(), &url(), &options) {
        Ok(Playlist::Media(playlist)) => playlist,
        other => unreachable!("a media playlist: {other:?}"),
    }
}

#[test]
fn snapshots_of_a_sliding_window_keep_nothing_of_what_left_but_in_one_block() {
    let mut snapshot = None;
    let mut slide = |reloads: u64| {
        let bytes = measure(|| {
            for _ in 0..reloads {
                let first = snapshot.as_ref().map_or(FIRST, |it: &MediaPlaylist| it.media_sequence.0 + 1);
                snapshot = Some(reload(first, snapshot.as_ref()));
            }
        });
        bytes.bytes_current
    };
    // The same number of segments is left of the first block both times.
    let early = slide(1 + 4 * 128);
    let more = slide(16 * 128);
    assert!(early > 10_000 && more.abs() < early / 20, "{early} bytes at first, and {more} more later");
    let of_one_block = slide(100);
    assert!(of_one_block < early / 3, "{of_one_block} of {early} bytes");
}
