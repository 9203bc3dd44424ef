//! Renditions, pathways and redundant streams in virtual time: what is played, what is loaded, and that no track ever
//! repeats or loses presentation time.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    playlist::{RenditionId, VariantId},
    selection::{RenditionPreference, SubtitleMode, SubtitlePreference},
    session::{Command, FailureKind, Input, MediaId, MediaSelection, PlaybackOptions, SessionOptions, Track},
    sim::{Answer, Bandwidth, Played, Simulation, World},
    time::Tick,
};
use proptest::prelude::*;

mod worlds;
use worlds::{fault, pathways, renditions, steering, url};

const END: Tick = Tick::from_millis(600_000);
/// What two playlists that are cut at the same place may differ by.
const ROUNDING: Duration = Duration::from_millis(5);

fn options(playback: PlaybackOptions) -> SessionOptions {
    SessionOptions { playback, ..SessionOptions::default() }
}

fn at(millis: u64) -> Tick {
    Tick::from_millis(millis)
}

fn played(simulation: &Simulation, track: Track) -> &[Played] {
    &simulation.player_of(track).expect("somebody plays it").report().played_units
}

/// The renditions and variants units were played from, in order, without repetition.
fn streams(simulation: &Simulation, track: Track) -> Vec<MediaId> {
    let mut streams: Vec<MediaId> = played(simulation, track).iter().map(|it| it.unit.media).collect();
    streams.dedup();
    streams
}

fn rendition(id: u32) -> MediaId {
    MediaId::Rendition(RenditionId(id))
}

/// Where one unit ends the next one begins, unless the reader moved.
fn broken_joint(played: &[Played]) -> Option<(Played, Played)> {
    let joint = |pair: &&[Played]| {
        let (before, after) = (pair[0], pair[1]);
        !after.moved && (after.start < before.end || after.start > before.end + ROUNDING)
    };
    played.windows(2).find(joint).map(|pair| (pair[0], pair[1]))
}

#[test]
fn an_audio_only_session_touches_no_video() {
    let playback = PlaybackOptions { selection: MediaSelection::AudioOnly, ..PlaybackOptions::default() };
    let mut simulation = Simulation::new(renditions(World::new()), &url(), options(playback));
    simulation.run(END);
    assert_eq!(streams(&simulation, Track::Main), [rendition(0)]);
    for path in ["/low/index.m3u8", "/high/index.m3u8", "/de/index.m3u8", "/subs/index.m3u8", "/low/seg0"] {
        assert_eq!(simulation.world().requests_for(path), 0, "{path}");
    }
    assert_eq!(simulation.world().requests_for("/en/index.m3u8"), 1);
}

