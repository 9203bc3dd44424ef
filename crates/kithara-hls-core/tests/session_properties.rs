//! Any session, whatever the network does: it ends, plays in order, and replays to the same.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    playlist::VariantId,
    session::{Command, FailureKind, Input, OnMissing, PlaybackOptions, SessionOptions, VariantChoice},
    sim::{Bandwidth, Simulation, World},
    time::Tick,
    trace::{Recorder, Trace},
};
use proptest::prelude::*;

mod worlds;
use worlds::{fault, ladder, url};

const KINDS: [(FailureKind, Option<u16>); 9] = [
    (FailureKind::NotFound, Some(404)),
    (FailureKind::Gone, Some(410)),
    (FailureKind::Forbidden, Some(403)),
    (FailureKind::Unreachable, Some(503)),
    (FailureKind::Unreachable, None),
    (FailureKind::NotMedia, Some(200)),
    (FailureKind::Incomplete, Some(200)),
    (FailureKind::Changed, Some(200)),
    (FailureKind::Refused, Some(400)),
];

const PATHS: [&str; 8] = ["seg0", "seg3", "seg1", "low/index", "mid/index", "high/seg", "main", "seg14"];

fn worlds() -> impl Strategy<Value = World> {
    let faults = prop::collection::vec((0..PATHS.len(), 0_u32..3, 1_u32..40, 0..KINDS.len(), 0_u64..3_000), 0..5);
    let periods = prop::collection::vec((1_u64..20, 20_u64..4_000), 1..4);
    (faults, periods, 0_u64..400).prop_map(|(faults, periods, latency)| {
        let periods = periods.into_iter().map(|(secs, kbps)| (Duration::from_secs(secs), BitRate::from_kbps(kbps)));
        let world = ladder(World::new())
            .with_bandwidth(Bandwidth::periods(periods.collect()))
            .with_latency(Duration::from_millis(latency));
        faults.into_iter().fold(world, |world, (path, from, times, kind, after)| {
            let (kind, status) = KINDS[kind];
            let mut fault = fault(PATHS[path], from, times, kind, status);
            fault.after = Duration::from_millis(after);
            world.with_fault(fault)
        })
    })
}

fn options() -> impl Strategy<Value = SessionOptions> {
    let choices = [VariantChoice::Auto, VariantChoice::Best, VariantChoice::Worst, VariantChoice::Id(VariantId(1))];
    (any::<bool>(), 0..choices.len(), 1_usize..6, 5_u64..60).prop_map(move |(skip, choice, parallel, goal)| {
        let playback = PlaybackOptions {
            on_missing: if skip { OnMissing::Skip } else { OnMissing::Fail },
            variant: choices[choice],
            parallel_fetches: parallel,
            buffer_goal: Duration::from_secs(goal),
            ..PlaybackOptions::default()
        };
        SessionOptions { playback, ..SessionOptions::default() }
    })
}

/// Something a user does, and when: a seek, or the choice of a variant.
fn deeds() -> impl Strategy<Value = Vec<(u64, Command)>> {
    let seek = (0_u64..90).prop_map(|secs| Command::Seek(Duration::from_secs(secs)));
    let select = prop::option::of(0_u32..5).prop_map(|id| Command::SelectVariant(id.map(VariantId)));
    prop::collection::vec((0_u64..60_000, prop_oneof![seek, select]), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_session_comes_to_an_end_and_replays_to_the_same(world in worlds(), options in options(), deeds in deeds()) {
        let recorder = Recorder::new(&url(), &options, Tick::ZERO.into(), 1);
        let mut simulation = Simulation::new(world, &url(), options).recorded(recorder);
        let sought = deeds.iter().any(|(_, deed)| matches!(deed, Command::Seek(_)));
        for (at, deed) in deeds {
            simulation.at(Tick::from_millis(at), Input::Command(deed));
        }
        let limit = Tick::from_millis(3_600_000);
        simulation.run(limit);
        let transcript = simulation.transcript();
        prop_assert!(transcript.lines.len() < 5_000, "{} lines", transcript.lines.len());
        let report = simulation.player().report();
        let over = transcript.lines.iter().any(|line| line.contains("recoverable=false"));
        let last = transcript.lines[transcript.lines.len().saturating_sub(25)..].join("\n");
        prop_assert!(report.ended || over, "neither an end nor an error:\n{last}");
        let order: Vec<u64> = report.units.iter().filter_map(|unit| unit.msn()).map(|msn| msn.0).collect();
        prop_assert!(sought || order.windows(2).all(|pair| pair[0] <= pair[1]), "{order:?}\n{last}");
        let mut recorder = simulation.into_recorder().expect("it was asked for");
        let lines = recorder.take_lines().expect("JSON").join("\n");
        let replayed = Trace::read(&lines).expect("a trace").replay();
        prop_assert!(replayed.is_ok(), "{:?}", replayed.map_err(|divergence| divergence.to_string()));
    }
}
