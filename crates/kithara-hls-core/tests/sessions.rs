//! Whole sessions in virtual time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use kithara_hls_core::{
    BitRate,
    playlist::VariantId,
    session::{
        Action, Demand, FailureKind, FetchFailure, HlsEvent, Input, MediaId, OnMissing, PlaybackOptions, PlaylistId,
        PlaylistText, ReaderId, Session, SessionOptions, Track, VariantChoice, View, WaitReason,
    },
    sim::{Answer, Bandwidth, PlayerReport, Simulation, World},
    time::{Now, Tick},
    trace::{Line, Recorder, Trace, TraceError, VERSION},
};

mod worlds;
use worlds::{FOUR, fault, ladder, url};

fn play(world: World, options: SessionOptions) -> (PlayerReport, String) {
    let mut simulation = Simulation::new(world, &url(), options);
    simulation.run(Tick::from_millis(600_000));
    (simulation.player().report().clone(), simulation.transcript().to_string())
}

#[track_caller]
fn check_exact(world: World, options: SessionOptions) -> String {
    let (report, transcript) = play(world, options);
    assert!(report.ended, "the end was not reached:\n{transcript}");
    assert_eq!(report.played, FOUR * 15, "{transcript}");
    let order: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
    assert_eq!(order, (0..15).collect::<Vec<_>>(), "{transcript}");
    transcript
}

#[test]
fn a_vod_plays_from_the_first_to_the_last_segment() {
    check_exact(ladder(World::new()), SessionOptions::default());
}

