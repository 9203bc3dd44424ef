//! The look-ahead rule: what each rung would be worth over the next seconds.
//!
//! For every rung it imagines the next [`HORIZON`] of media fetched from it over a link that turns out worse than
//! the estimate, and adds up
//!
//! ```text
//!   + what the media is worth to the listener           the logarithm of its rate, and a little of the rate itself
//!   - the step from the present rung                    so that the choice does not wander for nothing
//!   - the time without sound
//!   - what the buffer lacks of its reserve in the end   so that an outage finds something buffered
//! ```
//!
//! The rung of the highest sum is chosen. There is no threshold to cross and no interval to wait for, so there is
//! nothing to oscillate around: the price of a step is what holds a choice. All that is subtracted is convex in the
//! time that a segment takes, which makes the rule monotone: a faster link never means a lower rung.
//!
//! The constants were searched on recorded mobile and fixed networks with buffers of 15, 30 and 60 s and lie on a
//! plateau: one of them changed by a tenth moves the result little, and a search on half of the recordings ends near
//! them. What they do depend on is variety: searched without mobile networks they gamble.

use super::{AbrProfile, Estimate, Rung, Seen, ladder::Choices};
use crate::BitRate;

/// How the link is imagined, as a share of the estimate.
const PESSIMISM: f64 = 0.63;
const PESSIMISM_AUDIO: f64 = 0.55;

/// How the link is imagined for the next segment alone.
const DOUBT: f64 = 0.8;

/// How far it looks ahead, in seconds of media.
const HORIZON: f64 = 22.0;

/// What should be left in the buffer at the end of the horizon, as a share of the buffer goal: a live edge of 6 s and
/// a buffer of a minute are served alike.
const RESERVE: f64 = 0.75;

/// The price of a second that the reserve lacks, for each segment of the horizon, in units of utility.
const RESERVE_PRICE: f64 = 0.0275;

/// The price of a second without sound that may come. Most of it is in the reserve already, to which it is owed.
const STALL_PRICE: f64 = 0.075;

/// The price of a second without sound that is sure to come: playback waits for this very segment.
const SILENCE_PRICE: f64 = 1.33;

/// The price of a step up or down, per unit of utility.
const STEP_PRICE: f64 = 2.5;

/// How much a rate counts for itself, as a share of the highest one, beside its logarithm.
const LINEAR_WEIGHT: f64 = 0.03;

/// The most rungs to rise at once: one measurement says little of a rate many times higher.
const HIGHEST_STEP: usize = 3;

/// How much faster the link must be than when a rung proved too much for it, to try that rung again.
const FASTER: f64 = 1.1;

/// Durations below this are taken as this, in seconds.
const SHORTEST: f64 = 1e-3;

#[derive(Clone, Debug)]
pub(super) struct LookAhead {
    profile: AbrProfile,
}

/// What all rungs are weighed under. Times are in seconds.
struct Scene<'a> {
    choices: &'a Choices<'a>,
    current: Option<Rung>,
    estimate: Estimate,
    buffered: f64,
    goal: f64,
    pessimism: f64,
    segment: f64,
    /// Segments in the horizon; at least one.
    count: f64,
}

/// The time without sound while some segments arrive, and what is buffered after them; in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    stalled: f64,
    buffered: f64,
}

impl LookAhead {
    pub(super) fn new(profile: AbrProfile) -> Self {
        Self { profile }
    }

    /// The choice of the highest value; of equal ones, the lowest.
    pub(super) fn choose(
        &self,
        seen: &Seen<'_>,
        choices: &Choices<'_>,
        current: Option<Rung>,
        estimate: Estimate,
    ) -> Rung {
        let scene = self.scene(seen, choices, current, estimate);
        let highest = current.map_or(usize::MAX, |rung| rung.0.saturating_add(HIGHEST_STEP));
        let mut best = (choices.lowest(), f64::NEG_INFINITY);
        for rung in choices.iter().filter(|rung| rung.0 <= highest && !scene.is_too_much(*rung)) {
            let value = scene.value(rung);
            if value > best.1 {
                best = (rung, value);
            }
        }
        best.0
    }

    fn scene<'a>(
        &self,
        seen: &Seen<'_>,
        choices: &'a Choices<'a>,
        current: Option<Rung>,
        estimate: Estimate,
    ) -> Scene<'a> {
        let segment = seen.segment_duration.as_secs_f64().max(SHORTEST);
        let left = seen.segments_left.map_or(f64::INFINITY, |left| left as f64);
        let audio = match self.profile {
            AbrProfile::Auto => seen.audio_only,
            AbrProfile::Video => false,
            AbrProfile::Audio => true,
        };
        Scene {
            choices,
            current,
            estimate,
            buffered: seen.buffered.as_secs_f64(),
            goal: seen.buffer_goal.as_secs_f64(),
            pessimism: if audio { PESSIMISM_AUDIO } else { PESSIMISM },
            segment,
            count: (HORIZON / segment).round().max(2.0).min(left).max(1.0),
        }
    }
}

