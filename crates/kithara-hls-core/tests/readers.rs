//! Several readers of one session: what concerns one does not concern the others.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    session::{Demand, FailureKind, Input, ReaderId, ReaderOptions, SessionOptions, Track, View},
    sim::{Bandwidth, Simulation, World},
    time::Tick,
};

mod worlds;
use worlds::{FOUR, fault, url};

const ONE: ReaderId = ReaderId(8);
const OTHER: ReaderId = ReaderId(9);

/// A player, and two readers more that say what they are told to, at a millisecond each.
fn transcript(world: World, view: View, says: &[(u64, ReaderId, Demand)]) -> String {
    let reader = ReaderOptions { resolve_sizes: true };
    let mut simulation = Simulation::new(world, &url(), SessionOptions { reader, ..SessionOptions::default() });
    for reader in [ONE, OTHER] {
        simulation.at(Tick::ZERO, Input::Demand { reader, demand: Demand::Open { view, track: Track::Main } });
    }
    for (at, reader, demand) in says {
        simulation.at(Tick::from_millis(*at), Input::Demand { reader: *reader, demand: demand.clone() });
    }
    simulation.run(Tick::from_millis(30_000));
    simulation.transcript().to_string()
}

fn vod(kbps: u64) -> World {
    let world = World::new().with_vod("/main.m3u8", 30, FOUR, BitRate::from_kbps(100));
    world.with_bandwidth(Bandwidth::constant(BitRate::from_kbps(kbps)))
}

#[test]
fn a_length_that_cannot_be_had_is_told_to_those_who_need_it() {
    // One wants the end, and the length of the last segment but one is nowhere. The other waits for bytes on their way.
    let world = vod(50).with_fault(fault("/seg28", 0, 99, FailureKind::NotFound, Some(404)));
    let at = |offset| Demand::At { offset, in_sequence: 0 };
    let transcript = transcript(world, View::Flat, &[(1_000, OTHER, at(40_000)), (1_500, ONE, at(10_000_000))]);
    assert!(transcript.contains("refuse r8 v0/28: NotFound(404)"), "{transcript}");
    assert!(!transcript.contains("refuse r9"), "{transcript}");
}

#[test]
fn a_seek_of_one_reader_leaves_another_ones_units_alone() {
    let seek = |at: u64, number| Demand::Seek { at: Duration::from_secs(at), number };
    // Each stands elsewhere, and units for all of them are there or on their way.
    let says =
        [(1, ONE, Demand::Next), (100, OTHER, seek(80, 1)), (101, OTHER, Demand::Next), (8_000, ONE, seek(40, 1))];
    let transcript = transcript(vod(600), View::Adaptive, &says);
    let lines = transcript.lines().filter(|line| line.trim_start().starts_with("8.000"));
    let lost: Vec<&str> = lines.filter(|line| line.contains("cancel") || line.contains("release v0/2")).collect();
    assert!(lost.is_empty(), "{lost:?} of\n{transcript}");
    for unit in ["20 /seg20", "21 /seg21", "22 /seg22", "23 /seg23"] {
        assert_eq!(transcript.matches(&format!(" v0/{unit}")).count(), 1, "{unit} is fetched once:\n{transcript}");
    }
}
