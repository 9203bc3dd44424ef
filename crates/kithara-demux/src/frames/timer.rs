//! Times of frames that follow a timestamp.

use crate::timestamp::MPEG_TIMESCALE;

/// Counts samples from the last written timestamp, so that rounding does not add up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameTimer {
    anchor: i64,
    samples: u64,
    sample_rate: u32,
}

impl FrameTimer {
    /// A timer at `time`, in 90 kHz ticks.
    pub(crate) const fn at(time: i64) -> Self {
        Self { anchor: time, samples: 0, sample_rate: 0 }
    }

    /// The time of the next frame and its duration, in 90 kHz ticks.
    pub(crate) fn advance(&mut self, samples: u32, sample_rate: u32) -> (i64, u32) {
        let start = self.now();
        if sample_rate != self.sample_rate {
            *self = Self { anchor: start, samples: 0, sample_rate };
        }
        self.samples = self.samples.saturating_add(u64::from(samples));
        let duration = self.now().saturating_sub(start);
        (start, u32::try_from(duration).unwrap_or(0))
    }

    pub(crate) fn now(&self) -> i64 {
        let rate = u128::from(self.sample_rate.max(1));
        let ticks = (u128::from(self.samples) * u128::from(MPEG_TIMESCALE.get()) + rate / 2) / rate;
        self.anchor.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_add_up() {
        let mut timer = FrameTimer::at(1000);
        let total: u64 = (0..44_100).map(|_| u64::from(timer.advance(1024, 44_100).1)).sum();
        assert_eq!((total, timer.now()), (1024 * 90_000, 1000 + 1024 * 90_000));
    }

    #[test]
    fn a_new_sample_rate_counts_from_where_it_begins() {
        let mut timer = FrameTimer::at(0);
        assert_eq!(timer.advance(1024, 48_000), (0, 1920));
        assert_eq!(timer.advance(1152, 44_100), (1920, 2351));
        assert_eq!(timer.advance(0, 44_100), (4271, 0));
    }
}
