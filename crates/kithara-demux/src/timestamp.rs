//! Media time as containers write it: ticks of a stated clock.

use std::num::NonZeroU32;

/// The clock of MPEG-TS, of the ID3 timestamp of packed audio and of X-TIMESTAMP-MAP: 90 kHz.
pub const MPEG_TIMESCALE: NonZeroU32 = NonZeroU32::new(90_000).expect("90,000 is not zero");

/// A point of media time: `value` ticks of a clock of `timescale` ticks per second.
///
/// Comparison is by the two numbers, not by the instant: 1/2 and 2/4 differ. Use [`Timestamp::rescale`] to compare across clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Ticks; may be negative before time zero (priming samples in front of an edit list).
    pub value: i64,
    /// Ticks per second.
    pub timescale: NonZeroU32,
}

impl Timestamp {
    /// A point of `value` ticks at `timescale` ticks per second.
    #[must_use]
    pub const fn new(value: i64, timescale: NonZeroU32) -> Self {
        Self { value, timescale }
    }

    /// A point on the 90 kHz clock.
    #[must_use]
    pub const fn mpeg(value: i64) -> Self {
        Self { value, timescale: MPEG_TIMESCALE }
    }

    /// The same instant in ticks of another clock, rounded to the nearest tick (halves up), saturated at the bounds of `i64`.
    #[must_use]
    pub fn rescale(self, timescale: NonZeroU32) -> i64 {
        let from = i128::from(self.timescale.get());
        let scaled = i128::from(self.value) * i128::from(timescale.get());
        let rounded = (scaled + from / 2).div_euclid(from);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: i64, from: u32, to: u32, want: i64) {
        let clock = |ticks| NonZeroU32::new(ticks).unwrap();
        assert_eq!(Timestamp::new(value, clock(from)).rescale(clock(to)), want);
    }

    #[test]
    fn rescaling_rounds_to_the_nearest_tick_also_below_zero() {
        check(1, 3, 90_000, 30_000);
        check(1024, 48_000, 90_000, 1920);
        check(-1024, 44_100, 90_000, -2090);
        check(1, 2, 1, 1);
        check(-1, 2, 1, 0);
    }

    #[test]
    fn rescaling_saturates_instead_of_wrapping() {
        check(i64::MAX, 1, 90_000, i64::MAX);
        check(i64::MIN, 1, 90_000, i64::MIN);
    }
}