/// The variants that were played, segment by segment.
fn variants(report: &PlayerReport) -> Vec<u64> {
    report
        .units
        .iter()
        .filter_map(|unit| match unit.media {
            MediaId::Variant(VariantId(id)) => Some(u64::from(id)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_was_measured_with_the_first_segment_chooses_those_after_it() {
    // One more comes from the first variant while the playlist of the better one is on its way.
    let (report, transcript) = play(ladder(World::new()), SessionOptions::default());
    let want: Vec<u64> = [0, 0].into_iter().chain([2; 13]).collect();
    assert_eq!(variants(&report), want, "{transcript}");
}

#[test]
fn while_the_playlist_of_a_better_variant_cannot_be_had_playback_goes_on_with_what_there_is() {
    let playlist = fault("high/index", 0, 8, FailureKind::Unreachable, None);
    let link = Bandwidth::constant(BitRate(400_000));
    let world = ladder(World::new()).with_fault(playlist).with_bandwidth(link);
    let (report, transcript) = play(world, SessionOptions::default());
    assert!(report.ended && report.stalls == 0, "{transcript}");
    assert_eq!(report.played, FOUR * 15, "{transcript}");
}

#[test]
fn an_expired_segment_url_is_found_again_in_the_reloaded_playlist() {
    let world = ladder(World::new()).with_fault(fault("seg5", 0, 1, FailureKind::Gone, Some(410)));
    let transcript = check_exact(world, SessionOptions::default());
    assert!(transcript.contains("by ReloadMedia"), "{transcript}");
}

#[test]
fn a_media_playlist_that_was_opened_directly_is_loaded_again_too() {
    let world = World::new().with_vod("/main.m3u8", 15, FOUR, BitRate(128_000));
    let world = world.with_fault(fault("seg5", 0, 1, FailureKind::Gone, Some(410)));
    let transcript = check_exact(world, SessionOptions::default());
    assert!(transcript.contains("by ReloadMedia"), "{transcript}");
}

#[test]
fn a_segment_that_is_late_is_waited_for() {
    let world = World::new().with_vod("/main.m3u8", 15, FOUR, BitRate(128_000));
    let world = world.with_fault(fault("seg5", 0, 6, FailureKind::NotFound, Some(404)));
    check_exact(world, SessionOptions::default());
}

#[test]
fn a_playlist_that_is_late_is_waited_for() {
    let world = World::new().with_vod("/main.m3u8", 15, FOUR, BitRate(128_000));
    check_exact(world.with_fault(fault("main", 0, 2, FailureKind::NotFound, Some(404))), SessionOptions::default());
}

/// The waits a session reported in its trace, and since when.
fn waits(world: World, seek: Option<(Tick, Duration)>) -> Vec<(WaitReason, Duration)> {
    let options = SessionOptions::default();
    let recorder = Recorder::new(&url(), &options, Tick::ZERO.into(), 1);
    let mut simulation = Simulation::new(world, &url(), options).recorded(recorder);
    if let Some((at, to)) = seek {
        simulation.seek_at(at, to);
    }
    simulation.run(Tick::from_millis(600_000));
    let lines = simulation.into_recorder().expect("it was asked for").take_lines().expect("JSON");
    let trace = Trace::read(&lines.join("\n")).expect("a trace");
    trace.replay().expect("the same inputs give the same outputs");
    let wait = |line: &Line| match line {
        Line::Say(event) => match **event {
            HlsEvent::Waiting { reason, since, .. } => Some((reason, since)),
            _ => None,
        },
        _ => None,
    };
    trace.lines().iter().filter_map(wait).collect()
}

#[test]
fn a_wait_says_since_when_it_lasts() {
    let world = World::new().with_vod("/main.m3u8", 15, FOUR, BitRate(128_000));
    let late = world.clone().with_fault(fault("main", 0, 3, FailureKind::NotFound, Some(404)));
    assert_eq!(waits(late, None), [(WaitReason::PlaylistNotReady, Duration::ZERO); 3], "all since the opening");
    let live = world.with("/main.m3u8", Answer::Live(Arc::new(growing)));
    let beyond = (Tick::from_millis(2_500), Duration::from_secs(30));
    let at_the_edge = waits(live, Some(beyond));
    assert_eq!(at_the_edge.first(), Some(&(WaitReason::LiveEdge, Duration::from_millis(2_500))), "since the seek");
    assert!(
        at_the_edge.is_sorted_by_key(|(_, since)| *since) && at_the_edge.len() > 1,
        "each its own: {at_the_edge:?}"
    );
}

#[test]
fn a_wait_is_counted_from_the_opening_of_its_session() {
    let at = |secs: u64| Now::from(Tick::from_millis(secs * 1_000));
    let mut session = Session::new(url(), SessionOptions::default(), at(50));
    let not_there = || Input::Playlist {
        id: PlaylistId::Primary,
        result: Err(FetchFailure { status: Some(404), ..FetchFailure::new(FailureKind::NotFound) }),
    };
    session.handle(at(51), not_there());
    let event = session.poll_event();
    assert!(matches!(event, Some(HlsEvent::Waiting { since: Duration::ZERO, .. })), "{event:?}");
}

#[test]
fn a_trace_of_another_version_is_refused() {
    let mut recorder = Recorder::new(&url(), &SessionOptions::default(), Tick::ZERO.into(), 1);
    let text = recorder.take_lines().expect("JSON").join("\n");
    assert!(Trace::read(&text).is_ok());
    let old = text.replacen(&format!("\"version\":{VERSION}"), "\"version\":1", 1);
    let refused = Trace::read(&old).expect_err("it says other things");
    assert!(matches!(refused, TraceError::Version { found: 1 }), "{refused}");
}

/// An EVENT playlist that has three segments at first and gets one more every four seconds.
fn growing(now: Tick) -> String {
    let listed = (3 + now.as_nanos() / 4_000_000_000).min(15);
    let segments: String = (0..listed).map(|segment| format!("#EXTINF:4,\nseg{segment}\n")).collect();
    let end = if listed == 15 { "#EXT-X-ENDLIST\n" } else { "" };
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n{segments}{end}")
}

#[test]
fn a_growing_playlist_is_followed_to_its_end() {
    let world = World::new().with_vod("/main.m3u8", 15, FOUR, BitRate(128_000));
    let world = world.with("/main.m3u8", Answer::Live(Arc::new(growing)));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(Tick::from_millis(600_000));
    let (report, transcript) = (simulation.player().report(), simulation.transcript());
    assert!(report.ended, "{transcript}");
    assert_eq!(report.played, FOUR * 15, "{transcript}");
    assert_eq!(report.stalls, 0, "{transcript}");
    let loads = simulation.world().requests_for("/main.m3u8");
    assert!((12..=20).contains(&loads), "{loads} loads in a minute:\n{transcript}");
}

#[test]
fn a_bad_delivery_is_fetched_again() {
    for kind in [FailureKind::NotMedia, FailureKind::Incomplete, FailureKind::Undecryptable] {
        let world = ladder(World::new()).with_fault(fault("seg5", 0, 2, kind, None));
        check_exact(world, SessionOptions::default());
    }
}

#[test]
fn a_variant_without_playlist_is_left_out() {
    let world = ladder(World::new()).with_fault(fault("/high/index", 0, 99, FailureKind::NotFound, Some(404)));
    let playback = PlaybackOptions { variant: VariantChoice::Best, ..PlaybackOptions::default() };
    let options = SessionOptions { playback, ..SessionOptions::default() };
    check_exact(world, options);
}

#[test]
fn a_chosen_variant_is_waited_for_and_not_left_for_another_one() {
    let faults = [("/high/index", FailureKind::NotFound, 404), ("/high/seg5", FailureKind::NotFound, 404)];
    let more = [("/high/index", FailureKind::Unreachable, 503), ("/high/seg5", FailureKind::NotMedia, 200)];
    for (path, kind, status) in faults.into_iter().chain(more) {
        let world = ladder(World::new()).with_fault(fault(path, 0, 5, kind, Some(status)));
        let playback = PlaybackOptions { variant: VariantChoice::Best, ..PlaybackOptions::default() };
        let (report, transcript) = play(world, SessionOptions { playback, ..SessionOptions::default() });
        assert_eq!(variants(&report), vec![2; 15], "{path} {status}: {transcript}");
        assert!(report.ended, "{path} {status}: {transcript}");
    }
}

#[test]
fn a_segment_that_is_nowhere_is_left_out_when_that_is_allowed() {
    let world = ladder(World::new()).with_fault(fault("seg5", 0, 99, FailureKind::NotFound, Some(404)));
    let playback = PlaybackOptions { on_missing: OnMissing::Skip, ..PlaybackOptions::default() };
    let options = SessionOptions { playback, ..SessionOptions::default() };
    let (report, transcript) = play(world, options);
    assert!(report.ended, "{transcript}");
    assert_eq!(report.played, FOUR * 14, "{transcript}");
    assert!(transcript.contains("skipped"), "{transcript}");
}

/// One variant of 300 segments of a second, of which only the first is there.
fn all_fail(kind: FailureKind, status: u16) -> World {
    let world = World::new()
        .with_text("/main.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\nlow/index.m3u8\n")
        .with_vod("/low/index.m3u8", 300, Duration::from_secs(1), BitRate(64_000));
    (1..=9).fold(world, |world, n| world.with_fault(fault(&format!("/seg{n}"), 0, u32::MAX, kind, Some(status))))
}

#[test]
fn an_origin_that_refuses_everything_is_asked_for_little_and_the_end_comes_in_time() {
    for (kind, status) in [(FailureKind::NotFound, 404), (FailureKind::Forbidden, 403), (FailureKind::NotMedia, 200)] {
        let mut simulation = Simulation::new(all_fail(kind, status), &url(), SessionOptions::default());
        simulation.run(Tick::from_millis(60_000));
        let transcript = simulation.transcript().to_string();
        let asked: u32 = (1..300).map(|n| simulation.world().requests_for(&format!("/low/seg{n}"))).sum();
        assert!((8..=40).contains(&asked), "{status}: {asked} requests\n{transcript}");
        let end = transcript.lines().find(|line| line.contains("recoverable=false")).unwrap_or_default();
        let seconds: f64 = end.split_whitespace().next().and_then(|at| at.parse().ok()).unwrap_or(f64::MAX);
        assert!((15.0..20.0).contains(&seconds), "{status}: {end}\n{transcript}");
    }
}

/// When a segment is given up whose server always says how long to wait, after the network tried it `in_vain`.
fn given_up(retry_after: Duration, in_vain: Duration) -> Tick {
    let url = "http://origin.test/index.m3u8".parse().expect("a URL");
    let mut session = Session::new(url, SessionOptions::default(), Now::from(Tick::ZERO));
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg0\n#EXT-X-ENDLIST\n".to_owned();
    let (mut now, reader) = (Tick::ZERO, ReaderId(1));
    let demand = |demand| Input::Demand { reader, demand };
    let mut inputs = VecDeque::from([demand(Demand::Open { view: View::Adaptive, track: Track::Main })]);
    inputs.push_back(demand(Demand::Next));
    loop {
        session.handle(Now::from(now), inputs.pop_front().unwrap_or(Input::Timeout));
        while session.poll_event().is_some() {}
        while let Some(action) = session.poll_action() {
            match action {
                Action::LoadPlaylist { id, url, .. } => {
                    let text =
                        PlaylistText { url, text: text.clone(), from_store: false, age: None, may_be_cut: false };
                    inputs.push_back(Input::Playlist { id, result: Ok(text) });
                }
                Action::Fetch { fetch, request, .. } => {
                    let in_vain = request.patience.map_or(in_vain, |left| left.min(in_vain));
                    now = now.saturating_add(in_vain);
                    let cause = FetchFailure::new(FailureKind::Unreachable);
                    let cause = FetchFailure { retry_after: Some(retry_after), in_vain, ..cause };
                    inputs.push_back(Input::Fetched { fetch, result: Err(cause) });
                }
                Action::Abandon { .. } => return now,
                _ => {}
            }
        }
        if inputs.is_empty() {
            now = session.poll_timeout().map_or(now, |next| next.max(now));
        }
    }
}

#[test]
fn a_segment_is_given_up_when_patience_ends_whatever_its_server_says() {
    for (retry_after, in_vain) in [(2, 15), (10, 17), (17, 0), (600, 0), (30, 11), (6, 19), (2, 0)] {
        let ended = given_up(Duration::from_secs(retry_after), Duration::from_secs(in_vain));
        let ended = ended.as_nanos() as f64 / 1e9;
        assert!((17.0..=20.0).contains(&ended), "wait {retry_after} s, tried for {in_vain} s: {ended} s");
    }
}

#[test]
fn a_segment_that_is_nowhere_ends_in_an_error() {
    let world = ladder(World::new()).with_fault(fault("seg5", 0, 99, FailureKind::NotFound, Some(404)));
    let (report, transcript) = play(world, SessionOptions::default());
    assert!(!report.ended, "{transcript}");
    assert!(transcript.contains("recoverable=false"), "{transcript}");
}

#[test]
fn a_key_is_not_asked_for_by_plain_http_where_its_playlist_came_by_https() {
    let asked = |scheme: &str, key: &str, plain_keys| {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\n#EXTINF:4,\ns\n#EXT-X-ENDLIST\n"
        );
        let world = World::new().with("/main.m3u8", Answer::Text(text.into())).with("/key", Answer::Bytes(16));
        let world = world.with("/s", Answer::Bytes(64_000));
        let options = SessionOptions { plain_keys, ..SessionOptions::default() };
        let opened = format!("{scheme}://cdn.example/main.m3u8").parse().expect("a URL");
        let mut simulation = Simulation::new(world, &opened, options);
        simulation.run(Tick::from_millis(60_000));
        let transcript = simulation.transcript().to_string();
        let is_asked = transcript.contains(" key k0 /key ");
        assert_eq!(transcript.contains("recoverable=false"), !is_asked, "{transcript}");
        is_asked
    };
    assert!(!asked("https", "http://keys.example/key", false));
    assert!(asked("https", "http://keys.example/key", true), "the application wants it so");
    assert!(asked("https", "//keys.example/key", false));
    assert!(asked("http", "http://keys.example/key", false));
}

#[test]
fn an_outage_shorter_than_the_buffer_is_not_heard() {
    let world = ladder(World::new()).with_fault(fault("seg12", 0, 3, FailureKind::Unreachable, None));
    let transcript = check_exact(world, SessionOptions::default());
    assert!(transcript.contains("by Refetch"), "{transcript}");
}

#[test]
fn a_seek_leaves_what_is_obsolete() {
    let world = ladder(World::new()).with_bandwidth(Bandwidth::constant(BitRate(400_000)));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.seek_at(Tick::from_millis(3_000), Duration::from_secs(41));
    simulation.run(Tick::from_millis(600_000));
    let transcript = simulation.transcript().to_string();
    let report = simulation.player().report();
    assert!(report.ended, "{transcript}");
    let order: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
    assert_eq!(order, [0, 10, 11, 12, 13, 14], "{transcript}");
}

#[test]
fn a_seek_back_keeps_what_is_there_behind_the_hole_it_makes() {
    // 2.5 times the media: two fetches side by side, and the seek makes a hole of more segments than that.
    let link = Bandwidth::constant(BitRate(320_000));
    let world = World::new().with_vod("/main.m3u8", 30, Duration::from_secs(2), BitRate(128_000)).with_bandwidth(link);
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.seek_at(Tick::from_millis(25_000), Duration::from_secs(9));
    simulation.run(Tick::from_millis(600_000));
    let transcript = simulation.transcript().to_string();
    assert!(simulation.player().report().ended, "{transcript}");
    // It had entered 13 by then; of the rest, what is within 30 s of 9 is kept.
    for number in 14..19 {
        assert_eq!(simulation.world().requests_for(&format!("/seg{number}")), 1, "{number}: {transcript}");
    }
    assert_eq!(simulation.world().requests_for("/seg5"), 2, "{transcript}");
}

#[test]
fn an_hour_of_playback_is_simulated_and_replays_to_the_same() {
    let world = World::new().with_vod("/main.m3u8", 900, FOUR, BitRate(128_000));
    let now = Tick::ZERO.into();
    let options = SessionOptions::default();
    let recorder = Recorder::new(&url(), &options, now, 1);
    let mut simulation = Simulation::new(world, &url(), options).recorded(recorder);
    simulation.run(Tick::from_millis(2 * 3_600_000));
    assert_eq!(simulation.player().report().played, Duration::from_secs(3_600));
    let mut recorder = simulation.into_recorder().expect("it was asked for");
    let trace = Trace::read(&recorder.take_lines().expect("JSON").join("\n")).expect("a trace");
    let replayed = trace.replay().expect("the same inputs give the same outputs");
    assert!(replayed.actions > 1_800, "{replayed:?}");
}

/// Two variants of ten segments of 4 s, of which these are declared not to be there.
fn with_gaps(low: &[u32], high: &[u32]) -> Simulation {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\nlow/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=128000\n\
                high/index.m3u8\n";
    let world = World::new().with_text("/main.m3u8", main);
    let world = [("low", low), ("high", high)].into_iter().fold(world, |world, (name, gaps)| {
        let world = world.with_vod(&format!("/{name}/index.m3u8"), 10, FOUR, BitRate::from_kbps(64));
        let segment = |n: u32| {
            let gap = if gaps.contains(&n) { "#EXT-X-GAP\n" } else { "" };
            format!("{gap}#EXTINF:4,\nseg{n}\n")
        };
        let segments: String = (0..10).map(segment).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n{segments}#EXT-X-ENDLIST\n");
        world.with_text(&format!("/{name}/index.m3u8"), &text)
    });
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(Tick::from_millis(120_000));
    simulation
}

#[test]
fn a_time_that_all_variants_lack_changes_no_variant() {
    let simulation = with_gaps(&[5], &[5]);
    let transcript = simulation.transcript().to_string();
    assert_eq!(transcript.matches("Failover").count(), 0, "{transcript}");
    assert_eq!(transcript.matches("- skipped").count(), 1, "{transcript}");
    assert!(simulation.player().report().ended, "{transcript}");
}

#[test]
fn a_variant_that_is_one_long_gap_is_left_for_a_while() {
    let all: Vec<u32> = (0..10).collect();
    let simulation = with_gaps(&[], &all);
    let transcript = simulation.transcript().to_string();
    assert_eq!(transcript.matches("- skipped").count(), 0, "{transcript}");
    assert!(transcript.matches("- variant applied").count() <= 9, "it is not tried for every segment\n{transcript}");
    assert!(simulation.player().report().ended, "{transcript}");
}

#[test]
fn what_one_variant_lacks_is_taken_from_another_and_what_all_lack_is_left_out() {
    let simulation = with_gaps(&[3, 6], &[4, 6]);
    let (report, transcript) = (simulation.player().report(), simulation.transcript().to_string());
    let msns: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
    assert_eq!(msns, [0, 1, 2, 3, 4, 5, 7, 8, 9], "{transcript}");
    let of = |msn: usize| report.units[msn].media;
    assert_eq!((of(3), of(4)), (MediaId::Variant(VariantId(1)), MediaId::Variant(VariantId(0))), "{transcript}");
    assert_eq!(transcript.matches("- skipped").count(), 1, "{transcript}");
    assert!(report.ended && report.stalls == 0, "{transcript}");
    for (variant, gaps) in [("low", [3, 6]), ("high", [4, 6])] {
        for gap in gaps {
            let asked = simulation.world().requests_for(&format!("/{variant}/seg{gap}"));
            assert_eq!(asked, 0, "{variant} declares that it has no segment {gap}\n{transcript}");
        }
    }
}
