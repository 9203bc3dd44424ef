//! Whether the store can write at present.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::{Observers, StoreEvent};

/// Knows whether writing works, tells it once when it stops and once when it works again, and lets a store that could
/// not write try again after a while.
#[derive(Debug)]
pub(crate) struct Health {
    retry_after: Duration,
    /// Spares those who ask the lock while all is well. Written under the lock only.
    is_down: AtomicBool,
    down: Mutex<Option<Down>>,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    reason: AssetsErrorKind,
    since: Instant,
    /// The next try need not wait.
    retry_now: bool,
}

impl Health {
    pub(crate) const fn new(retry_after: Duration) -> Self {
        Self { retry_after, is_down: AtomicBool::new(false), down: Mutex::new(None) }
    }

    /// Why nobody should try to write now; `None` while it works, and when it is time to try again. `now` is asked for only
    /// while it does not work.
    pub(crate) fn obstacle(&self, now: impl FnOnce() -> Instant) -> Option<AssetsErrorKind> {
        if !self.is_down.load(Ordering::Relaxed) {
            return None;
        }
        let down = (*self.lock())?;
        let waits = !down.retry_now && now().saturating_duration_since(down.since) < self.retry_after;
        waits.then_some(down.reason)
    }

    /// Why the store does not write, if it does not.
    pub(crate) fn reason(&self) -> Option<AssetsErrorKind> {
        self.lock().map(|down| down.reason)
    }

    /// Something changed that may let the next try succeed.
    pub(crate) fn retry_now(&self) {
        if let Some(down) = &mut *self.lock() {
            down.retry_now = true;
        }
    }

    /// Writing failed. Only the first failure in a row is told and logged.
    pub(crate) fn failed(&self, error: &AssetsError, now: Instant, observers: &Observers) {
        let reason = error.kind();
        let before = self.set(Some(Down { reason, since: now, retry_now: false }));
        if before.is_none() {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(?reason, error = %error, %cause, "the cache cannot be written: going on without");
            observers.send(&StoreEvent::Degraded { reason });
        }
    }

    /// Writing worked.
    pub(crate) fn worked(&self, observers: &Observers) {
        if self.is_down.load(Ordering::Relaxed) && self.set(None).is_some() {
            tracing::info!("the cache can be written again");
            observers.send(&StoreEvent::Recovered);
        }
    }

    fn set(&self, down: Option<Down>) -> Option<Down> {
        let mut state = self.lock();
        self.is_down.store(down.is_some(), Ordering::Relaxed);
        std::mem::replace(&mut *state, down)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_failure_is_told_once_and_tried_again_later() {
        let observers = Arc::new(Observers::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let _watch =
            observers.subscribe(None, Arc::new(move |event: &StoreEvent| log.lock().unwrap().push(event.clone())));
        let health = Health::new(Duration::from_secs(30));
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let error = AssetsError::new(AssetsErrorKind::Full, "writing");

        health.worked(&observers);
        assert_eq!(health.obstacle(|| start), None);
        health.failed(&error, start, &observers);
        assert_eq!(health.obstacle(|| after(29)), Some(AssetsErrorKind::Full));
        assert_eq!(health.obstacle(|| after(30)), None);
        health.failed(&error, after(30), &observers);
        assert_eq!(health.obstacle(|| after(59)), Some(AssetsErrorKind::Full));
        health.worked(&observers);
        assert_eq!(health.obstacle(|| after(59)), None);
        let told = [StoreEvent::Degraded { reason: AssetsErrorKind::Full }, StoreEvent::Recovered];
        assert_eq!(*seen.lock().unwrap(), told);
    }
}
