//! What the controller decides, as tables and as properties.

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    abr::{
        Abandon, AbrController, AbrDecision, AbrOptions, AbrReason, AbrStrategy, Estimate, LadderRung, Left, Progress,
        Rung, Seen,
    },
};
use proptest::prelude::*;

const AUDIO: [u64; 4] = [64, 128, 256, 900];

fn ladder(kbps: &[u64]) -> Vec<LadderRung> {
    kbps.iter().map(|kbps| LadderRung::new(BitRate::from_kbps(*kbps))).collect()
}

fn link(kbps: u64) -> Option<Estimate> {
    Some(Estimate { throughput: BitRate::from_kbps(kbps), round_trip: Duration::from_millis(50) })
}

/// A listener at rung 1 of the audio ladder, 12 s of 30 s buffered, segments of 4 s, nothing known of the link.
fn seen(ladder: &[LadderRung]) -> Seen<'_> {
    Seen {
        ladder,
        current: Some(Rung(1)),
        selected: None,
        estimate: None,
        buffered: Duration::from_secs(12),
        buffer_goal: Duration::from_secs(30),
        segment_duration: Duration::from_secs(4),
        segments_left: Some(100),
        since_switch: None,
        audio_only: true,
    }
}

/// What the default controller makes of that listener after `change`.
#[track_caller]
fn check(change: impl FnOnce(&mut Seen<'_>), rung: usize, reason: AbrReason) {
    check_with(&AbrOptions::default(), change, rung, reason);
}

#[track_caller]
fn check_with(options: &AbrOptions, change: impl FnOnce(&mut Seen<'_>), rung: usize, reason: AbrReason) {
    let ladder = ladder(&AUDIO);
    let mut seen = seen(&ladder);
    change(&mut seen);
    let changed = seen.current.is_some_and(|current| current != Rung(rung));
    let too_much = matches!(reason, AbrReason::Throughput | AbrReason::BufferLow | AbrReason::Starved);
    let left = seen.estimate.filter(|_| too_much).zip(seen.current);
    let left = left.map(|(estimate, rung)| Left { rung, throughput: estimate.throughput });
    let decision = AbrController::new(options).decide(&seen);
    assert_eq!(decision, Some(AbrDecision { target: Rung(rung), reason, changed, left }));
}

#[test]
fn an_unknown_link_starts_at_the_lowest_rung_and_stays_where_it_is() {
    check(|seen| seen.current = None, 0, AbrReason::Initial);
    check(|_| {}, 1, AbrReason::Hold);
}

#[test]
fn a_known_link_starts_where_the_first_segment_is_soon_there() {
    let start = |kbps| {
        move |seen: &mut Seen<'_>| (seen.current, seen.estimate, seen.buffered) = (None, link(kbps), Duration::ZERO)
    };
    check(start(100_000), 3, AbrReason::Initial);
    check(start(1_000), 2, AbrReason::Initial);
    check(start(100), 0, AbrReason::Initial);
}

#[test]
fn the_rung_rises_with_the_link() {
    check(|seen| seen.estimate = link(10_000), 3, AbrReason::Headroom);
    check(|seen| seen.estimate = link(600), 2, AbrReason::Headroom);
    check(|seen| seen.estimate = link(200), 1, AbrReason::Hold);
}

#[test]
fn the_rung_falls_for_what_is_missing() {
    let at = |kbps, millis| {
        move |seen: &mut Seen<'_>| {
            (seen.current, seen.estimate, seen.buffered) = (Some(Rung(3)), link(kbps), Duration::from_millis(millis));
        }
    };
    check(at(200, 4_000), 1, AbrReason::Throughput);
    check(at(910, 500), 2, AbrReason::BufferLow);
    check(at(100, 0), 0, AbrReason::Starved);
}

#[test]
fn a_full_buffer_carries_a_rung_over_a_dip() {
    check(
        |seen| (seen.current, seen.estimate, seen.buffered) = (Some(Rung(2)), link(240), Duration::from_secs(26)),
        2,
        AbrReason::Hold,
    );
}

#[test]
fn who_selects_a_rung_gets_it() {
    check(|seen| seen.selected = Some(Rung(3)), 3, AbrReason::Manual);
    let fixed = |kbps| AbrOptions { strategy: AbrStrategy::Fixed(BitRate::from_kbps(kbps)), ..AbrOptions::default() };
    check_with(&fixed(300), |seen| seen.estimate = link(10), 2, AbrReason::Manual);
    check_with(&fixed(10), |_| {}, 0, AbrReason::Manual);
}

#[test]
fn limits_hold_whatever_the_link_does() {
    let limit = |min: Option<u64>, max: Option<u64>| AbrOptions {
        min_bandwidth: min.map(BitRate::from_kbps),
        max_bandwidth: max.map(BitRate::from_kbps),
        ..AbrOptions::default()
    };
    check_with(&limit(None, Some(200)), |seen| seen.estimate = link(100_000), 1, AbrReason::Hold);
    check_with(&limit(None, Some(100)), |seen| seen.estimate = link(100_000), 0, AbrReason::Capped);
    check_with(&limit(Some(200), None), |_| {}, 2, AbrReason::Capped);
}

#[test]
fn an_excluded_rung_is_left() {
    let mut ladder = ladder(&AUDIO);
    ladder[1].excluded = true;
    let decide = |seen: &Seen<'_>| AbrController::new(&AbrOptions::default()).decide(seen);
    let left = decide(&Seen { estimate: link(600), ..seen(&ladder) }).unwrap();
    assert_eq!((left.target, left.reason), (Rung(2), AbrReason::Excluded));
    let ignored = decide(&Seen { selected: Some(Rung(1)), ..seen(&ladder) }).unwrap();
    assert_eq!((ignored.target, ignored.reason), (Rung(0), AbrReason::Excluded));
}

#[test]
fn nothing_to_choose_from_is_no_decision() {
    let mut excluded = ladder(&AUDIO);
    excluded.iter_mut().for_each(|rung| rung.excluded = true);
    for ladder in [&[][..], &excluded] {
        assert_eq!(AbrController::new(&AbrOptions::default()).decide(&seen(ladder)), None);
    }
}

#[test]
fn a_rung_that_left_the_ladder_is_no_current_one() {
    let ladder = ladder(&AUDIO);
    let decision = AbrController::new(&AbrOptions::default()).decide(&Seen { current: Some(Rung(9)), ..seen(&ladder) });
    let initial = AbrDecision { target: Rung(0), reason: AbrReason::Initial, changed: false, left: None };
    assert_eq!(decision, Some(initial));
}

#[test]
fn a_rung_that_proved_too_much_is_not_tried_again_until_the_link_is_faster() {
    // With a full buffer, a rate somewhat above the link is worth a try.
    let mut ladder = ladder(&AUDIO);
    let decide = |ladder: &[LadderRung], kbps| {
        let buffered = Duration::from_secs(28);
        let seen = Seen { current: Some(Rung(2)), estimate: link(kbps), buffered, ..seen(ladder) };
        AbrController::new(&AbrOptions::default()).decide(&seen).map(|decision| decision.target)
    };
    assert_eq!(decide(&ladder, 880), Some(Rung(3)));
    Left { rung: Rung(3), throughput: BitRate::from_kbps(880) }.note(&mut ladder);
    assert_eq!(decide(&ladder, 880), Some(Rung(2)));
    // 900 kbit/s are carried by 911, if each segment of 4 s begins with a wait of 50 ms.
    assert_eq!(decide(&ladder, 911), Some(Rung(2)));
    assert_eq!(decide(&ladder, 912), Some(Rung(3)));
}

#[test]
fn what_is_stored_costs_the_link_nothing() {
    let mut ladder = ladder(&AUDIO);
    let decide = |ladder: &[LadderRung]| {
        let seen = Seen { estimate: link(90), buffered: Duration::from_secs(4), ..seen(ladder) };
        AbrController::new(&AbrOptions::default()).decide(&seen).map(|decision| decision.target)
    };
    assert_eq!(decide(&ladder), Some(Rung(0)));
    ladder[3].stored = Duration::from_secs(60);
    assert_eq!(decide(&ladder), Some(Rung(3)));
}

/// The six fields of the threshold rule, at their defaults, with a buffer that allows a rise.
#[track_caller]
fn check_threshold(change: impl FnOnce(&mut Seen<'_>), rung: usize, reason: AbrReason) {
    let options = AbrOptions { strategy: AbrStrategy::Threshold, ..AbrOptions::default() };
    check_with(&options, change, rung, reason);
}

#[test]
fn the_threshold_rule_rises_with_a_margin_and_a_buffer() {
    // 256 kbit/s need 256 x 1.5 x 1.3 = 499.2.
    check_threshold(|seen| seen.estimate = link(500), 2, AbrReason::Headroom);
    check_threshold(|seen| seen.estimate = link(499), 1, AbrReason::Hold);
    check_threshold(
        |seen| (seen.estimate, seen.buffered) = (link(500), Duration::from_millis(9_999)),
        1,
        AbrReason::Hold,
    );
}

#[test]
fn the_threshold_rule_falls_when_the_link_is_clearly_slower() {
    // 128 kbit/s are left at 128 x 0.8 x 1.5 = 153.6.
    check_threshold(|seen| seen.estimate = link(153), 0, AbrReason::BufferLow);
    check_threshold(|seen| seen.estimate = link(154), 1, AbrReason::Hold);
    check_threshold(|seen| seen.estimate = link(100), 0, AbrReason::Throughput);
}

#[test]
fn the_threshold_rule_waits_between_switches_unless_the_buffer_is_low() {
    let soon = Some(Duration::from_secs(29));
    check_threshold(|seen| (seen.estimate, seen.since_switch) = (link(500), soon), 1, AbrReason::Hold);
    check_threshold(|seen| (seen.estimate, seen.since_switch) = (link(100), soon), 1, AbrReason::Hold);
    check_threshold(
        |seen| (seen.estimate, seen.since_switch, seen.buffered) = (link(100), soon, Duration::from_secs(5)),
        0,
        AbrReason::Throughput,
    );
    let since = Some(Duration::from_secs(30));
    check_threshold(|seen| (seen.estimate, seen.since_switch) = (link(500), since), 2, AbrReason::Headroom);
}

/// A segment of 256 kbit/s and 4 s of which half is here after two seconds, with three seconds still buffered.
fn arriving(ladder: &[LadderRung]) -> Progress<'_> {
    Progress {
        ladder,
        rung: Rung(2),
        estimate: link(256),
        received: 64_000,
        length: Some(128_000),
        elapsed: Duration::from_millis(2_050),
        time_to_first_byte: Some(Duration::from_millis(50)),
        buffered: Duration::from_secs(3),
        segment_duration: Duration::from_secs(4),
        abandoned: 0,
        audio_only: true,
    }
}

#[track_caller]
fn check_progress(change: impl FnOnce(&mut Progress<'_>), want: Option<usize>) {
    let ladder = ladder(&AUDIO);
    let mut progress = arriving(&ladder);
    change(&mut progress);
    let found = AbrController::new(&AbrOptions::default()).progress(&progress);
    assert_eq!(found.map(|abandon| abandon.target), want.map(Rung));
    let left = Some(Left { rung: progress.rung, throughput: BitRate::from_kbps(256) });
    assert!(found.is_none_or(|abandon| abandon.left == left), "{found:?}");
}

#[test]
fn a_download_that_will_make_it_is_waited_for() {
    check_progress(|_| {}, None);
    // At 26 kB/s the rest takes 2.9 s.
    check_progress(|at| at.received = 52_000, None);
}

#[test]
fn a_download_that_would_starve_the_reader_is_given_up() {
    // At 1 kB/s the rest takes two minutes, rung 0 half a minute.
    check_progress(|at| at.received = 2_000, Some(0));
    // At 12 kB/s the rest takes 8.7 s, rung 1 5.4 s and rung 0 2.7 s.
    check_progress(|at| at.received = 24_000, Some(0));
    // At 12 kB/s the rest takes 7.7 s, and rung 1 is soon enough.
    check_progress(
        |at| (at.received, at.elapsed, at.buffered) = (36_000, Duration::from_millis(3_050), Duration::from_secs(6)),
        Some(1),
    );
}

#[test]
fn a_download_is_given_time_to_show_its_rate() {
    // Three tenths of a second, and four tenths of the three that are buffered.
    let young = |millis| move |at: &mut Progress<'_>| (at.received, at.elapsed) = (500, Duration::from_millis(millis));
    check_progress(young(1_549), None);
    check_progress(young(1_551), Some(0));
    check_progress(|at| (at.received, at.time_to_first_byte) = (0, None), None);
}

#[test]
fn a_download_is_given_up_at_most_twice_and_never_from_the_lowest_rung() {
    let slow = |abandoned| move |at: &mut Progress<'_>| (at.received, at.abandoned) = (2_000, abandoned);
    check_progress(slow(1), Some(0));
    check_progress(slow(2), None);
    check_progress(|at| (at.received, at.rung, at.length) = (500, Rung(0), Some(32_000)), None);
}

#[test]
fn nothing_is_given_up_for_something_larger() {
    check_progress(|at| (at.received, at.length, at.buffered) = (2_000, Some(30_000), Duration::ZERO), None);
}

#[test]
fn an_app_can_forbid_to_give_up() {
    let ladder = ladder(&AUDIO);
    let slow = Progress { received: 2_000, ..arriving(&ladder) };
    let with = |change: fn(&mut AbrOptions)| {
        let mut options = AbrOptions::default();
        change(&mut options);
        AbrController::new(&options).progress(&slow)
    };
    assert!(with(|_| {}).is_some());
    assert_eq!(with(|options| options.abandon = false), None);
    assert_eq!(with(|options| options.strategy = AbrStrategy::Fixed(BitRate(1))), None);
}

prop_compose! {
    fn any_rung()(
        step in 1_u64..3_000,
        excluded in prop::bool::weighted(0.2),
        left_at in prop::option::weighted(0.2, 1_u64..20_000),
    ) -> LadderRung {
        let rung = LadderRung::new(BitRate::from_kbps(step));
        LadderRung { excluded, left_at: left_at.map(BitRate::from_kbps), ..rung }
    }
}

prop_compose! {
    fn any_ladder()(mut ladder in prop::collection::vec(any_rung(), 1..12)) -> Vec<LadderRung> {
        let mut below = BitRate::from_kbps(20);
        for rung in &mut ladder {
            rung.bandwidth.0 += below.0;
            below = rung.bandwidth;
        }
        ladder
    }
}

prop_compose! {
    fn any_options()(
        strategy in prop::sample::select(vec![AbrStrategy::LookAhead, AbrStrategy::Threshold]),
        min in prop::option::of(0_u64..5_000),
        max in prop::option::of(0_u64..20_000),
    ) -> AbrOptions {
        AbrOptions {
            strategy,
            min_bandwidth: min.map(BitRate::from_kbps),
            max_bandwidth: max.map(BitRate::from_kbps),
            ..AbrOptions::default()
        }
    }
}

/// Everything of a situation but the ladder and the link.
#[derive(Clone, Copy, Debug)]
struct Situation {
    current: Option<usize>,
    buffered: u64,
    goal: u64,
    segment: u64,
    left: Option<u64>,
    since: Option<u64>,
}

impl Situation {
    fn seen<'a>(&self, ladder: &'a [LadderRung], bits: u64) -> Seen<'a> {
        Seen {
            ladder,
            current: self.current.map(Rung),
            selected: None,
            estimate: Some(Estimate { throughput: BitRate(bits), round_trip: Duration::from_millis(50) }),
            buffered: Duration::from_millis(self.buffered),
            buffer_goal: Duration::from_millis(self.goal),
            segment_duration: Duration::from_millis(self.segment),
            segments_left: self.left,
            since_switch: self.since.map(Duration::from_secs),
            audio_only: false,
        }
    }
}

