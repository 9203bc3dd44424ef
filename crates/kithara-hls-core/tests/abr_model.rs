//! The session model: its arithmetic on networks small enough to follow by hand, and the controller on links that
//! never change.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    abr::{
        AbrOptions, AbrStrategy, Rung, ThroughputSample,
        sim::{Adaptation, Arriving, Metrics, Moment, NetworkTrace, Playback, Player, Presentation, SimOptions, play},
    },
};
use proptest::prelude::*;

/// Plays the rungs it is told, and cuts the segments it is told, once each, at their first report.
#[derive(Default)]
struct Script {
    rungs: Vec<usize>,
    cuts: Vec<(usize, usize)>,
    segment: usize,
    reports: Vec<u128>,
    samples: Vec<ThroughputSample>,
    buffered: Vec<u128>,
}

impl Script {
    fn new(rungs: &[usize]) -> Self {
        Self { rungs: rungs.to_vec(), ..Self::default() }
    }
}

impl Adaptation for Script {
    fn choose(&mut self, at: &Moment<'_>) -> Rung {
        self.buffered.push(millis(at.buffered));
        self.segment += 1;
        Rung(self.rungs[self.segment - 1])
    }

    fn measured(&mut self, sample: &ThroughputSample) {
        self.samples.push(*sample);
    }

    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        self.reports.push(millis(at.elapsed));
        let index = self.cuts.iter().position(|(segment, _)| *segment == self.segment - 1)?;
        Some(Rung(self.cuts.remove(index).1))
    }
}

/// Segments of 2 s at 500 and 1,000 kbit/s, exactly of that size.
fn presentation(segments: usize) -> Presentation {
    let rates = [500, 1_000].map(BitRate::from_kbps).to_vec();
    Presentation::constant(Duration::from_secs(2), rates, segments).expect("the rates rise")
}

fn millis(time: Duration) -> u128 {
    (time.as_micros() + 500) / 1_000
}

fn run(trace: &str, options: &SimOptions, script: &mut Script) -> Playback {
    let trace = NetworkTrace::parse(trace).expect("the trace carries bits");
    play(&presentation(script.rungs.len()), &trace, options, script)
}

#[track_caller]
fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[test]
fn a_session_adds_up() {
    // 1 Mbit at 1 Mbit/s after 0.1 s: 1.1 s to start. 2 Mbit: 2.1 s with 2.0 s buffered, a stall of 0.1 s. Then
    // 1.1 s with 2 s buffered.
    let mut script = Script::new(&[0, 1, 0]);
    let playback = run("10000,1000,100", &SimOptions::default(), &mut script);
    near(playback.start_up, 1.1);
    near(playback.stalled, 0.1);
    assert_eq!((playback.stalls, playback.abandoned), (1, 0));
    assert_eq!(script.buffered, [0, 2_000, 2_000]);
    let sample = script.samples[1];
    assert_eq!(
        (sample.bytes, sample.elapsed.as_millis(), sample.time_to_first_byte.as_millis()),
        (250_000, 2_100, 100)
    );

    let metrics = playback.metrics(presentation(3).ladder());
    near(metrics.kbps, 2_000.0 / 3.0);
    near(metrics.utility, 2_f64.ln() / 3.0);
    near(metrics.stall_ratio, 0.1 / 6.1);
    near(metrics.switches, 2.0);
    near(metrics.qoe_lin, (2.0 - 1.0 - 4.3 * 1.2) / 3.0);
    near(metrics.qoe_log, (2_f64.ln() - 2.0 * 2_f64.ln() - 2.66 * 1.2) / 3.0);
    near(metrics.qoe_lin_top, (2.0 - 1.0 - 1.0 * 1.2) / 3.0);
}

#[test]
fn an_outage_in_a_segment_is_waited_out() {
    // The second segment gets 0.4 Mbit in 0.4 s, waits 5 s, and gets the rest in 0.6 s.
    let mut script = Script::new(&[0, 0]);
    let playback = run("1400,1000,0\n5000,0,0\n9000,1000,0", &SimOptions::default(), &mut script);
    near(playback.start_up, 1.0);
    near(playback.stalled, 4.0);
}

#[test]
fn a_full_buffer_delays_the_next_request() {
    // At 10 Mbit/s a segment takes 0.1 s; with room for 4 s the third waits until 2 s are left.
    let options = SimOptions { buffer_limit: Duration::from_secs(4), ..SimOptions::default() };
    let mut script = Script::new(&[0; 5]);
    let playback = run("10000,10000,0", &options, &mut script);
    assert_eq!(script.buffered, [0, 2_000, 2_000, 2_000, 2_000]);
    near(playback.stalled, 0.0);
}

