//! Time as the core sees it: numbers handed in by the caller, which can be recorded and replayed.
//!
//! Three clocks, never mixed:
//! * [`Tick`]: the session's own monotonic clock, for timers and throughput;
//! * [`WallTime`]: the date, for `EXT-X-PROGRAM-DATE-TIME` and expiry;
//! * [`MediaTime`]: a place on a media or presentation timeline.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod media;
mod wall;

pub use media::MediaTime;
pub use wall::{InvalidDate, WallTime};

/// Nanoseconds since the session's own zero. Monotonic; reaches 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(u64);

impl Tick {
    /// The session's zero.
    pub const ZERO: Self = Self(0);
    /// The end of time: a timer set to it never fires.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the session's zero.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the session's zero, at most [`Tick::MAX`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the session's zero.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `self + time`, or `None` past [`Tick::MAX`].
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(u64::try_from(time.as_nanos()).ok()?).map(Self)
    }

    /// `self + time`, at most [`Tick::MAX`].
    #[must_use]
    pub fn saturating_add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self::MAX)
    }

    /// `self - time`, at least [`Tick::ZERO`].
    #[must_use]
    pub fn saturating_sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(time)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time from `earlier` to `self`, or `None` when `earlier` is later.
    #[must_use]
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

/// Saturating, as [`Tick::saturating_add`].
impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        self.saturating_add(time)
    }
}

/// Saturating, as [`Tick::saturating_add`].
impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, time: Duration) {
        *self = self.saturating_add(time);
    }
}

/// Zero when the right side is later, as [`Tick::since`].
impl Sub for Tick {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// What an input is told about time: always the session's clock, and the date where the host knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// The session's clock.
    pub at: Tick,
    /// The host's date; `None` where there is no trustworthy one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<WallTime>,
}

impl Now {
    /// An instant of the session's clock without a date.
    #[must_use]
    pub const fn at(at: Tick) -> Self {
        Self { at, wall: None }
    }
}

impl From<Tick> for Now {
    fn from(at: Tick) -> Self {
        Self::at(at)
    }
}

fn saturating_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stop_at_both_ends() {
        assert_eq!(Tick::MAX + Duration::from_secs(1), Tick::MAX);
        assert_eq!(Tick::from_millis(1).saturating_sub(Duration::from_secs(1)), Tick::ZERO);
        assert_eq!(Tick::ZERO - Tick::from_millis(5), Duration::ZERO);
        assert_eq!(Tick::from_millis(5) - Tick::from_millis(2), Duration::from_millis(3));
        assert_eq!(Tick::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Tick::ZERO.checked_add(Duration::MAX), None);
    }

    #[test]
    fn media_time_converts_ticks_of_any_clock() {
        assert_eq!(MediaTime::from_ticks(90_000, 90_000), Some(MediaTime::from_nanos(1_000_000_000)));
        assert_eq!(MediaTime::from_ticks(-1, 3), Some(MediaTime::from_nanos(-333_333_333)));
        assert_eq!(MediaTime::from_ticks(1, 0), None);
        assert_eq!(MediaTime::from_ticks(i64::MAX, 1), None);
    }

    #[test]
    fn media_time_prints_seconds() {
        assert_eq!(MediaTime::from_nanos(-1_500_000_000).to_string(), "-1.500000000");
        assert_eq!(MediaTime::from(Duration::from_millis(12_034)).to_string(), "12.034000000");
    }

    #[test]
    fn differences_of_extremes_do_not_overflow() {
        assert_eq!(MediaTime::MAX.checked_since(MediaTime::from_nanos(i64::MIN)), Some(Duration::from_nanos(u64::MAX)));
        assert_eq!(WallTime::from_millis(i64::MIN).checked_sub(Duration::from_millis(2)), None);
        assert_eq!(WallTime::from_millis(i64::MIN).since(WallTime::from_millis(i64::MAX)), Duration::ZERO);
    }

    #[test]
    fn now_is_serialized_without_an_absent_date() {
        let json = serde_json::to_string(&Now::at(Tick::from_nanos(7))).unwrap();
        assert_eq!(json, r#"{"at":7}"#);
        assert_eq!(serde_json::from_str::<Now>(&json).unwrap(), Now::at(Tick::from_nanos(7)));
    }
}
