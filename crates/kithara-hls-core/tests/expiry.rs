//! Signed URLs that expire while a stream plays: of segments, keys, media playlists, the primary playlist, and of all at
//! once; at open and later; with an application that knows new ones and without.

use std::{sync::Arc, time::Duration};

use kithara_hls_core::{
    BitRate,
    playlist::VariantId,
    session::{Command, FailureKind, Input, PlaybackOptions, SessionOptions, Track, VariantChoice},
    sim::{Answer, PlayerReport, Simulation, World},
    time::Tick,
};
use url::Url;

mod worlds;
use worlds::{FOUR, fault};

/// An origin that signs every URL it names. Each is refused when its time is over.
#[derive(Clone, Copy)]
struct Signed {
    /// How long URLs are good, in seconds: that of the primary playlist as the application has it, those of media playlists,
    /// those of segments and keys.
    primary: u64,
    media: u64,
    segment: u64,
    /// A window of six segments that moves on for ever, or a stream of this many.
    segments: Option<u64>,
    encrypted: bool,
    /// Other streams beside the two variants: sound and subtitles.
    renditions: bool,
}

const LIVE: Signed =
    Signed { primary: 1_000_000, media: 60, segment: 60, segments: None, encrypted: false, renditions: false };

const VOD: Signed = Signed { segments: Some(900), ..LIVE };

/// A URL that is good for so many seconds from now on.
fn signed(path: &str, now: Tick, secs: u64) -> String {
    format!("{path}?exp={}", now.as_nanos() / 1_000_000_000 + secs)
}

fn primary_url(now: Tick, secs: u64) -> Url {
    Url::parse(&format!("http://origin.test{}", signed("/main.m3u8", now, secs))).expect("a URL")
}

fn is_expired(url: &Url, now: Tick) -> bool {
    let exp = url.query_pairs().find(|(name, _)| name == "exp").and_then(|(_, exp)| exp.parse::<u64>().ok());
    exp.is_none_or(|exp| now.as_nanos() / 1_000_000_000 >= exp)
}

impl Signed {
    fn main(self, now: Tick) -> String {
        let uri = |name: &str| signed(&format!("{name}/index.m3u8"), now, self.media);
        let mut text = String::from("#EXTM3U\n");
        let mut groups = "";
        if self.renditions {
            text += &format!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"{}\"\n\
                 #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"{}\"\n",
                uri("en"),
                uri("subs"),
            );
            groups = ",RESOLUTION=320x180,AUDIO=\"a\",SUBTITLES=\"s\"";
        }
        for (name, rate) in [("low", 64_000), ("high", 128_000)] {
            text += &format!("#EXT-X-STREAM-INF:BANDWIDTH={rate}{groups}\n{}\n", uri(name));
        }
        text
    }

    fn media(self, now: Tick) -> String {
        let (first, end) = match self.segments {
            Some(segments) => (0, segments),
            None => (now.as_nanos() / 4_000_000_000, now.as_nanos() / 4_000_000_000 + 6),
        };
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        if self.encrypted {
            text += &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"\n", signed("/key", now, self.segment));
        }
        for n in first..end {
            text += &format!("#EXTINF:4,\n{}\n", signed(&format!("seg{n}"), now, self.segment));
        }
        if self.segments.is_some() {
            text += "#EXT-X-ENDLIST\n";
        }
        text
    }

    fn world(self) -> World {
        let at_once = |text: String| (Duration::from_millis(20), text);
        let mut world = World::new()
            .with("/main.m3u8", Answer::Served(Arc::new(move |_, now| at_once(self.main(now)))))
            .with("/key", Answer::Bytes(16))
            .with_gate(Arc::new(|url, now| is_expired(url, now).then_some((FailureKind::Forbidden, 403))));
        for folder in ["/low", "/high", "/en", "/subs"] {
            let index = Answer::Served(Arc::new(move |_, now| at_once(self.media(now))));
            world = world.with(&format!("{folder}/index.m3u8"), index);
            let bytes = BitRate::from_kbps(64).bytes_in(FOUR);
            let names = (0..1_000).map(|n| format!("{folder}/seg{n}"));
            world = names.fold(world, |world, name| world.with(&name, Answer::Bytes(bytes)));
        }
        world
    }

    /// The application makes a new URL whenever it is asked.
    fn resolved(self) -> World {
        self.world().with_resolver(Arc::new(move |now| Some(primary_url(now, self.primary))))
    }
}

