//! Segments cut into parts: where parts may begin, and how long they get.

use std::{ops::Range, time::Duration};

/// A segment and its parts, which are slices of it.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) bytes: Vec<u8>,
    /// At least one; the last one ends where the segment does.
    pub(crate) parts: Vec<Piece>,
    /// Where decode times of 64 bits stand, with their timescale, so that they can be moved.
    pub(crate) times: Vec<(usize, u32)>,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it ends in the segment.
    pub(crate) end: usize,
    /// How long it is, in ticks of its recording.
    pub(crate) ticks: u64,
    /// Whether decoding can begin in it.
    pub(crate) is_independent: bool,
}

/// Gathers units of these durations (in ticks) to pieces that are at most `target` long. A longer unit is a piece of its own.
pub(crate) fn pieces(durations: &[u64], timescale: u32, target: Duration) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut ticks = 0;
    for (index, duration) in durations.iter().enumerate() {
        let longer = from_ticks(ticks + duration, timescale);
        match pieces.last_mut() {
            Some(piece) if longer <= target => {
                piece.end = index + 1;
                ticks += duration;
            }
            _ => {
                pieces.push(index..index + 1);
                ticks = *duration;
            }
        }
    }
    pieces
}

/// Ticks as a time, to the nanosecond below; saturates.
pub(crate) fn from_ticks(ticks: u64, timescale: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    u64::try_from(seconds).map_or(Duration::MAX, |seconds| Duration::new(seconds, rest as u32))
}

/// A time in ticks, to the nearest.
pub(crate) fn to_ticks(time: Duration, timescale: u32) -> u64 {
    let ticks = (time.as_nanos() * u128::from(timescale) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(durations: &[u64], target_ms: u64, want: &[Range<usize>]) {
        assert_eq!(pieces(durations, 1000, Duration::from_millis(target_ms)), want);
    }

    #[test]
    fn pieces_are_as_long_as_they_may_be() {
        check(&[100; 5], 200, &[0..2, 2..4, 4..5]);
        check(&[90, 90, 30, 200], 200, &[0..2, 2..3, 3..4]);
        check(&[300, 100], 200, &[0..1, 1..2]);
        check(&[], 200, &[]);
    }

    #[test]
    fn ticks_and_times_are_the_same() {
        for ticks in [0, 1, 1024, 48_127, 90_000_000_007] {
            assert_eq!(to_ticks(from_ticks(ticks, 48_000), 48_000), ticks);
        }
        assert_eq!(from_ticks(u64::MAX, 1), Duration::new(u64::MAX, 0));
    }
}
