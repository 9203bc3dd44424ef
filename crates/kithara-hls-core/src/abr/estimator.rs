//! From measured deliveries to one estimate of the link.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BitRate;

/// Half-lives of the two averages, in seconds of receiving. The fast one follows a link that changes under a
/// moving listener, the slow one keeps a single odd delivery from deciding.
const FAST_HALF_LIFE: f64 = 0.3;
const SLOW_HALF_LIFE: f64 = 2.0;

/// How far the estimate leans from the mean of the two averages towards the smaller one.
const CAUTION: f64 = 0.3;

/// The weight of a remembered throughput, in seconds of receiving.
const REMEMBERED_WEIGHT: f64 = 0.5;

/// How much of a new time to first byte enters the round trip estimate.
const ROUND_TRIP_GAIN: f64 = 0.3;

/// A body that arrives in less than this share of the time to first byte came in the first flights of its
/// connection: it shows how soon the origin answered, not what the link carries. It is credited with this much.
const LEAST_RECEIVING: f64 = 0.5;

/// The shortest time any delivery is credited with, in seconds: below it clocks and buffers decide, not links.
const SHORTEST: f64 = 1e-3;

/// Where the bytes of a sample came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SampleSource {
    /// The network, as fast as it could.
    Network,
    /// The network, from an origin that was still producing them: the link could do at least this.
    Paced,
    /// The store or a cache on the way. Says nothing of the link and is ignored.
    Cache,
}

/// One measured delivery; a request cut short counts with the bytes it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThroughputSample {
    /// Body bytes received.
    pub bytes: u64,
    /// Time from the request to the last of them.
    pub elapsed: Duration,
    /// Time from the request to the first of them; part of `elapsed`.
    pub time_to_first_byte: Duration,
    /// Where they came from.
    pub source: SampleSource,
}

impl ThroughputSample {
    /// The rate at which the body arrived, the wait for its first byte left out; `None` if it took no time.
    pub fn rate(&self) -> Option<BitRate> {
        BitRate::measured(self.bytes, self.elapsed.saturating_sub(self.time_to_first_byte))
    }
}

/// What the link is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The rate at which a body arrives once its first byte is there.
    pub throughput: BitRate,
    /// Time from a request to its first byte.
    pub round_trip: Duration,
}

impl Estimate {
    /// The time a request for `bits` takes if the link runs at `factor` of the estimate, in seconds.
    pub(super) fn time_for(&self, bits: f64, factor: f64) -> f64 {
        self.round_trip.as_secs_f64() + bits / (factor * self.throughput.as_f64()).max(1.0)
    }
}

/// Averages [`ThroughputSample`]s into an [`Estimate`].
///
/// Two exponential averages weigh each sample by the time its body took. That pools deliveries which are too short
/// to mean anything alone: the bytes of many small segments add up over their times, and none is thrown away for
/// being small. The time to first byte is averaged apart, so that an origin that thinks for long before each small
/// segment does not look like a slow link.
#[derive(Clone, Debug, PartialEq)]
pub struct ThroughputEstimator {
    fast: Average,
    slow: Average,
    round_trip: Option<f64>,
}

impl ThroughputEstimator {
    /// An estimator that starts from a throughput `remembered` from an earlier session, if there is one.
    pub fn new(remembered: Option<BitRate>) -> Self {
        let mut estimator =
            Self { fast: Average::new(FAST_HALF_LIFE), slow: Average::new(SLOW_HALF_LIFE), round_trip: None };
        if let Some(rate) = remembered {
            estimator.push(rate.as_f64(), REMEMBERED_WEIGHT);
        }
        estimator
    }

    /// Takes a delivery into account. One from a cache is ignored, and so is a paced one that was not faster than
    /// what is already expected of the link.
    pub fn add(&mut self, sample: &ThroughputSample) {
        let wait = sample.time_to_first_byte.as_secs_f64();
        let receiving = sample.elapsed.as_secs_f64() - wait;
        let receiving = receiving.max(LEAST_RECEIVING * wait).max(SHORTEST);
        let rate = sample.bytes as f64 * 8.0 / receiving;
        match sample.source {
            SampleSource::Cache => return,
            SampleSource::Paced if self.throughput().is_some_and(|known| rate <= known) => return,
            SampleSource::Paced | SampleSource::Network => self.push(rate, receiving),
        }
        if sample.source == SampleSource::Network {
            self.round_trip = Some(match self.round_trip {
                Some(known) => known + ROUND_TRIP_GAIN * (wait - known),
                None => wait,
            });
        }
    }

    /// The estimate; `None` before anything was measured or remembered.
    pub fn estimate(&self) -> Option<Estimate> {
        Some(Estimate {
            throughput: BitRate::from_f64(self.throughput()?),
            round_trip: Duration::from_secs_f64(self.round_trip.unwrap_or(0.0)),
        })
    }

    fn throughput(&self) -> Option<f64> {
        let (fast, slow) = (self.fast.value()?, self.slow.value()?);
        Some(CAUTION * fast.min(slow) + (1.0 - CAUTION) * (fast + slow) / 2.0)
    }

