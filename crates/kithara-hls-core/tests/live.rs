//! Live streams in virtual time: where they begin, how they are followed, and what heals.

#![expect(clippy::disallowed_methods, reason = "a test reads what it expects, and writes it when it is asked to")]
#![expect(clippy::disallowed_types, reason = "a scripted server notes what it was asked for")]

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use kithara_hls_core::{
    playlist::{DiscontinuitySequence, MediaSequence, VariantId},
    session::{
        Action, Command, FailureKind, FetchFailure, Input, LiveOptions, LiveStart, MediaId, PlaybackOptions,
        PlaylistId, SessionOptions, UnitKey, VariantChoice,
    },
    sim::{Answer, Simulation, World},
    time::{MediaTime, Now, Tick, WallTime},
};

mod worlds;
use worlds::{FOUR, fault, live::Live, url};

fn secs(secs: u64) -> Tick {
    Tick::from_millis(secs * 1_000)
}

/// What was played, in order: names of files.
fn played(simulation: &Simulation) -> Vec<u64> {
    simulation.player().report().units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect()
}

fn simulation(live: Live, options: SessionOptions) -> Simulation {
    Simulation::new(live.world(World::new(), "/main.m3u8"), &url(), options)
}

/// Runs for so many seconds, compares the transcript with the file of this name, and tells what was played.
#[track_caller]
fn golden(name: &str, mut simulation: Simulation, run: u64) -> (Vec<u64>, Simulation) {
    simulation.run(secs(run));
    let transcript = simulation.transcript().to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &transcript).expect("the file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(transcript.lines()).enumerate().find(|(_, (old, new))| old != new);
    assert_eq!(differs, None, "{name} differs at line (counted from 0), was and is");
    assert_eq!(expected.lines().count(), transcript.lines().count(), "{name} ends elsewhere");
    assert!(!transcript.contains("recoverable=false"), "something was fatal:\n{transcript}");
    (played(&simulation), simulation)
}

#[track_caller]
fn says(simulation: &Simulation, what: &str) {
    let transcript = simulation.transcript().to_string();
    assert!(transcript.contains(what), "`{what}` is not in\n{transcript}");
}