#[test]
fn a_buffer_limit_below_a_segment_still_plays() {
    let options = SimOptions { buffer_limit: Duration::from_secs(1), ..SimOptions::default() };
    let mut script = Script::new(&[0; 3]);
    let playback = run("10000,10000,0", &options, &mut script);
    assert_eq!(script.buffered, [0, 0, 0]);
    near(playback.stalled, 0.2);
}

#[test]
fn reports_come_every_tenth_of_a_second_counted_from_the_request() {
    let mut script = Script::new(&[0, 1]);
    run("10000,5000,50", &SimOptions::default(), &mut script);
    assert_eq!(script.reports, [100, 200, 300, 400], "the second segment takes 450 ms, the first is not watched");
}

#[test]
fn a_cut_segment_is_asked_for_again_and_its_bits_are_wasted() {
    // 0.1 s at 1 Mbit/s are lost, then the whole of rung 0 comes.
    let mut script = Script { cuts: vec![(1, 0)], ..Script::new(&[0, 1]) };
    let playback = run("10000,1000,0", &SimOptions::default(), &mut script);
    assert_eq!(playback.rungs, [Rung(0), Rung(0)]);
    assert_eq!(playback.abandoned, 1);
    near(playback.wasted_bits, 100_000.0);
    near(playback.received_bits, 2_100_000.0);
    assert_eq!(script.samples[1].bytes, 12_500);
    near(playback.stalled, 0.0);
}

#[test]
fn a_cut_to_no_lower_rung_is_no_cut() {
    let mut script = Script { cuts: vec![(1, 1)], ..Script::new(&[0, 1]) };
    let playback = run("10000,1000,0", &SimOptions::default(), &mut script);
    assert_eq!((playback.abandoned, playback.rungs[1]), (0, Rung(1)));
}

#[test]
fn a_live_segment_is_not_there_before_its_time() {
    // Two segments exist at the start. The third is whole at 2 s, the fourth at 4 s.
    let options = SimOptions { live_hold_back: Some(Duration::from_secs(4)), ..SimOptions::default() };
    let mut script = Script::new(&[0; 4]);
    let playback = run("10000,10000,0", &options, &mut script);
    assert_eq!(script.buffered, [0, 2_000, 2_100, 2_100]);
    near(playback.stalled, 0.0);
}

#[test]
fn the_wait_after_a_seek_is_no_stall() {
    let options = SimOptions { seek_every: Some(2), ..SimOptions::default() };
    let mut script = Script::new(&[0; 4]);
    let playback = run("10000,1000,0", &options, &mut script);
    assert_eq!(script.buffered, [0, 2_000, 0, 2_000]);
    near(playback.seeking, 1.0);
    near(playback.stalled, 0.0);
    near(playback.metrics(presentation(4).ladder()).qoe_lin, (4.0 * 0.5 - 4.3 * 2.0) / 4.0);
}

#[test]
fn a_trace_that_ends_starts_again() {
    let playback = run("500,1000,0\n500,0,0", &SimOptions::default(), &mut Script::new(&[0, 0]));
    near(playback.start_up, 1.5);
    near(playback.stalled, 0.0);
}

#[test]
fn what_is_no_presentation_is_refused() {
    let parse = |text: &str| Presentation::from_json(&serde_json::from_str(text).unwrap());
    let good = r#"{"segment_duration_ms": 2000, "bitrates_kbps": [64, 128], "segment_sizes_bits": [[1, 2], [3, 4]]}"#;
    assert_eq!(parse(good).unwrap().segments(), 2);
    for (from, to) in
        [("2000", "0"), ("[64, 128]", "[128, 64]"), ("[64, 128]", "[]"), ("[3, 4]", "[3]"), ("[1, 2]", "[0, 2]")]
    {
        assert!(parse(&good.replace(from, to)).is_err(), "{to} for {from}");
    }
    assert!(parse("[]").is_err());
}

#[test]
fn the_mean_of_nothing_is_nothing() {
    assert_eq!(Metrics::mean(&[]), Metrics::default());
    let playback = Playback { rungs: Vec::new(), ..run("9,9,9", &SimOptions::default(), &mut Script::new(&[0])) };
    assert_eq!(playback.metrics(&[]).kbps, 0.0);
}

fn rates(kbps: &[u64]) -> Vec<BitRate> {
    kbps.iter().copied().map(BitRate::from_kbps).collect()
}

fn strategies() -> [AbrOptions; 2] {
    [AbrStrategy::LookAhead, AbrStrategy::Threshold].map(|strategy| AbrOptions { strategy, ..AbrOptions::default() })
}