    fn push(&mut self, rate: f64, weight: f64) {
        self.fast.push(rate, weight);
        self.slow.push(rate, weight);
    }
}

impl Default for ThroughputEstimator {
    /// Nothing remembered.
    fn default() -> Self {
        Self::new(None)
    }
}

/// An exponential average by weight, without the pull towards zero of its start.
#[derive(Clone, Debug, PartialEq)]
struct Average {
    half_life: f64,
    sum: f64,
    /// How much of the average is filled with samples, from 0 to 1.
    filled: f64,
}

impl Average {
    fn new(half_life: f64) -> Self {
        Self { half_life, sum: 0.0, filled: 0.0 }
    }

    fn push(&mut self, value: f64, weight: f64) {
        let keep = (-weight / self.half_life).exp2();
        self.sum = keep * self.sum + (1.0 - keep) * value;
        self.filled = keep * self.filled + (1.0 - keep);
    }

    fn value(&self) -> Option<f64> {
        (self.filled > 0.0).then(|| self.sum / self.filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(bytes: u64, wait: u64, receiving: u64) -> ThroughputSample {
        ThroughputSample {
            bytes,
            elapsed: Duration::from_millis(wait + receiving),
            time_to_first_byte: Duration::from_millis(wait),
            source: SampleSource::Network,
        }
    }

    fn after(samples: &[ThroughputSample]) -> Option<Estimate> {
        let mut estimator = ThroughputEstimator::default();
        samples.iter().for_each(|sample| estimator.add(sample));
        estimator.estimate()
    }

    #[track_caller]
    fn check(samples: &[ThroughputSample], kbps: std::ops::Range<u64>) {
        let found = after(samples).expect("something was measured").throughput;
        let within = BitRate::from_kbps(kbps.start)..BitRate::from_kbps(kbps.end);
        assert!(within.contains(&found), "{found} is not within {within:?}");
    }

    #[test]
    fn nothing_measured_is_no_estimate() {
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn the_wait_for_the_first_byte_is_kept_apart() {
        let estimate = after(&[network(100_000, 400, 800)]).unwrap();
        assert_eq!(estimate.throughput, BitRate::from_kbps(1_000));
        assert_eq!(estimate.round_trip, Duration::from_millis(400));
    }

    #[test]
    fn cache_hits_are_ignored() {
        let hit = ThroughputSample { source: SampleSource::Cache, ..network(10_000_000, 0, 1) };
        assert_eq!(after(&[hit]), None);
        assert_eq!(after(&[network(100_000, 50, 800), hit]), after(&[network(100_000, 50, 800)]));
    }

    #[test]
    fn a_paced_delivery_can_only_raise_the_estimate() {
        let paced = |sample| ThroughputSample { source: SampleSource::Paced, ..sample };
        let plain = network(100_000, 50, 800);
        assert_eq!(after(&[plain, paced(network(16_000, 50, 1_000))]), after(&[plain]));
        check(&[plain, paced(network(1_000_000, 50, 1_000))], 1_500..8_001);
        check(&[paced(network(16_000, 50, 1_000))], 128..129);
    }

    #[test]
    fn tiny_segments_converge_to_the_rate_of_the_link() {
        // 16 kB over 1 Mbit/s are 128 ms, over 10 Mbit/s 13 ms.
        check(&[network(16_000, 50, 128); 20], 999..1_001);
        check(&[network(16_000, 20, 13); 50], 9_800..10_000);
    }

    #[test]
    fn a_body_that_came_with_its_head_is_not_credited_with_a_miracle() {
        check(&[network(16_000, 50, 0); 20], 5_119..5_121);
        check(&[network(16_000, 0, 0)], 127_999..128_001);
    }

    #[test]
    fn one_odd_delivery_does_not_decide() {
        let mut samples = vec![network(125_000, 20, 1_000); 10];
        samples.push(network(125_000, 20, 50));
        check(&samples, 1_000..2_000);
    }

    #[test]
    fn a_slower_link_is_believed_sooner_than_a_faster_one() {
        let steady = vec![network(125_000, 20, 1_000); 10];
        let with = |last| after(&[steady.clone(), vec![last]].concat()).unwrap().throughput.as_f64() / 1e6;
        let (slower, faster) = (with(network(62_500, 20, 1_000)), with(network(250_000, 20, 1_000)));
        assert!((1.0 - slower) / 0.5 > (faster - 1.0), "{slower} {faster}");
    }

    #[test]
    fn a_remembered_throughput_fades_as_samples_arrive() {
        let mut estimator = ThroughputEstimator::new(Some(BitRate::from_kbps(8_000)));
        assert_eq!(estimator.estimate().unwrap().throughput, BitRate::from_kbps(8_000));
        for _ in 0..5 {
            estimator.add(&network(125_000, 20, 1_000));
        }
        let found = estimator.estimate().unwrap().throughput;
        assert!(found < BitRate::from_kbps(1_300), "{found}");
    }
}
