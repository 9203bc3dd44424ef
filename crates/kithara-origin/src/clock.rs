//! The time that scripts see.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::watch, time::sleep_until};

/// The clock that live playlists, expiries and `for_duration` rules read. Clones show the same time.
///
/// Answers that are held until something exists wait for it. It does not drive other delays: latency, stalls and bandwidth always take
/// real time.
/// Default: [`Clock::real`].
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Real {
        start: Instant,
        wall: SystemTime,
    },
    /// Moved by whoever has a clone, watched by the answers that wait.
    Manual(Arc<watch::Sender<Duration>>),
}

/// 2026-01-01T00:00:00Z, where the wall time of a manual clock begins.
const MANUAL_EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// The longest wait, which timers can still add to an instant.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

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
            elapsed.send_modify(|elapsed| *elapsed = elapsed.saturating_add(by));
        }
    }

    /// Time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::Real { start, .. } => start.elapsed(),
            Source::Manual(elapsed) => *elapsed.borrow(),
        }
    }

    /// Waits until the clock shows `at`.
    pub(crate) async fn reached(&self, at: Duration) {
        match &self.0 {
            // Longer than anything lives.
            Source::Real { start, .. } => sleep_until((*start + at.min(FOREVER)).into()).await,
            Source::Manual(elapsed) => {
                // The sender lives in `self`, so nothing but the time ends this.
                let _ = elapsed.subscribe().wait_for(|elapsed| *elapsed >= at).await;
            }
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