#[test]
fn only_playlists_of_what_is_played_are_loaded() {
    let mut simulation =
        Simulation::new(renditions(World::new()), &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.run(END);
    for path in ["/de/index.m3u8", "/subs/index.m3u8"] {
        assert_eq!(simulation.world().requests_for(path), 0, "{path}");
    }
}

#[test]
fn the_language_that_is_wanted_is_played() {
    let audio = RenditionPreference { languages: vec!["fr".into(), "de-AT".into()], ..RenditionPreference::default() };
    let playback = PlaybackOptions { audio, ..PlaybackOptions::default() };
    let mut simulation = Simulation::new(renditions(World::new()), &url(), options(playback)).with_track(Track::Audio);
    simulation.run(END);
    assert_eq!(streams(&simulation, Track::Audio), [rendition(1)]);
    assert_eq!(simulation.world().requests_for("/en/index.m3u8"), 0);
}

#[test]
fn another_language_is_heard_soon_and_without_a_gap() {
    let mut simulation =
        Simulation::new(renditions(World::new()), &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.at(at(20_500), Input::Command(Command::SelectAudio(RenditionId(1))));
    simulation.run(END);
    assert_eq!(streams(&simulation, Track::Audio), [rendition(0), rendition(1)]);
    let sound = played(&simulation, Track::Audio);
    assert_eq!(broken_joint(sound), None);
    let change = sound.iter().find(|it| it.unit.media == rendition(1)).expect("it was played");
    assert!(change.start < Duration::from_secs(28), "{change:?}, although it was chosen at 20.5 s");
    assert_eq!(simulation.player_of(Track::Audio).map(|player| player.report().stalls), Some(0));
}

#[test]
fn sound_that_is_opened_late_begins_where_the_picture_is() {
    let mut simulation = Simulation::new(renditions(World::new()), &url(), SessionOptions::default());
    simulation.join_at(at(30_000), Track::Audio);
    simulation.run(END);
    let first = played(&simulation, Track::Audio)[0];
    assert!(first.start >= Duration::from_secs(24) && first.start <= Duration::from_secs(32), "{first:?}");
}

#[test]
fn subtitles_wait_while_they_are_off_and_join_when_they_are_chosen() {
    let subtitles = SubtitlePreference { mode: SubtitleMode::Off, ..SubtitlePreference::default() };
    let playback = PlaybackOptions { subtitles, ..PlaybackOptions::default() };
    let mut simulation =
        Simulation::new(renditions(World::new()), &url(), options(playback)).with_track(Track::Subtitles);
    simulation.at(at(30_000), Input::Command(Command::SelectSubtitles(Some(RenditionId(2)))));
    simulation.run(END);
    let shown = played(&simulation, Track::Subtitles);
    assert!(shown[0].start >= Duration::from_secs(20), "{:?}", shown[0]);
    assert_eq!(simulation.world().requests_for("/subs/seg0"), 0);
    assert!(simulation.player_of(Track::Subtitles).is_some_and(|player| player.report().ended));
}

#[test]
fn subtitles_that_cannot_be_had_stop_nobody() {
    for path in ["subs/index", "subs/seg2"] {
        let world = renditions(World::new()).with_fault(fault(path, 0, 999, FailureKind::NotFound, Some(404)));
        let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).with_track(Track::Subtitles);
        simulation.run(at(200_000));
        assert_eq!(simulation.player().report().played, Duration::from_secs(60), "{path}");
    }
}

#[test]
fn the_group_of_another_variant_goes_on_with_the_same_language() {
    let mut simulation =
        Simulation::new(groups(World::new()), &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.at(at(10), Input::Command(Command::SelectVariant(Some(VariantId(0)))));
    simulation.at(at(5_000), Input::Command(Command::SelectAudio(RenditionId(1))));
    simulation.at(at(20_000), Input::Command(Command::SelectVariant(Some(VariantId(1)))));
    simulation.run(END);
    assert_eq!(streams(&simulation, Track::Audio).last(), Some(&rendition(3)), "German in the other group");
    assert_eq!(broken_joint(played(&simulation, Track::Audio)), None);
}

#[test]
fn sound_that_fails_is_taken_from_another_group() {
    let world = groups(World::new())
        .with_fault(fault("en2/seg9", 0, 999, FailureKind::NotFound, Some(404)))
        .with_bandwidth(Bandwidth::constant(BitRate(3_000_000)));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.run(END);
    assert!(
        simulation.player_of(Track::Audio).is_some_and(|player| player.report().ended),
        "{}",
        simulation.transcript()
    );
    assert_eq!(broken_joint(played(&simulation, Track::Audio)), None);
}

#[test]
fn a_dead_pathway_is_left_by_all_tracks() {
    let world = pathways(World::new()).with_text("/steer", &steering(300, "\"A\",\"B\"")).with_fault(fault(
        "a.test/",
        0,
        9_999,
        FailureKind::Unreachable,
        None,
    ));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.run(END);
    let report = simulation.player().report();
    assert_eq!((report.played, report.ended), (Duration::from_secs(60), true), "{}", simulation.transcript());
    assert_eq!(streams(&simulation, Track::Audio), [rendition(1)]);
}

#[test]
fn a_server_that_is_gone_is_not_asked_again() {
    let world = pathways(World::new()).with_fault(fault("/steer", 0, 99, FailureKind::Gone, Some(410)));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(END);
    assert_eq!(simulation.world().requests_for("/steer"), 1);
    assert!(simulation.player().report().ended);
}

#[test]
fn a_server_that_fails_steers_nobody() {
    for text in ["", "<html>", "{\"VERSION\":1}"] {
        let world = pathways(World::new()).with_text("/steer", text);
        let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
        simulation.run(END);
        assert!(simulation.player().report().ended, "{text}");
        assert!(streams(&simulation, Track::Main).iter().all(|it| *it < MediaId::Variant(VariantId(2))), "{text}");
    }
}

#[test]
fn a_cloned_pathway_is_played_when_the_server_prefers_it() {
    let manifest = "{\"VERSION\":1,\"PATHWAY-PRIORITY\":[\"C\",\"A\"],\"PATHWAY-CLONES\":[{\"BASE-ID\":\"A\",\"ID\":\"C\",\
                    \"URI-REPLACEMENT\":{\"HOST\":\"c.test\"}}]}";
    let world = pathways(World::new()).with_text("/steer", manifest);
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default()).with_track(Track::Audio);
    simulation.run(END);
    let clones = |it: &MediaId| matches!(it, MediaId::Variant(VariantId(4 | 5)) | MediaId::Rendition(RenditionId(2)));
    assert!(streams(&simulation, Track::Main).last().is_some_and(clones), "{}", simulation.transcript());
    assert!(streams(&simulation, Track::Audio).last().is_some_and(clones));
    assert_eq!(broken_joint(played(&simulation, Track::Main)), None);
}

#[test]
fn penalties_end_and_the_preferred_pathway_is_taken_again() {
    let world = pathways(World::new())
        .with_vod("/low/index.m3u8", 100, Duration::from_secs(4), BitRate(250_000))
        .with_vod("/high/index.m3u8", 100, Duration::from_secs(4), BitRate(800_000))
        .with_text("/steer", &steering(300, "\"A\",\"B\""))
        .with_fault(fault("a.test/high/seg12", 0, 1, FailureKind::Unreachable, Some(503)));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(END);
    let lines = &simulation.transcript().lines;
    let moves: Vec<&str> = lines.iter().filter_map(|line| line.split_once("pathway applied ")).map(|it| it.1).collect();
    assert_eq!(moves, ["A -> B", "B -> A"]);
    assert_eq!(broken_joint(played(&simulation, Track::Main)), None);
}

/// Variants with groups of their own; everything is cut at other places.
fn groups(world: World) -> World {
    let world = world.with_text(
        "/main.m3u8",
        "#EXTM3U\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"1\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en1/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"1\",NAME=\"Deutsch\",LANGUAGE=\"de\",AUTOSELECT=YES,URI=\"de1/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"2\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en2/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"2\",NAME=\"Deutsch\",LANGUAGE=\"de\",AUTOSELECT=YES,URI=\"de2/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",URI=\"subs/index.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=320x180,AUDIO=\"1\",SUBTITLES=\"s\"\nlow/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360,AUDIO=\"2\",SUBTITLES=\"s\"\nhigh/index.m3u8\n",
    );
    let streams = [
        ("low", 15, 4_000, 250_000),
        ("high", 12, 5_000, 800_000),
        ("en1", 20, 3_000, 32_000),
        ("de1", 24, 2_500, 32_000),
        ("en2", 16, 3_750, 64_000),
        ("de2", 10, 6_000, 64_000),
        ("subs", 6, 10_000, 500),
    ];
    streams.into_iter().fold(world, |world, (name, segments, millis, rate)| {
        world.with_vod(&format!("/{name}/index.m3u8"), segments, Duration::from_millis(millis), BitRate(rate))
    })
}

fn deeds() -> impl Strategy<Value = Vec<(u64, Command)>> {
    let deed = prop_oneof![
        (0_u64..70).prop_map(|secs| Command::Seek(Duration::from_secs(secs))),
        prop::option::of(0_u32..2).prop_map(|id| Command::SelectVariant(id.map(VariantId))),
        (0_u32..4).prop_map(|id| Command::SelectAudio(RenditionId(id))),
        (0_u32..4).prop_map(|id| Command::SelectAudio(RenditionId(id))),
    ];
    prop::collection::vec((0_u64..70_000, deed), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_track_repeats_or_loses_presentation_time(
        deeds in deeds(),
        periods in prop::collection::vec((1_u64..20, 150_u64..6_000), 1..4),
        latency in 0_u64..300,
    ) {
        let periods = periods.into_iter().map(|(secs, kbps)| (Duration::from_secs(secs), BitRate::from_kbps(kbps)));
        let world = groups(World::new())
            .with_bandwidth(Bandwidth::periods(periods.collect()))
            .with_latency(Duration::from_millis(latency));
        let tracks = [Track::Main, Track::Audio, Track::Subtitles];
        let mut simulation = Simulation::new(world, &url(), SessionOptions::default())
            .with_track(Track::Audio)
            .with_track(Track::Subtitles);
        let targets: Vec<Duration> = deeds.iter().filter_map(|(_, deed)| match deed {
            Command::Seek(to) => Some(*to),
            _ => None,
        }).collect();
        let last = targets.iter().any(|to| *to >= Duration::from_secs(60));
        for (when, deed) in deeds {
            simulation.at(at(when), Input::Command(deed));
        }
        simulation.run(END);
        for track in tracks {
            let played = played(&simulation, track);
            prop_assert_eq!(broken_joint(played), None, "{}\n{}", track, simulation.transcript());
            for it in played.iter().filter(|it| it.moved) {
                prop_assert!(targets.contains(&it.start), "{track}: {it:?} is none of {targets:?}");
            }
            let ended = simulation.player_of(track).is_some_and(|player| player.report().ended);
            prop_assert!(ended, "{track} does not end\n{}", simulation.transcript());
            let end = played.last().map(|it| it.end);
            prop_assert!(last || end >= Some(Duration::from_millis(59_990)), "{track} ends at {end:?}");
        }
    }
}

#[test]
fn a_redirected_answer_of_a_steering_server_is_its_new_address() {
    // The second question goes to where the first answer said.
    let first = "{\"VERSION\":1,\"TTL\":10,\"RELOAD-URI\":\"/other\",\"PATHWAY-PRIORITY\":[\"A\"]}";
    let world = pathways(World::new()).with_text("/steer", first).with_text("/other", &steering(10, "\"B\""));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(END);
    let asked = (simulation.world().requests_for("/steer"), simulation.world().requests_for("/other"));
    assert!(asked.0 == 1 && asked.1 >= 4, "{asked:?}");
    assert_eq!(streams(&simulation, Track::Main).last().map(|it| *it > MediaId::Variant(VariantId(1))), Some(true));
}

#[test]
fn what_a_server_says_of_the_time_to_live_is_kept_to() {
    let world = pathways(World::new()).with("/steer", Answer::Live(std::sync::Arc::new(|_| steering(20, "\"A\""))));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(END);
    assert_eq!(simulation.world().requests_for("/steer"), 4, "at 0, 20, 40 and 60 s of a stream of 60 s");
}
