//! The time that scripts see.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The clock that live playlists, expiries and `for_duration` rules read. Clones show the same time.
///
/// It does not drive delays: latency, stalls and bandwidth always take real time.
/// Default: [`Clock::real`].
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Real { start: Instant, wall: SystemTime },
    Manual(Arc<Mutex<Duration>>),
}

/// 2026-01-01T00:00:00Z, where the wall time of a manual clock begins.
const MANUAL_EPOCH: Duration = Duration::from_secs(1_767_225_600);

impl Clock {
    /// Real time, counted from now.
    pub fn real() -> Self {
        Self(Source::Real { start: Instant::now(), wall: SystemTime::now() })
    }

    /// A clock that stands at zero (wall time 2026-01-01T00:00:00Z) until [`Clock::advance`] moves it.
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::default()))
    }

    /// Moves a manual clock forward; saturates. A real clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(elapsed) = &self.0 {
            let mut elapsed = elapsed.lock().unwrap_or_else(PoisonError::into_inner);
            *elapsed = elapsed.saturating_add(by);
        }
    }

    /// Time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::Real { start, .. } => start.elapsed(),
            Source::Manual(elapsed) => *elapsed.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The wall time the clock shows: its start plus [`Clock::elapsed`].
    pub fn wall(&self) -> SystemTime {
        let start = match &self.0 {
            Source::Real { wall, .. } => *wall,
            Source::Manual(_) => SystemTime::UNIX_EPOCH + MANUAL_EPOCH,
        };
        start.checked_add(self.elapsed()).unwrap_or(start)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            Source::Real { .. } => "Clock::real",
            Source::Manual(_) => "Clock::manual",
        };
        f.debug_tuple(name).field(&self.elapsed()).finish()
    }
}