prop_compose! {
    fn any_situation()(
        current in prop::option::of(0_usize..12),
        buffered in 0_u64..60_000,
        goal in 1_000_u64..120_000,
        segment in 0_u64..15_000,
        left in prop::option::of(0_u64..300),
        since in prop::option::of(0_u64..60),
    ) -> Situation {
        Situation { current, buffered, goal, segment, left, since }
    }
}

proptest! {
    #[test]
    fn a_decision_is_in_the_ladder_and_repeatable(
        mut ladder in any_ladder(), options in any_options(), situation in any_situation(), bits: u64,
        stored in prop::collection::vec(0_u64..60, 12),
    ) {
        for (rung, seconds) in ladder.iter_mut().zip(stored) {
            rung.stored = Duration::from_secs(seconds);
        }
        let controller = AbrController::new(&options);
        let decision = controller.decide(&situation.seen(&ladder, bits));
        prop_assert_eq!(decision, controller.decide(&situation.seen(&ladder, bits)));
        match decision {
            Some(decision) => prop_assert!(!ladder[decision.target.0].excluded),
            None => prop_assert!(ladder.iter().all(|rung| rung.excluded)),
        }
    }

    #[test]
    fn a_faster_link_is_never_a_lower_rung(
        ladder in any_ladder(), options in any_options(), situation in any_situation(),
        bits in 1_000_u64..100_000_000, factor in 1.0_f64..20.0,
    ) {
        let controller = AbrController::new(&options);
        let target = |bits| controller.decide(&situation.seen(&ladder, bits)).map(|decision| decision.target);
        let faster = BitRate::from_f64(bits as f64 * factor).0;
        prop_assert!(target(bits) <= target(faster), "{:?} {:?}", target(bits), target(faster));
    }

    #[test]
    fn a_download_is_only_given_up_for_a_lower_rung_that_may_be_chosen(
        ladder in any_ladder(), rung in 0_usize..14, received: u64, length: Option<u64>,
        millis in prop::array::uniform3(0_u64..100_000), segment in 0_u64..15_000,
    ) {
        let progress = Progress {
            ladder: &ladder,
            rung: Rung(rung),
            estimate: None,
            received,
            length,
            elapsed: Duration::from_millis(millis[0]),
            time_to_first_byte: Some(Duration::from_millis(millis[1])),
            buffered: Duration::from_millis(millis[2]),
            segment_duration: Duration::from_millis(segment),
            abandoned: 0,
            audio_only: false,
        };
        if let Some(Abandon { target, .. }) = AbrController::new(&AbrOptions::default()).progress(&progress) {
            prop_assert!(target < progress.rung && !ladder[target.0].excluded);
        }
    }
}