impl Scene<'_> {
    /// Whether the link does not carry this rung and the buffer is no help: the next segment might not even arrive
    /// in time, or an earlier attempt on a link that was not slower failed.
    fn is_too_much(&self, rung: Rung) -> bool {
        let bits = self.segment * self.choices.rate(rung);
        let carried = self.stored(rung) >= 1.0 || self.estimate.time_for(bits, 1.0) <= self.segment;
        !carried && (self.estimate.time_for(bits, DOUBT) > self.buffered || self.has_failed(rung))
    }

    /// Whether this rung, or one between it and the present one, was left when the link was about as fast as now.
    fn has_failed(&self, rung: Rung) -> bool {
        let lowest = self.current.map_or(0, |current| current.0 + 1);
        let above = self.choices.ladder().get(lowest..=rung.0).unwrap_or_default();
        let as_slow = |left: BitRate| self.estimate.throughput.as_f64() <= FASTER * left.as_f64();
        above.iter().filter_map(|at| at.left_at).any(as_slow)
    }

    fn value(&self, rung: Rung) -> f64 {
        let worth = self.utility(rung);
        let step = self.current.map_or(0.0, |current| (worth - self.utility(current)).abs());
        self.count * worth - STEP_PRICE * step - self.risk(rung)
    }

    /// Whole segments of this rung that the store holds.
    fn stored(&self, rung: Rung) -> f64 {
        (self.choices.ladder()[rung.0].stored.as_secs_f64() / self.segment).floor()
    }

    /// What a rung is worth to the listener, per segment.
    fn utility(&self, rung: Rung) -> f64 {
        let ladder = self.choices.ladder();
        let rate = self.choices.rate(rung);
        let (lowest, highest) = (self.choices.rate(Rung(0)), self.choices.rate(Rung(ladder.len() - 1)));
        (rate / lowest).ln() + LINEAR_WEIGHT * rate / highest
    }

    /// What it costs if the link turns out as slow as it is imagined.
    fn risk(&self, rung: Rung) -> f64 {
        let time = self.estimate.time_for(self.segment * self.choices.rate(rung), self.pessimism);
        let stored = self.stored(rung).min(self.count);
        // What the store holds costs no time: all of it is there before anything is fetched.
        let next = if stored >= 1.0 {
            Outcome { stalled: 0.0, buffered: self.buffered + stored * self.segment }
        } else {
            arrive(self.buffered, time, self.segment, 1.0)
        };
        let rest = arrive(next.buffered.min(self.goal), time, self.segment, self.count - stored.max(1.0));
        // A stall leaves the buffer fuller than it would be had playback gone on, so its time is owed to the reserve.
        // Without that, all rungs far beyond the link would end with the same buffer, and the highest be the best.
        let lacking = RESERVE * self.goal + next.stalled + rest.stalled - rest.buffered;
        let price = if self.buffered > 0.0 { STALL_PRICE } else { SILENCE_PRICE };
        price * next.stalled + STALL_PRICE * rest.stalled + RESERVE_PRICE * self.count * lacking.max(0.0)
    }
}

/// `count` segments arrive one after the other, each in `time`, while playback goes on.
fn arrive(buffered: f64, time: f64, segment: f64, count: f64) -> Outcome {
    if count < 1.0 {
        return Outcome { stalled: 0.0, buffered };
    }
    if time <= segment {
        // Only the first of them can come too late: after it the buffer grows.
        let after_first = (buffered - time).max(0.0) + segment;
        return Outcome {
            stalled: (time - buffered).max(0.0),
            buffered: after_first + (count - 1.0) * (segment - time),
        };
    }
    let left = buffered + (count - 1.0) * segment - count * time;
    if left >= 0.0 {
        Outcome { stalled: 0.0, buffered: left + segment }
    } else {
        Outcome { stalled: -left, buffered: segment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(buffered: f64, time: f64, count: f64, stalled: f64, after: f64) {
        assert_eq!(arrive(buffered, time, 4.0, count), Outcome { stalled, buffered: after });
    }

    /// The same, one segment after the other.
    fn one_by_one(mut buffered: f64, time: f64, segment: f64, count: usize) -> Outcome {
        let mut stalled = 0.0;
        for _ in 0..count {
            stalled += (time - buffered).max(0.0);
            buffered = (buffered - time).max(0.0) + segment;
        }
        Outcome { stalled, buffered }
    }

    #[test]
    fn a_fast_link_can_only_be_late_once() {
        check(8.0, 1.0, 3.0, 0.0, 17.0);
        check(0.0, 1.0, 3.0, 1.0, 10.0);
        check(0.5, 4.0, 2.0, 3.5, 4.0);
    }

    #[test]
    fn a_slow_link_eats_the_buffer_and_then_stalls() {
        check(8.0, 6.0, 2.0, 0.0, 4.0);
        check(8.0, 6.0, 4.0, 4.0, 4.0);
        check(0.0, 6.0, 1.0, 6.0, 4.0);
    }

    #[test]
    fn nothing_to_fetch_changes_nothing() {
        check(8.0, 6.0, 0.0, 0.0, 8.0);
    }

    #[test]
    fn the_closed_form_is_the_sum_of_its_steps() {
        for (buffered, time, segment, count) in
            [(0.0, 3.0, 2.0, 7), (11.0, 2.5, 2.0, 9), (11.0, 2.5, 2.0, 40), (3.0, 1.5, 2.0, 9), (1.0, 2.0, 2.0, 5)]
        {
            let (closed, summed) =
                (arrive(buffered, time, segment, count as f64), one_by_one(buffered, time, segment, count));
            assert!((closed.stalled - summed.stalled).abs() < 1e-9, "{closed:?} {summed:?}");
            assert!((closed.buffered - summed.buffered).abs() < 1e-9, "{closed:?} {summed:?}");
        }
    }
}
