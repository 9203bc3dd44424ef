//! Any live stream, whatever its server and the network do: nothing is played twice or backwards, nothing that was there is left out
//! without a word, and no origin is hammered.

use std::{collections::BTreeMap, time::Duration};

use kithara_hls_core::{
    BitRate,
    session::{FailureKind, OnMissing, PlaybackOptions, SessionOptions},
    sim::{Bandwidth, Fault, Simulation, World},
    time::Tick,
};
use proptest::prelude::*;

mod worlds;
use worlds::{fault, live::Live, url};

const KINDS: [(FailureKind, Option<u16>); 6] = [
    (FailureKind::NotFound, Some(404)),
    (FailureKind::Forbidden, Some(403)),
    (FailureKind::Gone, Some(410)),
    (FailureKind::Unreachable, Some(503)),
    (FailureKind::NotMedia, Some(200)),
    (FailureKind::Incomplete, Some(200)),
];

/// All of a variant, its playlist, or some segments.
const PATHS: [&str; 6] = ["/a/seg", "/a/index", "/b/index", "/a/seg1", "/b/seg", "main"];

/// What may be said about time that is not played.
const WORDS: [&str; 3] = ["- skipped", "- live rejoined", "- live window jumped"];

fn streams() -> impl Strategy<Value = Live> {
    let window = prop_oneof![Just(0_u64), 4_u64..12];
    let stale = prop::option::of((5_u64..60, 1_u64..20));
    let end = prop::option::of(12_u64..40);
    (window, 3_u64..8, end, stale, any::<[bool; 3]>(), 0_u64..1_000).prop_map(
        |(window, start, end, stale, [dated, broken, lagging], first)| {
            let start = if window == 0 { start } else { window };
            Live { start, window, end, stale, dated, broken, lagging, first, ..Live::default() }
        },
    )
}

/// What a network does: faults (where, from which request on, how often, what, after how long), rates with their times, latency.
#[derive(Clone, Debug)]
struct Network {
    faults: Vec<(usize, u32, u32, usize, u64)>,
    periods: Vec<(u64, u64)>,
    latency: u64,
}

fn networks() -> impl Strategy<Value = Network> {
    let faults = prop::collection::vec((0..PATHS.len(), 0_u32..6, 1_u32..4, 0..KINDS.len(), 0_u64..800), 0..5);
    let periods = prop::collection::vec((1_u64..30, 200_u64..4_000), 1..4);
    (faults, periods, 0_u64..300).prop_map(|(faults, periods, latency)| Network { faults, periods, latency })
}

fn world(live: Live, network: &Network) -> World {
    let rates = network.periods.iter().map(|(secs, kbps)| (Duration::from_secs(*secs), BitRate::from_kbps(*kbps)));
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\na/index.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=128001\nb/index.m3u8\n";
    let world = World::new()
        .with_text("/main.m3u8", main)
        .with_bandwidth(Bandwidth::periods(rates.collect()))
        .with_latency(Duration::from_millis(network.latency));
    let world = ["/a/index.m3u8", "/b/index.m3u8"].into_iter().fold(world, |world, path| live.world(world, path));
    network.faults.iter().fold(world, |world, (path, from, times, kind, after)| {
        let (kind, status) = KINDS[*kind];
        // The network layer has tried for long before it says so.
        let after = if kind == FailureKind::Unreachable { after + 10_000 } else { *after };
        let fault = fault(PATHS[*path], *from, *times, kind, status);
        world.with_fault(Fault { after: Duration::from_millis(after), ..fault })
    })
}

/// The shortest time between two loads of one playlist, in milliseconds.
fn closest_loads(transcript: &str) -> Option<(u64, String)> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut closest: Option<(u64, String)> = None;
    for line in transcript.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, "load", _, path, ..] = words[..] else { continue };
        let at = (at.parse::<f64>().expect("a time") * 1_000.0).round() as u64;
        if let Some(before) = last.insert(path, at)
            && closest.as_ref().is_none_or(|(least, _)| at - before < *least)
        {
            closest = Some((at - before, line.to_owned()));
        }
    }
    closest
}

fn is_told(transcript: &str) -> bool {
    WORDS.iter().any(|word| transcript.contains(word))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_live_stream_goes_on_and_only_forwards(live in streams(), network in networks()) {
        let playback = PlaybackOptions { on_missing: OnMissing::Skip, ..PlaybackOptions::default() };
        let options = SessionOptions { playback, ..SessionOptions::default() };
        let mut simulation = Simulation::new(world(live, &network), &url(), options);
        simulation.run(Tick::from_millis(180_000));
        let transcript = simulation.transcript().to_string();
        let report = simulation.player().report();
        if transcript.contains("recoverable=false") {
            // What cannot be opened is an error; what plays goes on.
            prop_assert!(report.units.is_empty(), "{live:?}\n{transcript}");
            return Ok(());
        }
        let msns: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
        prop_assert!(!msns.is_empty() || is_told(&transcript), "{live:?}\n{transcript}");
        prop_assert!(msns.windows(2).all(|pair| pair[0] < pair[1]), "{live:?} {msns:?}\n{transcript}");
        let back = report.played_units.windows(2).find(|pair| pair[1].start < pair[0].end);
        prop_assert!(back.is_none(), "{live:?} {back:?}\n{transcript}");
        let left_out: Vec<_> = report.played_units.windows(2).filter(|pair| pair[1].start > pair[0].end).collect();
        let told = transcript.lines().filter(|line| is_told(line)).count();
        prop_assert!(left_out.len() <= told, "{live:?} {left_out:?}\n{transcript}");
        // What there is at the end has been played, but for what is played behind it.
        if let Some(end) = live.end.filter(|end| (end - live.start.min(*end)) * 4 < 120) {
            let last = Some(live.first + end - 1);
            let is_last = msns.last() == last.as_ref() || transcript.contains("- skipped");
            prop_assert!(report.ended && is_last, "{live:?} {end}\n{transcript}");
        }
        let closest = closest_loads(&transcript);
        prop_assert!(closest.iter().all(|(least, _)| *least >= 249), "{closest:?}\n{transcript}");
    }
}