fn options(has_resolver: bool) -> SessionOptions {
    // The higher variant is what the first one is not.
    let playback = PlaybackOptions { variant: VariantChoice::Worst, ..PlaybackOptions::default() };
    SessionOptions { has_resolver, playback, ..SessionOptions::default() }
}

fn simulation(world: World, primary: u64, options: SessionOptions) -> Simulation {
    Simulation::new(world, &primary_url(Tick::ZERO, primary), options)
}

fn secs(secs: u64) -> Tick {
    Tick::from_millis(secs * 1_000)
}

/// Plays for so long, and nobody hears that URLs expired meanwhile.
#[track_caller]
fn plays_through(simulation: &mut Simulation, tracks: &[Track], run: u64) {
    simulation.run(secs(run));
    let transcript = simulation.transcript().to_string();
    for track in tracks {
        let report = simulation.player_of(*track).expect("it is played").report();
        let msns: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
        assert!(msns.windows(2).all(|pair| pair[1] == pair[0] + 1), "{track}: {msns:?}\n{transcript}");
        assert_eq!(report.stalls, 0, "{track}\n{transcript}");
        let played = report.played.as_secs();
        assert!(report.ended || played + 20 > run, "{track}: {played} s\n{transcript}");
    }
    assert!(!transcript.contains("recoverable=false"), "{transcript}");
}

#[test]
fn a_live_stream_outlives_the_urls_of_its_playlists() {
    let mut simulation = simulation(LIVE.world(), LIVE.primary, options(false));
    plays_through(&mut simulation, &[Track::Main], 1_800);
    // One load of the primary playlist for each minute that a URL is good.
    let loads = simulation.world().requests_for("/main.m3u8");
    assert!((29..=32).contains(&loads), "{loads}");
}

#[test]
fn all_tracks_outlive_the_urls_of_their_playlists() {
    let signed = Signed { renditions: true, ..LIVE };
    let mut simulation = simulation(signed.world(), signed.primary, options(false))
        .with_track(Track::Audio)
        .with_track(Track::Subtitles);
    plays_through(&mut simulation, &[Track::Main, Track::Audio, Track::Subtitles], 900);
    let loads = simulation.world().requests_for("/main.m3u8");
    assert!((14..=17).contains(&loads), "one load serves all three: {loads}");
}

#[test]
fn a_live_stream_outlives_all_its_urls_with_an_application_that_makes_new_ones() {
    let signed = Signed { primary: 100, renditions: true, encrypted: true, ..LIVE };
    let mut simulation = simulation(signed.resolved(), signed.primary, options(true)).with_track(Track::Audio);
    plays_through(&mut simulation, &[Track::Main, Track::Audio], 1_200);
    let asked = simulation.world().resolved();
    assert!((7..=13).contains(&asked), "about once for each URL it gave: {asked}");
}

#[test]
fn a_vod_outlives_all_its_urls_with_an_application_that_makes_new_ones() {
    for encrypted in [false, true] {
        let signed = Signed { primary: 100, encrypted, ..VOD };
        let mut simulation = simulation(signed.resolved(), signed.primary, options(true));
        plays_through(&mut simulation, &[Track::Main], 3_700);
        assert!(simulation.player().report().ended);
        let asked = simulation.world().resolved();
        assert!(asked < 70, "{asked}");
    }
}

#[test]
fn a_vod_outlives_the_urls_of_segments_and_playlists() {
    let mut simulation = simulation(VOD.world(), VOD.primary, options(false));
    plays_through(&mut simulation, &[Track::Main], 3_700);
    assert!(simulation.player().report().ended);
}

#[test]
fn a_variant_that_is_loaded_first_when_its_url_has_expired_is_found() {
    for (signed, run) in [(Signed { segment: 10_000, ..LIVE }, 900), (Signed { segment: 10_000, ..VOD }, 3_700)] {
        let mut simulation = simulation(signed.world(), signed.primary, options(false));
        simulation.at(secs(800), Input::Command(Command::SelectVariant(Some(VariantId(1)))));
        plays_through(&mut simulation, &[Track::Main], run);
        let transcript = simulation.transcript().to_string();
        assert!(transcript.contains(" v1/"), "{transcript}");
        assert_eq!(transcript.matches("variant applied").count(), 2, "nobody fell back: {transcript}");
    }
}

#[test]
fn a_media_playlist_that_was_opened_directly_moves_with_the_application() {
    let media = Signed { segment: 45, ..LIVE };
    let url = |now| Url::parse(&format!("http://origin.test{}", signed("/low/index.m3u8", now, 60))).expect("a URL");
    for signed in [media, Signed { segments: Some(100), ..media }] {
        let world = signed.world().with_resolver(Arc::new(move |now| Some(url(now))));
        let mut simulation = Simulation::new(world, &url(Tick::ZERO), options(true));
        plays_through(&mut simulation, &[Track::Main], 420);
    }
}

