//! From what a container writes to presentation time: 33-bit timestamps are unrolled, the offset of the run is added.

use std::num::NonZeroU32;

use crate::Timestamp;
use crate::timestamp::MPEG_TIMESCALE;

/// One round of the 33-bit clock of MPEG-TS: 26.5 hours.
const ROUND: i64 = 1 << 33;

/// The clock of a run.
///
/// A 33-bit timestamp is taken to be the nearest instant, out of all rounds, to the last one seen on any track of the run, so tracks stay
/// together when one of them wraps first. The very first is taken to be nearest to where the run was said to start.
#[derive(Debug)]
pub(crate) struct Clock {
    offset: Timestamp,
    /// The last unrolled media time, or the expected first one.
    reference: Option<i64>,
}

impl Clock {
    /// `start` is about where the run begins on the presentation timeline.
    pub(crate) fn new(offset: Timestamp, start: Option<Timestamp>) -> Self {
        let reference = start.map(|start| start.rescale(MPEG_TIMESCALE).saturating_sub(offset.rescale(MPEG_TIMESCALE)));
        Self { offset, reference }
    }

    /// What to add to media times of a track to present them.
    pub(crate) fn offset(&self, timescale: NonZeroU32) -> i64 {
        self.offset.rescale(timescale)
    }

    /// The media time that a 33-bit timestamp means.
    pub(crate) fn unroll(&mut self, ticks: u64) -> i64 {
        let ticks = (ticks & 0x1_FFFF_FFFF).cast_signed();
        let time = self.reference.map_or(ticks, |reference| {
            let ahead = ticks.wrapping_sub(reference).rem_euclid(ROUND);
            let step = if ahead >= ROUND / 2 { ahead - ROUND } else { ahead };
            reference.saturating_add(step)
        });
        self.reference = Some(time);
        time
    }

    /// The presentation time, in 90 kHz ticks, that a 33-bit timestamp means.
    pub(crate) fn present(&mut self, ticks: u64) -> i64 {
        self.unroll(ticks).saturating_add(self.offset(MPEG_TIMESCALE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(clock: &mut Clock, ticks: u64, want: i64) {
        assert_eq!(clock.present(ticks), want);
    }

    #[test]
    fn a_clock_runs_on_over_the_wrap_and_back() {
        let mut clock = Clock::new(Timestamp::mpeg(0), None);
        check(&mut clock, 0x1_FFFF_FFFF, ROUND - 1);
        check(&mut clock, 5, ROUND + 5);
        check(&mut clock, 0x1_FFFF_FFF0, ROUND - 16);
        check(&mut clock, 90_000, ROUND + 90_000);
    }

    #[test]
    fn the_first_timestamp_is_the_one_nearest_to_the_start() {
        let mut clock = Clock::new(Timestamp::mpeg(-8_589_800_000), Some(Timestamp::mpeg(900_000)));
        check(&mut clock, 890_000, 890_000 + ROUND - 8_589_800_000);
        let mut plain = Clock::new(Timestamp::mpeg(-100), None);
        check(&mut plain, 890_000, 889_900);
    }

    #[test]
    fn extreme_offsets_saturate() {
        let mut clock = Clock::new(Timestamp::mpeg(i64::MIN), Some(Timestamp::mpeg(i64::MAX)));
        clock.present(5);
        clock.present(0x1_0000_0000);
        let mut clock = Clock::new(Timestamp::mpeg(i64::MAX), Some(Timestamp::mpeg(i64::MIN)));
        clock.present(5);
        clock.present(0x1_0000_0000);
    }
}
