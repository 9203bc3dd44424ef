//! What a simulated session is worth.

use std::time::Duration;

use crate::{
    BitRate,
    abr::{LadderRung, Rung},
};

/// The account of one simulated session.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// The rung of each segment played, in order.
    pub rungs: Vec<Rung>,
    /// The length of each segment.
    pub segment_duration: Duration,
    /// Time to the first sound.
    pub start_up: Duration,
    /// Time without sound after it.
    pub stalled: Duration,
    /// How often that happened.
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
    /// Mean `ln` of the declared rate over the lowest one.
    pub utility: f64,
    /// Stalled time over stalled and played time.
    pub stall_ratio: f64,
    /// Number of stalls.
    pub stalls: f64,
    /// Seconds to the first sound.
    pub start_up: f64,
    /// Number of changes of rung.
    pub switches: f64,
    /// Per segment: Mbit/s, less 4.3 per second without sound, less the size of each step in Mbit/s.
    pub qoe_lin: f64,
    /// Per segment: utility, less 2.66 per second without sound, less the size of each step in utility.
    pub qoe_log: f64,
    /// As `qoe_lin`, with the ladder's highest rate in Mbit/s as the price of a second without sound.
    pub qoe_lin_top: f64,
    /// Requests cut short.
    pub abandoned: f64,
    /// Bits thrown away over bits received.
    pub wasted: f64,
}

impl Playback {
    /// The figures of this session, played from `ladder`.
    ///
    /// Start-up counts as time without sound in the three QoE figures and nowhere else.
    pub fn metrics(&self, ladder: &[LadderRung]) -> Metrics {
        let count = self.rungs.len().max(1) as f64;
        let lowest = ladder.first().map_or(BitRate(1), LadderRung::rate).as_f64().max(1.0);
        let mbps = |rung: &Rung| ladder[rung.0].rate().as_f64() / 1e6;
        let utility = |rung: &Rung| (ladder[rung.0].rate().as_f64() / lowest).ln();
        let mean = |value: &dyn Fn(&Rung) -> f64| self.rungs.iter().map(value).sum::<f64>() / count;
        let steps = |value: &dyn Fn(&Rung) -> f64| {
            self.rungs.windows(2).map(|pair| (value(&pair[1]) - value(&pair[0])).abs()).sum::<f64>() / count
        };
        let silent = (self.start_up + self.stalled).as_secs_f64() / count;
        let played = self.segment_duration.as_secs_f64() * count;
        let stalled = self.stalled.as_secs_f64();
        let top = ladder.last().map_or(0.0, |rung| rung.rate().as_f64() / 1e6);
        let linear = mean(&mbps) - steps(&mbps);
        Metrics {
            kbps: mean(&mbps) * 1e3,
            utility: mean(&utility),
            stall_ratio: stalled / (stalled + played),
            stalls: f64::from(self.stalls),
            start_up: self.start_up.as_secs_f64(),
            switches: self.rungs.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64,
            qoe_lin: linear - 4.3 * silent,
            qoe_log: mean(&utility) - steps(&utility) - 2.66 * silent,
            qoe_lin_top: linear - top * silent,
            abandoned: f64::from(self.abandoned),
            wasted: self.wasted_bits / self.received_bits.max(1.0),
        }
    }
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
