//! What a simulated session is worth.

use std::time::Duration;

use crate::{
    BitRate,
    abr::{LadderRung, Rung},
};

/// The account of one simulated session. Times are seconds of virtual time.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// The rung of each segment played, in order.
    pub rungs: Vec<Rung>,
    /// The length of each segment.
    pub segment_duration: Duration,
    /// Time to the first sound.
    pub start_up: f64,
    /// Time without sound after it.
    pub stalled: f64,
    /// Time without sound after seeks; not part of `stalled`.
    pub seeking: f64,
    /// Requests during which the reader ran dry.
    pub stalls: u32,
    /// Requests cut short.
    pub abandoned: u32,
    /// Bits received and thrown away.
    pub wasted_bits: f64,
    /// All bits received.
    pub received_bits: f64,
}

/// The figures of one session, or the means over several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Mean declared rate of what was played, in kbit/s.
    pub kbps: f64,
    /// Mean utility: the logarithm of the declared rate over the lowest one.
    pub utility: f64,
    /// Stalled time over stalled and played time.
    pub stall_ratio: f64,
    /// Requests during which the reader ran dry.
    pub stalls: f64,
    /// Seconds to the first sound.
    pub start_up: f64,
    /// Changes of the rung.
    pub switches: f64,
    /// Per segment: Mbit/s, less 4.3 per second without sound, less the size of each step in Mbit/s.
    pub qoe_lin: f64,
    /// Per segment: utility, less 2.66 per second without sound, less the size of each step in utility.
    pub qoe_log: f64,
    /// As `qoe_lin`, but a second without sound costs the ladder's highest rate in Mbit/s.
    pub qoe_lin_top: f64,
    /// Requests cut short.
    pub abandoned: f64,
    /// Bits thrown away over bits received.
    pub wasted: f64,
}

/// The price of a second without sound in [`Metrics::qoe_lin`] and [`Metrics::qoe_log`].
const LINEAR_STALL_PRICE: f64 = 4.3;
const LOGARITHMIC_STALL_PRICE: f64 = 2.66;

impl Playback {
    pub(super) fn new(segment_duration: Duration, segments: usize) -> Self {
        Self {
            rungs: Vec::with_capacity(segments),
            segment_duration,
            start_up: 0.0,
            stalled: 0.0,
            seeking: 0.0,
            stalls: 0,
            abandoned: 0,
            wasted_bits: 0.0,
            received_bits: 0.0,
        }
    }

    /// The figures of this session, played from `ladder`.
    ///
    /// Start-up and the waits after seeks count as time without sound in the three QoE figures and nowhere else.
    /// A rung that is not in the ladder counts as a rate of zero.
    pub fn metrics(&self, ladder: &[LadderRung]) -> Metrics {
        let rate = |at: Option<&LadderRung>| at.map_or(BitRate::ZERO, LadderRung::rate).as_f64();
        let lowest = rate(ladder.first()).max(1.0);
        let mbps = self.series(|rung| rate(ladder.get(rung.0)) / 1e6);
        let utility = self.series(|rung| (rate(ladder.get(rung.0)).max(1.0) / lowest).ln());
        let count = self.rungs.len().max(1) as f64;
        let silent = (self.start_up + self.stalled + self.seeking) / count;
        let played = self.segment_duration.as_secs_f64() * self.rungs.len() as f64;
        Metrics {
            kbps: mbps.mean * 1e3,
            utility: utility.mean,
            stall_ratio: self.stalled / (self.stalled + played).max(f64::MIN_POSITIVE),
            stalls: f64::from(self.stalls),
            start_up: self.start_up,
            switches: self.rungs.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64,
            qoe_lin: mbps.mean - mbps.steps - LINEAR_STALL_PRICE * silent,
            qoe_log: utility.mean - utility.steps - LOGARITHMIC_STALL_PRICE * silent,
            qoe_lin_top: mbps.mean - mbps.steps - rate(ladder.last()) / 1e6 * silent,
            abandoned: f64::from(self.abandoned),
            wasted: self.wasted_bits / self.received_bits.max(1.0),
        }
    }

    fn series(&self, value: impl Fn(&Rung) -> f64) -> Series {
        let count = self.rungs.len().max(1) as f64;
        let steps = self.rungs.windows(2).map(|pair| (value(&pair[1]) - value(&pair[0])).abs());
        Series { mean: self.rungs.iter().map(&value).sum::<f64>() / count, steps: steps.sum::<f64>() / count }
    }
}

/// A value per segment: its mean, and the sum of its steps per segment.
struct Series {
    mean: f64,
    steps: f64,
}

impl Metrics {
    /// The mean of each figure; all zero over nothing.
    pub fn mean(all: &[Self]) -> Self {
        let mean = |figure: fn(&Self) -> f64| all.iter().map(figure).sum::<f64>() / all.len().max(1) as f64;
        Self {
            kbps: mean(|m| m.kbps),
            utility: mean(|m| m.utility),
            stall_ratio: mean(|m| m.stall_ratio),
            stalls: mean(|m| m.stalls),
            start_up: mean(|m| m.start_up),
            switches: mean(|m| m.switches),
            qoe_lin: mean(|m| m.qoe_lin),
            qoe_log: mean(|m| m.qoe_log),
            qoe_lin_top: mean(|m| m.qoe_lin_top),
            abandoned: mean(|m| m.abandoned),
            wasted: mean(|m| m.wasted),
        }
    }
}
