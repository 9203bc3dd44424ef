//! The look-ahead rule: what each rung would be worth over the next seconds.

use super::{AbrProfile, Estimate, LadderRung, Rung, Seen, ladder::Choices};

/// How the link may turn out, as a factor of the estimate, and how likely that is taken to be.
const SCENARIOS: [(f64, f64); 2] = [(1.37, 0.47), (0.61, 0.53)];

/// How far it looks ahead, in seconds of media.
const HORIZON: f64 = 22.0;

/// The price of a second without sound, in units of utility.
const STALL_PRICE: f64 = 0.3;

/// The price of a step, per unit of utility up and down. It takes the place of hysteresis and intervals.
const STEP_UP_PRICE: f64 = 2.0;
const STEP_DOWN_PRICE: f64 = 1.5;

/// The price of each second that the buffer ends below the reserve, per segment of the horizon.
const RESERVE_PRICE: f64 = 0.11;

/// The reserve as a share of the buffer goal.
const RESERVE: f64 = 0.4;
const RESERVE_AUDIO: f64 = 0.53;

/// How much the rate itself counts beside its logarithm.
const LINEAR_WEIGHT: f64 = 0.5;

/// The most rungs to rise at once.
const HIGHEST_STEP: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct LookAhead {
    profile: AbrProfile,
}

/// The buffer after some segments, and the time without sound until then; both in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    stalled: f64,
    buffered: f64,
}

impl LookAhead {
    pub(super) fn new(profile: AbrProfile) -> Self {
        Self { profile }
    }

    /// The choice of the highest value; of equals, the lowest.
    pub(super) fn choose(
        &self,
        seen: &Seen<'_>,
        choices: &Choices<'_>,
        current: Option<Rung>,
        estimate: &Estimate,
    ) -> Rung {
        let highest = current.map_or(usize::MAX, |rung| rung.0.saturating_add(HIGHEST_STEP));
        let mut best = (choices.lowest(), f64::NEG_INFINITY);
        for rung in choices.iter().take_while(|rung| rung.0 <= highest) {
            let value = self.value(seen, choices.ladder(), current, rung, estimate);
            if value > best.1 {
                best = (rung, value);
            }
        }
        best.0
    }

    fn value(
        &self,
        seen: &Seen<'_>,
        ladder: &[LadderRung],
        current: Option<Rung>,
        rung: Rung,
        estimate: &Estimate,
    ) -> f64 {
        let segment = seen.segment_duration.as_secs_f64().max(1e-3);
        let left = seen.segments_left.map_or(f64::INFINITY, |left| left as f64);
        let count = (HORIZON / segment).round().max(2.0).min(left).max(1.0);
        let goal = seen.buffer_goal.as_secs_f64();
        let audio = match self.profile {
            AbrProfile::Auto => seen.audio_only,
            AbrProfile::Video => false,
            AbrProfile::Audio => true,
        };
        let reserve = if audio { RESERVE_AUDIO } else { RESERVE } * goal;
        let worth = utility(ladder, rung);
        let step = current.map_or(0.0, |current| worth - utility(ladder, current));
        let mut value = count * worth - if step > 0.0 { STEP_UP_PRICE * step } else { STEP_DOWN_PRICE * -step };
        for (factor, chance) in SCENARIOS {
            let each = estimate.time_for(segment * ladder[rung.0].rate().as_f64(), factor);
            let buffered = seen.buffered.as_secs_f64();
            let next = Outcome {
                stalled: (each - buffered).max(0.0),
                buffered: goal.min((buffered - each).max(0.0) + segment),
            };
            let rest = in_a_row(next.buffered, each, segment, count - 1.0);
            let lacking = (reserve - rest.buffered).max(0.0);
            value -= chance * (STALL_PRICE * (next.stalled + rest.stalled) + RESERVE_PRICE * count * lacking);
        }
        value
    }
}

/// What a rung is worth: the logarithm of its rate over the lowest, and some of the rate itself.
fn utility(ladder: &[LadderRung], rung: Rung) -> f64 {
    let rate = |at: Option<&LadderRung>| at.map_or(1.0, |at| at.rate().as_f64());
    let here = rate(ladder.get(rung.0));
    (here / rate(ladder.first())).ln() + LINEAR_WEIGHT * here / rate(ladder.last())
}

fn in_a_row(buffered: f64, each: f64, segment: f64, count: f64) -> Outcome {
    if count < 1.0 {
        return Outcome { stalled: 0.0, buffered };
    }
    if each <= segment {
        // Only the first of them can come too late; after it the buffer grows.
        let after = (buffered - each).max(0.0) + segment + (count - 1.0) * (segment - each);
        return Outcome { stalled: (each - buffered).max(0.0), buffered: after };
    }
    let stalled = count * each - (count - 1.0) * segment - buffered;
    if stalled > 0.0 {
        Outcome { stalled, buffered: segment }
    } else {
        Outcome { stalled: 0.0, buffered: buffered - count * (each - segment) }
    }
}
