//! Streams that are read part by part, in virtual time.

use std::{iter, time::Duration};

use kithara_hls_core::{
    BitRate,
    playlist::VariantId,
    session::{
        Command, Demand, FailureKind, Input, LiveOptions, MediaId, PlaybackOptions, PlaylistId, PlaylistText, ReaderId,
        Session, SessionOptions, Track, VariantChoice, View,
    },
    sim::{Bandwidth, Chance, Fault, Simulation, World},
    time::{Now, Tick},
};

mod worlds;
use kithara_origin::{Packager, Recording, fixtures_dir};
use worlds::{
    low_latency::{LowLatency, Parts},
    packager::Packaged,
    url,
};

fn secs(secs: u64) -> Tick {
    Tick::from_millis(secs * 1_000)
}

fn simulation(stream: LowLatency, chance: Option<Chance>) -> Simulation {
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let (world, _) = stream.world(world, "/main.m3u8");
    let world = chance.into_iter().fold(world, World::with_chance);
    Simulation::new(world, &url(), SessionOptions::default()).telling_positions()
}

/// Plays for ten minutes: no stall, and at each part the end of what is listed is no further away than the server's
/// PART-HOLD-BACK and one part.
#[track_caller]
fn check(stream: LowLatency, chance: Option<Chance>) -> Simulation {
    let mut simulation = simulation(stream, chance);
    simulation.run(secs(600));
    assert_kept_up(&simulation, stream.part, |at| stream.edge(at, Tick::ZERO));
    simulation
}

/// Ten minutes were played without a stall, and within the server's PART-HOLD-BACK and one part of where the stream was.
#[track_caller]
fn assert_kept_up(simulation: &Simulation, part: Duration, edge: impl Fn(Tick) -> Duration) {
    let report = simulation.player().report();
    let transcript = || {
        let lines = &simulation.transcript().lines;
        lines.iter().take(400).cloned().collect::<Vec<_>>().join("\n")
    };
    assert_eq!((report.stalls, report.stalled), (0, Duration::ZERO), "{}", transcript());
    let limit = part * 4;
    for (at, heard) in &report.heard {
        let latency = edge(*at).saturating_sub(*heard);
        assert!(latency <= limit, "{latency:?} behind at {at:?}\n{}", transcript());
    }
    let parts = Duration::from_secs(580).as_millis() / part.as_millis();
    assert!(report.heard.len() as u128 >= parts, "{} parts\n{}", report.heard.len(), transcript());
}

/// The packager of the origin, which cuts real media into parts.
fn packaged(change: impl Fn(Packager) -> Packager) -> Packaged {
    let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).expect("the fixture is committed");
    let packager = Packager::new(Duration::from_millis(400)).start(12).rendition("live/main.m3u8", &sound);
    Packaged::new(change(packager), "live/main.m3u8")
}

fn follow(world: World) -> Simulation {
    let url = url().join("/live/main.m3u8").expect("a URL");
    Simulation::new(world, &url, SessionOptions::default()).telling_positions()
}

/// Ten minutes of the packager of the origin, with this chance of faults.
#[track_caller]
fn check_packaged(change: impl Fn(Packager) -> Packager, chance: Option<Chance>) {
    let packaged = packaged(change);
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let mut simulation = follow(chance.into_iter().fold(packaged.world(world), World::with_chance));
    simulation.run(secs(600));
    assert_kept_up(&simulation, packaged.longest_part(), |at| packaged.edge(at));
}

#[test]
fn ten_minutes_of_real_parts_with_one_percent_of_faults_do_not_stall() {
    check_packaged(|packager| packager, None);
    check_packaged(Packager::by_range, None);
    for seed in 1..=6 {
        for silence in [0, 50] {
            // The player begins with whatever comes first, be it a tenth of a second.
            let chance = Some(Chance { per_mille: 10, silence, seed, from: secs(2) });
            check_packaged(|packager| packager, chance);
            check_packaged(Packager::by_range, chance);
            check_packaged(|packager| packager.renewed().window(12), chance);
        }
    }
}