fn opens(world: World, has_resolver: bool) -> (PlayerReport, String, World) {
    // What the application had was too old.
    let mut simulation = simulation(world, 0, options(has_resolver));
    simulation.run(secs(60));
    let transcript = simulation.transcript().to_string();
    (simulation.player().report().clone(), transcript, simulation.world().clone())
}

#[test]
fn a_url_that_is_expired_at_open_is_asked_for() {
    for signed in [LIVE, VOD] {
        let (report, transcript, world) = opens(signed.resolved(), true);
        assert!(report.started.is_some_and(|at| at < secs(1)), "{transcript}");
        assert_eq!((report.stalls, world.resolved()), (0, 1), "{transcript}");
    }
}

#[test]
fn a_url_that_is_expired_at_open_is_an_error_where_nobody_knows_another() {
    let (_, transcript, world) = opens(LIVE.world(), false);
    assert!(transcript.contains("fail playlist primary: Forbidden(403)"), "{transcript}");
    assert_eq!((world.requests_for("/main.m3u8"), world.resolved()), (1, 0));
    // The application does not know either.
    let (_, transcript, world) = opens(LIVE.world(), true);
    assert!(transcript.contains("fail playlist primary: Forbidden(403)"), "{transcript}");
    assert_eq!((world.requests_for("/main.m3u8"), world.resolved()), (1, 1));
    // What it knows is no better.
    let useless = LIVE.world().with_resolver(Arc::new(|now| Some(primary_url(now, 0))));
    let (_, transcript, world) = opens(useless, true);
    assert!(transcript.contains("fail playlist primary: Forbidden(403)"), "{transcript}");
    assert_eq!((world.requests_for("/main.m3u8"), world.resolved()), (2, 1));
}

#[test]
fn an_application_that_does_not_know_at_first_is_asked_again() {
    // It has nothing for the 20 s behind the expiry of the primary playlist.
    let signed = Signed { primary: 100, ..LIVE };
    let knows = |now: Tick| !(secs(100)..secs(150)).contains(&now);
    let world = signed.world().with_resolver(Arc::new(move |now| knows(now).then(|| primary_url(now, 1_000))));
    let mut simulation = simulation(world, signed.primary, options(true));
    simulation.run(secs(600));
    let (report, transcript) = (simulation.player().report(), simulation.transcript().to_string());
    assert!(!transcript.contains("recoverable=false"), "{transcript}");
    assert!(report.played.as_secs() > 480, "{} s\n{transcript}", report.played.as_secs());
    assert!(simulation.world().resolved() < 12, "{}", simulation.world().resolved());
}

#[test]
fn what_is_refused_for_good_costs_few_requests() {
    // The origin lets nobody in to the media playlists any more, whatever the URL.
    let world = LIVE.resolved();
    let refused = |world: World, path| world.with_fault(fault(path, 4, 99_999, FailureKind::Forbidden, Some(403)));
    let world = refused(refused(world, "/low/index"), "/high/index");
    let mut simulation = simulation(world, LIVE.primary, options(true));
    simulation.run(secs(3_600));
    let transcript = simulation.transcript().to_string();
    assert!(!transcript.contains("recoverable=false"), "something was played, and may be again: {transcript}");
    let world = simulation.world();
    let (loads, asked) = (world.requests_for("/main.m3u8"), world.resolved());
    assert!(loads < 120 && asked < 60, "{loads} loads of the primary playlist, {asked} questions");
}

#[test]
fn a_variant_that_cannot_be_had_does_not_end_what_is_played() {
    // The one that is played freezes for a while, and nobody may have the other one.
    let world = LIVE.world().with_fault(fault("/high/index", 0, 99_999, FailureKind::Forbidden, Some(403)));
    let world = world.with_fault(fault("/low/index", 5, 10, FailureKind::Unreachable, Some(503)));
    let mut simulation = simulation(world, LIVE.primary, options(false));
    simulation.run(secs(300));
    let (report, transcript) = (simulation.player().report(), simulation.transcript().to_string());
    assert!(transcript.contains("fails over=true"), "{transcript}");
    assert!(!transcript.contains("recoverable=false"), "{transcript}");
    assert!(report.played.as_secs() > 240, "{} s\n{transcript}", report.played.as_secs());
}
