//! Whole sessions whose playlists say the largest, smallest and strangest things: they go on or end, and nothing else.

use std::{sync::Arc, time::Duration};

use kithara_hls_core::{
    playlist::{DiscontinuitySequence, MediaSequence, VariantId},
    session::{Command, Demand, Input, MediaId, ReaderId, ReaderOptions, SessionOptions, Track, UnitKey, View},
    sim::{Answer, Simulation, World},
    time::{MediaTime, Tick},
};
use proptest::prelude::*;

mod worlds;
use worlds::url;

/// Numbers that overflow something when they are doubled, added to or turned into another unit.
const NUMBERS: [&str; 17] = [
    "0",
    "1",
    "4",
    "0.000000001",
    "-1",
    "4294967296",
    "9223372036",
    "9223372036.854775807",
    "9223372037",
    "18446744073",
    "18446744073.709551615",
    "9223372036854775807",
    "9223372036854775808",
    "9999999999999999999",
    "18446744073709551615",
    "18446744073709551616",
    "1e19",
];

/// Tags of a media playlist, with `$` where a number stands.
const HEADERS: [&str; 10] = [
    "#EXT-X-TARGETDURATION:$",
    "#EXT-X-MEDIA-SEQUENCE:$",
    "#EXT-X-DISCONTINUITY-SEQUENCE:$",
    "#EXT-X-PART-INF:PART-TARGET=$",
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=$,HOLD-BACK=$,PART-HOLD-BACK=$",
    "#EXT-X-START:TIME-OFFSET=$,PRECISE=YES",
    "#EXT-X-START:TIME-OFFSET=-$",
    "#EXT-X-PLAYLIST-TYPE:EVENT",
    "#EXT-X-SKIP:SKIPPED-SEGMENTS=$",
    "#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\",LAST-MSN=$,LAST-PART=$",
];

/// What stands before a segment.
const BEFORE: [&str; 9] = [
    "#EXT-X-BYTERANGE:$@$",
    "#EXT-X-BITRATE:$",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-GAP",
    "#EXT-X-MAP:URI=\"init\",BYTERANGE=\"$@$\"",
    "#EXT-X-PART:DURATION=$,URI=\"part\",BYTERANGE=\"$@0\"",
    "#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59.999Z",
    "#EXT-X-PROGRAM-DATE-TIME:0000-01-01T00:00:00Z",
    "#EXT-X-DATERANGE:ID=\"x\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"9999-12-31T23:59:59Z\",DURATION=$,\
     PLANNED-DURATION=$,X-ASSET-URI=\"ad\",X-RESUME-OFFSET=$,X-PLAYOUT-LIMIT=$",
];

fn number() -> impl Strategy<Value = &'static str> {
    prop_oneof![2 => Just("4"), 1 => prop::sample::select(&NUMBERS[..])]
}

/// One of the lines, with numbers in it.
fn line(lines: &'static [&'static str]) -> impl Strategy<Value = String> {
    (prop::sample::select(lines), prop::collection::vec(number(), 4)).prop_map(|(line, numbers)| {
        numbers.iter().fold(line.to_owned(), |line, number| line.replacen('$', number, 1)) + "\n"
    })
}

fn segment() -> impl Strategy<Value = String> {
    let before = prop::collection::vec(line(&BEFORE), 0..2);
    (before, number(), 0..9_u32)
        .prop_map(|(before, duration, name)| format!("{}#EXTINF:{duration},\nseg{name}\n", before.concat()))
}

fn media_playlist() -> impl Strategy<Value = String> {
    let headers = prop::collection::vec(line(&HEADERS), 0..4);
    (headers, prop::collection::vec(segment(), 0..5), prop::bool::weighted(0.2)).prop_map(
        |(headers, segments, ended)| {
            let end = if ended { "#EXT-X-ENDLIST\n" } else { "" };
            format!("#EXTM3U\n{}{}{end}", headers.concat(), segments.concat())
        },
    )
}

/// A server whose playlists say this one after the other, for four seconds each.
fn server(texts: Vec<String>) -> Answer {
    Answer::Live(Arc::new(move |now| {
        let turn = usize::try_from(now.as_nanos() / 4_000_000_000).unwrap_or(usize::MAX);
        texts[turn.min(texts.len() - 1)].clone()
    }))
}