#[test]
fn ten_minutes_are_played_within_part_hold_back_and_a_part() {
    check(LowLatency::default(), None);
    check(LowLatency { resources: Parts::Ranges, ..LowLatency::default() }, None);
    check(LowLatency { inits: Some(3), ..LowLatency::default() }, None);
}

/// Ten minutes with this much silence among one percent of faults, by both kinds of resources and four seeds.
#[track_caller]
fn check_with_faults(stream: LowLatency, silence: u32) {
    for resources in [Parts::Own, Parts::Ranges] {
        for seed in 1..=4 {
            check(LowLatency { resources, ..stream }, Some(Chance { per_mille: 10, silence, seed, from: Tick::ZERO }));
        }
    }
}

#[test]
fn ten_minutes_with_one_percent_of_faults_do_not_stall() {
    check_with_faults(LowLatency::default(), 0);
    check_with_faults(LowLatency { inits: Some(3), ..LowLatency::default() }, 0);
}

#[test]
fn requests_that_are_never_answered_are_begun_anew_before_playback_stalls() {
    check_with_faults(LowLatency { part: Duration::from_secs(1), parts: 4, ..LowLatency::default() }, 50);
    check_with_faults(LowLatency::default(), 50);
}

/// What was done for a stream in its first minute, and what its server was asked for.
fn minute(stream: LowLatency) -> (Simulation, String, Vec<String>) {
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let (world, asked) = stream.world(world, "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).telling_positions();
    simulation.run(secs(60));
    let transcript = simulation.transcript().to_string();
    let asked = asked.lock().expect("nothing panics under it").clone();
    assert_eq!(simulation.player().report().stalls, 0, "{transcript}");
    (simulation, transcript, asked)
}

#[test]
fn each_part_is_asked_for_once_and_ahead_of_its_announcement() {
    let (simulation, transcript, asked) = minute(LowLatency::default());
    assert_eq!(asked[..3], ["", "_HLS_msn=15&_HLS_part=0&_HLS_skip=YES", "_HLS_msn=15&_HLS_part=1&_HLS_skip=YES"]);
    assert!(asked.len() < 155, "{} loads", asked.len());
    let once =
        (16..29).all(|msn| (0..10).all(|part| simulation.world().requests_for(&format!("/m/part{msn}.{part}")) == 1));
    assert!(once, "{transcript}");
    assert!(!transcript.contains("fetch f") || transcript.matches(" fetch f").count() == 1, "{transcript}");
}

#[test]
fn parts_of_one_resource_come_with_one_request_for_each_segment() {
    let (simulation, transcript, _) = minute(LowLatency { resources: Parts::Ranges, ..LowLatency::default() });
    for msn in 16..29 {
        assert_eq!(simulation.world().requests_for(&format!("/m/seg{msn}")), 1, "{transcript}");
    }
}

#[test]
fn segments_that_end_early_are_followed_by_the_next_without_a_second_request() {
    let (simulation, transcript, _) = minute(LowLatency { cuts: Some((3, 4)), ..LowLatency::default() });
    let played: Vec<u64> =
        simulation.player().report().units.iter().filter_map(|unit| unit.msn()).map(|it| it.0).collect();
    assert!(played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{played:?}");
    assert!(transcript.contains("v0/21#3") && !transcript.contains("v0/21#4"), "{transcript}");
    let ends: Vec<Duration> = simulation.player().report().played_units.iter().map(|it| it.end).collect();
    let starts: Vec<Duration> = simulation.player().report().played_units.iter().map(|it| it.start).collect();
    assert_eq!(ends[..ends.len() - 1], starts[1..], "{transcript}");
}

#[test]
fn a_hint_at_something_that_never_comes_is_dropped() {
    let (_, transcript, _) = minute(LowLatency { mishints: Some(7), ..LowLatency::default() });
    let (asked, dropped) = (transcript.matches("/m/never").count(), transcript.matches("cancel f").count());
    assert!(asked >= 20 && dropped >= asked - 1, "{asked} asked, {dropped} dropped\n{transcript}");
}

#[test]
fn an_initialization_section_that_is_hinted_at_is_asked_for_ahead_and_once() {
    let (simulation, transcript, _) = minute(LowLatency { inits: Some(4), ..LowLatency::default() });
    let lines: Vec<&str> = transcript.lines().collect();
    for run in 4..7 {
        let path = format!("/m/init{run}");
        assert_eq!(simulation.world().requests_for(&path), 1, "{transcript}");
        let asked = lines.iter().position(|line| line.contains(" ahead ") && line.ends_with(&path));
        let entered = lines.iter().position(|line| line.contains("enter ") && line.contains(&format!("/{} ", run * 4)));
        assert!(asked.expect(&transcript) < entered.expect(&transcript), "{transcript}");
        let taken = lines.iter().any(|line| line.contains(" fetch ") && line.contains(&format!("{path} from f")));
        assert!(taken, "{transcript}");
    }
    let heard = simulation.player().report().heard.len();
    assert!(heard > 140, "{heard} parts\n{transcript}");
}

#[test]
fn a_hinted_initialization_section_that_is_silent_or_refused_is_asked_for_like_any_other() {
    // Before it is announced, while it is waited for, and never.
    for after in (3_000..5_000).step_by(100).chain([3_600_000]) {
        let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
        let (world, _) = LowLatency { inits: Some(4), ..LowLatency::default() }.world(world, "/main.m3u8");
        let (kind, after) = (FailureKind::Unreachable, Duration::from_millis(after));
        let world =
            world.with_fault(Fault { path: "/m/init5".into(), from: 0, times: 1, kind, status: Some(503), after });
        let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).telling_positions();
        simulation.run(secs(60));
        let (asked, report) = (simulation.world().requests_for("/m/init5"), simulation.player().report());
        assert_eq!((asked, report.stalls), (2, 0), "after {after:?}\n{}", simulation.transcript());
        assert!(report.heard.len() > 140, "{}", simulation.transcript());
    }
}

#[test]
fn a_stream_with_a_new_initialization_section_each_second_is_followed_part_by_part() {
    let stream = LowLatency { inits: Some(1), parts: 3, window: 12, ..LowLatency::default() };
    let (simulation, transcript, _) = minute(stream);
    let fetches: Vec<&str> =
        transcript.lines().filter(|line| line.contains(" fetch ") && line.contains("/m/init")).collect();
    let taken = fetches.iter().filter(|line| line.contains(" from f")).count();
    assert!(fetches.len() > 45 && taken + 2 >= fetches.len(), "{taken} of {}\n{transcript}", fetches.len());
    assert!(simulation.player().report().heard.len() > 140, "{transcript}");
}

#[test]
fn a_new_initialization_section_that_is_missing_for_a_moment_does_not_end_a_live_stream() {
    for (kind, status) in [(FailureKind::Unreachable, 503), (FailureKind::NotFound, 404), (FailureKind::NotMedia, 200)]
    {
        let packaged = packaged(|packager| packager.renewed().window(12));
        let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
        let (path, after) = ("/live/init4.mp4".to_owned(), Duration::from_millis(20));
        let fault = Fault { path, from: 0, times: 4, kind, status: Some(status), after };
        let mut simulation = follow(packaged.world(world).with_fault(fault));
        simulation.run(secs(60));
        let (report, transcript) = (simulation.player().report(), simulation.transcript());
        assert!(report.heard.len() > 150, "{kind:?}: {} parts\n{transcript}", report.heard.len());
        let asked = simulation.world().requests_for("/live/init4.mp4");
        assert_eq!(asked, 5, "{kind:?}\n{transcript}");
    }
}

#[test]
fn an_initialization_section_of_another_length_than_was_hinted_at_is_not_taken_from_the_hint() {
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"m/init5\",BYTERANGE-LENGTH=600\n";
    let stream = LowLatency { inits: Some(4), header: hint, ..LowLatency::default() };
    let (world, _) = stream.world(world, "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).telling_positions();
    simulation.run(secs(40));
    let transcript = simulation.transcript().to_string();
    assert!(transcript.contains("/m/init5 [600@0]"), "it is asked for ahead as it is hinted at: {transcript}");
    let fetched = transcript.lines().find(|line| line.contains(" fetch ") && line.contains("/m/init5"));
    assert!(fetched.is_some_and(|line| !line.contains(" from ")), "{transcript}");
    assert_eq!(simulation.player().report().stalls, 0, "{transcript}");
}

#[test]
fn hints_of_both_kinds_that_are_refused_are_asked_for_once_each() {
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let hints = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"no/part\"\n#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"no/init\"\n";
    let stream = LowLatency { inits: Some(4), hints: false, header: hints, ..LowLatency::default() };
    let (world, _) = stream.world(world, "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).telling_positions();
    simulation.run(secs(60));
    let asked = |path| simulation.world().requests_for(path);
    assert_eq!((asked("/no/part"), asked("/no/init")), (1, 1), "{}", simulation.transcript());
    assert_eq!(simulation.player().report().stalls, 0, "{}", simulation.transcript());
}

#[test]
fn a_server_that_does_not_block_is_asked_once_for_each_part() {
    let stream = LowLatency { blocks: false, hints: false, ..LowLatency::default() };
    let (simulation, transcript, asked) = minute(stream);
    assert!(asked.iter().all(|query| !query.contains("_HLS_msn")), "{asked:?}");
    assert!(asked.len() < 170, "{} loads", asked.len());
    assert!(simulation.player().report().heard.len() > 140, "{transcript}");
}

#[test]
fn parts_that_trickle_at_the_speed_of_the_encoder_do_not_make_the_link_look_slow() {
    let (simulation, transcript, _) = minute(LowLatency { trickles: true, ..LowLatency::default() });
    let estimate = simulation.session().status().throughput.expect("it was measured");
    assert!(estimate > BitRate::from_kbps(10_000), "{estimate}\n{transcript}");
}

#[test]
fn a_part_that_is_declared_absent_is_left_out_with_what_is_behind_it() {
    let (simulation, transcript, _) = {
        let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
        let (world, asked) = LowLatency { gap: Some((20, 6)), ..LowLatency::default() }.world(world, "/main.m3u8");
        let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
        simulation.run(secs(60));
        let transcript = simulation.transcript().to_string();
        (simulation, transcript, asked)
    };
    assert_eq!(transcript.matches("- skipped v0 #11").count(), 1, "{transcript}");
    let report = simulation.player().report();
    assert!(report.units.iter().any(|unit| unit.msn().is_some_and(|msn| msn.0 == 28)), "{transcript}");
    assert!(report.stalled < Duration::from_secs(3), "{:?}", report.stalled);
}

#[test]
fn a_stream_that_ends_in_the_middle_of_a_segment_is_played_to_its_last_part() {
    for lists in [true, false] {
        for resources in [Parts::Own, Parts::Ranges] {
            // Ten seconds after the start, with four parts of a segment.
            let stream = LowLatency { ends: Some((174, lists)), resources, ..LowLatency::default() };
            let mut simulation = simulation(stream, None);
            simulation.run(secs(60));
            let (report, transcript) = (simulation.player().report(), simulation.transcript().to_string());
            assert!(report.ended, "{transcript}");
            assert_eq!(report.stalls, 0, "{transcript}");
            let (last, end) =
                (report.played_units.last().expect("something was played"), if lists { 33_600 } else { 33_200 });
            assert_eq!(last.end, Duration::from_millis(end), "{transcript}");
            assert!(!transcript.contains("- error"), "{transcript}");
        }
    }
}

#[test]
fn an_application_may_turn_it_off_or_stay_further_behind() {
    let with = |live: LiveOptions| {
        let (world, _) = LowLatency::default().world(World::new(), "/main.m3u8");
        let mut simulation = Simulation::new(world, &url(), SessionOptions { live, ..SessionOptions::default() });
        simulation.run(secs(20));
        let transcript = simulation.transcript().to_string();
        (simulation.player().report().played_units[0].start, transcript.contains("part f"))
    };
    let whole = LiveOptions { low_latency: false, ..LiveOptions::default() };
    assert_eq!(with(whole), (Duration::from_secs(12), false));
    let behind = LiveOptions { target_latency: Some(Duration::from_secs(5)), ..LiveOptions::default() };
    assert_eq!(with(behind), (Duration::from_secs(19), true));
    let too_near = LiveOptions { target_latency: Some(Duration::from_millis(100)), ..LiveOptions::default() };
    assert_eq!(with(too_near), (Duration::from_millis(22_800), true));
}

#[test]
fn playback_that_began_late_is_led_back_to_where_it_should_be() {
    let stream = LowLatency::default();
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(3_000)));
    let (world, _) = stream.world(world, "/main.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).keeping_up();
    simulation.run(secs(60));
    let report = simulation.player().report();
    let behind = |(at, heard): &(Tick, Duration)| stream.edge(*at, Tick::ZERO).saturating_sub(*heard);
    let (first, last) = (behind(&report.heard[0]), behind(report.heard.last().expect("parts arrived")));
    let limit = stream.part * 4;
    assert!(first > limit && last <= limit, "{first:?} at first, {last:?} at last\n{}", simulation.transcript());
    assert_eq!(report.stalls, 0, "{}", simulation.transcript());
}

/// A first copy with this Age header, and what is done after it; after a second one of this moment; then loads.
#[track_caller]
fn tunes_in(age: Option<u64>, want_first: &[&str], want_load: Option<&str>) {
    let stream = LowLatency::default();
    let text = |at: u64| stream.text(Tick::from_millis(at), false);
    let mut session = Session::new(url(), SessionOptions::default(), Now::from(Tick::ZERO));
    let open = Demand::Open { view: View::Adaptive, track: Track::Main };
    session.handle(Now::from(Tick::ZERO), Input::Demand { reader: ReaderId(1), demand: open });
    let mut load = |at: u64, text: String, age: Option<u64>| {
        let age = age.map(Duration::from_secs);
        let playlist = PlaylistText { url: url(), text, from_store: false, age, may_be_cut: false };
        session.handle(
            Now::from(Tick::from_millis(at)),
            Input::Playlist { id: PlaylistId::Primary, result: Ok(playlist) },
        );
        session.handle(Now::from(Tick::from_millis(at)), Input::Timeout);
        iter::from_fn(|| session.poll_action()).collect::<Vec<_>>()
    };
    // The copy that a cache kept for so long.
    let first = load(20_020, text(20_000 - age.unwrap_or(0) * 1_000), age);
    let shown: Vec<String> = first.iter().map(ToString::to_string).collect();
    assert_eq!(shown.iter().map(String::as_str).collect::<Vec<_>>(), want_first);
    let asked = |actions: &[kithara_hls_core::session::Action]| {
        let url = actions.iter().find_map(|action| match action {
            kithara_hls_core::session::Action::LoadPlaylist { url, .. } => Some(url.clone()),
            _ => None,
        });
        url.and_then(|url| url.query().map(str::to_owned))
    };
    assert_eq!(asked(&first[1..]).as_deref(), want_load);
    if want_load.is_some() {
        let second: Vec<String> = load(20_100, text(20_080), Some(0)).iter().map(ToString::to_string).collect();
        assert!(second[0].starts_with("attach"), "{second:?}");
    }
}

#[test]
fn a_copy_that_a_cache_kept_is_followed_by_a_fresh_one_before_anybody_begins() {
    const LOAD: &str = "load primary /main.m3u8";
    tunes_in(Some(6), &[LOAD, LOAD], Some("_HLS_msn=20&_HLS_part=2"));
}

#[test]
fn a_switch_asks_for_what_the_report_knows_of_the_other_rendition() {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900001\n\
                b/index.m3u8\n";
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let world = world.with_text("/main.m3u8", main);
    let stream = LowLatency { reports: &["../a/index.m3u8", "../b/index.m3u8"], ..LowLatency::default() };
    let (world, asked_a) = stream.world(world, "/a/index.m3u8");
    let (world, asked_b) = stream.world(world, "/b/index.m3u8");
    let playback = PlaybackOptions { variant: VariantChoice::Worst, ..PlaybackOptions::default() };
    let options = SessionOptions { playback, ..SessionOptions::default() };
    let mut simulation = Simulation::new(world, &url(), options);
    simulation.at(secs(20), Input::Command(Command::SelectVariant(Some(VariantId(1)))));
    simulation.run(secs(60));
    let transcript = simulation.transcript().to_string();
    let first_of = |asked: &worlds::low_latency::Asked| asked.lock().expect("nothing panics under it")[0].clone();
    assert_eq!([first_of(&asked_a), first_of(&asked_b)], ["", "_HLS_msn=19&_HLS_part=9"], "{transcript}");
    let report = simulation.player().report();
    let gaps = report.played_units.windows(2).filter(|pair| pair[0].end != pair[1].start).count();
    assert_eq!((gaps, report.stalls), (0, 0), "{transcript}");
    let variants: std::collections::BTreeSet<_> = report.units.iter().map(|unit| unit.media).collect();
    assert_eq!(variants.len(), 2, "{transcript}");
}

#[test]
fn a_link_that_becomes_slow_is_noticed_although_parts_are_waited_for() {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=3000000\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=500000\n\
                b/index.m3u8\n";
    let periods = vec![
        (Duration::from_secs(30), BitRate::from_kbps(20_000)),
        (Duration::from_secs(600), BitRate::from_kbps(2_000)),
    ];
    let world = World::new().with_bandwidth(Bandwidth::periods(periods)).with_text("/main.m3u8", main);
    let stream = LowLatency { reports: &["../a/index.m3u8", "../b/index.m3u8"], ..LowLatency::default() };
    let high = LowLatency { rate: BitRate::from_kbps(3_000), ..stream };
    let (world, _) = high.world(world, "/a/index.m3u8");
    let (world, _) = LowLatency { rate: BitRate::from_kbps(500), ..stream }.world(world, "/b/index.m3u8");
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(secs(90));
    let transcript = simulation.transcript().to_string();
    let units = &simulation.player().report().units;
    let low_after_high = units
        .windows(2)
        .any(|pair| pair[0].media == MediaId::Variant(VariantId(0)) && pair[1].media == MediaId::Variant(VariantId(1)));
    assert!(low_after_high, "{transcript}");
    let estimate = simulation.session().status().throughput.expect("it was measured");
    assert!(estimate < BitRate::from_kbps(3_000), "{estimate}\n{transcript}");
}

/// The longest time between two loads of a stream of parts of a second, of which one load is lost, in milliseconds.
fn longest_between_loads(stream: LowLatency) -> u64 {
    let world = World::new().with_bandwidth(Bandwidth::constant(BitRate::from_kbps(50_000)));
    let (world, _) = LowLatency { part: Duration::from_secs(1), parts: 4, ..stream }.world(world, "/main.m3u8");
    let lost = Fault {
        path: "/main.m3u8".into(),
        from: 20,
        times: 1,
        kind: FailureKind::Unreachable,
        status: None,
        after: Duration::from_secs(3_600),
    };
    let mut simulation = Simulation::new(world.with_fault(lost), &url(), SessionOptions::default());
    simulation.run(secs(60));
    let transcript = simulation.transcript();
    let time = |line: &str| (line.split_whitespace().next()?.parse::<f64>().ok()).map(|secs| (secs * 1e3) as u64);
    let loads: Vec<u64> =
        transcript.lines.iter().filter(|line| line.contains(" load ")).filter_map(|it| time(it)).collect();
    assert!(loads.len() > 50, "{transcript}");
    assert_eq!(simulation.player().report().stalls, 0, "{transcript}");
    loads.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
}

#[test]
fn a_load_that_is_lost_is_begun_anew_soon_after_the_part_that_it_was_to_announce_came() {
    // A part, the way of it, and half the way of the announcement; all the way where nothing tells that the part is there.
    let with_hints = longest_between_loads(LowLatency::default());
    assert!((1_250..1_300).contains(&with_hints), "{with_hints}");
    let without = longest_between_loads(LowLatency { hints: false, ..LowLatency::default() });
    assert!((1_500..1_550).contains(&without), "{without}");
}
