//! The threshold rule: ratios and intervals, as six fields of the options set them.

use std::time::Duration;

use super::{AbrOptions, Estimate, Rung, Seen, ladder::Choices};

/// Rises to what the safe throughput carries with a margin, if there is buffer for the attempt; falls when the
/// safe throughput is clearly below the present rate, or at once when little is buffered.
#[derive(Clone, Debug)]
pub(super) struct Threshold {
    min_buffer_for_up_switch: f64,
    down_switch_buffer: f64,
    safety_factor: f64,
    up_hysteresis: f64,
    down_hysteresis: f64,
    min_switch_interval: Duration,
}

impl Threshold {
    pub(super) fn new(options: &AbrOptions) -> Self {
        Self {
            min_buffer_for_up_switch: options.min_buffer_for_up_switch_secs,
            down_switch_buffer: options.down_switch_buffer_secs,
            safety_factor: options.throughput_safety_factor,
            up_hysteresis: options.up_hysteresis_ratio,
            down_hysteresis: options.down_hysteresis_ratio,
            min_switch_interval: options.min_switch_interval,
        }
    }

    pub(super) fn choose(
        &self,
        seen: &Seen<'_>,
        choices: &Choices<'_>,
        current: Option<Rung>,
        estimate: Estimate,
    ) -> Rung {
        let safe = estimate.throughput.as_f64() / self.safety_factor;
        let Some(current) = current.filter(|rung| choices.allows(*rung)) else {
            return choices.highest_within(safe / self.up_hysteresis);
        };
        let buffered = seen.buffered.as_secs_f64();
        let settled = seen.since_switch.is_none_or(|since| since >= self.min_switch_interval);

        let higher = choices.highest_within(safe / self.up_hysteresis);
        if higher > current && settled && buffered >= self.min_buffer_for_up_switch {
            return higher;
        }
        let lower = choices.highest_within(safe);
        let urgent = buffered <= self.down_switch_buffer;
        let clear = settled && safe <= self.down_hysteresis * choices.rate(current);
        if lower < current && (urgent || clear) { lower } else { current }
    }
}
