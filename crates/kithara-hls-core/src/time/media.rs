//! A place on a timeline.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A place on a media or presentation timeline, in nanoseconds. Signed, since media may start before its zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The zero of the timeline.
    pub const ZERO: Self = Self(0);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time `nanos` nanoseconds after zero.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after zero.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// `ticks` of a clock of `timescale` ticks per second, rounded to the nearest nanosecond; `None` when `timescale` is zero
    /// or the time cannot be represented. MPEG-TS counts 90,000 per second.
    #[must_use]
    pub fn from_ticks(ticks: i64, timescale: u32) -> Option<Self> {
        if timescale == 0 {
            return None;
        }
        let scale = i128::from(timescale);
        let nanos = (i128::from(ticks) * 1_000_000_000 + scale / 2).div_euclid(scale);
        i64::try_from(nanos).ok().map(Self)
    }

    /// `self + time`, or `None` when it cannot be represented.
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(i64::try_from(time.as_nanos()).ok()?).map(Self)
    }

    /// `self - time`, or `None` when it cannot be represented.
    #[must_use]
    pub fn checked_sub(self, time: Duration) -> Option<Self> {
        self.0.checked_sub(i64::try_from(time.as_nanos()).ok()?).map(Self)
    }

    /// `self + time`, at most [`MediaTime::MAX`].
    #[must_use]
    pub fn saturating_add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self::MAX)
    }

    /// `self - time`, at least the earliest time there is.
    #[must_use]
    pub fn saturating_sub(self, time: Duration) -> Self {
        self.checked_sub(time).unwrap_or(Self(i64::MIN))
    }

    /// Time from `earlier` to `self`, or `None` when `earlier` is later.
    #[must_use]
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.checked_since(earlier).unwrap_or_default()
    }

    /// Time since zero; zero for negative times.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        self.since(Self::ZERO)
    }
}

/// At most [`MediaTime::MAX`].
impl From<Duration> for MediaTime {
    fn from(time: Duration) -> Self {
        Self::ZERO.saturating_add(time)
    }
}

/// Seconds with up to nine decimals.
impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}
