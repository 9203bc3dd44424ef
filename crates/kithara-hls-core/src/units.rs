//! Quantities that several modules share and that are more than a bare number.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A rate of media or of a link, in bits per second.
///
/// Declared rates (the BANDWIDTH and AVERAGE-BANDWIDTH attributes, RFC 8216 section 4.3.4.2) and measured ones
/// (throughput) share this type, so that they can be compared without a conversion in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitRate(pub u64);

impl BitRate {
    /// No bits at all.
    pub const ZERO: Self = Self(0);

    /// `kbps` thousand bits per second; saturates at the largest rate there is.
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1_000))
    }

    /// The rate at which `bytes` went by in `elapsed`, rounded to the nearest bit per second.
    ///
    /// `None` when no time passed: a rate needs both.
    pub fn measured(bytes: u64, elapsed: Duration) -> Option<Self> {
        if elapsed.is_zero() {
            return None;
        }
        Some(Self::from_f64(bytes as f64 * 8.0 / elapsed.as_secs_f64()))
    }

    /// A rate computed in floating point: rounded, with negative and undefined values taken as zero and the rest
    /// saturating.
    pub fn from_f64(bits_per_second: f64) -> Self {
        Self(bits_per_second.round() as u64)
    }

    /// Bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Bits per second, for arithmetic that multiplies by factors.
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// How long so many bytes take at this rate; [`Duration::MAX`] where that is for ever.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 8 * 1_000_000_000).checked_div(u128::from(self.0));
        nanos.and_then(|nanos| u64::try_from(nanos).ok()).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// The bytes this rate carries in `time`, rounded down; saturates at `u64::MAX`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 8_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for BitRate {
    /// Kilobits per second below ten thousand of them, else megabits: `128 kbit/s`, `12.5 Mbit/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate < 10_000_000 => write!(f, "{} kbit/s", rate.saturating_add(500) / 1_000),
            rate => write!(f, "{:.1} Mbit/s", rate as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bits_over_time() {
        assert_eq!(BitRate::measured(1_000, Duration::from_millis(500)), Some(BitRate(16_000)));
        assert_eq!(BitRate::measured(1_000, Duration::ZERO), None);
        assert_eq!(BitRate::from_kbps(64).bytes_in(Duration::from_secs(2)), 16_000);
    }

    #[test]
    fn impossible_rates_saturate() {
        assert_eq!(BitRate::from_f64(f64::NAN), BitRate::ZERO);
        assert_eq!(BitRate::from_f64(-1.0), BitRate::ZERO);
        assert_eq!(BitRate::from_f64(f64::INFINITY), BitRate(u64::MAX));
        assert_eq!(BitRate(u64::MAX).bytes_in(Duration::MAX), u64::MAX);
        assert_eq!(BitRate::from_kbps(u64::MAX), BitRate(u64::MAX));
    }

    #[test]
    fn rates_read_well() {
        assert_eq!(BitRate(128_000).to_string(), "128 kbit/s");
        assert_eq!(BitRate(12_500_000).to_string(), "12.5 Mbit/s");
    }
}