fn world(first: Vec<String>, second: Vec<String>, rates: [&str; 2], bytes: u64) -> World {
    let main = format!(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},SCORE={}\na.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH={}\nb.m3u8\n",
        rates[0], rates[0], rates[1], rates[1]
    );
    let names = (0..9).map(|n| format!("/seg{n}")).chain(["/init".into(), "/part".into()]);
    let world = World::new().with_text("/main.m3u8", &main);
    let world = world.with("/a.m3u8", server(first)).with("/b.m3u8", server(second));
    names.fold(world, |world, name| world.with(&name, Answer::Bytes(bytes)))
}

/// What a user, a reader and the media do meanwhile.
fn deeds() -> impl Strategy<Value = Vec<(u64, Input)>> {
    let times = [0, 1, 4_000_000_000, i64::MAX as u64, u64::MAX];
    let at = prop::sample::select(times.to_vec()).prop_map(Duration::from_nanos);
    let times = prop_oneof![at, Just(Duration::MAX)].boxed();
    let demand = |reader, demand| Input::Demand { reader: ReaderId(reader), demand };
    let seek = times.clone().prop_map(|at| Input::Command(Command::Seek(at)));
    let position = times.prop_map(move |at| demand(0, Demand::Position { at }));
    let look = prop::sample::select(vec![0, 1, u64::MAX / 2, u64::MAX])
        .prop_map(move |offset| demand(9, Demand::At { offset, in_sequence: u64::MAX }));
    let length = Just(demand(9, Demand::Length));
    let select = (0..3_u32).prop_map(|id| Input::Command(Command::SelectVariant(Some(VariantId(id)))));
    let media = (0..2_u32, 0..4_u64, prop::sample::select(vec![i64::MIN, -1, 0, i64::MAX]));
    let media = media.prop_map(|(variant, msn, nanos)| {
        let unit = UnitKey::segment(MediaId::Variant(VariantId(variant)), MediaSequence(msn));
        let start = Duration::from_nanos(nanos.unsigned_abs());
        Input::MediaTime { unit, dsn: DiscontinuitySequence(msn), start, time: MediaTime::from_nanos(nanos) }
    });
    prop::collection::vec((0_u64..20_000, prop_oneof![seek, position, look, length, select, media]), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_any_number(
        first in prop::collection::vec(media_playlist(), 1..5),
        second in prop::collection::vec(media_playlist(), 1..3),
        rates in [number(), number()],
        bytes in prop::sample::select(vec![0, 1, 64_000, u64::MAX / 16, u64::MAX]),
        resolve_sizes in any::<bool>(),
        deeds in deeds(),
    ) {
        let options = SessionOptions { reader: ReaderOptions { resolve_sizes }, ..SessionOptions::default() };
        let mut simulation = Simulation::new(world(first, second, rates, bytes), &url(), options);
        let open = Demand::Open { view: View::Flat, track: Track::Main };
        simulation.at(Tick::ZERO, Input::Demand { reader: ReaderId(9), demand: open });
        for (at, deed) in deeds {
            simulation.at(Tick::from_millis(at), deed);
        }
        simulation.run(Tick::from_millis(40_000));
        let lines = simulation.transcript().lines.len();
        prop_assert!(lines < 4_000, "{lines} lines in 40 s");
        let _ = (simulation.session().status(), simulation.session().footprint());
    }
}

/// Plays one media playlist for a minute.
#[track_caller]
fn plays(text: &str) -> String {
    let world = World::new().with_text("/main.m3u8", text).with("/seg", Answer::Bytes(64_000));
    let mut simulation = Simulation::new(world, &url(), SessionOptions::default());
    simulation.run(Tick::from_millis(60_000));
    simulation.transcript().to_string()
}

#[test]
fn a_target_duration_of_ages_is_as_good_as_any() {
    for target in ["9999999999999999999", "18446744073709551615", "18446744073709551616", "1e19"] {
        let transcript = plays(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXTINF:4,\nseg\n"));
        assert!(transcript.contains("segment complete v0 #0"), "{transcript}");
    }
}