fn range(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn an_event_is_played_from_its_beginning_to_its_end() {
    let live = Live { end: Some(15), ..Live::event(3) };
    let (played, simulation) = golden("live_event.txt", simulation(live, SessionOptions::default()), 120);
    assert_eq!(played, range(0..15));
    assert!(simulation.player().report().ended);
    assert_eq!(simulation.player().report().stalls, 0);
}

#[test]
fn a_sliding_window_is_played_from_three_target_durations_before_its_end() {
    let (played, simulation) = golden("live_window.txt", simulation(Live::sliding(6), SessionOptions::default()), 60);
    assert_eq!(played.first(), Some(&3));
    assert!(played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert_eq!(simulation.player().report().stalls, 0);
}

#[test]
fn variants_whose_playlists_disagree_are_placed_by_their_timestamps() {
    let (_, simulation) = golden("live_disagree.txt", guessed(700), 80);
    says(&simulation, "- live realigned v1 by ");
}

/// The first segment that is played, by the tags of the playlist and by what the application wants.
#[track_caller]
fn begins(live: Live, start: LiveStart, want: u64) {
    let options = LiveOptions { start, ..LiveOptions::default() };
    let mut simulation = simulation(live, SessionOptions { live: options, ..SessionOptions::default() });
    simulation.run(secs(6));
    assert_eq!(played(&simulation).first(), Some(&want), "{}", simulation.transcript());
}

#[test]
fn a_stream_begins_where_the_server_or_the_application_says() {
    let (window, event) = (Live::sliding(10), Live::event(10));
    begins(window, LiveStart::Auto, 7);
    begins(window, LiveStart::Beginning, 0);
    begins(window, LiveStart::Behind(Duration::from_secs(21)), 4);
    begins(event, LiveStart::Auto, 0);
    begins(event, LiveStart::Edge, 7);
    let hold_back = Live { header: "#EXT-X-SERVER-CONTROL:HOLD-BACK=20\n", ..window };
    begins(hold_back, LiveStart::Auto, 5);
    let start = |header| Live { header, ..event };
    begins(start("#EXT-X-START:TIME-OFFSET=8\n"), LiveStart::Auto, 2);
    begins(start("#EXT-X-START:TIME-OFFSET=-24\n"), LiveStart::Auto, 4);
    begins(start("#EXT-X-START:TIME-OFFSET=-1\n"), LiveStart::Auto, 7);
    begins(start("#EXT-X-START:TIME-OFFSET=8\n"), LiveStart::Beginning, 0);
    let ended = Live { end: Some(10), ..event };
    begins(ended, LiveStart::Edge, 0);
    begins(Live { header: "#EXT-X-START:TIME-OFFSET=8\n", ..ended }, LiveStart::Auto, 2);
}

/// Runs what a multivariant playlist and its only variant say about the start; gives the first segment that is played, and from when
/// on it is heard.
fn starts(of_all: &str, of_variant: &'static str) -> (u64, Duration) {
    let live = Live { header: of_variant, end: Some(10), ..Live::event(10) };
    let main = format!("#EXTM3U\n{of_all}#EXT-X-STREAM-INF:BANDWIDTH=100000\nmedia.m3u8\n");
    let world = live.world(World::new().with_text("/main.m3u8", &main), "/media.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(secs(6));
    let report = simulation.player().report();
    let first = report.played_units.first().expect("something was played");
    (first.unit.msn().expect("a segment").0, first.start)
}

#[test]
fn a_start_in_the_multivariant_playlist_holds_where_the_media_playlist_has_none() {
    let (at, precisely) = ("#EXT-X-START:TIME-OFFSET=9\n", "#EXT-X-START:TIME-OFFSET=9,PRECISE=YES\n");
    assert_eq!(starts("", ""), (0, Duration::ZERO));
    assert_eq!(starts(at, ""), (2, Duration::from_secs(8)));
    assert_eq!(starts(precisely, ""), (2, Duration::from_secs(9)));
    assert_eq!(starts("", precisely), (2, Duration::from_secs(9)));
    assert_eq!(
        starts(precisely, "#EXT-X-START:TIME-OFFSET=20\n"),
        (5, Duration::from_secs(20)),
        "the media playlist knows better"
    );
}

#[test]
fn a_segment_is_asked_for_soon_after_it_appears() {
    let mut simulation = simulation(Live::event(3), SessionOptions::default());
    simulation.run(secs(70));
    let lags: Vec<f64> = simulation
        .transcript()
        .lines
        .iter()
        .filter_map(|line| {
            let (at, rest) = line.trim_start().split_once(' ')?;
            let msn: f64 = rest.strip_prefix("fetch ")?.split_once("v0/")?.1.split_once(' ')?.0.parse().ok()?;
            Some(at.parse::<f64>().ok()? - (msn - 2.0) * 4.0).filter(|_| msn >= 3.0)
        })
        .collect();
    assert!(lags.len() > 12, "{lags:?}");
    assert!(lags.iter().all(|lag| (0.0..0.15).contains(lag)), "{lags:?}");
}

#[test]
fn loads_that_take_long_begin_one_target_duration_apart_all_the_same() {
    let world = Live::event(3).world(World::new(), "/main.m3u8").with_latency(Duration::from_millis(1_500));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(secs(90));
    let transcript = simulation.transcript().to_string();
    let starts: Vec<f64> = transcript
        .lines()
        .filter_map(|line| line.trim_start().split_once(" load primary "))
        .map(|(at, _)| at.parse().expect("a time"))
        .collect();
    assert!(starts.len() > 20, "{starts:?}\n{transcript}");
    let apart = starts.windows(2).all(|pair| (pair[1] - pair[0] - 4.0).abs() < 0.1);
    assert!(apart, "{starts:?}\n{transcript}");
}

#[test]
fn a_playlist_that_stands_still_is_waited_for_with_events() {
    let live = Live { stale: Some((15, 13)), end: Some(15), ..Live::event(3) };
    let (played, simulation) = golden("live_stale.txt", simulation(live, SessionOptions::default()), 120);
    assert_eq!(played, range(0..15));
    says(&simulation, "live late v0");
    says(&simulation, "live frozen v0");
    says(&simulation, "live recovered v0");
}

#[test]
fn a_frozen_variant_is_left_for_another_one() {
    let main =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=128001\nb/index.m3u8\n";
    let frozen = Live { stale: Some((13, 1_000)), dated: true, ..Live::event(3) };
    let sound = Live { end: Some(15), dated: true, ..Live::event(3) };
    let world = sound.world(frozen.world(World::new().with_text("/main.m3u8", main), "/b/index.m3u8"), "/a/index.m3u8");
    let playback = PlaybackOptions { variant: VariantChoice::Best, ..Default::default() };
    let options = SessionOptions { playback, ..SessionOptions::default() };
    let (played, simulation) = golden("live_frozen.txt", Simulation::new(world, &url(), options), 120);
    assert_eq!(played, range(0..15));
    says(&simulation, "fails over=true");
}

#[test]
fn an_encoder_that_begins_anew_is_followed() {
    let live = Live { restart: Some(18), first: 100, ..Live::sliding(6) };
    let (played, simulation) = golden("live_restart.txt", simulation(live, SessionOptions::default()), 60);
    assert!(played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    says(&simulation, "live encoder restarted v0");
    says(&simulation, "/again0");
    assert_eq!(simulation.world().requests_for("/again0"), 1);
}

#[test]
fn a_server_that_is_behind_changes_nothing() {
    let live = Live { lagging: true, end: Some(15), ..Live::event(3) };
    let (played, simulation) = golden("live_behind.txt", simulation(live, SessionOptions::default()), 200);
    assert_eq!(played, range(0..15));
    says(&simulation, "live behind v0");
}

/// Plays 32 segments of a second from the first one on, of which some are there at the beginning, as a server shows them that
/// is given the time in seconds, and says which time's list to show.
#[track_caller]
fn is_played_once(start: u64, window: u64, kind: &'static str, shows: fn(u64) -> u64) {
    let text = move |now: Tick| {
        let end = (start + shows(now.as_nanos() / 1_000_000_000)).min(32);
        let first = end.saturating_sub(window);
        let segments: String = (first..end).map(|n| format!("#EXTINF:1,\nseg{n}\n")).collect();
        let rest = if end == 32 { "#EXT-X-ENDLIST\n" } else { "" };
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{kind}#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}{rest}")
    };
    let world = (0..32).fold(World::new(), |world, n| world.with(&format!("/seg{n}"), Answer::Bytes(16_000)));
    let world = world.with("/main.m3u8", Answer::Live(Arc::new(text)));
    let live = LiveOptions { start: LiveStart::Beginning, ..LiveOptions::default() };
    let mut simulation = Simulation::new(world, &url(), SessionOptions { live, ..SessionOptions::default() });
    simulation.run(secs(80));
    assert_eq!(played(&simulation), range(0..32), "{}", simulation.transcript());
    says(&simulation, "live behind v0");
    assert!((0..32).all(|n| simulation.world().requests_for(&format!("/seg{n}")) == 1), "each is asked for once");
}

#[test]
fn an_old_copy_of_short_segments_is_waited_out_and_nothing_is_played_again() {
    for (start, window, kind) in [(12, 24, ""), (6, 99, "#EXT-X-PLAYLIST-TYPE:EVENT\n")] {
        let check = |shows| is_played_once(start, window, kind, shows);
        // Four seconds behind for three, and for good; standing still; in turn with new ones.
        check(|now| if (6..9).contains(&now) { now - 4 } else { now });
        check(|now| if now > 5 { now - 4 } else { now });
        check(|now| if (5..15).contains(&now) { 3 } else { now });
        check(|now| if now > 4 && now / 2 % 2 == 0 { now - 4 } else { now });
    }
}

#[test]
fn a_segment_that_is_announced_before_it_is_there_is_waited_for() {
    let live = Live { end: Some(15), ..Live::event(3) };
    let world = live.world(World::new(), "/main.m3u8");
    let late = |world: World, path| world.with_fault(fault(path, 0, 5, FailureKind::NotFound, Some(404)));
    let world = ["/seg5", "/seg8", "/seg11"].into_iter().fold(world, late);
    let simulation = Simulation::new(world, &url(), SessionOptions::default());
    let (played, simulation) = golden("live_early.txt", simulation, 120);
    assert_eq!(played, range(0..15));
    says(&simulation, "by Refetch");
    assert!(!simulation.transcript().to_string().contains("by ReloadMedia"));
}

#[test]
fn a_segment_that_never_comes_is_left_out_of_a_live_stream() {
    let world = Live { end: Some(15), ..Live::event(3) }.world(World::new(), "/main.m3u8");
    let world = world.with_fault(fault("/seg6", 0, 999, FailureKind::NotFound, Some(404)));
    let simulation = Simulation::new(world, &url(), SessionOptions::default());
    let (played, simulation) = golden("live_missing.txt", simulation, 200);
    assert_eq!(played, [range(0..6), range(7..15)].concat());
    says(&simulation, "skipped v0 #6");
}

#[test]
fn reloads_that_fail_do_not_stop_what_plays() {
    let world = Live { end: Some(15), ..Live::event(3) }.world(World::new(), "/main.m3u8");
    let world = world.with_fault(fault("/main", 4, 4, FailureKind::Unreachable, Some(503)));
    let simulation = Simulation::new(world, &url(), SessionOptions::default());
    let (played, simulation) = golden("live_reload_fails.txt", simulation, 120);
    assert_eq!(played, range(0..15));
    assert_eq!(simulation.player().report().stalls, 0);
}

#[test]
fn a_window_that_was_slept_through_is_joined_again() {
    let world = Live::sliding(6).world(World::new(), "/main.m3u8");
    // Nothing answers for a minute and a half.
    let mut outage = fault("/", 0, 999, FailureKind::Unreachable, None);
    outage.path = "main".into();
    (outage.from, outage.times) = (4, 24);
    let simulation = Simulation::new(world.with_fault(outage), &url(), SessionOptions::default());
    let (played, simulation) = golden("live_rejoined.txt", simulation, 200);
    assert!(played.windows(2).all(|pair| pair[1] > pair[0]), "{played:?}");
    assert!(played.last() > Some(&40), "{played:?}");
    says(&simulation, "live window jumped v0");
    says(&simulation, "live rejoined main");
}

#[test]
fn a_storm_of_discontinuities_is_played_through() {
    let live = Live { broken: true, end: Some(20), ..Live::sliding(6) };
    let (played, simulation) = golden("live_storm.txt", simulation(live, SessionOptions::default()), 120);
    assert_eq!(played, range(3..20));
    says(&simulation, "- live storm v0 of 5 discontinuities");
    assert_eq!(simulation.transcript().to_string().matches("live storm").count(), 1, "it is told once");
    assert_eq!(simulation.player().report().stalls, 0);
}

#[test]
fn a_viewer_seeks_in_the_window_and_beyond_the_edge() {
    let mut simulation = simulation(Live { end: Some(20), ..Live::event(10) }, SessionOptions::default());
    simulation.seek_at(secs(5), Duration::from_secs(30));
    // Ten seconds ahead of what has been recorded by then.
    simulation.seek_at(secs(10), Duration::from_secs(58));
    simulation.seek_at(secs(30), Duration::from_secs(8));
    let (played, simulation) = golden("live_seek.txt", simulation, 200);
    assert_eq!(played[..1], [0]);
    assert!(played.contains(&7) && played.contains(&14), "{played:?}");
    assert_eq!(played[played.len() - 18..], range(2..20)[..]);
    says(&simulation, "waiting LiveEdge");
}

#[test]
fn clocks_that_jump_and_hosts_that_sleep_are_noticed() {
    let mut simulation = simulation(Live::sliding(6), SessionOptions::default());
    simulation.run(secs(9));
    let mut session = simulation.into_session();
    let wall = |secs: i64| Some(WallTime::from_millis(1_800_000_000_000 + secs * 1_000));
    session.handle(Now { at: secs(10), wall: wall(10) }, Input::Timeout);
    while session.poll_action().is_some() || session.poll_event().is_some() {}
    session.handle(Now { at: Tick::from_millis(10_100), wall: wall(70) }, Input::Timeout);
    let said: Vec<String> = std::iter::from_fn(|| session.poll_event()).map(|event| event.to_string()).collect();
    assert_eq!(said, ["live clock jumped by 59900 ms"]);
    let done: Vec<String> = std::iter::from_fn(|| session.poll_action()).map(|action| action.to_string()).collect();
    assert_eq!(done, ["load primary /main.m3u8"], "the host may have slept");
    session.handle(Now { at: Tick::from_millis(10_200), wall: wall(11) }, Input::Timeout);
    let said: Vec<String> = std::iter::from_fn(|| session.poll_event()).map(|event| event.to_string()).collect();
    assert_eq!(said, ["live clock jumped by -59100 ms"]);
}

#[test]
fn a_clock_that_is_set_and_a_host_that_was_moved_in_time_cost_a_load_and_nothing_else() {
    let mut simulation = simulation(Live { dated: true, ..Live::sliding(6) }, SessionOptions::default())
        .dated(WallTime::from_millis(1_800_000_020_000));
    simulation.clock_jumps_at(secs(13), 3_600_000);
    simulation.clock_jumps_at(secs(23), -7_200_000);
    let (played, simulation) = golden("live_clock.txt", simulation, 60);
    assert!(played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert_eq!(simulation.player().report().stalls, 0);
    says(&simulation, "- live clock jumped by 36000");
    says(&simulation, "- live clock jumped by -7200000 ms");
}

#[test]
fn a_viewer_seeks_back_behind_a_window_that_was_kept_and_to_the_edge() {
    let live = LiveOptions { time_shift: Duration::from_secs(3_600), ..LiveOptions::default() };
    let options = SessionOptions { store_room: 1 << 30, live, ..SessionOptions::default() };
    let mut simulation = simulation(Live { drops: true, end: Some(40), ..Live::sliding(6) }, options);
    // Ten segments have left the window by then; the edge is at 84 s.
    simulation.seek_at(secs(60), Duration::from_secs(20));
    simulation.seek_at(secs(70), Duration::from_secs(84));
    let (played, simulation) = golden("live_dvr.txt", simulation, 240);
    let back = played.windows(2).position(|pair| pair[1] < pair[0]).expect("it went back");
    assert_eq!((played[back + 1], played.last()), (5, Some(&39)), "{played:?}");
    assert!(simulation.player().report().ended);
}

/// What is said, and what is done, when nothing asks the session anything for so long after something was due.
#[track_caller]
fn sleeps(millis: u64, want_said: &[&str], want_done: &[&str]) {
    let mut simulation = simulation(Live::sliding(6), SessionOptions::default());
    simulation.run(secs(9));
    let mut session = simulation.into_session();
    let due = session.poll_timeout().expect("a live stream is followed");
    session.handle(Now::from(due + Duration::from_millis(millis)), Input::Timeout);
    let said: Vec<String> = std::iter::from_fn(|| session.poll_event()).map(|event| event.to_string()).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).filter(|it| it.starts_with("live ")).collect();
    let done: Vec<String> = std::iter::from_fn(|| session.poll_action()).map(|action| action.to_string()).collect();
    assert_eq!(said, want_said);
    assert_eq!(done, want_done);
}

#[test]
fn a_host_that_slept_loads_at_once_and_calls_no_playlist_late() {
    sleeps(30_000, &["live woke after 30.000 s"], &["load primary /main.m3u8"]);
    sleeps(10_000, &["live woke after 10.000 s"], &["load primary /main.m3u8"]);
}

#[test]
fn a_delay_below_ten_seconds_is_no_sleep() {
    sleeps(0, &[], &["load primary /main.m3u8"]);
    // The time counts, for the playlist as well.
    sleeps(5_000, &["live late v0 for 8.980 s"], &["load primary /main.m3u8"]);
}

/// Two variants of one encoder whose playlists have nothing in common but the live edge. The second is selected at 22 s;
/// its timestamps are told at 30 s, and once more. They lie this many milliseconds behind those of the first.
fn guessed(behind: i64) -> Simulation {
    let main =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=128001\nb/index.m3u8\n";
    let world = World::new().with_text("/main.m3u8", main);
    let world = Live::sliding(6).world(world, "/a/index.m3u8");
    let world = Live { first: 100, ..Live::sliding(6) }.world(world, "/b/index.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    let tell = |simulation: &mut Simulation, at: u64, variant: u32, msn: u64, start: Duration, millis: i64| {
        let dsn = DiscontinuitySequence(0);
        let unit = UnitKey::segment(MediaId::Variant(VariantId(variant)), MediaSequence(msn));
        let time = MediaTime::from_nanos((1_000_000 + millis) * 1_000_000);
        simulation.at(secs(at), Input::MediaTime { unit, dsn, start, time });
    };
    tell(&mut simulation, 2, 0, 3, 3 * FOUR, 12_000);
    simulation.at(secs(22), Input::Command(Command::SelectVariant(Some(VariantId(1)))));
    simulation.run(secs(30));
    let begun = simulation.player().report().played_units.last().expect("something is played");
    let start = begun.end - FOUR;
    assert_eq!(begun.unit.msn(), Some(MediaSequence(110)));
    tell(&mut simulation, 30, 1, 110, start, 40_000 - behind);
    tell(&mut simulation, 31, 1, 111, start + FOUR, 44_000 - behind);
    simulation.run(secs(80));
    simulation
}

#[test]
fn a_reader_that_comes_late_with_its_timestamp_is_answered() {
    // Segment 3 left the window minutes ago, and what its playlist says of discontinuities may be another thing now.
    let mut simulation = simulation(Live { broken: true, ..Live::sliding(6) }, SessionOptions::default());
    let unit = UnitKey::segment(MediaId::Variant(VariantId(0)), MediaSequence(3));
    let (dsn, start, time) = (DiscontinuitySequence(7), Duration::from_secs(12), MediaTime::from_nanos(2_000_000_000));
    simulation.at(secs(200), Input::MediaTime { unit, dsn, start, time });
    simulation.run(secs(201));
    says(&simulation, "200.000 map dsn 7 by 10000000000 ns");
}

#[test]
fn a_discontinuity_that_nobody_counts_is_one_also_when_it_has_left_the_window() {
    let live = Live { breaks_at: Some(8), end: Some(30), ..Live::sliding(6) };
    let mut simulation = simulation(live, SessionOptions::default());
    simulation.run(secs(200));
    let transcript = simulation.transcript().to_string();
    assert_eq!(played(&simulation), range(3..30), "{transcript}");
    assert_eq!(transcript.matches(" Discontinuity").count(), 1, "{transcript}");
}

#[test]
fn a_variant_that_is_loaded_first_when_the_stream_has_ended_goes_on_where_the_other_one_was() {
    let main =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=128001\nb/index.m3u8\n";
    for dated in [false, true] {
        let live = Live { end: Some(30), dated, ..Live::sliding(6) };
        let world = live.world(World::new().with_text("/main.m3u8", main), "/a/index.m3u8");
        let playback = PlaybackOptions { variant: VariantChoice::Worst, ..Default::default() };
        let options = SessionOptions { playback, ..SessionOptions::default() };
        let mut simulation = Simulation::new(live.world(world, "/b/index.m3u8"), &url(), options);
        // The last segment appeared at 96 s.
        simulation.at(secs(98), Input::Command(Command::SelectVariant(Some(VariantId(1)))));
        simulation.seek_at(secs(99), Duration::from_secs(100));
        simulation.run(secs(200));
        let units = &simulation.player().report().units;
        let second = units.iter().skip_while(|unit| unit.media == MediaId::Variant(VariantId(0)));
        let second: Vec<u64> = second.filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
        assert_eq!(second, range(25..30), "{}", simulation.transcript());
    }
}

/// How far what is played of the second variant at last lies from where its timestamps say, in nanoseconds.
fn misplaced(simulation: &Simulation, behind: Duration) -> u128 {
    let units = &simulation.player().report().played_units;
    let last = units.last().expect("something is played");
    assert_eq!(last.unit.media, MediaId::Variant(VariantId(1)));
    let index = last.unit.msn().expect("a segment").0 - 100;
    last.end.abs_diff(Duration::from_secs(4 * (index + 1)) - behind).as_nanos()
}

#[test]
fn a_stream_placed_by_its_live_edge_moves_to_where_its_timestamps_say() {
    for behind in [0, 700] {
        let simulation = guessed(behind);
        let transcript = simulation.transcript().to_string();
        assert_eq!(transcript.matches("live realigned v1").count(), 1, "{transcript}");
        assert_eq!(misplaced(&simulation, Duration::from_millis(behind.unsigned_abs())), 0, "{transcript}");
        let units = &simulation.player().report().units;
        let second: Vec<u64> = units
            .iter()
            .filter(|unit| unit.media == MediaId::Variant(VariantId(1)))
            .filter_map(|unit| unit.msn())
            .map(|msn| msn.0)
            .collect();
        assert!(second.len() > 8 && second.windows(2).all(|pair| pair[1] == pair[0] + 1), "{second:?}");
        assert_eq!(simulation.player().report().stalls, 0, "{transcript}");
    }
}

#[test]
fn six_hours_of_a_sliding_window_hold_no_more_than_its_first_minutes() {
    let live = Live { broken: true, dated: true, ..Live::sliding(6) };
    let mut simulation = simulation(live, SessionOptions::default());
    simulation.run(secs(300));
    let early = simulation.session().footprint();
    simulation.run(secs(6 * 3_600));
    let late = simulation.session().footprint();
    assert!(simulation.player().report().played > Duration::from_secs(5 * 3_600 + 3_000));
    assert_eq!(simulation.player().report().stalls, 0);
    assert!(late <= early + early / 10, "{early} things at first, {late} after six hours");
}

#[test]
fn a_server_in_trouble_is_asked_for_a_live_playlist_when_it_said() {
    let told = |retry_after: u64| {
        let mut simulation = simulation(Live::sliding(6), SessionOptions::default());
        simulation.run(secs(9));
        let mut session = simulation.into_session();
        let due = session.poll_timeout().expect("a live stream is followed");
        session.handle(Now::from(due), Input::Timeout);
        let retry_after = Some(Duration::from_secs(retry_after));
        let cause = FetchFailure { status: Some(503), retry_after, ..FetchFailure::new(FailureKind::Unreachable) };
        while session.poll_action().is_some() {}
        session.handle(Now::from(due), Input::Playlist { id: PlaylistId::Primary, result: Err(cause) });
        loop {
            let next = session.poll_timeout().expect("it is asked for again");
            session.handle(Now::from(next), Input::Timeout);
            let loads =
                std::iter::from_fn(|| session.poll_action()).any(|it| matches!(it, Action::LoadPlaylist { .. }));
            if loads {
                return next.since(due).as_secs();
            }
        }
    };
    assert_eq!(
        [told(0), told(3), told(30), told(7_200)],
        [0, 3, 4, 4],
        "and nobody is sent away while the window goes on"
    );
}

/// What is asked for at `url` of a server that answers with a delta update when it is asked to, or, with `always`, always.
#[track_caller]
fn skips(query: &str, always: bool) -> (Vec<String>, Simulation) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let serve = move |url: &url::Url, now: Tick| {
        let query = url.query().unwrap_or_default().to_owned();
        let skips = always || query.contains("_HLS_skip");
        notes.lock().expect("nothing panics under it").push(query);
        let end = 6 + now.as_nanos() / 4_000_000_000;
        let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n");
        let first = if skips { end - 3 } else { 0 };
        if skips {
            text.push_str(&format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={first}\n"));
        }
        (first..end).for_each(|n| text.push_str(&format!("#EXTINF:4,\nseg{n}\n")));
        (Duration::ZERO, text)
    };
    let world = Live::event(1).world(World::new(), "/main.m3u8").with("/main.m3u8", Answer::Served(Arc::new(serve)));
    let mut opened = url();
    opened.set_query(Some(query));
    let mut simulation = Simulation::new(world, &opened, SessionOptions::default());
    simulation.run(secs(60));
    let asked = asked.lock().expect("nothing panics under it").clone();
    (asked, simulation)
}

#[test]
fn directives_in_the_url_of_the_application_are_not_sent() {
    let (asked, simulation) = skips("_HLS_msn=3&sig=a%2Fb&_HLS_skip=YES", false);
    assert!(asked.iter().all(|query| query == "sig=a%2Fb"), "{asked:?}");
    assert_eq!(simulation.player().report().stalls, 0);
    assert!(played(&simulation).len() > 12);
}

#[test]
fn a_server_that_has_nothing_but_delta_updates_has_no_playlist() {
    let (asked, simulation) = skips("sig=1", true);
    says(&simulation, "fail playlist v0: Playlist");
    assert!(asked.len() < 12, "{asked:?}");
}

/// A server that blocks and skips: it lists a segment of 4 s more every 4 s, the first six at once, and notes what it was
/// asked for. With `forgetful`, its third delta update continues nothing.
fn blocking_server(asked: Arc<Mutex<Vec<String>>>, forgetful: bool) -> Answer {
    Answer::Served(Arc::new(move |url, now| {
        let mut asked = asked.lock().expect("nothing panics under it");
        asked.push(url.query().unwrap_or_default().to_owned());
        let wanted = |name| url.query_pairs().find(|(it, _)| it == name).map(|(_, value)| value.into_owned());
        let at = Duration::from_nanos(now.as_nanos());
        let listed = 6 + at.as_secs() / 4;
        let msn: u64 = wanted("_HLS_msn").map_or(0, |msn| msn.parse().expect("a number"));
        let ready = Duration::from_secs((msn + 1).saturating_sub(6) * 4);
        let listed = listed.max(msn + 1);
        let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n");
        text.push_str("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24\n#EXT-X-MEDIA-SEQUENCE:0\n");
        let deltas = asked.iter().filter(|query| query.contains("_HLS_skip=YES")).count();
        let mut first = 0;
        if wanted("_HLS_skip").as_deref() == Some("YES") {
            first = listed - 4;
            let skipped = if forgetful && deltas == 3 { first + 50 } else { first };
            text.push_str(&format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"));
        }
        (first..listed).for_each(|n| text.push_str(&format!("#EXTINF:4,\nseg{n}\n")));
        (ready.saturating_sub(at), text)
    }))
}

#[track_caller]
fn blocks_and_skips(forgetful: bool) -> Vec<String> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let world = Live::event(1).world(World::new(), "/main.m3u8");
    let world = world.with("/main.m3u8", blocking_server(Arc::clone(&asked), forgetful));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(secs(60));
    let played = played(&simulation);
    assert!(played.len() > 12 && played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert_eq!(simulation.player().report().stalls, 0);
    let asked = asked.lock().expect("nothing panics under it");
    asked.clone()
}

#[test]
fn a_server_that_blocks_and_skips_is_asked_to() {
    let asked = blocks_and_skips(false);
    assert_eq!(asked[..3], ["", "_HLS_msn=6&_HLS_skip=YES", "_HLS_msn=7&_HLS_skip=YES"]);
    assert_eq!(asked.last().map(String::as_str), Some("_HLS_msn=19&_HLS_skip=YES"), "{asked:?}");
}

#[test]
fn a_delta_update_that_continues_nothing_is_followed_by_the_whole_playlist() {
    let asked = blocks_and_skips(true);
    assert!(
        asked.iter().filter(|query| query.starts_with("_HLS_msn=") && !query.contains("skip")).count() == 1,
        "{asked:?}"
    );
}