#[test]
fn tiny_audio_segments_climb_to_the_rung_the_link_carries() {
    // 64 kbit/s in segments of 2 s are 16 kB each.
    let presentation = Presentation::constant(Duration::from_secs(2), rates(&[64, 128, 256]), 60).unwrap();
    let trace = NetworkTrace::constant(BitRate::from_kbps(1_000), Duration::from_millis(60));
    for options in strategies() {
        let playback = play(&presentation, &trace, &SimOptions::default(), &mut Player::new(&options, true));
        assert_eq!(playback.rungs.last(), Some(&Rung(2)), "{options:?}");
        assert_eq!(playback.stalls, 0, "{options:?}");
    }
}

#[test]
fn a_link_that_collapses_is_survived_by_giving_up() {
    let presentation = Presentation::constant(Duration::from_secs(6), rates(&[64, 128, 256, 900]), 40).unwrap();
    let trace = NetworkTrace::parse("60000,3000,50\n600000,110,50").unwrap();
    let run = |abandon| {
        let options = AbrOptions { abandon, ..AbrOptions::default() };
        play(&presentation, &trace, &SimOptions::default(), &mut Player::new(&options, false))
    };
    let (with, without) = (run(true), run(false));
    assert!(with.abandoned > 0);
    assert_eq!(with.stalled, 0.0);
    assert!(without.stalled > 1.0, "{}", without.stalled);
}

/// Plays a link that never changes: the rungs rise, fall at most once from what was tried on a full buffer, and then
/// stay. When the buffer is full, and with it the fall, depends on how little the link is faster than the media.
#[track_caller]
fn wanders_not(kbps: u64, latency: u64, segment: u64, limit: u64, options: &AbrOptions) {
    let case = format!("{kbps} kbit/s, {latency} ms, {segment} s, {limit} s, {:?}", options.strategy);
    let ladder = rates(&[64, 128, 256, 600, 1_500, 4_000]);
    let presentation = Presentation::constant(Duration::from_secs(segment), ladder, 400).expect("the rates rise");
    let trace = NetworkTrace::constant(BitRate::from_kbps(kbps), Duration::from_millis(latency));
    let sim = SimOptions { buffer_limit: Duration::from_secs(limit), ..SimOptions::default() };
    let playback = play(&presentation, &trace, &sim, &mut Player::new(options, false));
    // A segment is asked for when it fits into the buffer. If even the lowest rung takes longer than what is buffered
    // then, no choice prevents the stall.
    let arrives = latency as f64 / 1_000.0 + (64 * segment) as f64 / kbps as f64;
    assert!(playback.stalls == 0 || arrives > (limit - segment) as f64, "{case}: {} stalls", playback.stalls);
    let changes: Vec<_> = playback.rungs.windows(2).map(|pair| pair[1].cmp(&pair[0])).filter(|it| it.is_ne()).collect();
    let climb = changes.iter().take_while(|change| change.is_gt()).count();
    assert!(changes.len() - climb <= 1, "{case}: {changes:?} in {:?}", playback.rungs);
}

#[test]
fn a_buffer_that_fills_late_tries_the_next_rung_late_and_once() {
    // 600 kbit/s at 846 kbit/s: a minute of buffer is full after five minutes.
    wanders_not(846, 103, 1, 60, &strategies()[0]);
    wanders_not(830, 111, 1, 60, &strategies()[0]);
}

#[test]
fn a_buffer_of_one_segment_and_a_half_stalls_only_where_no_rung_arrives_in_time() {
    // Of 15 s there are 5 s left when a segment of 10 s fits in. At 128 kbit/s the lowest rung takes 5 s and the wait.
    for options in strategies() {
        for (kbps, latency) in [(105, 43), (109, 171), (127, 41), (128, 0), (129, 30), (140, 199)] {
            wanders_not(kbps, latency, 10, 15, &options);
        }
    }
}

#[test]
fn a_segment_that_arrives_in_the_moment_it_is_needed_is_no_stall() {
    // 1,200 kbit in 1.92 s after 0.08 s.
    wanders_not(625, 80, 2, 60, &strategies()[0]);
}

proptest! {
    #[test]
    fn a_constant_link_is_played_without_wandering(
        kbps in 100_u64..20_000,
        latency in 0_u64..200,
        segment in prop::sample::select(vec![1_u64, 2, 4, 6, 10]),
        limit in prop::sample::select(vec![15_u64, 30, 60]),
        strategy in 0_usize..2,
    ) {
        wanders_not(kbps, latency, segment, limit, &strategies()[strategy]);
    }
}
